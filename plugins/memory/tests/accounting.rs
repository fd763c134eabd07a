//! The memory that the plugin reports is the memory that it allocates, and stays below its limit.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    unsafe_code,
    reason = "tests; an allocator that counts is unsafe by nature"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use larder_memory::Memory;
use larder_plugin::testing::{batch, environment, fragment};
use larder_plugin::{Plugin, Search, SpanKind};

/// Counts the bytes allocated now, and their peak.
struct Counting;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call is forwarded to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Generates bytes that pack to about half.
fn noise(len: usize) -> Vec<u8> {
    let noise = (0_u64..).map(|n| n.wrapping_mul(n).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56);
    let pairs = noise.flat_map(|n| {
        [n.to_be_bytes()[7]; 12]
            .into_iter()
            .take(if n > 127 { 1 } else { 12 })
    });
    pairs.take(len).collect()
}

/// The only test of this file, because the allocator counts for the whole process.
#[test]
fn reported_memory_is_allocated_memory_and_stays_below_the_limit() {
    check(&[("max_bytes", "8MiB")], false);
    check(&[("max_bytes", "8MiB"), ("unpacked_bytes", "1MiB")], false);
    check(&[("max_bytes", "8MiB")], true);
}

/// Writes random fragments, with `large` also those of a trace that outgrows the store, once and again.
fn check(settings: &[(&str, &str)], large: bool) {
    const MIB: usize = 1 << 20;
    let before = NOW.load(Ordering::Relaxed);
    let held = || NOW.load(Ordering::Relaxed) - before;
    let mut memory = Memory::open(environment(settings)).unwrap();
    let mut id = 0_u64;
    for round in 0..600_u64 {
        // Fragments of all sizes, some traces in several batches, shared and unshared terms, and names of operations that come and go.
        let mut fragments = Vec::new();
        for _ in 0..=round % 40 {
            id += 1;
            let trace = if id.is_multiple_of(5) { id - 3 } else { id };
            let size = usize::try_from(id * 7919 % 6000).unwrap();
            let terms = (0..id % 120).map(|n| if n < 60 { n } else { id * 100 + n });
            fragments.push(
                fragment(trace.into())
                    .starts(id * 10, id * 10 + 50)
                    .terms(terms.map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
                    .operation(
                        &format!("service-{}", id / 50),
                        &format!("name-{id}"),
                        SpanKind::Client,
                    )
                    .digest(vec![3; size / 10])
                    .otlp(noise(size)),
            );
        }
        if large {
            let part = noise(40_000);
            fragments.push(fragment(u128::MAX).digest(vec![3; 4000]).otlp(part));
        }
        let batches = vec![batch(fragments)];
        let arriving = held();
        PEAK.store(NOW.load(Ordering::Relaxed), Ordering::Relaxed);
        memory.write(round, batches).unwrap();
        let transient = PEAK.load(Ordering::Relaxed) - before - arriving;
        assert!(
            transient < 3 * MIB / 2,
            "a write took {transient} bytes beside its batch"
        );

        let counted = usize::try_from(memory.statistics().bytes).unwrap();
        assert!(counted <= 8 * MIB, "{counted} bytes counted");
        let held = held();
        assert!(held <= counted, "{held} bytes held, {counted} counted");
        assert!(
            held >= counted - counted / 4,
            "{held} bytes held, {counted} counted: far too careful"
        );
    }
    let counts = memory.statistics();
    let cuts = larder_plugin::testing::logged();
    assert_eq!(!cuts.is_empty(), large, "{cuts:?}");
    assert!(counts.evicted_traces > 1000, "{counts:?}");
    assert!(counts.bytes > 7 << 20, "{counts:?}");
    let page = memory.find(&Search::all(), None, 10_000).unwrap();
    assert!(page.found.len() as u64 >= counts.traces);
}
