//! Structured filters (RFC 0005) as a predicate: decode → validate → resolve → lower.
//!
//! The checks, their order and their texts are those of Jaeger's own query boundary, so that a filter is refused by the same words
//! wherever it is. What comes out is a `Predicate` like that of the legacy fields: `plan` and `judge` know no filters.

use larder_model::terms::Level;
use larder_proto::expression::v1 as proto;

use super::predicate::Predicate;

mod decode;
mod expression;
mod field;
mod go;
mod lower;
mod operator;
pub(crate) mod pattern;
mod resolve;
#[cfg(test)]
mod tests;
mod validate;

pub(crate) use field::{Field, kind_word, status_word};
pub(crate) use go::{parse_bool, quote};
pub use {
    decode::refusal_in, field::level_word, go::parse_duration, go::parse_time, operator::Operator,
};

/// The supported operators: every one that RFC 0005 defines.
pub const OPERATORS: [Operator; Operator::ALL.len()] = Operator::ALL;

/// The supported levels: all of them, in the order of RFC 0005.
pub const LEVELS: [Level; Level::ALL.len()] = [
    Level::Span,
    Level::Resource,
    Level::Scope,
    Level::Event,
    Level::Link,
];

/// Parses a filter into the predicate that a matching span satisfies.
///
/// # Errors
/// A filter that is not well formed, described in Jaeger's words.
pub(crate) fn predicate(filter: proto::Call) -> Result<Predicate, String> {
    let mut call = decode::call(filter)?;
    validate::call(&mut call)?;
    resolve::call(&mut call)?;
    lower::call(call)
}
