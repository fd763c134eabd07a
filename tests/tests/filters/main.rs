//! Structured filters (RFC 0005): refused filters with their texts, and results. Each row of `host/docs/rules.md` is a row here.
//! Filters are evaluated on `kv`, `memory` and `minimal`, which must give equal answers, and by all four RPCs that search: each row of a
//! table is asked of `FindSpans` too.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod absence;
mod ask;
mod comparisons;
mod constants;
mod exclusive;
mod fields;
mod indexed_words;
mod invalid;
mod invalid_constants;
mod invalid_nesting;
mod invalid_patterns;
mod invalid_resolution;
mod invalid_words;
mod levels;
mod listed;
mod listed_texts;
mod numbers;
mod order;
mod patterns;
mod quantifiers;
mod resolution;
mod synthetic_keys;
mod two_references;
mod untyped_lists;
mod window;
mod words;
