//! A trace as it was written: the order of its pieces, and the spans that are copies. Only reading the spans themselves tells either, so
//! it is read for the traces alone whose digests leave it open.

use std::hash::{BuildHasher as _, Hash, RandomState};

use hashbrown::{HashMap, HashSet};
use larder_model::digest;
use larder_model::storage::{Error, Part, Piece, TraceId};
use larder_proto::otlp::TracesData;
use larder_proto::wire;

use super::judge::Fault;
use super::reading::Reading;
use super::session::Session;

/// The digests of a trace in the order in which they were written.
pub(crate) struct Written {
    /// Each piece with the position of its trace among those that were gathered.
    pub(crate) pieces: Vec<(usize, Piece)>,
    pub(crate) copies: Copies,
}

/// Spans that equal one written before in every byte of span, resource and scope, as a client writes them that tries again. Jaeger's trace
/// page shows such spans once, and its counts have to agree (D4, F3).
#[derive(Default)]
pub(crate) struct Copies(HashSet<(u64, u32)>);

/// Hashes what spans hold. Keyed at random, so that no client can write different spans of equal hashes.
struct Contents {
    hashers: [RandomState; 2],
    seen: HashSet<[u64; 2]>,
}

/// A number that is equal for spans of the same id that may be copies by their digests.
pub(crate) fn likeness<S>(span: &digest::Span<S>) -> u64 {
    span.start ^ span.end.rotate_left(32)
}

/// Returns `true` if one of these is there twice. Sorts them.
pub(crate) fn has_twins<T: Ord>(likenesses: &mut [T]) -> bool {
    likenesses.sort_unstable();
    likenesses.windows(2).any(|two| match two {
        [one, other] => one == other,
        _ => false,
    })
}

// === impl Written ===

impl Written {
    /// Reads a trace, given its digests.
    pub(crate) async fn read(
        session: &mut Session,
        trace: TraceId,
        pieces: &[(usize, Piece)],
    ) -> Result<Self, Error> {
        let mut order = HashMap::new();
        let mut copies = Copies::default();
        let mut contents = Contents::new();
        let mut reading = Reading::traces(vec![trace], Part::Otlp);
        while let Some(page) = reading.next(session).await? {
            reading.read_ahead(session);
            for piece in page {
                order.insert(piece.fragment, order.len());
                contents
                    .find_copies(&piece, &mut copies)
                    .map_err(|error| Fault::from(error).into_error(session, &piece))?;
                session.yield_if_due().await;
            }
        }
        let mut pieces = pieces.to_vec();
        // Pieces that retention has dropped in between were the oldest, so they sort first.
        pieces.sort_by_key(|(_, piece)| order.get(&piece.fragment).copied());
        Ok(Self { pieces, copies })
    }
}

// === impl Copies ===

impl Copies {
    /// Returns `true` if the span with this number in a fragment equals one written before.
    pub(crate) fn contains(&self, fragment: u64, number: u32) -> bool {
        self.0.contains(&(fragment, number))
    }
}

// === impl Contents ===

impl Contents {
    fn new() -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            seen: HashSet::new(),
        }
    }

    fn hash(&self, content: &impl Hash) -> [u64; 2] {
        self.hashers
            .each_ref()
            .map(|hasher| hasher.hash_one(content))
    }

    /// Adds the spans of a piece that equal one seen before, by their numbers in the piece's digest.
    fn find_copies(&mut self, piece: &Piece, copies: &mut Copies) -> Result<(), wire::Error> {
        let mut number = 0;
        for resource_spans in TracesData::new(&piece.bytes).resource_spans() {
            let resource_spans = resource_spans?;
            let resource = resource_spans
                .raw_resource()
                .collect::<Result<Vec<_>, _>>()?;
            let resource = self.hash(&resource);
            for scope_spans in resource_spans.scope_spans() {
                let scope_spans = scope_spans?;
                let scope = scope_spans.raw_scope().collect::<Result<Vec<_>, _>>()?;
                let scope = self.hash(&scope);
                for span in scope_spans.spans() {
                    let content = self.hash(&(resource, scope, span?.raw));
                    if !self.seen.insert(content) {
                        copies.0.insert((piece.fragment, number));
                    }
                    number += 1;
                }
            }
        }
        Ok(())
    }
}
