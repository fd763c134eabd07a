//! Tells the log about refused spans, as Jaeger's exporter drops `partial_success` unread; but not a line for each request.

use std::collections::HashMap;
use std::fmt;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A reason is logged at most once in this time.
const INTERVAL: Duration = Duration::from_secs(10);

/// What has been logged lately, by reason.
#[derive(Default)]
pub(super) struct RefusalLog(Mutex<HashMap<&'static str, Told>>);

/// When a reason was logged last, and what was not logged since.
struct Told {
    at: Instant,
    spans_since: u64,
}

impl RefusalLog {
    /// Logs that `spans` were refused for `reason`, with those that were not logged before; `message` has the first one's story.
    pub(super) fn log(&self, reason: &'static str, spans: u64, message: &dyn fmt::Display) {
        if let Some(spans) = self.due(reason, spans, Instant::now()) {
            tracing::warn!(reason, spans, error = %message, "refused spans");
        }
    }

    /// How many spans to tell about now, if it is time to.
    fn due(&self, reason: &'static str, spans: u64, now: Instant) -> Option<u64> {
        let mut told = self.0.lock();
        let Some(last) = told.get_mut(reason) else {
            let first = Told {
                at: now,
                spans_since: 0,
            };
            told.insert(reason, first);
            return Some(spans);
        };
        last.spans_since += spans;
        if now.duration_since(last.at) < INTERVAL {
            return None;
        }
        last.at = now;
        Some(std::mem::take(&mut last.spans_since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_told_once_an_interval_and_no_span_is_left_out() {
        let log = RefusalLog::default();
        let start = Instant::now();
        assert_eq!(log.due("trace_id", 1, start), Some(1));
        assert_eq!(log.due("trace_id", 2, start), None);
        assert_eq!(log.due("span_id", 3, start), Some(3));
        assert_eq!(log.due("trace_id", 4, start + INTERVAL), Some(6));
        assert_eq!(log.due("trace_id", 5, start + INTERVAL), None);
    }
}
