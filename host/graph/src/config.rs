//! Settings of the keeping. They are no settings of an operator.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Gives the time as Unix nanoseconds.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Durations and limits.
#[derive(Clone)]
pub struct Config {
    /// The clock by which writes are marked.
    pub clock: Clock,
    /// A bucket is settled once nothing was written into it for so long, and its end is so long ago.
    pub quiet: Duration,
    /// A bucket that has been open for so long is settled, although it is still written to.
    pub longest_open: Duration,
    /// A late trace waits for so long for others.
    pub late_wait: Duration,
    /// So many late traces do not wait.
    pub late_traces: usize,
    /// Late traces that are judged at once.
    pub late_batch: usize,
    /// Buckets whose late traces are judged at once.
    pub late_buckets: usize,
    /// A write that makes more traces of one bucket late reopens the bucket.
    pub late_a_write: usize,
    /// More late traces than these, for one bucket or in all, reopen the bucket.
    pub most_late: usize,
    /// Bytes of one bucket's traces held at once, about. A bucket with more stays open, and its traces are judged in each query of its time.
    pub most_bytes: usize,
    /// Records that retention may have touched wait for no longer than this until they are made anew.
    pub longest_suspect: Duration,
    /// Neighbouring buckets whose sums are kept together: a day.
    pub day_buckets: u32,
    /// Sums of a day are made once none of its buckets has changed for so long. Each time that they were in vain they wait twice as long.
    pub day_quiet: Duration,
    /// The sums of a day that is over wait no longer than this for its buckets to be quiet.
    pub longest_day: Duration,
    /// Buckets that may be settled, about. Of more, those farthest from now are forgotten, and their traces judged in each query of their
    /// time. Each takes about 200 bytes of memory.
    pub most_buckets: usize,
    /// Buckets that may be open. What begins in others is judged in each query, of whatever time, until it is settled.
    pub most_open: usize,
    /// The wait after a failure. It doubles from failure to failure, up to [`Config::longest_retry`].
    pub retry: Duration,
    /// The longest wait after a failure.
    pub longest_retry: Duration,
    /// Where several hosts write: how often a host looks at what the others have marked, at least.
    pub look: Duration,
    /// How long a query waits at most for the upkeep of a host that may be dropping traces. After that it judges all of them.
    pub patience: Duration,
    /// Bytes of sums held in memory, about.
    pub cache: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            clock: Arc::new(|| {
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                since.map_or(0, nanos)
            }),
            quiet: Duration::from_mins(1),
            longest_open: Duration::from_mins(30),
            late_wait: Duration::from_mins(5),
            late_traces: 1024,
            late_batch: 4096,
            late_buckets: 16,
            late_a_write: 4096,
            most_late: 65_536,
            most_bytes: 1 << 30,
            longest_suspect: Duration::from_mins(10),
            day_buckets: 288,
            day_quiet: Duration::from_mins(10),
            longest_day: Duration::from_hours(6),
            // More than 400 days.
            most_buckets: 131_072,
            most_open: 4096,
            retry: Duration::from_secs(5),
            longest_retry: Duration::from_mins(10),
            look: Duration::from_secs(5),
            patience: Duration::from_millis(200),
            cache: 16 << 20,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config").finish_non_exhaustive()
    }
}

/// A duration in nanoseconds.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
