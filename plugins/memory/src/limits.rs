//! How much may be kept, and how large the parts are that it is kept in.

use larder_plugin::settings::Settings;
use larder_plugin::{Environment, Error};

const SETTINGS: &[&str] = &["max_traces", "max_bytes", "unpacked_bytes"];

/// What the environment and the settings allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The most traces that are kept.
    pub(crate) max_traces: u64,
    /// The most bytes of memory that the store takes up, indexes, tables and allocator included.
    pub(crate) max_bytes: usize,
    /// How many bytes of spans, the newest, stay as they came; all others are packed.
    pub(crate) unpacked_bytes: usize,
}

/// The sizes of the parts. They shrink with `max_bytes`, so that a small store still consists of many parts and can drop the
/// oldest of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// Fragments in a segment.
    pub(crate) fragments: usize,
    /// Terms in a segment, counted once for each fragment that has them.
    pub(crate) terms: usize,
    /// Bytes in a block of payload.
    pub(crate) block: usize,
}

const DEFAULT_MAX_TRACES: u64 = 100_000;
const DEFAULT_UNPACKED_BYTES: u64 = u64::MAX;
/// Outside of `max_bytes` fit: a batch of 8 MiB on its way in with its lists, or a page on its way out; what a single
/// fragment may need to be sorted; the stack and the program's own data.
const RESERVE: u64 = 24 << 20;
const MIN_MAX_BYTES: u64 = 1 << 20;

// === impl Limits ===

impl Limits {
    /// Reads the settings. `max_bytes` is 60 % of the memory limit by default, and never so large that the rest of the memory
    /// would not do for a batch on its way in and the gaps that an allocator leaves: after a million spans through a store of
    /// 208 MiB those were 10 % of it.
    pub(crate) fn new(environment: &Environment) -> Result<Self, Error> {
        let settings = Settings::new(environment, SETTINGS);
        settings.finish()?;
        let limit = environment.memory_limit;
        let most = limit.saturating_sub(RESERVE) / 20 * 17;
        if most < MIN_MAX_BYTES {
            return Err(Error::InvalidArgument(format!(
                "a memory limit of {limit} bytes is too small: the memory plugin needs at least {} (`limits.memory`)",
                RESERVE + 2 * MIN_MAX_BYTES
            )));
        }
        let max_bytes = match settings.bytes("max_bytes")? {
            None => (limit / 10 * 6).min(most),
            Some(bytes) if (MIN_MAX_BYTES..=most).contains(&bytes) => bytes,
            Some(bytes) => {
                return Err(Error::InvalidArgument(format!(
                    "invalid setting `max_bytes`: {bytes} is not from {MIN_MAX_BYTES} to {most}, which is what a memory limit of {limit} allows (`limits.memory`)"
                )));
            }
        };
        let max_traces = settings.number("max_traces")?;
        if max_traces == Some(0) {
            return Err(Error::InvalidArgument(
                "invalid setting `max_traces`: 0 traces cannot be kept; use 1 or more".to_owned(),
            ));
        }
        let unpacked_bytes = settings.bytes("unpacked_bytes")?;
        let unpacked_bytes = unpacked_bytes.unwrap_or(DEFAULT_UNPACKED_BYTES);
        Ok(Self {
            max_traces: max_traces.unwrap_or(DEFAULT_MAX_TRACES),
            max_bytes: usize::try_from(max_bytes).unwrap_or(usize::MAX),
            unpacked_bytes: usize::try_from(unpacked_bytes).unwrap_or(usize::MAX),
        })
    }
}

// === impl Shape ===

impl Shape {
    /// For a store of this size.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            fragments: (max_bytes >> 14).clamp(64, 4096),
            terms: (max_bytes >> 8).clamp(1 << 12, 1 << 19),
            block: (max_bytes >> 8).clamp(4 << 10, 64 << 10),
        }
    }
}

/// What an allocation of so many bytes takes up in the heap: dlmalloc keeps a word or two beside each and rounds up.
pub(crate) fn heap(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    (bytes + 8).next_multiple_of(16)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_plugin::testing::environment;

    use super::*;

    fn limits(memory_limit: u64, settings: &[(&str, &str)]) -> Result<Limits, Error> {
        Limits::new(&Environment {
            memory_limit,
            ..environment(settings)
        })
    }

    #[test]
    fn the_defaults_are_100_000_traces_and_60_percent_of_the_memory() {
        let limits = limits(1000 << 20, &[]).unwrap();
        assert_eq!(limits.max_traces, 100_000);
        assert_eq!(limits.max_bytes, 600 << 20);
    }

    #[test]
    fn a_small_memory_leaves_room_for_a_batch() {
        let limits = limits(64 << 20, &[]).unwrap();
        assert_eq!(limits.max_bytes, 40 * (1 << 20) / 20 * 17);
    }

    #[test]
    fn settings_are_taken() {
        let limits = limits(1 << 30, &[("max_traces", "7"), ("max_bytes", "64MiB")]).unwrap();
        assert_eq!((limits.max_traces, limits.max_bytes), (7, 64 << 20));
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        for (settings, part) in [
            (("max_bytes", "1023KiB"), "`max_bytes`"),
            (("max_bytes", "1GiB"), "`limits.memory`"),
            (("max_bytes", "much"), "64MiB"),
            (("max_traces", "0"), "`max_traces`"),
            (("max_traces", "-1"), "`max_traces`"),
            (("max_trace", "1"), "max_traces, max_bytes, unpacked_bytes"),
        ] {
            let error = limits(1 << 30, &[settings]).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidArgument(text) if text.contains(part)),
                "{settings:?}: {error:?}"
            );
        }
        let error = limits(16 << 20, &[]).unwrap_err();
        assert!(matches!(error, Error::InvalidArgument(text) if text.contains("`limits.memory`")));
    }
}
