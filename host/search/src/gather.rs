//! The digests of whole traces, many traces at a time, though a plugin gives digests in any order.

use std::collections::{HashMap, VecDeque};

use larder_model::storage::{Error, Part, Piece, TraceId};

use super::reading::Reading;
use super::session::Session;

/// How many traces to begin with, and to read together at the most.
const FIRST_BATCH: usize = 512;
const LARGEST_BATCH: usize = 8192;
/// More than this is not held for several traces; a single trace has to be.
const MOST_BYTES: usize = 32 << 20;

/// Traces whose digests are to be read, in the order in which they were pushed.
pub(crate) struct Gatherer {
    queue: VecDeque<TraceId>,
    batch: usize,
}

/// The digests of some traces.
pub(crate) struct Gathered {
    ids: Vec<TraceId>,
    /// With the place of each piece's trace among `ids`; ascending by that.
    pieces: Vec<(usize, Piece)>,
}

// === impl Gatherer ===

impl Gatherer {
    /// Of no trace yet.
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            batch: FIRST_BATCH,
        }
    }

    /// Adds traces, each of which is pushed once only.
    pub(crate) fn extend(&mut self, ids: impl IntoIterator<Item = TraceId>) {
        self.queue.extend(ids);
    }

    /// Whether there are as many traces as are read together.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.batch
    }

    /// The next traces; `None` once all have been read.
    pub(crate) async fn next(&mut self, session: &mut Session) -> Result<Option<Gathered>, Error> {
        while !self.queue.is_empty() {
            let batch = self.batch.min(self.queue.len());
            let ids: Vec<_> = self.queue.iter().take(batch).copied().collect();
            let mut reading = Reading::traces(ids.clone(), Part::Digest);
            let mut pieces = Vec::new();
            let mut bytes = 0;
            let mut is_whole = true;
            while let Some(page) = reading.next(session).await? {
                bytes += page.iter().map(|piece| piece.bytes.len()).sum::<usize>();
                if bytes > MOST_BYTES && batch > 1 {
                    is_whole = false;
                    break;
                }
                pieces.extend(page.into_iter().filter_map(|piece| {
                    let place = reading.place(piece.trace_id)?;
                    Some((place, piece))
                }));
            }
            if !is_whole {
                self.batch = batch / 2;
                continue;
            }
            if bytes < MOST_BYTES / 4 {
                self.batch = (self.batch * 2).min(LARGEST_BATCH);
            }
            self.queue.drain(..batch);
            pieces.sort_by_key(|(place, _)| *place);
            return Ok(Some(Gathered { ids, pieces }));
        }
        Ok(None)
    }
}

// === impl Gathered ===

impl Gathered {
    /// Each trace that is still stored with its pieces, in the order of the ids.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (TraceId, &[(usize, Piece)])> {
        self.pieces
            .chunk_by(|(one, _), (other, _)| one == other)
            .filter_map(|pieces| {
                let (place, _) = pieces.first()?;
                Some((*self.ids.get(*place)?, pieces))
            })
    }
}

/// Puts a trace's pieces in the order in which they were written, which only its spans are read in.
pub(crate) async fn in_written_order(
    session: &mut Session,
    trace: TraceId,
    pieces: &[(usize, Piece)],
) -> Result<Vec<(usize, Piece)>, Error> {
    let mut order = HashMap::new();
    let mut reading = Reading::traces(vec![trace], Part::Otlp);
    while let Some(page) = reading.next(session).await? {
        for piece in page {
            order.insert(piece.fragment, order.len());
        }
    }
    let mut pieces = pieces.to_vec();
    // What retention has dropped in between was the oldest.
    pieces.sort_by_key(|(_, piece)| order.get(&piece.fragment).copied());
    Ok(pieces)
}
