//! Batches that were being written when the plugin failed. One that fails it alone, again and again, is refused from then on.
//!
//! A trap is the batch's doing: a second one alone is enough. A deadline may be the machine's: a batch is given twice the time after each
//! that it passed alone, and only the third one in a row is held against it.

use std::collections::{HashMap, VecDeque};

use larder_model::storage::Batch;
use xxhash_rust::xxh3::Xxh3;

use crate::sandbox::guest::Cause;

/// The number of batches that are remembered. The oldest is forgotten first.
const CAPACITY: usize = 1024;
/// Traps alone after which a batch is refused.
const MOST_TRAPS: u32 = 2;
/// Deadlines passed alone, with 1, 2 and 4 times `limits.call_timeout`, after which a batch is refused.
const MOST_DEADLINES: u32 = 3;

/// XXH3-128 of a batch's spans: a client that retries sends the same bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest(u128);

/// The memory of failed writes.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    records: HashMap<Digest, Record>,
    /// The oldest first.
    order: VecDeque<Digest>,
}

/// The number of times that a batch failed the plugin when it was written alone.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    traps: u32,
    deadlines: u32,
}

/// A batch that was part of a write that failed, and may have been its cause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Suspect {
    pub(crate) digest: Digest,
    /// It may take so many times `limits.call_timeout`.
    pub(crate) patience: u32,
}

/// The verdict on a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suspicion {
    /// Nothing.
    Clean,
    /// It is written alone.
    Suspect(Suspect),
    /// It is never written again.
    Poison(Digest),
}

// === impl Digest ===

impl Digest {
    pub(crate) fn of(batch: &Batch) -> Self {
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

// === impl Record ===

impl Record {
    fn is_poison(self) -> bool {
        self.traps >= MOST_TRAPS || self.deadlines >= MOST_DEADLINES
    }

    fn patience(self) -> u32 {
        1 << self.deadlines.min(MOST_DEADLINES)
    }
}

// === impl Suspects ===

impl Suspects {
    /// Costs nothing while no write has failed.
    pub(crate) fn verdict(&self, batch: &Batch) -> Suspicion {
        if self.records.is_empty() {
            return Suspicion::Clean;
        }
        let digest = Digest::of(batch);
        match self.records.get(&digest) {
            None => Suspicion::Clean,
            Some(record) if record.is_poison() => Suspicion::Poison(digest),
            Some(record) => Suspicion::Suspect(Suspect {
                digest,
                patience: record.patience(),
            }),
        }
    }

    /// Remembers a batch whose write failed; true when it is poison from here on.
    pub(crate) fn failed(&mut self, digest: Digest, alone: bool, cause: Cause) -> bool {
        if !self.records.contains_key(&digest) {
            if self.order.len() >= CAPACITY
                && let Some(oldest) = self.order.pop_front()
            {
                self.records.remove(&oldest);
            }
            self.order.push_back(digest);
        }
        let record = self.records.entry(digest).or_default();
        if alone {
            match cause {
                Cause::Trap | Cause::Memory => record.traps += 1,
                Cause::Deadline => record.deadlines += 1,
                // Not caused by the batch.
                Cause::Network
                | Cause::Contract
                | Cause::Open
                | Cause::Kv
                | Cause::Fenced
                | Cause::Held => {}
            }
        }
        record.is_poison()
    }

    /// Clears a suspect that was written after all.
    pub(crate) fn acquit(&mut self, digest: Digest) {
        self.records.remove(&digest);
        self.order.retain(|other| *other != digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::batch;

    fn suspect(digest: Digest, patience: u32) -> Suspicion {
        Suspicion::Suspect(Suspect { digest, patience })
    }

    #[test]
    fn a_batch_is_poison_once_it_has_trapped_alone_twice() {
        let mut suspects = Suspects::default();
        let batch = batch(1, b"spans");
        let digest = Digest::of(&batch);
        assert_eq!(suspects.verdict(&batch), Suspicion::Clean);
        assert!(!suspects.failed(digest, false, Cause::Trap));
        assert_eq!(suspects.verdict(&batch), suspect(digest, 1));
        assert!(!suspects.failed(digest, false, Cause::Trap));
        assert!(!suspects.failed(digest, true, Cause::Trap));
        assert_eq!(suspects.verdict(&batch), suspect(digest, 1));
        assert!(suspects.failed(digest, true, Cause::Memory));
        assert_eq!(suspects.verdict(&batch), Suspicion::Poison(digest));
    }

    #[test]
    fn a_batch_that_is_slow_has_more_time_each_time_and_is_poison_after_the_third() {
        let mut suspects = Suspects::default();
        let batch = batch(1, b"spans");
        let digest = Digest::of(&batch);
        for _ in 0..5 {
            assert!(!suspects.failed(digest, false, Cause::Deadline));
        }
        for patience in [1, 2] {
            assert_eq!(suspects.verdict(&batch), suspect(digest, patience));
            assert!(!suspects.failed(digest, true, Cause::Deadline));
        }
        assert_eq!(suspects.verdict(&batch), suspect(digest, 4));
        assert!(suspects.failed(digest, true, Cause::Deadline));
        assert_eq!(suspects.verdict(&batch), Suspicion::Poison(digest));
    }

    #[test]
    fn failures_of_other_causes_do_not_count_against_a_batch() {
        let mut suspects = Suspects::default();
        for cause in [
            Cause::Kv,
            Cause::Open,
            Cause::Contract,
            Cause::Fenced,
            Cause::Network,
        ] {
            for _ in 0..5 {
                assert!(!suspects.failed(Digest(1), true, cause), "{cause:?}");
            }
        }
    }

    #[test]
    fn other_batches_stay_clean_and_a_success_acquits() {
        let mut suspects = Suspects::default();
        let (bad, good) = (batch(1, b"bad"), batch(1, b"good"));
        suspects.failed(Digest::of(&bad), true, Cause::Trap);
        assert_eq!(suspects.verdict(&good), Suspicion::Clean);
        suspects.acquit(Digest::of(&bad));
        assert_eq!(suspects.verdict(&bad), Suspicion::Clean);
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_the_oldest() {
        let mut suspects = Suspects::default();
        for number in 0..=CAPACITY as u128 {
            suspects.failed(Digest(number), true, Cause::Trap);
        }
        assert_eq!(suspects.records.len(), CAPACITY);
        assert_eq!(suspects.order.len(), CAPACITY);
        assert!(!suspects.records.contains_key(&Digest(0)));
    }
}
