//! Writes the same Exports into both plugins, in turns.

use std::sync::Arc;

use larder_corpus::Corpus;
use larder_ingest::Ingest;
use larder_model::storage::{Batch, TraceId};

use crate::Options;
use crate::error::Error;
use crate::held::{Held, Written};
use crate::report::Pair;
use crate::spent::{Spent, spent};

/// Spans of an Export, as in the benchmarks.
pub(crate) const EXPORT_SPANS: u64 = 1_000;
/// Exports between two steps of upkeep. A server makes one a second: it takes 20,000 spans in that time.
const EXPORTS_A_STEP: u64 = 20;

/// What both plugins hold, and what it took.
#[derive(Default)]
pub(crate) struct Filled {
    pub(crate) spans: u64,
    /// Each trace once, in the order in which they were written.
    pub(crate) traces: Vec<TraceId>,
    /// Why the plugin took no more.
    pub(crate) full: Option<String>,
    pub(crate) writes: Pair<Spent>,
    pub(crate) upkeep: Pair<Spent>,
}

/// Fills both until the plugin takes no more. What is done here besides is not in the figures.
pub(crate) async fn fill(
    held: &Pair<Arc<Held>>,
    options: &Options,
    mut ingest: Ingest,
) -> Result<Filled, Error> {
    let corpus = Corpus::new(options.seed, options.spans, EXPORT_SPANS);
    let mut filled = Filled::default();
    let mut has_more = Pair::default();
    for index in 0..corpus.requests() {
        let request = corpus.request(index);
        let ingested = ingest.walk(&request.bytes);
        let ingested =
            ingested.map_err(|error| Error::setup("an Export cannot be read", &error))?;
        let batches: Vec<&Batch> = ingested.batches.iter().collect();
        let (written, took) = spent(held.plugin.write_export(&batches)).await;
        if let Written::Full(text) = written? {
            if filled.spans == 0 {
                return Err(Error::Empty {
                    plugin: held.plugin.name().to_owned(),
                    spans: request.spans,
                    reason: text,
                });
            }
            filled.full = Some(text);
            break;
        }
        filled.writes.plugin += took;
        let (written, took) = spent(held.memory.write_export(&batches)).await;
        if let Written::Full(text) = written? {
            return Err(held.memory.failed(format!("`write` refuses: {text}")));
        }
        filled.writes.memory += took;
        filled.spans += ingested.spans;
        let traces = batches.iter().flat_map(|batch| batch.facts());
        filled
            .traces
            .extend(traces.map(|(facts, _)| facts.trace_id));
        let is_due = (index + 1) % EXPORTS_A_STEP == 0;
        let upkeep = &mut filled.upkeep;
        step(
            &held.plugin,
            is_due,
            &mut has_more.plugin,
            &mut upkeep.plugin,
        )
        .await?;
        step(
            &held.memory,
            is_due,
            &mut has_more.memory,
            &mut upkeep.memory,
        )
        .await?;
    }
    for (held, upkeep) in [
        (&held.plugin, &mut filled.upkeep.plugin),
        (&held.memory, &mut filled.upkeep.memory),
    ] {
        let (kept, took) = spent(held.maintain_all()).await;
        kept?;
        *upkeep += took;
    }
    // A trace is in one Export, and in several fragments only if it is large.
    filled.traces.dedup();
    Ok(filled)
}

/// A step of upkeep, if it is due or the last one has left more to do.
async fn step(
    held: &Held,
    is_due: bool,
    has_more: &mut bool,
    upkeep: &mut Spent,
) -> Result<(), Error> {
    if !is_due && !*has_more {
        return Ok(());
    }
    let (more, took) = spent(held.maintain()).await;
    *has_more = more?;
    *upkeep += took;
    Ok(())
}
