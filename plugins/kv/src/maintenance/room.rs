//! Tells which writer drops a bucket where a tenant stores too much: the one that has the oldest, so that what was written first goes first,
//! and only one of them at a time.

use larder_plugin::Timestamp;

use crate::engine::Engine;

/// The sizes that a host tells may count what another writer has dropped for so much longer, nanoseconds.
const LAG: u64 = 30_000_000_000;

/// What other writers have dropped lately.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Another writer has dropped a bucket since the last step of maintenance.
    is_made: bool,
    /// The time until which the sizes may count that bucket.
    counted_until: Timestamp,
}

// === impl Room ===

impl Room {
    /// Another writer has dropped a bucket.
    pub(crate) fn made(&mut self) {
        self.is_made = true;
    }

    /// A step of maintenance begins.
    pub(super) fn look(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.is_made) {
            self.counted_until = now.saturating_add(LAG);
        }
    }

    /// Returns true if the sizes do not count what others have dropped. A time that is further away is of a clock that was ahead.
    fn is_settled(&self, now: Timestamp) -> bool {
        !(1..=LAG).contains(&self.counted_until.saturating_sub(now))
    }
}

// === impl Engine ===

impl Engine {
    /// Returns true if it is this writer that has to drop a bucket: no other has an older one, or has just dropped one. Of two buckets that
    /// were opened at the same time, that of the lower number is the older.
    ///
    /// A bucket that retention should have dropped is of a writer without upkeep. It is not waited for.
    pub(super) fn makes_room(&self, now: Timestamp) -> bool {
        let Some((own, others)) = self.views.split_first() else {
            return false;
        };
        let Some(opened) = own.oldest(now).filter(|_| self.room.is_settled(now)) else {
            return false;
        };
        let limits = &self.limits;
        let kept = limits.retention.saturating_add(2 * limits.bucket_time());
        let oldest = others
            .iter()
            .filter_map(|it| Some((it.oldest(now)?, it.writer.number)));
        let mut awaited = oldest.filter(|(opened, _)| now.saturating_sub(*opened) <= kept);
        awaited.all(|other| other > (opened, own.writer.number))
    }
}
