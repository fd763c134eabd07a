//! The service graph, kept as traces come: the calls between services, by buckets of five minutes, so that a query adds up sums in place
//! of reading every span of its window. The answer is the one that judging every trace would give.
//!
//! A write marks its buckets before the plugin gets it (`marks`). Once a bucket is quiet it is settled: its traces are judged once, by
//! `larder-search`, and their calls become a record (`jobs`, `record`). Traces that are written to after that are late: they are judged
//! in each query, and taken into the records later. A query (`view`) adds up records, and has those traces judged that no record has.
//! The records of a day are added up once more (`days`), so that a query over weeks reads one head a day.
//!
//! `state` says what is true of each trace at any moment. All of it holds for one host that writes. Where several write to one tenant's data
//! each marks its own writes, and one of them settles what all have marked (`hosts`).
//!
//! Architecture invariant: knows neither the plugin nor the wire. What is kept is derived: without it answers are slower and equal.

#![forbid(unsafe_code)]

mod bounds;
mod bucket;
mod cache;
mod checkpoint;
mod clock;
mod codec;
mod commit;
mod config;
mod coverage;
mod days;
mod entries;
mod figures;
mod graph;
mod graphs;
mod hosts;
mod inner;
mod jobs;
mod marks;
mod record;
mod rows;
mod shared;
mod state;
#[cfg(test)]
mod tests;
mod view;

pub use config::{Clock, Config};
pub use figures::Figures;
pub use graph::{Graph, Step};
pub use graphs::Graphs;
