//! The built-in fields, and what may stand beside each.

use super::leaves::COMPARISONS;
use super::vocabulary::{DURATIONS, KINDS, NAMES, SCHEMAS, STATES, STATUSES, VERSIONS};
use crate::filter::field;
use larder_proto::expression::v1::Expression;

/// The kind of value that a field holds, with texts that a constant beside it may have.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Holds {
    Text(&'static [&'static str]),
    Word(&'static [&'static str]),
    Duration,
    Instant,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Known {
    pub(crate) level: &'static str,
    name: &'static str,
    holds: Holds,
}

const fn known(level: &'static str, name: &'static str, holds: Holds) -> Known {
    Known { level, name, holds }
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

pub(crate) const FIELDS: [Known; 22] = [
    known("span", "traceID", Holds::Text(&TRACE_IDS)),
    known("span", "spanID", Holds::Text(&IDS)),
    known("span", "parentSpanID", Holds::Text(&IDS)),
    known("span", "traceState", Holds::Text(&STATES)),
    known("span", "name", Holds::Text(&NAMES)),
    known("span", "kind", Holds::Word(&KINDS)),
    known("span", "startTime", Holds::Instant),
    known("span", "endTime", Holds::Instant),
    known("span", "duration", Holds::Duration),
    known("span", "status", Holds::Word(&STATUSES)),
    known("span", "statusMessage", Holds::Text(&NAMES)),
    known("resource", "service", Holds::Text(&["a", "x", "", "1"])),
    known("resource", "schemaURL", Holds::Text(&SCHEMAS)),
    known("scope", "name", Holds::Text(&NAMES)),
    known("scope", "version", Holds::Text(&VERSIONS)),
    known("scope", "schemaURL", Holds::Text(&SCHEMAS)),
    known("event", "name", Holds::Text(&NAMES)),
    known("event", "time", Holds::Instant),
    known("event", "timeSinceStart", Holds::Duration),
    known("link", "traceID", Holds::Text(&TRACE_IDS)),
    known("link", "spanID", Holds::Text(&IDS)),
    known("link", "traceState", Holds::Text(&STATES)),
];

impl Known {
    pub(crate) fn reference(self) -> Expression {
        field(self.level, self.name)
    }

    pub(crate) fn texts(self) -> &'static [&'static str] {
        match self.holds {
            Holds::Text(texts) | Holds::Word(texts) => texts,
            Holds::Duration => &DURATIONS,
            Holds::Instant => &INSTANTS,
        }
    }

    /// The types that a constant beside it may declare.
    pub(crate) fn types(self) -> Vec<&'static str> {
        if self.is_text() {
            vec!["", "string"]
        } else {
            vec![""]
        }
    }

    pub(crate) fn is_text(self) -> bool {
        matches!(self.holds, Holds::Text(_) | Holds::Word(_))
    }

    pub(crate) fn operators(self) -> &'static [&'static str] {
        let equality = matches!(self.holds, Holds::Word(_));
        if equality {
            &COMPARISONS[..2]
        } else {
            &COMPARISONS
        }
    }

    pub(crate) fn is_comparable_with(self, other: Self) -> bool {
        self.is_text() && other.is_text() || self.holds == other.holds
    }
}
