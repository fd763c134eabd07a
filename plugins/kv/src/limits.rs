//! Settings, and the sizes of the parts.

use larder_plugin::settings::Settings;
use larder_plugin::{Environment, Error};

const SETTINGS: &[&str] = &["retention", "max_bytes"];
/// A week.
const DEFAULT_RETENTION: u64 = 168 * 3600 * SECOND;
const SECOND: u64 = 1_000_000_000;
/// What the instance needs beside its cache: a batch on its way in, a page on its way out, what is not sealed, and sorting it.
const RESERVE: u64 = 96 << 20;
const MIN_CACHE: u64 = 4 << 20;
const MAX_CACHE: u64 = 64 << 20;
/// How many buckets there are within what is kept.
const BUCKETS: u64 = 24;

/// What the environment and the settings allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// How long what was written is kept, nanoseconds.
    pub(crate) retention: u64,
    /// The most bytes that the tenant may take up in `kv`.
    pub(crate) max_bytes: Option<u64>,
    /// The most bytes of what was read that are kept in memory.
    pub(crate) cache_bytes: usize,
}

/// The sizes of the parts. Only tests use others than the default: what is stored can be read whatever they are.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// About how large a block of spans or of digests is, bytes.
    pub block: usize,
    /// A write with fewer bytes of spans, or of digests, keeps them in its entry.
    pub inline: usize,
    /// The most bytes of an entry, or of all of a write, that are committed with it; larger ones are objects.
    pub committed: usize,
    /// The most fragments of an entry, and about the most bytes.
    pub entry: (usize, usize),
    /// What is not sealed is sealed once it has so many spans,
    pub group_spans: u64,
    /// so many terms, counted once for each fragment that has them,
    pub group_terms: usize,
    /// so many bytes in its entries,
    pub group_bytes: usize,
    /// or so many entries.
    pub group_entries: usize,
    /// About how many bytes a page of terms or of runs has.
    pub page: usize,
    /// A list of more bytes is cut into runs of about so many.
    pub run: usize,
    /// How many segments are merged into one.
    pub fan: usize,
    /// A segment that has been merged so often is not merged again while its bucket is open.
    pub levels: u8,
    /// How many segments a bucket may have that takes no more.
    pub closed_segments: usize,
    /// About how many bytes of an index one step of merging reads.
    pub merge_step: usize,
    /// How many chunks a page of a search opens before it ends early.
    pub find_steps: usize,
    /// How many matches it keeps beside twice those that it gives.
    pub find_spare: usize,
    /// Where a clause of a search has so few fragments of a segment, they are looked for in the lists of the others at once: of more,
    /// a part may fill a page.
    pub find_few: usize,
}

// === impl Limits ===

impl Limits {
    /// Reads the settings.
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
            Some(text) => parse_duration(text).ok_or_else(|| {
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

    /// How long a bucket takes what is written, nanoseconds.
    pub(crate) fn bucket_time(&self) -> u64 {
        self.retention / BUCKETS
    }

    /// How many bytes in `kv` a bucket takes.
    pub(crate) fn bucket_bytes(&self) -> Option<u64> {
        self.max_bytes.map(|bytes| bytes / BUCKETS)
    }
}

/// `90s`, `15m`, `168h`, `7d`, or several of them: `1h30m`.
fn parse_duration(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let mut letters = after.chars();
        let unit = match letters.next()? {
            's' => SECOND,
            'm' => 60 * SECOND,
            'h' => 3600 * SECOND,
            'd' => 86_400 * SECOND,
            _ => return None,
        };
        let part = number.parse::<u64>().ok()?.checked_mul(unit)?;
        sum = sum.checked_add(part)?;
        rest = letters.as_str().trim_start();
    }
    (sum >= BUCKETS * SECOND).then_some(sum)
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
    fn the_default_is_a_week() {
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
            assert_eq!(parse_duration(text), Some(seconds * SECOND), "{text}");
        }
        for text in ["", "1", "h", "-1h", "1w", "23s", "1.5h", "99999999999999d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
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
