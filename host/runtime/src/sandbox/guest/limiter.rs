//! Limits the memory of one Store, and counts the memory of all Stores of a tenant.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

/// A component built from one language is one module, an adapter or two, and shims.
const MAX_INSTANCES: usize = 64;
const MAX_TABLES: usize = 64;
const MAX_MEMORIES: usize = 16;
/// The most elements of one table. A large program has some ten thousand function pointers.
const MAX_TABLE_ELEMENTS: usize = 1_000_000;
/// Bytes that an element of a table takes up in the host.
const ELEMENT_BYTES: u64 = 8;

/// Memory of all instances of a tenant together, in bytes.
pub(crate) type Gauge = Arc<AtomicU64>;

/// Counts the linear memory and tables of one Store against its limit, and in the gauge until it is dropped.
#[derive(Debug)]
pub(crate) struct Limiter {
    limit: u64,
    used: u64,
    refused: bool,
    gauge: Gauge,
}

impl Limiter {
    pub(crate) fn new(limit: u64, gauge: Gauge) -> Self {
        Self {
            limit,
            used: 0,
            refused: false,
            gauge,
        }
    }

    /// Call it before each call, so that an earlier refusal is not taken for the cause of a trap.
    pub(crate) fn forget_refusal(&mut self) {
        self.refused = false;
    }

    /// True if memory was refused in this call: the likely cause of a trap.
    pub(crate) fn was_refused(&self) -> bool {
        self.refused
    }

    /// Bytes of linear memory and tables, as they count against the limit.
    pub(crate) fn used(&self) -> u64 {
        self.used
    }

    fn grow(&mut self, bytes: u64) -> bool {
        let wanted = self.used.saturating_add(bytes);
        if wanted > self.limit {
            self.refused = true;
            return false;
        }
        self.used = wanted;
        self.gauge.fetch_add(bytes, Ordering::Relaxed);
        true
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = (desired.saturating_sub(current) as u64).saturating_mul(ELEMENT_BYTES);
        Ok(desired <= MAX_TABLE_ELEMENTS && self.grow(bytes))
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

impl Drop for Limiter {
    fn drop(&mut self) {
        self.gauge.fetch_sub(self.used, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn memory_and_tables_count_against_one_limit() {
        let gauge = Gauge::default();
        let mut limiter = Limiter::new(1000, Arc::clone(&gauge));
        assert!(limiter.memory_growing(0, 600, None).unwrap());
        assert!(limiter.table_growing(0, 50, None).unwrap());
        assert!(!limiter.was_refused());
        assert!(!limiter.memory_growing(600, 601, None).unwrap());
        assert!(limiter.was_refused());
        assert_eq!(gauge.load(Ordering::Relaxed), 1000);
    }

    #[test]
    fn the_memory_of_a_dropped_store_is_subtracted_from_the_gauge() {
        let gauge = Gauge::default();
        let mut first = Limiter::new(1000, Arc::clone(&gauge));
        let mut second = Limiter::new(1000, Arc::clone(&gauge));
        assert!(first.memory_growing(0, 400, None).unwrap());
        assert!(second.memory_growing(0, 300, None).unwrap());
        drop(first);
        assert_eq!(gauge.load(Ordering::Relaxed), 300);
    }

    #[test]
    fn a_huge_table_is_refused() {
        let mut limiter = Limiter::new(u64::MAX, Gauge::default());
        assert!(
            !limiter
                .table_growing(0, MAX_TABLE_ELEMENTS + 1, None)
                .unwrap()
        );
    }
}
