//! Decides on what a plugin has sighted, span by span: on the short form where that is enough, else on the spans themselves.

use super::full::{self, Full};
use super::predicate::{Leaf, Predicate, Verdict};
use super::session::Session;
use crate::digest;
use crate::storage::{Error, Part, Piece};

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
    pub(crate) fn newest_match(&self, piece: &Piece, known: Option<u64>) -> Result<Judged, Fault> {
        match self.part {
            Part::Digest => self.newest_in_digest(piece, known),
            Part::Otlp => self.newest_in_otlp(piece, known),
        }
    }

    fn newest_in_digest(&self, piece: &Piece, known: Option<u64>) -> Result<Judged, Fault> {
        let digest = digest::decode(&piece.bytes)?;
        let mut newest = known;
        for span in digest.spans() {
            let span = span?;
            if Some(span.start) > newest && self.holds(&mut |leaf| Ok(on_digest(leaf, &span)))? {
                newest = Some(span.start);
            }
        }
        Ok(Judged {
            newest: newest.filter(|_| newest > known),
            spans: digest.len() as u64,
        })
    }

    fn newest_in_otlp(&self, piece: &Piece, known: Option<u64>) -> Result<Judged, Fault> {
        let mut newest = known;
        let spans = full::each_span(piece, |full: &Full<'_>| {
            let start = full.span.start_time_unix_nano;
            if Some(start) > newest && self.holds(&mut |leaf| Ok(full.holds(leaf)?.into()))? {
                newest = Some(start);
            }
            Ok(())
        })?;
        Ok(Judged {
            newest: newest.filter(|_| newest > known),
            spans,
        })
    }

    fn holds(&self, leaf: &mut impl FnMut(&Leaf) -> Result<Verdict, Fault>) -> Result<bool, Fault> {
        Ok(self.predicate.judge(leaf)? == Verdict::Yes)
    }
}

fn is_in_digest(leaf: &Leaf) -> bool {
    !matches!(
        leaf,
        Leaf::ScopeName(_) | Leaf::ScopeVersion(_) | Leaf::Attribute { .. }
    )
}

fn on_digest(leaf: &Leaf, span: &digest::Span<&str>) -> Verdict {
    match leaf {
        Leaf::Service(service) => (span.service == service).into(),
        Leaf::SpanName(name) => (span.name == name).into(),
        Leaf::Kind(kind) => (span.kind == *kind).into(),
        Leaf::Status(status) => (span.status == *status).into(),
        Leaf::Start(range) => range.contains(span.start.into()).into(),
        Leaf::Duration(range) => range
            .contains(i128::from(span.end) - i128::from(span.start))
            .into(),
        Leaf::ScopeName(_) | Leaf::ScopeVersion(_) | Leaf::Attribute { .. } => Verdict::Unknown,
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
        }
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
