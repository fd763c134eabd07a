//! Finds and counts calls from service to service (D3, D4), trace by trace. Works on digests as they come, without allocating for a span.

use hashbrown::HashMap;
use larder_model::digest::{self, Parent};
use larder_model::storage::{Piece, StatusCode};
use larder_proto::storage::v2::Dependency;

use super::judge::Fault;
use super::names::Names;
use super::predicate::Range;
use super::summaries::parent;
use super::written::{Copies, has_twins, likeness};

/// Limit of the services of a digest that are remembered by address; a linear search over them is cheap.
const MOST_KNOWN: usize = 16;

/// Bit of [`Call::class`] that is set if the child span is an error.
const ERROR: u8 = 1 << 7;

/// Judges traces, and counts their calls.
pub(crate) struct Calls {
    window: Range,
    services: Names,
    counts: HashMap<(u32, u32), u64>,
    spans: Vec<Span>,
    children: Vec<Child>,
    /// Facts about spans that share an id.
    shared: Shared,
    /// The last trace that was judged.
    trace: TraceCalls,
}

/// The times and the calls of one trace. Services are numbers, given by whoever judged it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceCalls {
    /// The first start of its spans.
    pub first: u64,
    /// The last end of its spans. No span ends before it starts.
    pub last: u64,
    /// The start of each span, copies included, in no order.
    pub starts: Vec<u64>,
    /// Its calls, in no order.
    pub calls: Vec<Call>,
}

/// One call from a service to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Call {
    /// The number of the calling service.
    pub parent: u32,
    /// The number of the service that was called.
    pub child: u32,
    /// Bit 7 is set if the child span is an error. The others are the class of its duration: `floor(2 * log2(nanoseconds))`, and 0 for 0.
    pub class: u8,
}

/// How a trace was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// [`Calls::trace`] has its calls.
    Known,
    /// A span lies outside the window. The calls are not known.
    Outside,
    /// The digests do not tell the calls: they depend on the order in which the pieces were written, or spans may be copies.
    Open,
}

/// A span that has a parent.
#[derive(Clone, Copy)]
struct Child {
    parent: u64,
    service: u32,
    class: u8,
}

/// Facts about the spans of a trace that share an id with others.
#[derive(Default)]
struct Shared {
    /// Each id with each of its services, sorted.
    services: Vec<(u64, u32)>,
    /// Ids whose first span is of another service if the pieces come in another order, sorted.
    ties: Vec<u64>,
    /// True if some may be copies of others.
    may_have_copies: bool,
    /// A buffer.
    likenesses: Vec<u64>,
}

/// A possible parent; ordered by id, then by position in the trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    id: u64,
    piece: u32,
    number: u32,
    service: u32,
    likeness: u64,
}

// === impl Calls ===

impl Calls {
    /// Creates a counter for traces that lie within the window.
    pub(crate) fn new(window: Range) -> Self {
        Self {
            window,
            services: Names::default(),
            counts: HashMap::new(),
            spans: Vec::new(),
            children: Vec::new(),
            shared: Shared::default(),
            trace: TraceCalls::default(),
        }
    }

    /// Judges one trace; [`Calls::trace`] has the answer. `copies` says which spans are copies, and that the pieces are in the order in
    /// which they were written. A trace outside the window is read to its end, for its times, only if `reads_all`.
    pub(crate) fn judge<'a>(
        &mut self,
        pieces: &'a [(usize, Piece)],
        copies: Option<&Copies>,
        reads_all: bool,
    ) -> Result<Judgement, (Fault, &'a Piece)> {
        self.spans.clear();
        self.children.clear();
        self.trace.clear();
        let mut lies_within = true;
        for (number, (_, piece)) in (0..).zip(pieces) {
            let is_within = self.add((number, piece), copies, reads_all);
            lies_within &= is_within.map_err(|fault| (fault, piece))?;
            if !lies_within && !reads_all {
                break;
            }
        }
        if !lies_within {
            return Ok(Judgement::Outside);
        }
        self.spans.sort_unstable();
        self.shared.find(&self.spans);
        if copies.is_none() {
            let is_tie = |child: &Child| {
                let is_tie = self.shared.ties.binary_search(&child.parent).is_ok();
                is_tie && self.caller(child.parent, child.service).is_some()
            };
            if self.shared.may_have_copies || self.children.iter().any(is_tie) {
                return Ok(Judgement::Open);
            }
        }
        let mut calls = std::mem::take(&mut self.trace.calls);
        calls.extend(self.children.iter().filter_map(|child| {
            Some(Call {
                parent: self.caller(child.parent, child.service)?,
                child: child.service,
                class: child.class,
            })
        }));
        self.trace.calls = calls;
        Ok(Judgement::Known)
    }

    /// The last trace that was judged.
    pub(crate) fn trace(&self) -> &TraceCalls {
        &self.trace
    }

    /// Number of spans of the last trace that was judged, as far as it was read and without those that are known to be copies.
    pub(crate) fn spans(&self) -> usize {
        self.spans.len()
    }

    /// The names of the services, by their numbers.
    pub(crate) fn services(&self) -> &[String] {
        self.services.all()
    }

    /// Counts the calls of the last trace that was judged.
    pub(crate) fn count(&mut self) {
        for call in &self.trace.calls {
            *self.counts.entry((call.parent, call.child)).or_default() += 1;
        }
    }

    /// Counts calls that are known from elsewhere.
    pub(crate) fn add_known(&mut self, parent: &str, child: &str, calls: u64) {
        let (parent, child) = (self.services.number(parent), self.services.number(child));
        *self.counts.entry((parent, child)).or_default() += calls;
    }

    /// Adds the spans of a piece, except copies. Returns `false` if one of them lies outside the window, and stops there unless `reads_all`.
    fn add(
        &mut self,
        (piece_number, piece): (u32, &Piece),
        copies: Option<&Copies>,
        reads_all: bool,
    ) -> Result<bool, Fault> {
        let digest = digest::decode(&piece.bytes)?;
        let mut lies_within = true;
        // A digest holds each name once, so the address of a name identifies the service within it.
        let mut known: Vec<(*const str, u32)> = Vec::new();
        for (number, span) in (0..).zip(digest.spans()) {
            let span = span?;
            let end = span.range_end();
            if i128::from(span.start) < self.window.min || i128::from(end) > self.window.max {
                lies_within = false;
                if !reads_all {
                    break;
                }
            }
            if reads_all {
                self.trace.add(span.start, end);
            }
            if copies.is_some_and(|copies| copies.contains(piece.fragment, number)) {
                continue;
            }
            let name: *const str = span.service;
            let place = known.iter().find(|(known, _)| std::ptr::eq(*known, name));
            let service = if let Some((_, service)) = place {
                *service
            } else {
                let service = self.services.number(span.service);
                if known.len() < MOST_KNOWN {
                    known.push((name, service));
                }
                service
            };
            let id = u64::from_be_bytes(span.span_id);
            self.spans.push(Span {
                id,
                piece: piece_number,
                number,
                service,
                likeness: likeness(&span),
            });
            if let Parent::Id(parent) = parent(span.parent) {
                self.children.push(Child {
                    parent: u64::from_be_bytes(parent),
                    service,
                    class: class(span.status, end - span.start),
                });
            }
        }
        Ok(lies_within)
    }

    /// The other service that called a span of service `child` whose parent's id is `parent`; `None` if there is none. Of spans that share
    /// the id, one of the child's own service is the parent, else the first.
    fn caller(&self, parent: u64, child: u32) -> Option<u32> {
        let first = self.spans.partition_point(|span| span.id < parent);
        let first = self.spans.get(first).filter(|span| span.id == parent)?;
        let is_own =
            first.service == child || self.shared.services.binary_search(&(parent, child)).is_ok();
        (!is_own).then_some(first.service)
    }

    /// Adds what another counter has counted.
    pub(crate) fn absorb(&mut self, other: Self) {
        let names = other.services.all().iter();
        let numbers: Vec<u32> = names.map(|name| self.services.number(name)).collect();
        let here = |number: u32| {
            let number = usize::try_from(number).ok()?;
            numbers.get(number).copied()
        };
        for ((parent, child), calls) in other.counts {
            if let (Some(parent), Some(child)) = (here(parent), here(child)) {
                *self.counts.entry((parent, child)).or_default() += calls;
            }
        }
    }

    /// The counts, ordered by parent and child.
    pub(crate) fn into_dependencies(self) -> Vec<Dependency> {
        let name = |number: u32| {
            let number = usize::try_from(number).ok()?;
            self.services.all().get(number).cloned()
        };
        let mut dependencies: Vec<_> = self
            .counts
            .iter()
            .filter_map(|((parent, child), calls)| {
                Some(Dependency {
                    parent: name(*parent)?,
                    child: name(*child)?,
                    call_count: *calls,
                    source: String::new(),
                })
            })
            .collect();
        dependencies.sort_unstable_by(|one, other| {
            (&one.parent, &one.child).cmp(&(&other.parent, &other.child))
        });
        dependencies
    }
}

// === impl TraceCalls ===

impl TraceCalls {
    fn clear(&mut self) {
        (self.first, self.last) = (u64::MAX, 0);
        self.starts.clear();
        self.calls.clear();
    }

    fn add(&mut self, start: u64, end: u64) {
        self.first = self.first.min(start);
        self.last = self.last.max(end);
        self.starts.push(start);
    }
}

/// The class of a call by the status and the duration of its child span.
fn class(status: StatusCode, nanos: u64) -> u8 {
    let error = if status == StatusCode::Error {
        ERROR
    } else {
        0
    };
    let Some(log) = nanos.checked_ilog2() else {
        return error;
    };
    // The class is odd from 2^log * sqrt(2) on.
    let square = u128::from(nanos) * u128::from(nanos);
    let class = 2 * log + u32::from(square >> (2 * log + 1) != 0);
    error | u8::try_from(class).unwrap_or(u8::MAX).min(!ERROR)
}

// === impl Shared ===

impl Shared {
    /// Finds the facts about sorted spans.
    fn find(&mut self, spans: &[Span]) {
        self.services.clear();
        self.ties.clear();
        self.may_have_copies = false;
        for same in spans.chunk_by(|one, other| one.id == other.id) {
            let [first, others @ ..] = same else {
                continue;
            };
            if others.is_empty() {
                continue;
            }
            let differs = |span: &Span| span.piece != first.piece && span.service != first.service;
            if others.iter().any(differs) {
                self.ties.push(first.id);
            }
            self.services
                .extend(same.iter().map(|span| (span.id, span.service)));
            self.likenesses.clear();
            self.likenesses
                .extend(same.iter().map(|span| span.likeness));
            self.may_have_copies |= has_twins(&mut self.likenesses);
        }
        self.services.sort_unstable();
        self.services.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_class_is_twice_the_logarithm_of_the_duration_and_tells_errors() {
        let durations = [
            (0, 0),
            (1, 0),
            (2, 2),
            (3, 3),
            (4, 4),
            (5, 4),
            (6, 5),
            (1_000_000, 39),
            (u64::MAX, 127),
        ];
        for (nanos, expected) in durations {
            assert_eq!(class(StatusCode::Ok, nanos), expected, "{nanos}");
            assert_eq!(class(StatusCode::Error, nanos), expected | ERROR);
        }
    }
}
