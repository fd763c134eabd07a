//! Logs what clients do not tell their users: refused spans and requests, as Jaeger's exporter ignores `partial_success`, and answers
//! that were cut. Rate-limited, so that not every request is a line.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use larder_search::Omitted;
use parking_lot::Mutex;

/// Interval at which a reason is logged at most.
const INTERVAL: Duration = Duration::from_secs(10);

/// Rate-limited log. Maps a reason, or a list, to its last log line.
#[derive(Default)]
pub(super) struct RefusalLog(Mutex<HashMap<&'static str, LastLogged>>);

/// The last log line of a reason, and the spans, requests or answers since.
struct LastLogged {
    at: Instant,
    unlogged: u64,
}

impl RefusalLog {
    /// Logs that `spans` were refused for `reason`, plus the unlogged ones before. `message` describes the first of them.
    pub(super) fn log(&self, reason: &'static str, spans: u64, message: &dyn fmt::Display) {
        if let Some(spans) = self.due(reason, spans, Instant::now()) {
            tracing::warn!(reason, spans, error = %message, "refused spans");
        }
    }

    /// Logs that a request was refused whole for `reason`, with the number of unlogged ones before.
    pub(super) fn log_request(&self, reason: &'static str, message: &dyn fmt::Display) {
        if let Some(requests) = self.due(reason, 1, Instant::now()) {
            tracing::warn!(reason, requests, error = %message, "refused whole Export requests");
        }
    }

    /// Logs that an answer was cut, plus the unlogged ones before.
    pub(super) fn log_cut(&self, omitted: &Omitted) {
        let Omitted {
            list,
            left_out,
            setting,
        } = *omitted;
        if let Some(answers) = self.due(list, 1, Instant::now()) {
            tracing::warn!(list, left_out, setting, answers, "answers were cut");
        }
    }

    /// The number of spans, requests or answers to log now. `None` if the last line is too recent.
    fn due(&self, reason: &'static str, count: u64, now: Instant) -> Option<u64> {
        let mut logged = self.0.lock();
        let Some(last) = logged.get_mut(reason) else {
            let first = LastLogged {
                at: now,
                unlogged: 0,
            };
            logged.insert(reason, first);
            return Some(count);
        };
        last.unlogged += count;
        if now.duration_since(last.at) < INTERVAL {
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.unlogged))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_logged_once_per_interval_and_every_span_is_counted() {
        let log = RefusalLog::default();
        let start = Instant::now();
        assert_eq!(log.due("trace_id", 1, start), Some(1));
        assert_eq!(log.due("trace_id", 2, start), None);
        assert_eq!(log.due("span_id", 3, start), Some(3));
        assert_eq!(log.due("trace_id", 4, start + INTERVAL), Some(6));
        assert_eq!(log.due("trace_id", 5, start + INTERVAL), None);
    }
}
