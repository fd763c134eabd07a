//! A random number generator with a reproducible seed.

use std::hash::{BuildHasher as _, RandomState};

/// Vigna's splitmix64.
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

// === impl Rng ===

impl Rng {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Seeds from `LARDER_CRASH_SEED`, or with a new seed; prints it, so that a failing test shows it.
    #[expect(clippy::print_stderr, reason = "libtest shows it with the failure")]
    pub(crate) fn from_env() -> Self {
        let seed = std::env::var("LARDER_CRASH_SEED").ok();
        let seed = seed.map(|seed| seed.parse().expect("LARDER_CRASH_SEED is a number"));
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        eprintln!("LARDER_CRASH_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
