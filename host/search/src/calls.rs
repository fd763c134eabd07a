//! Counts calls from service to service (D3, D4), trace by trace. Works on digests as they come, without allocating for a span.

use hashbrown::HashMap;
use larder_model::digest::{self, Parent};
use larder_model::storage::Piece;
use larder_proto::storage::v2::Dependency;

use super::judge::Fault;
use super::predicate::Range;
use super::summaries::parent;

/// Limit of the services of a digest that are remembered by address; a linear search over them is cheap.
const MOST_KNOWN: usize = 16;

/// The calls counted so far.
pub(crate) struct Calls {
    window: Range,
    services: Services,
    counts: HashMap<(u32, u32), u64>,
    spans: Vec<Span>,
    children: Vec<(u64, u32)>,
}

/// A possible parent; ordered by id, then by position in the trace.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Span {
    id: u64,
    piece: u32,
    number: u32,
    service: u32,
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
        }
    }

    /// Counts the calls in one trace. Returns `false` and counts nothing if the answer depends on the order in which the pieces were
    /// written, unless `in_order` says that the pieces are in that order.
    pub(crate) fn count<'a>(
        &mut self,
        pieces: &'a [(usize, Piece)],
        in_order: bool,
    ) -> Result<bool, (Fault, &'a Piece)> {
        self.spans.clear();
        self.children.clear();
        for (number, (_, piece)) in (0..).zip(pieces) {
            if !self.add(number, piece).map_err(|fault| (fault, piece))? {
                return Ok(true);
            }
        }
        self.spans.sort_unstable();
        let is_tie = |(id, child): &(u64, u32)| self.is_tie(*id, *child);
        if !in_order && self.children.iter().any(is_tie) {
            return Ok(false);
        }
        for (parent, child) in &self.children {
            if let Some(caller) = self.caller(*parent, *child) {
                *self.counts.entry((caller, *child)).or_default() += 1;
            }
        }
        Ok(true)
    }

    /// Adds the spans of a piece. Returns `false` if one of them lies outside the window.
    fn add(&mut self, piece_number: u32, piece: &Piece) -> Result<bool, Fault> {
        let digest = digest::decode(&piece.bytes)?;
        // A digest holds each name once, so the address of a name identifies the service within it.
        let mut known: Vec<(*const str, u32)> = Vec::new();
        for (number, span) in (0..).zip(digest.spans()) {
            let span = span?;
            let end = i128::from(span.range_end());
            if i128::from(span.start) < self.window.min || end > self.window.max {
                return Ok(false);
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
            });
            if let Parent::Id(parent) = parent(span.parent) {
                self.children.push((u64::from_be_bytes(parent), service));
            }
        }
        Ok(true)
    }

    /// The possible parents with this id, in the order of the pieces.
    fn with_id(&self, id: u64) -> impl Iterator<Item = &Span> {
        let from = self.spans.partition_point(|span| span.id < id);
        let spans = self.spans.iter().skip(from);
        spans.take_while(move |span| span.id == id)
    }

    /// The other service that called a span of service `child` whose parent's id is `parent`; `None` if there is none. Of spans that share
    /// the id, one of the child's own service is the parent, else the first.
    fn caller(&self, parent: u64, child: u32) -> Option<u32> {
        let mut parents = self.with_id(parent).map(|span| span.service);
        let first = parents.next()?;
        let is_own = first == child || parents.any(|service| service == child);
        (!is_own).then_some(first)
    }

    /// Returns `true` if the caller depends on the order of the pieces.
    fn is_tie(&self, parent: u64, child: u32) -> bool {
        let Some(caller) = self.caller(parent, child) else {
            return false;
        };
        let first = self.with_id(parent).next();
        let mut others = self.with_id(parent).skip(1);
        others.any(|span| {
            first.is_some_and(|first| span.piece != first.piece) && span.service != caller
        })
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
