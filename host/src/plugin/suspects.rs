//! Batches that were being written when the plugin failed. One that fails it alone, twice, is refused from then on.

use std::collections::{HashMap, VecDeque};

use xxhash_rust::xxh3::Xxh3;

use crate::storage::Batch;

/// How many are remembered; the oldest is forgotten first.
const CAPACITY: usize = 1024;
/// Failures alone after which a batch is refused.
const POISON_AFTER: u32 = 2;

/// XXH3-128 of a batch's spans: a client that retries sends the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Digest(u128);

/// The memory of failed writes.
#[derive(Debug, Default)]
pub(super) struct Suspects {
    failures_alone: HashMap<Digest, u32>,
    /// The oldest first.
    order: VecDeque<Digest>,
}

/// What is known about a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Clean,
    /// It was part of a write that failed: it is written alone.
    Suspect(Digest),
    /// It is never written again.
    Poison(Digest),
}

// === impl Digest ===

impl Digest {
    pub(super) fn of(batch: &Batch) -> Self {
        let mut hash = Xxh3::new();
        for fragment in batch.fragments() {
            hash.update(fragment.otlp);
        }
        Self(hash.digest128())
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

// === impl Suspects ===

impl Suspects {
    /// Costs nothing while no write has failed.
    pub(super) fn verdict(&self, batch: &Batch) -> Verdict {
        if self.failures_alone.is_empty() {
            return Verdict::Clean;
        }
        let digest = Digest::of(batch);
        match self.failures_alone.get(&digest) {
            None => Verdict::Clean,
            Some(failures) if *failures >= POISON_AFTER => Verdict::Poison(digest),
            Some(_) => Verdict::Suspect(digest),
        }
    }

    /// Remembers a batch whose write failed; true when it is poison from here on.
    pub(super) fn failed(&mut self, digest: Digest, alone: bool) -> bool {
        if !self.failures_alone.contains_key(&digest) {
            if self.order.len() >= CAPACITY
                && let Some(oldest) = self.order.pop_front()
            {
                self.failures_alone.remove(&oldest);
            }
            self.order.push_back(digest);
        }
        let failures = self.failures_alone.entry(digest).or_default();
        *failures += u32::from(alone);
        *failures >= POISON_AFTER
    }

    /// A suspect that was written after all.
    pub(super) fn acquit(&mut self, digest: Digest) {
        self.failures_alone.remove(&digest);
        self.order.retain(|other| *other != digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::test_support::batch;

    #[test]
    fn a_batch_is_poison_once_it_has_failed_alone_twice() {
        let mut suspects = Suspects::default();
        let batch = batch(1, b"spans");
        let digest = Digest::of(&batch);
        assert_eq!(suspects.verdict(&batch), Verdict::Clean);
        assert!(!suspects.failed(digest, false));
        assert_eq!(suspects.verdict(&batch), Verdict::Suspect(digest));
        assert!(!suspects.failed(digest, false));
        assert!(!suspects.failed(digest, true));
        assert_eq!(suspects.verdict(&batch), Verdict::Suspect(digest));
        assert!(suspects.failed(digest, true));
        assert_eq!(suspects.verdict(&batch), Verdict::Poison(digest));
    }

    #[test]
    fn other_batches_stay_clean_and_a_success_acquits() {
        let mut suspects = Suspects::default();
        let (bad, good) = (batch(1, b"bad"), batch(1, b"good"));
        suspects.failed(Digest::of(&bad), true);
        assert_eq!(suspects.verdict(&good), Verdict::Clean);
        suspects.acquit(Digest::of(&bad));
        assert_eq!(suspects.verdict(&bad), Verdict::Clean);
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_the_oldest() {
        let mut suspects = Suspects::default();
        for number in 0..=CAPACITY as u128 {
            suspects.failed(Digest(number), true);
        }
        assert_eq!(suspects.failures_alone.len(), CAPACITY);
        assert_eq!(suspects.order.len(), CAPACITY);
        assert!(!suspects.failures_alone.contains_key(&Digest(0)));
    }
}
