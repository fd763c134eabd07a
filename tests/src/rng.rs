//! A random number generator with a reproducible seed.

use std::hash::{BuildHasher as _, RandomState};

/// Vigna's splitmix64.
#[derive(Clone, Debug)]
pub struct Rng(u64);

// === impl Rng ===

impl Rng {
    /// Continues from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Seeds from `LARDER_CRASH_SEED`, or with a new seed; prints it, so that a failing test shows it.
    #[expect(clippy::print_stderr, reason = "libtest shows it with the failure")]
    pub fn from_env() -> Self {
        let seed = std::env::var("LARDER_CRASH_SEED").ok();
        let seed = seed.map(|seed| seed.parse().expect("LARDER_CRASH_SEED is a number"));
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(0));
        eprintln!("LARDER_CRASH_SEED={seed}");
        Self(seed)
    }

    /// Returns the next number.
    #[expect(
        clippy::should_implement_trait,
        reason = "it has no end, and nothing iterates over it"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
