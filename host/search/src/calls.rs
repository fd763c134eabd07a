//! Counts calls from service to service (D3, D4), trace by trace. Works on digests as they come, without allocating for a span.

use hashbrown::HashMap;
use larder_model::digest::{self, Parent};
use larder_model::storage::Piece;
use larder_proto::storage::v2::Dependency;

use super::judge::Fault;
use super::predicate::Range;
use super::summaries::parent;
use super::written::{Copies, has_twins, likeness};

/// Limit of the services of a digest that are remembered by address; a linear search over them is cheap.
const MOST_KNOWN: usize = 16;

/// The calls counted so far.
pub(crate) struct Calls {
    window: Range,
    services: Services,
    counts: HashMap<(u32, u32), u64>,
    spans: Vec<Span>,
    children: Vec<(u64, u32)>,
    /// Facts about spans that share an id.
    shared: Shared,
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

/// Numbers for the names of services.
#[derive(Default)]
struct Services {
    names: Vec<String>,
    numbers: HashMap<String, u32>,
}

// === impl Calls ===

impl Calls {
    /// Creates a counter for traces that lie within the window.
    pub(crate) fn new(window: Range) -> Self {
        Self {
            window,
            services: Services::default(),
            counts: HashMap::new(),
            spans: Vec::new(),
            children: Vec::new(),
            shared: Shared::default(),
        }
    }

    /// Counts the calls in one trace. Returns `false` and counts nothing if the digests do not tell the answer: it depends on the order in
    /// which the pieces were written, or spans may be copies. `copies` says which are, and that the pieces are in that order.
    pub(crate) fn count<'a>(
        &mut self,
        pieces: &'a [(usize, Piece)],
        copies: Option<&Copies>,
    ) -> Result<bool, (Fault, &'a Piece)> {
        self.spans.clear();
        self.children.clear();
        for (number, (_, piece)) in (0..).zip(pieces) {
            let is_within = self.add(number, piece, copies);
            if !is_within.map_err(|fault| (fault, piece))? {
                return Ok(true);
            }
        }
        self.spans.sort_unstable();
        self.shared.find(&self.spans);
        if copies.is_none() {
            let is_tie = |(parent, child): &(u64, u32)| {
                let is_tie = self.shared.ties.binary_search(parent).is_ok();
                is_tie && self.caller(*parent, *child).is_some()
            };
            if self.shared.may_have_copies || self.children.iter().any(is_tie) {
                return Ok(false);
            }
        }
        for (parent, child) in &self.children {
            if let Some(caller) = self.caller(*parent, *child) {
                *self.counts.entry((caller, *child)).or_default() += 1;
            }
        }
        Ok(true)
    }

    /// Adds the spans of a piece, except copies. Returns `false` if one of them lies outside the window.
    fn add(
        &mut self,
        piece_number: u32,
        piece: &Piece,
        copies: Option<&Copies>,
    ) -> Result<bool, Fault> {
        let digest = digest::decode(&piece.bytes)?;
        // A digest holds each name once, so the address of a name identifies the service within it.
        let mut known: Vec<(*const str, u32)> = Vec::new();
        for (number, span) in (0..).zip(digest.spans()) {
            let span = span?;
            let end = i128::from(span.range_end());
            if i128::from(span.start) < self.window.min || end > self.window.max {
                return Ok(false);
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
                self.children.push((u64::from_be_bytes(parent), service));
            }
        }
        Ok(true)
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
        let names = other.services.names.iter();
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
            self.services.names.get(number).cloned()
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

// === impl Services ===

impl Services {
    fn number(&mut self, name: &str) -> u32 {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        // A query cannot read enough digests in its time to overflow this.
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        number
    }
}
