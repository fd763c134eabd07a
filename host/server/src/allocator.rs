//! Limits the freed memory that glibc's allocator retains.
//!
//! Most memory goes to requests, batches and pages of some hundred KiB to some MiB, which live for a moment, on any thread. By default
//! glibc adapts to the largest block freed so far: it retains blocks up to that size (at most 32 MiB) in its arenas and twice that size
//! at the top of each arena, and it makes eight arenas per processor. After ten million spans this was a third of the server's memory.
//! mimalloc was tried, and retains more.

use std::ffi::c_int;
use std::num::NonZero;
use std::thread::available_parallelism;

/// Blocks of at least this size, in bytes, are returned to the system when they are freed. One MiB would retain a little less, but
/// batches of writes are larger than that, and mapping them anew each time costs 6 % more CPU per span.
const MMAP_THRESHOLD: c_int = 4 << 20;
/// The most free memory at the top of an arena, in bytes.
const TRIM_THRESHOLD: c_int = 4 << 20;
/// Arenas per processor.
const ARENAS: usize = 2;

/// Sets the limits, unless the environment sets them. Call it before a second thread starts.
pub(crate) fn limit_retained_memory() {
    let processors = available_parallelism().map_or(1, NonZero::get);
    let arenas = c_int::try_from(processors.saturating_mul(ARENAS)).unwrap_or(c_int::MAX);
    for (name, parameter, value) in [
        (
            "MALLOC_MMAP_THRESHOLD_",
            libc::M_MMAP_THRESHOLD,
            MMAP_THRESHOLD,
        ),
        (
            "MALLOC_TRIM_THRESHOLD_",
            libc::M_TRIM_THRESHOLD,
            TRIM_THRESHOLD,
        ),
        ("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, arenas),
    ] {
        let is_set = |name: &str| std::env::var_os(name).is_some();
        if !is_set(name) && !is_set("GLIBC_TUNABLES") {
            set(parameter, value);
        }
    }
}

/// Sets a parameter. A failure is ignored, as it only costs memory.
#[expect(unsafe_code, reason = "the C library has no safe interface for this")]
fn set(parameter: c_int, value: c_int) {
    // SAFETY: mallopt takes two integers, changes only parameters of the allocator, and returns 0 for an unknown one.
    unsafe {
        libc::mallopt(parameter, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::hint::black_box;

    use super::*;

    /// Resident memory of this process, bytes.
    fn resident() -> usize {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|it| it.strip_prefix("VmRSS:"));
        let kib = line.unwrap().trim().trim_end_matches(" kB");
        kib.parse::<usize>().unwrap() << 10
    }

    #[test]
    fn freed_memory_is_given_back_to_the_system() {
        limit_retained_memory();
        // By default, freeing this block would make the allocator retain the next ones.
        drop(black_box(vec![1_u8; 24 << 20]));
        let before = resident();
        let (mut blocks, mut between) = (Vec::new(), Vec::new());
        for _ in 0..16 {
            blocks.push(black_box(vec![1_u8; 8 << 20]));
            between.push(black_box(vec![1_u8; 16 << 10]));
        }
        assert!(resident() > before + (128 << 20));
        drop(blocks);
        let kept = resident().saturating_sub(before);
        assert!(kept < 32 << 20, "{kept} bytes are still there");
    }
}
