//! Reads the digests of whole traces, many traces at a time; a plugin gives digests in any order.

use std::collections::VecDeque;

use larder_model::storage::{Error, Part, Piece, TraceId};

use super::beside::Beside;
use super::reading::Reading;
use super::session::Session;

/// Number of traces in the first batch, and in the largest.
const FIRST_BATCH: usize = 512;
const LARGEST_BATCH: usize = 8192;
/// Limit of the bytes held for several traces; a single trace may take more.
const MOST_BYTES: usize = 32 << 20;

/// Traces whose digests are to be read, in the order in which they were pushed.
pub(crate) struct Gatherer {
    queue: VecDeque<TraceId>,
    batch: usize,
    largest: usize,
    /// The reading of the next traces of the queue, whose first page is asked for, and their number.
    ahead: Option<(usize, Reading)>,
}

/// The digests of some traces.
pub(crate) struct Gathered {
    ids: Vec<TraceId>,
    /// Pieces, each with the position of its trace in `ids`; sorted by that position.
    pieces: Vec<(usize, Piece)>,
}

// === impl Gatherer ===

impl Gatherer {
    /// Creates a gatherer without traces.
    pub(crate) fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            batch: FIRST_BATCH,
            largest: LARGEST_BATCH,
            ahead: None,
        }
    }

    /// Creates a gatherer without traces, which gives this many at a time unless they are too large.
    pub(crate) fn of_many(batch: usize) -> Self {
        Self {
            batch,
            largest: batch,
            ..Self::new()
        }
    }

    /// Adds traces. Each may be added only once.
    pub(crate) fn extend(&mut self, ids: impl IntoIterator<Item = TraceId>) {
        self.queue.extend(ids);
    }

    /// Returns `true` if a whole batch of traces is queued.
    pub(crate) fn is_full(&self) -> bool {
        self.queue.len() >= self.batch
    }

    /// The next traces; `None` once all have been read.
    pub(crate) async fn next(&mut self, session: &mut Session) -> Result<Option<Gathered>, Error> {
        while !self.queue.is_empty() {
            let begun = self.ahead.take();
            let (batch, mut reading) = begun.unwrap_or_else(|| self.begin());
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
                    let index = reading.index(piece.trace_id)?;
                    Some((index, piece))
                }));
            }
            if !is_whole {
                self.batch = batch / 2;
                continue;
            }
            if bytes < MOST_BYTES / 4 {
                self.batch = (self.batch * 2).min(self.largest);
            }
            let ids = self.queue.drain(..batch).collect();
            pieces.sort_by_key(|(index, _)| *index);
            return Ok(Some(Gathered { ids, pieces }));
        }
        Ok(None)
    }

    /// Asks for the first page of the next batch while the present one is used, if a processor is idle. The batch is the next traces of the
    /// queue, also if more are added.
    pub(crate) fn read_ahead(&mut self, session: &Session) {
        if self.ahead.is_none() && !self.queue.is_empty() {
            let (batch, mut reading) = self.begin();
            if reading.read_ahead(session) {
                self.ahead = Some((batch, reading));
            }
        }
    }

    fn begin(&self) -> (usize, Reading) {
        let batch = self.batch.min(self.queue.len());
        let ids = self.queue.iter().take(batch).copied().collect();
        (batch, Reading::traces(ids, Part::Digest))
    }
}

// === impl Gathered ===

impl Gathered {
    /// Returns `true` if the digests are worth a task.
    pub(crate) fn is_worth_a_task(&self, beside: &Beside) -> bool {
        let bytes = self.pieces.iter().map(|(_, piece)| piece.bytes.len()).sum();
        beside.is_worth_a_task(self.pieces.len(), bytes)
    }

    /// Each trace that is still stored with its pieces, in the order of the ids.
    pub(crate) fn traces(&self) -> impl Iterator<Item = (TraceId, &[(usize, Piece)])> {
        self.pieces
            .chunk_by(|(one, _), (other, _)| one == other)
            .filter_map(|pieces| {
                let (index, _) = pieces.first()?;
                Some((*self.ids.get(*index)?, pieces))
            })
    }
}
