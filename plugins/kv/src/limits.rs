//! Settings, and the sizes of the parts.

use larder_plugin::settings::{Settings, parse_duration};
use larder_plugin::{Environment, Error};

const SETTINGS: &[&str] = &["retention", "max_bytes"];
/// One week.
const DEFAULT_RETENTION: u64 = 168 * 3600 * SECOND;
const SECOND: u64 = 1_000_000_000;
/// Memory that an instance needs besides its cache: an incoming batch, an outgoing page, unsealed entries, and the sorter.
const RESERVE: u64 = 96 << 20;
const MIN_CACHE: u64 = 4 << 20;
const MAX_CACHE: u64 = 64 << 20;
/// The number of buckets that `retention` and `max_bytes` are divided into.
const BUCKETS: u64 = 24;

/// The limits that the environment and the settings give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Data is kept this long after its write, nanoseconds.
    pub(crate) retention: u64,
    /// The most bytes that the tenant may store in `kv`.
    pub(crate) max_bytes: Option<u64>,
    /// The most bytes that are cached in memory.
    pub(crate) cache_bytes: usize,
}

/// The sizes of the parts. Only tests change them; stored data can be read whatever they are.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Approximate size of a block of spans or of digests, bytes.
    pub block: usize,
    /// A write with fewer bytes of spans, or of digests, keeps them in its entry.
    pub inline: usize,
    /// The most bytes of an entry, or of all entries of a write, that the commit itself carries; larger ones are objects.
    pub committed: usize,
    /// The most fragments of an entry, and its approximate limit in bytes.
    pub entry: (usize, usize),
    /// Unsealed entries are sealed once they have this many spans,
    pub group_spans: u64,
    /// this many terms, counted once for each fragment that has them,
    pub group_terms: usize,
    /// this many bytes,
    pub group_bytes: usize,
    /// or once there are this many of them.
    pub group_entries: usize,
    /// Approximate size of a page of terms or of runs, bytes.
    pub page: usize,
    /// Lists of more bytes are cut into runs of about this size.
    pub run: usize,
    /// The number of segments that are merged into one.
    pub fan: usize,
    /// Segments of this level are not merged again while their bucket is open.
    pub levels: u8,
    /// The most segments of a closed bucket.
    pub closed_segments: usize,
    /// Approximate bytes of an index that one step of merging reads.
    pub merge_step: usize,
    /// The number of chunks that a page of a search opens before it ends early. Lookups in segments count too.
    pub find_steps: usize,
    /// The number of matches that a search queues beyond twice its limit.
    pub find_spare: usize,
    /// A clause with at most this many fragments in a segment is intersected with the others at once. For larger ones, a part of the
    /// fragments may fill a page.
    pub find_few: usize,
}

// === impl Limits ===

impl Limits {
    /// Parses the settings.
    pub(crate) fn new(environment: &Environment) -> Result<Self, Error> {
        let settings = Settings::new(environment, SETTINGS);
        settings.finish()?;
        let limit = environment.memory_limit;
        if limit < RESERVE + MIN_CACHE {
            return Err(Error::InvalidArgument(format!(
                "a memory limit of {limit} bytes is too small: the kv plugin needs at least {} (`limits.memory`)",
                RESERVE + MIN_CACHE
            )));
        }
        let cache = (limit / 8).min(limit - RESERVE).clamp(MIN_CACHE, MAX_CACHE);
        let retention = match settings.text("retention") {
            None => DEFAULT_RETENTION,
            Some(text) => parse_retention(text).ok_or_else(|| {
                Error::InvalidArgument(format!(
                    "invalid setting `retention`: {text:?} is not a time of at least 24s, such as 168h"
                ))
            })?,
        };
        let max_bytes = settings.bytes("max_bytes")?;
        if max_bytes == Some(0) {
            return Err(Error::InvalidArgument(
                "invalid setting `max_bytes`: nothing can be kept in 0 bytes".to_owned(),
            ));
        }
        Ok(Self {
            retention,
            max_bytes,
            cache_bytes: usize::try_from(cache).unwrap_or(usize::MAX),
        })
    }

    /// Returns the time after which a bucket is closed, nanoseconds.
    pub(crate) fn bucket_time(&self) -> u64 {
        self.retention / BUCKETS
    }

    /// Returns the size in `kv` at which a bucket is closed, bytes.
    pub(crate) fn bucket_bytes(&self) -> Option<u64> {
        self.max_bytes.map(|bytes| bytes / BUCKETS)
    }
}

/// Parses a retention, nanoseconds: a time that is long enough for its buckets.
fn parse_retention(text: &str) -> Option<u64> {
    parse_duration(text).filter(|it| *it >= BUCKETS * SECOND)
}

// === impl Shape ===

impl Default for Shape {
    fn default() -> Self {
        Self {
            block: 64 << 10,
            inline: 24 << 10,
            committed: 96 << 10,
            entry: (4096, 1 << 20),
            group_spans: 1 << 16,
            group_terms: 1 << 20,
            group_bytes: 8 << 20,
            group_entries: 8192,
            page: 16 << 10,
            run: 1 << 10,
            fan: 8,
            levels: 3,
            closed_segments: 3,
            merge_step: 1 << 20,
            find_steps: 256,
            find_spare: 4096,
            find_few: 256,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_plugin::testing::environment;

    use super::*;

    #[test]
    fn the_default_retention_is_a_week() {
        let limits = Limits::new(&environment(&[])).unwrap();
        assert_eq!(limits.retention, 7 * 24 * 3600 * SECOND);
        assert_eq!((limits.max_bytes, limits.cache_bytes), (None, 64 << 20));
    }

    #[test]
    fn times_are_read_with_their_units() {
        for (text, seconds) in [
            ("90s", 90),
            ("15m", 900),
            ("168h", 604_800),
            ("7d", 604_800),
            ("1h 30m", 5400),
        ] {
            assert_eq!(parse_retention(text), Some(seconds * SECOND), "{text}");
        }
        for text in ["", "1", "h", "-1h", "1w", "23s", "1.5h", "99999999999999d"] {
            assert_eq!(parse_retention(text), None, "{text}");
        }
    }

    #[test]
    fn invalid_settings_are_refused_by_name() {
        for (settings, part) in [
            (("retention", "soon"), "`retention`"),
            (("max_bytes", "0"), "`max_bytes`"),
            (("ttl", "1h"), "retention, max_bytes"),
        ] {
            let error = Limits::new(&environment(&[settings])).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidArgument(text) if text.contains(part)),
                "{settings:?}: {error:?}"
            );
        }
    }
}
