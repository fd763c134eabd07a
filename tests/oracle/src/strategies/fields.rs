//! The built-in fields, and the constants that may be compared with each.

use super::leaves::COMPARISONS;
use super::vocabulary::{DURATIONS, KINDS, NAMES, SCHEMAS, STATES, STATUSES, VERSIONS};
use crate::filter::field;
use larder_proto::expression::v1::Expression;

/// The type of a field, with texts that constants beside it may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum FieldType {
    Text(&'static [&'static str]),
    Word(&'static [&'static str]),
    Duration,
    Instant,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownField {
    pub(crate) level: &'static str,
    name: &'static str,
    ty: FieldType,
}

const fn known(level: &'static str, name: &'static str, ty: FieldType) -> KnownField {
    KnownField { level, name, ty }
}

const IDS: [&str; 5] = [
    "0000000000000001",
    "0000000000000002",
    "0000000000000003",
    "",
    "x",
];
const TRACE_IDS: [&str; 5] = ["@t1", "@t2", "@t3", "", "x"];
const INSTANTS: [&str; 9] = [
    "@z8", "@z10", "@z12", "@z15", "@e11", "@e14", "@w12", "@w18", "@z22",
];

pub(crate) const FIELDS: [KnownField; 22] = [
    known("span", "traceID", FieldType::Text(&TRACE_IDS)),
    known("span", "spanID", FieldType::Text(&IDS)),
    known("span", "parentSpanID", FieldType::Text(&IDS)),
    known("span", "traceState", FieldType::Text(&STATES)),
    known("span", "name", FieldType::Text(&NAMES)),
    known("span", "kind", FieldType::Word(&KINDS)),
    known("span", "startTime", FieldType::Instant),
    known("span", "endTime", FieldType::Instant),
    known("span", "duration", FieldType::Duration),
    known("span", "status", FieldType::Word(&STATUSES)),
    known("span", "statusMessage", FieldType::Text(&NAMES)),
    known("resource", "service", FieldType::Text(&["a", "x", "", "1"])),
    known("resource", "schemaURL", FieldType::Text(&SCHEMAS)),
    known("scope", "name", FieldType::Text(&NAMES)),
    known("scope", "version", FieldType::Text(&VERSIONS)),
    known("scope", "schemaURL", FieldType::Text(&SCHEMAS)),
    known("event", "name", FieldType::Text(&NAMES)),
    known("event", "time", FieldType::Instant),
    known("event", "timeSinceStart", FieldType::Duration),
    known("link", "traceID", FieldType::Text(&TRACE_IDS)),
    known("link", "spanID", FieldType::Text(&IDS)),
    known("link", "traceState", FieldType::Text(&STATES)),
];

impl KnownField {
    pub(crate) fn reference(self) -> Expression {
        field(self.level, self.name)
    }

    pub(crate) fn texts(self) -> &'static [&'static str] {
        match self.ty {
            FieldType::Text(texts) | FieldType::Word(texts) => texts,
            FieldType::Duration => &DURATIONS,
            FieldType::Instant => &INSTANTS,
        }
    }

    /// Returns the types that a constant beside it may declare.
    pub(crate) fn types(self) -> Vec<&'static str> {
        if self.is_text() {
            vec!["", "string"]
        } else {
            vec![""]
        }
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self.ty, FieldType::Text(_) | FieldType::Word(_))
    }

    pub(crate) fn operators(self) -> &'static [&'static str] {
        let equality = matches!(self.ty, FieldType::Word(_));
        if equality {
            &COMPARISONS[..2]
        } else {
            &COMPARISONS
        }
    }

    pub(crate) fn is_comparable_with(self, other: Self) -> bool {
        self.is_text() && other.is_text() || self.ty == other.ty
    }
}
