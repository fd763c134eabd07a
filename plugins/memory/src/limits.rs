//! Settings, and the sizes of the parts.

use larder_plugin::settings::Settings;
use larder_plugin::{Environment, Error};

const SETTINGS: &[&str] = &["max_traces", "max_bytes", "unpacked_bytes"];

/// The limits that the environment and the settings give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// The most traces that are kept.
    pub(crate) max_traces: u64,
    /// The most memory that the store uses, indexes, tables and allocator overhead included, bytes.
    pub(crate) max_bytes: usize,
    /// The bytes of spans, newest first, that stay uncompressed; all others are packed.
    pub(crate) unpacked_bytes: usize,
}

/// The sizes of the parts. They shrink with `max_bytes`, so that a small store still has many segments and can drop the oldest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The most fragments of a segment.
    pub(crate) fragments: usize,
    /// The most terms of a segment, counted once for each fragment that has them.
    pub(crate) terms: usize,
    /// Size of a block of payload, bytes.
    pub(crate) block: usize,
}

const DEFAULT_MAX_TRACES: u64 = 100_000;
const DEFAULT_UNPACKED_BYTES: u64 = u64::MAX;
/// Memory outside of `max_bytes`: an incoming batch of 8 MiB with its lists, or an outgoing page; sorting a single large fragment; the
/// stack and the program's own data.
const RESERVE: u64 = 24 << 20;
const MIN_MAX_BYTES: u64 = 1 << 20;

// === impl Limits ===

impl Limits {
    /// Parses the settings. `max_bytes` is 60 % of the memory limit by default. It must leave room for an incoming batch and for the
    /// allocator's fragmentation, which was 10 % after a million spans had passed through a store of 208 MiB.
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
    /// Sizes the parts for a store of `max_bytes`.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            fragments: (max_bytes >> 14).clamp(64, 4096),
            terms: (max_bytes >> 8).clamp(1 << 12, 1 << 19),
            block: (max_bytes >> 8).clamp(4 << 10, 64 << 10),
        }
    }
}

/// Returns the heap bytes of an allocation: dlmalloc adds a word or two to each, and rounds up.
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
    fn invalid_settings_are_refused_by_name() {
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
