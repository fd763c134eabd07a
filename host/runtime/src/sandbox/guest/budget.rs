//! Limits the log of a guest to a number of bytes a second. Long messages are cut; those beyond the limit are dropped and counted.

use std::time::{Duration, Instant};

/// A longer message is cut.
pub(crate) const MAX_MESSAGE_BYTES: usize = 4096;
/// Added to the bytes of each message, so that empty ones are not free.
const MESSAGE_OVERHEAD: u64 = 64;
const WINDOW: Duration = Duration::from_secs(1);

/// The bytes logged within the current second.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes_per_window: u64,
    window_start: Instant,
    spent: u64,
    dropped: u64,
}

/// The decision about one message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogVerdict {
    /// Log it, after a warning if messages were dropped before it.
    Log { dropped_before: u64 },
    /// Drop it: the limit of this second is reached.
    Drop,
}

impl Budget {
    pub(crate) fn new(bytes_per_second: u64, now: Instant) -> Self {
        Self {
            bytes_per_window: bytes_per_second,
            window_start: now,
            spent: 0,
            dropped: 0,
        }
    }

    /// Counts a message of `bytes`.
    pub(crate) fn spend(&mut self, bytes: usize, now: Instant) -> LogVerdict {
        if now.duration_since(self.window_start) >= WINDOW {
            self.window_start = now;
            self.spent = 0;
        }
        let cost = (bytes.min(MAX_MESSAGE_BYTES) as u64).saturating_add(MESSAGE_OVERHEAD);
        if self.spent.saturating_add(cost) > self.bytes_per_window {
            self.dropped += 1;
            return LogVerdict::Drop;
        }
        self.spent += cost;
        LogVerdict::Log {
            dropped_before: std::mem::take(&mut self.dropped),
        }
    }
}

/// The message, cut between two characters to at most [`MAX_MESSAGE_BYTES`].
pub(crate) fn cut(message: &str) -> &str {
    let end = message.floor_char_boundary(MAX_MESSAGE_BYTES);
    message.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_beyond_the_limit_are_dropped_and_counted_until_the_next_second() {
        let start = Instant::now();
        let mut budget = Budget::new(1000, start);
        let logged = (0..100).filter(|_| budget.spend(36, start) != LogVerdict::Drop);
        assert_eq!(logged.count(), 10);
        let later = start + WINDOW;
        let verdict = budget.spend(36, later);
        assert_eq!(verdict, LogVerdict::Log { dropped_before: 90 });
        let verdict = budget.spend(36, later);
        assert_eq!(verdict, LogVerdict::Log { dropped_before: 0 });
    }

    #[test]
    fn empty_messages_are_not_free() {
        let start = Instant::now();
        let mut budget = Budget::new(1000, start);
        let logged = (0..1000).filter(|_| budget.spend(0, start) != LogVerdict::Drop);
        assert_eq!(logged.count(), 15);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let long = "é".repeat(MAX_MESSAGE_BYTES);
        assert_eq!(cut(&long).len(), MAX_MESSAGE_BYTES);
        let odd = format!("a{long}");
        assert_eq!(cut(&odd).len(), MAX_MESSAGE_BYTES - 1);
        assert_eq!(cut("short"), "short");
    }
}
