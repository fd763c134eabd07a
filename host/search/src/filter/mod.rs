//! Structured filters (RFC 0005) as a predicate: decode → validate → resolve → lower.
//!
//! The checks, their order and their texts are those of Jaeger's own query boundary, so that a filter is refused by the same words
//! wherever it is. What comes out is a [`Predicate`] like that of the legacy fields: `plan` and `judge` know no filters.

use larder_model::terms::Level;
use larder_proto::expression::v1 as proto;

use super::predicate::Predicate;

mod decode;
mod expression;
mod field;
mod go;
mod lower;
pub(crate) mod pattern;
mod resolve;
#[cfg(test)]
mod tests;
mod validate;

pub(crate) use field::{Field, kind_word, status_word};
pub(crate) use go::parse_bool;
pub use {decode::refusal_in, field::level_word, go::parse_duration, go::parse_time};

/// The operators that are understood: all there are.
pub const OPERATORS: [&str; 14] = [
    "and", "or", "not", "eq", "ne", "gt", "lt", "gte", "lte", "regex", "exists", "in", "not_in",
    "some",
];

/// The levels that are understood: all there are.
pub const LEVELS: [Level; 5] = [
    Level::Span,
    Level::Resource,
    Level::Scope,
    Level::Event,
    Level::Link,
];

/// What a span has to satisfy to pass the filter.
///
/// # Errors
/// What is wrong with the filter, in Jaeger's words.
pub(crate) fn predicate(filter: proto::Call) -> Result<Predicate, String> {
    let mut call = decode::call(filter)?;
    validate::call(&mut call)?;
    resolve::call(&mut call)?;
    lower::call(call)
}
