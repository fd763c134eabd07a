//! How much of what is freed glibc's allocator keeps.
//!
//! What takes most memory here, requests, batches and pages of some hundred KiB to some MiB, lives for a moment and on whichever thread is
//! there. Left alone, glibc learns from the largest block that was ever freed: up to 32 MiB it then keeps blocks of that size in its arenas,
//! twice as much at the top of each, and it makes eight arenas a processor. After ten million spans that was a third of what the server
//! took up. mimalloc was tried, and keeps more.

use std::ffi::c_int;
use std::num::NonZero;
use std::thread::available_parallelism;

/// A block from this size on is given back as soon as it is freed, bytes. From a MiB on would keep a little less still, but a batch of
/// writes has more than that, and would pay 6 % more CPU a span for memory that is fetched anew each time.
const MAPPED: c_int = 4 << 20;
/// An arena keeps no more than this at its top, bytes.
const KEPT: c_int = 4 << 20;
/// Arenas for each processor.
const ARENAS: usize = 2;

/// Bounds what is kept, but for what the environment says of it. To be called before there is a second thread.
pub(crate) fn bound() {
    let processors = available_parallelism().map_or(1, NonZero::get);
    let arenas = c_int::try_from(processors.saturating_mul(ARENAS)).unwrap_or(c_int::MAX);
    for (name, parameter, value) in [
        ("MALLOC_MMAP_THRESHOLD_", libc::M_MMAP_THRESHOLD, MAPPED),
        ("MALLOC_TRIM_THRESHOLD_", libc::M_TRIM_THRESHOLD, KEPT),
        ("MALLOC_ARENA_MAX", libc::M_ARENA_MAX, arenas),
    ] {
        let is_said = |name: &str| std::env::var_os(name).is_some();
        if !is_said(name) && !is_said("GLIBC_TUNABLES") {
            set(parameter, value);
        }
    }
}

/// What is not taken stays as it is: it costs memory and nothing else.
#[expect(unsafe_code, reason = "the C library has this call alone for it")]
fn set(parameter: c_int, value: c_int) {
    // SAFETY: mallopt takes two numbers, touches nothing but the allocator's own parameters, and says 0 to what it does not know.
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
    fn what_is_freed_is_given_back() {
        bound();
        // From the first of these the allocator would learn to keep those that follow.
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
