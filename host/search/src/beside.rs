//! What a query may do beside itself, in tasks of its tenant's lane: read a page before it is wanted, and judge a part of a large one.
//!
//! Tasks are only spawned while processors are idle, and take turns with everything else of their lane. Without a lane all is done in turn.
//! Either way the answer, the amounts that count against the limits and the error that comes first are the same.

use std::num::NonZero;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread::available_parallelism;

use larder_core::fair::{Ended, Lane, Task};
use larder_model::storage::{Error, ErrorKind, Piece};

/// The least of a page that is worth a task: computing it takes many times as long as changing threads.
const PIECES_A_TASK: usize = 256;
const BYTES_A_TASK: usize = 512 << 10;

/// A page that was asked for before it is wanted. Dropping it ends it.
pub(crate) type Ahead<T> = Task<Result<T, Error>>;

/// Where a query may compute beside itself.
#[derive(Clone, Debug)]
pub(crate) struct Beside {
    lane: Option<Lane>,
    share: Share,
}

/// The size of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// The least that a task judges: so many pieces, or so many bytes.
    pub(crate) pieces: usize,
    pub(crate) bytes: usize,
    /// The most parts of one page, that of the query itself included.
    pub(crate) parts: usize,
}

/// The result of a task.
///
/// # Errors
/// The server is stopping. A panic goes on in the caller.
pub(crate) fn output<T>(ended: Result<T, Ended>) -> Result<T, Error> {
    ended.map_err(|ended| match ended {
        Ended::Panicked(payload) => resume_unwind(payload),
        Ended::Stopped => Error::new(ErrorKind::Unavailable, "the server is shutting down"),
    })
}

// === impl Beside ===

impl Beside {
    /// Nowhere without a lane.
    pub(crate) fn new(lane: Option<Lane>) -> Self {
        let share = Share {
            pieces: PIECES_A_TASK,
            bytes: BYTES_A_TASK,
            parts: available_parallelism().map_or(1, NonZero::get),
        };
        Self { lane, share }
    }

    /// The same with tasks of another size.
    #[cfg(test)]
    pub(crate) fn with_share(self, share: Share) -> Self {
        Self { share, ..self }
    }

    /// The number of tasks that could be spawned now.
    pub(crate) fn idle(&self) -> usize {
        self.lane.as_ref().map_or(0, Lane::idle)
    }

    /// Runs work in a task if a processor is idle, else gives it back.
    pub(crate) fn spawn_if_idle<F>(&self, work: F) -> Result<Task<F::Output>, F>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match &self.lane {
            Some(lane) => lane.spawn_if_idle(work),
            None => Err(work),
        }
    }

    /// Returns `true` if these pieces are worth a task.
    pub(crate) fn is_worth_a_task(&self, pieces: usize, bytes: usize) -> bool {
        pieces >= self.share.pieces || bytes >= self.share.bytes
    }

    /// Divides pieces among the query, which has the first part, and tasks, as many as could be spawned now.
    pub(crate) fn divide(&self, pieces: &[Piece]) -> Vec<Range<usize>> {
        self.share.divide(pieces, 1 + self.idle())
    }
}

// === impl Share ===

impl Share {
    /// At most `most` parts of about equal bytes, in order. None is empty.
    fn divide(self, pieces: &[Piece], most: usize) -> Vec<Range<usize>> {
        let bytes: usize = pieces.iter().map(|piece| piece.bytes.len()).sum();
        let worth = (pieces.len() / self.pieces.max(1)).max(bytes / self.bytes.max(1));
        let parts = worth.min(most).min(self.parts).max(1);
        let mut ranges = Vec::with_capacity(parts);
        let (mut start, mut seen) = (0, 0);
        for (number, piece) in pieces.iter().enumerate() {
            seen += piece.bytes.len();
            let wanted = bytes / parts * (ranges.len() + 1);
            if ranges.len() + 1 < parts && seen >= wanted {
                ranges.push(start..number + 1);
                start = number + 1;
            }
        }
        if start < pieces.len() {
            ranges.push(start..pieces.len());
        }
        ranges
    }
}

#[cfg(test)]
mod tests {
    use larder_model::storage::TraceId;
    use proptest::prelude::*;

    use super::*;

    fn pieces(bytes: impl IntoIterator<Item = usize>) -> Vec<Piece> {
        let piece = |bytes| Piece {
            trace_id: TraceId(1),
            fragment: 1,
            bytes: vec![0; bytes],
            dropped_spans: 0,
        };
        bytes.into_iter().map(piece).collect()
    }

    const SHARE: Share = Share {
        pieces: 10,
        bytes: 1000,
        parts: 4,
    };

    #[test]
    fn a_small_page_is_one_part_and_a_large_one_is_divided_by_bytes() {
        let divide = |pieces: &[Piece], most| SHARE.divide(pieces, most).len();
        assert_eq!(divide(&pieces([]), 4), 0);
        assert_eq!(divide(&pieces([10; 19]), 4), 1);
        assert_eq!(divide(&pieces([10; 20]), 4), 2);
        assert_eq!(divide(&pieces([1000, 999]), 4), 1);
        assert_eq!(divide(&pieces([1000; 2]), 4), 2);
        assert_eq!(divide(&pieces([10; 90]), 4), 4);
        assert_eq!(divide(&pieces([10; 90]), 3), 3);
        assert_eq!(divide(&pieces([10; 90]), 1), 1);
        let uneven = pieces([100, 100, 3000, 100, 2700]);
        assert_eq!(SHARE.divide(&uneven, 2), [0..3, 3..5]);
    }

    proptest! {
        #[test]
        fn parts_are_all_of_the_pieces_in_order(
            bytes in proptest::collection::vec(0..3000_usize, 0..60),
            most in 1..6_usize,
        ) {
            let pieces = pieces(bytes);
            let parts = SHARE.divide(&pieces, most);
            prop_assert!(parts.len() <= most.min(SHARE.parts));
            prop_assert!(parts.iter().all(|part| !part.is_empty()));
            let joined: Vec<usize> = parts.into_iter().flatten().collect();
            prop_assert_eq!(joined, (0..pieces.len()).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn without_a_lane_there_is_nothing_beside_a_query() {
        let beside = Beside::new(None);
        assert_eq!(beside.idle(), 0);
        assert!(beside.spawn_if_idle(async {}).is_err());
    }
}
