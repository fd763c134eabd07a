//! Judges the sightings of a plugin span by span: by the short form if that is enough, else by the spans themselves.

use std::time::Instant;

use larder_model::digest;
use larder_model::storage::{Error, Part, Piece};

use super::budget::OutOfTime;
use super::full::{self, Full};
use super::predicate::{Predicate, Subject, Verdict};
use super::session::Session;
use super::short::{Short, is_in_digest};

/// Short forms judged between checks of the deadline.
const SPANS_PER_CHECK: usize = 64;

/// Judges pieces by one predicate.
pub(crate) struct Judge {
    predicate: Predicate,
    part: Part,
}

/// The result of judging a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// The start of the newest matching span, if it is newer than the known one.
    pub(crate) newest: Option<u64>,
    /// Number of spans read.
    pub(crate) spans: u64,
}

/// The reason why a piece cannot be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its bytes cannot be read.
    Unreadable(String),
    /// It has a span of another trace.
    Foreign,
    /// The time was up before all of it was judged.
    OutOfTime,
}

// === impl Judge ===

impl Judge {
    /// Creates a judge. It reads digests if they decide every leaf of the predicate, else spans.
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

    /// Searches a piece for matching spans that start later than `known`, and returns the latest start.
    ///
    /// # Errors
    /// `OutOfTime` when it takes longer than until `deadline`.
    pub(crate) fn newest_match(
        &self,
        piece: &Piece,
        known: Option<u64>,
        deadline: Instant,
    ) -> Result<Outcome, Fault> {
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
    ) -> Result<Outcome, Fault> {
        let digest = digest::decode(&piece.bytes)?;
        let mut newest = known;
        for (place, span) in digest.spans().enumerate() {
            let span = span?;
            if place % SPANS_PER_CHECK == SPANS_PER_CHECK - 1 && Instant::now() > deadline {
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
        Ok(Outcome {
            newest: newest.filter(|_| newest > known),
            spans: digest.len() as u64,
        })
    }

    fn newest_in_otlp(
        &self,
        piece: &Piece,
        known: Option<u64>,
        deadline: Instant,
    ) -> Result<Outcome, Fault> {
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
        Ok(Outcome {
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
    /// The error that ends the query. Reports a plugin that broke its contract.
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
