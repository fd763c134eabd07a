#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod build;
mod listed;
mod model;
mod properties;
mod refusals;
mod rules;
mod shares;
mod word_terms;

use larder_model::storage::{Batch, Fragment};

use super::{Ingested, Limits};

const LIMITS: Limits = Limits {
    max_fragment_bytes: 1 << 20,
    max_batch_bytes: 8 << 20,
    max_span_bytes: 4_000_000,
    max_listed_bytes: 4_000_000,
};

fn fragments(ingested: &Ingested) -> Vec<Fragment<'_>> {
    ingested.batches.iter().flat_map(Batch::fragments).collect()
}
