//! Decides on what a plugin has sighted, span by span: on the short form where that is enough, else on the spans themselves.

use std::time::Instant;

use larder_model::digest;
use larder_model::storage::{Error, Part, Piece};

use super::budget::OutOfTime;
use super::full::{self, Full};
use super::predicate::{Predicate, Subject, Verdict};
use super::session::Session;
use super::short::{Short, is_in_digest};

/// How many short forms are judged between looks at the clock.
const SPANS_A_LOOK: usize = 64;

/// Judges by one predicate.
pub(crate) struct Judge {
    predicate: Predicate,
    part: Part,
}

/// What judging a piece gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The start of the newest matching span, if it is newer than what was known.
    pub(crate) newest: Option<u64>,
    /// How many spans were looked at.
    pub(crate) spans: u64,
}

/// What is wrong with a piece.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its bytes do not read as what was stored.
    Unreadable(String),
    /// It has a span of another trace.
    Foreign,
    /// Nothing is wrong with it, but that there was no time left to judge all of it.
    OutOfTime,
}

// === impl Judge ===

impl Judge {
    /// Chooses what to read: digests, if they decide every fact that the predicate asks.
    pub(crate) fn new(predicate: Predicate) -> Self {
        let part = if predicate.all_leaves(&is_in_digest) {
            Part::Digest
        } else {
            Part::Otlp
        };
        Self { predicate, part }
    }

    /// The part of a fragment that [`Judge::newest_match`] takes.
    pub(crate) fn part(&self) -> Part {
        self.part
    }

    /// Looks in a piece for a matching span that starts later than `known`, and gives the latest start of such.
    ///
    /// # Errors
    /// `OutOfTime` when it takes longer than until `deadline`.
    pub(crate) fn newest_match(
        &self,
        piece: &Piece,
        known: Option<u64>,
        deadline: Instant,
    ) -> Result<Judged, Fault> {
        match self.part {
            Part::Digest => self.newest_in_digest(piece, known, deadline),
            Part::Otlp => self.newest_in_otlp(piece, known, deadline),
        }
    }

    fn newest_in_digest(
        &self,
        piece: &Piece,
        known: Option<u64>,
        deadline: Instant,
    ) -> Result<Judged, Fault> {
        let digest = digest::decode(&piece.bytes)?;
        let mut newest = known;
        for (place, span) in digest.spans().enumerate() {
            let span = span?;
            if place % SPANS_A_LOOK == SPANS_A_LOOK - 1 && Instant::now() > deadline {
                return Err(Fault::OutOfTime);
            }
            let start = Some(span.start);
            let short = Short {
                trace_id: piece.trace_id,
                span,
                deadline,
            };
            if start > newest && self.holds(&short)? {
                newest = start;
            }
        }
        Ok(Judged {
            newest: newest.filter(|_| newest > known),
            spans: digest.len() as u64,
        })
    }

    fn newest_in_otlp(
        &self,
        piece: &Piece,
        known: Option<u64>,
        deadline: Instant,
    ) -> Result<Judged, Fault> {
        let mut newest = known;
        let spans = full::each_span(piece, |full: &Full<'_>| {
            let start = full.span.start_time_unix_nano;
            if Instant::now() > deadline {
                return Err(Fault::OutOfTime);
            }
            let judged = full::Judged { full, deadline };
            if Some(start) > newest && self.holds(&judged)? {
                newest = Some(start);
            }
            Ok(())
        })?;
        Ok(Judged {
            newest: newest.filter(|_| newest > known),
            spans,
        })
    }

    fn holds<S: Subject>(&self, subject: &S) -> Result<bool, Fault>
    where
        Fault: From<S::Error>,
    {
        let verdict = self.predicate.judge(subject, &S::Bound::default())?;
        Ok(verdict == Verdict::Yes)
    }
}

// === impl Fault ===

impl Fault {
    /// The error that a query with such a piece ends with; the plugin is reported where it lied.
    pub(crate) fn into_error(self, session: &Session, piece: &Piece) -> Error {
        let (fragment, trace) = (piece.fragment, piece.trace_id);
        match self {
            Self::Unreadable(why) => {
                Session::unreadable(&format!("fragment {fragment} of trace {trace}: {why}"))
            }
            Self::Foreign => session.breach(&format!(
                "fragment {fragment} of trace {trace} has a span of another trace"
            )),
            Self::OutOfTime => session.budget.out_of_time(),
        }
    }
}

impl From<OutOfTime> for Fault {
    fn from(OutOfTime: OutOfTime) -> Self {
        Self::OutOfTime
    }
}

impl From<digest::Error> for Fault {
    fn from(error: digest::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<larder_proto::wire::Error> for Fault {
    fn from(error: larder_proto::wire::Error) -> Self {
        Self::Unreadable(format!("not a TracesData: {error}"))
    }
}
