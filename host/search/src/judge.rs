//! Judges the sightings of a plugin span by span: by the short form if that is enough, else by the spans themselves.

use std::time::Instant;

use larder_model::digest;
use larder_model::storage::{Error, Part, Piece};
use larder_proto::otlp::Span;

use super::budget::OutOfTime;
use super::full::{self, Full};
use super::predicate::{Predicate, Subject, Verdict};
use super::session::Session;
use super::short::{Short, is_in_digest};

/// Short forms judged between checks of the deadline.
const SPANS_PER_CHECK: u32 = 64;

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

/// A span that the judge meets in a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Met {
    /// Its place among the spans of the piece, from 0: the same in a digest as in the spans themselves.
    pub(crate) place: u32,
    pub(crate) id: [u8; 8],
    /// Nanoseconds since the Unix epoch.
    pub(crate) start: u64,
    pub(crate) end: u64,
}

/// What becomes of the matching spans of a piece.
pub(crate) trait Matches {
    /// What is kept of a span.
    type Wanted;

    /// What is kept of the span if it matches; `None` if it does not matter whether it does.
    fn wants(&self, span: &Met) -> Option<Self::Wanted>;

    /// Takes a span that is wanted and matches.
    fn take(&mut self, wanted: Self::Wanted);
}

/// Decides in a task which spans are worth judging. It has no state of the query but what was known when the page came.
pub(crate) trait Sieve: Send + Sync + 'static {
    /// Returns `false` only if it cannot matter whether the span matches, given the spans before it in its piece that do.
    fn wants(&self, piece: &Piece, span: &Met, matching: &[Met]) -> bool;
}

/// What a task has found in a piece.
#[derive(Debug)]
pub(crate) struct Found {
    /// The matching spans that may matter, in order.
    matching: Vec<Met>,
    /// Number of spans read.
    spans: u64,
}

/// Collects what a task finds.
struct Collector<'a> {
    sieve: &'a dyn Sieve,
    piece: &'a Piece,
    matching: Vec<Met>,
}

/// The latest start.
struct Newest(Option<u64>);

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

    /// Searches a piece, or what was found in it, for matching spans that start later than `known`, and returns the latest start.
    ///
    /// # Errors
    /// `OutOfTime` when it takes longer than until `deadline`.
    pub(crate) fn newest_match(
        &self,
        (piece, found): (&Piece, Option<Found>),
        known: Option<u64>,
        deadline: Instant,
    ) -> Result<Outcome, Fault> {
        let mut newest = Newest(known);
        let spans = self.take((piece, found), &mut newest, deadline)?;
        let Newest(newest) = newest;
        Ok(Outcome {
            newest: newest.filter(|_| newest > known),
            spans,
        })
    }

    /// Passes the matching spans of a piece that are wanted to `matches`: of those that a task has found, or of all if none has. Returns
    /// the number of spans read.
    ///
    /// # Errors
    /// As [`Judge::matches`].
    pub(crate) fn take(
        &self,
        (piece, found): (&Piece, Option<Found>),
        matches: &mut impl Matches,
        deadline: Instant,
    ) -> Result<u64, Fault> {
        let Some(Found { matching, spans }) = found else {
            return self.matches(piece, matches, deadline);
        };
        for span in &matching {
            if let Some(wanted) = matches.wants(span) {
                matches.take(wanted);
            }
        }
        Ok(spans)
    }

    /// Finds the matching spans of a piece that may matter, in a task; `None` if it cannot be judged to its end.
    pub(crate) fn find(
        &self,
        piece: &Piece,
        sieve: &dyn Sieve,
        deadline: Instant,
    ) -> Option<Found> {
        let mut collector = Collector {
            sieve,
            piece,
            matching: Vec::new(),
        };
        let spans = self.matches(piece, &mut collector, deadline).ok()?;
        let matching = collector.matching;
        Some(Found { matching, spans })
    }

    /// Passes the matching spans of a piece that are wanted to `found`. Returns the number of spans read.
    ///
    /// # Errors
    /// `OutOfTime` when it takes longer than until `deadline`.
    fn matches(
        &self,
        piece: &Piece,
        found: &mut impl Matches,
        deadline: Instant,
    ) -> Result<u64, Fault> {
        match self.part {
            Part::Digest => self.matches_in_digest(piece, found, deadline),
            Part::Otlp => self.matches_in_otlp(piece, found, deadline),
        }
    }

    fn matches_in_digest(
        &self,
        piece: &Piece,
        found: &mut impl Matches,
        deadline: Instant,
    ) -> Result<u64, Fault> {
        let digest = digest::decode(&piece.bytes)?;
        for (place, span) in (0_u32..).zip(digest.spans()) {
            let span = span?;
            if place % SPANS_PER_CHECK == SPANS_PER_CHECK - 1 && Instant::now() > deadline {
                return Err(Fault::OutOfTime);
            }
            let met = Met {
                place,
                id: span.span_id,
                start: span.start,
                end: span.end,
            };
            let Some(wanted) = found.wants(&met) else {
                continue;
            };
            let short = Short {
                trace_id: piece.trace_id,
                span,
                deadline,
            };
            if self.holds(&short)? {
                found.take(wanted);
            }
        }
        Ok(digest.len() as u64)
    }

    fn matches_in_otlp(
        &self,
        piece: &Piece,
        found: &mut impl Matches,
        deadline: Instant,
    ) -> Result<u64, Fault> {
        let mut place = 0;
        full::each_span(piece, |full: &Full<'_>| {
            let met = Met::of(place, &full.span);
            place += 1;
            if Instant::now() > deadline {
                return Err(Fault::OutOfTime);
            }
            let judged = full::Judged { full, deadline };
            if let Some(wanted) = found.wants(&met)
                && self.holds(&judged)?
            {
                found.take(wanted);
            }
            Ok(())
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

// === impl Met ===

impl Met {
    /// The span at this place. An id of a wrong length, which an older release stored, is cut or padded with zeros.
    pub(crate) fn of(place: u32, span: &Span<'_>) -> Self {
        let mut id = [0; 8];
        for (to, from) in id.iter_mut().zip(span.span_id) {
            *to = *from;
        }
        Self {
            place,
            id,
            start: span.start_time_unix_nano,
            end: span.end_time_unix_nano,
        }
    }
}

// === impl Collector ===

impl Matches for Collector<'_> {
    type Wanted = Met;

    fn wants(&self, span: &Met) -> Option<Met> {
        let is_wanted = self.sieve.wants(self.piece, span, &self.matching);
        is_wanted.then_some(*span)
    }

    fn take(&mut self, span: Met) {
        self.matching.push(span);
    }
}

// === impl Newest ===

impl Matches for Newest {
    /// The start.
    type Wanted = u64;

    fn wants(&self, span: &Met) -> Option<u64> {
        (Some(span.start) > self.0).then_some(span.start)
    }

    fn take(&mut self, start: u64) {
        self.0 = Some(start);
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
