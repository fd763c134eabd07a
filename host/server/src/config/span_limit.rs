//! The largest span that the settings allow together.

use super::{Config, Size};

/// A span takes at most this part of the smallest `limits.memory`: a plugin has it in memory a few times while it stores and reads it.
const SPANS_IN_MEMORY: u64 = 32;

/// A span of this size is taken, whatever `limits.memory` is.
const SMALL_SPAN: Size = Size::kib(4032);

// === impl Config ===

impl Config {
    /// The largest span that is stored, with its resource and scope: `limits.max_span_bytes`, or less where `limits.memory` is small.
    pub fn effective_max_span_bytes(&self) -> Size {
        let (_, memory) = self.least_memory();
        let fits = memory.bytes() / SPANS_IN_MEMORY;
        let fits = Size::from_bytes(fits).max(SMALL_SPAN);
        self.limits.max_span_bytes.min(fits)
    }

    /// A warning for an operator, if spans of `limits.max_span_bytes` are not stored.
    pub fn lowered_span_limit(&self) -> Option<String> {
        let (set, effective) = (self.limits.max_span_bytes, self.effective_max_span_bytes());
        if effective >= set {
            return None;
        }
        let (path, memory) = self.least_memory();
        let needed = Size::from_bytes(set.bytes() * SPANS_IN_MEMORY);
        Some(format!(
            "`limits.max_span_bytes` is {set}, but spans of more than {effective} are refused, as `{path}` is {memory}: a span takes at most a 32nd of it, or {SMALL_SPAN} where that is more. Raise it to {needed}, or lower `limits.max_span_bytes`"
        ))
    }

    /// The smallest `limits.memory` of all tenants, with its path.
    fn least_memory(&self) -> (String, Size) {
        let common = ("limits.memory".to_owned(), self.limits.memory);
        let tenancy = &self.tenancy;
        let overrides = tenancy.overrides.iter().filter(|_| tenancy.enabled);
        let memories = overrides.map(|(name, own)| {
            let path = format!("{}.{name}.limits.memory", super::OVERRIDES);
            (path, own.over(self).limits.memory)
        });
        memories.fold(
            common,
            |least, next| {
                if next.1 < least.1 { next } else { least }
            },
        )
    }
}
