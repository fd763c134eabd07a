//! The deletion of reclaimed partitions: once after the linger, and once a day later, when nothing that was under way can arrive any more.
//!
//! It is the work of whoever has claimed the writer that reclaimed, so it goes on after a crash, and after an adoption.

use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use larder_store::Error;
use tracing::debug;

use crate::db::{Db, rows};
use crate::namespace::Space;
use crate::statements::Name;
use crate::timestamps::{DELETE, now_millis};

/// Time after which the data is deleted again.
pub(crate) const AGAIN: Duration = Duration::from_hours(24);
/// Time after which a reclaim that did not come about is given up.
const GIVEN_UP: Duration = Duration::from_mins(10);
const AT_ONCE: usize = 8;

pub(crate) type SweepRow = (String, Option<i32>, Option<i64>, Option<i32>);

/// What is due for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Nothing,
    First,
    Last,
}

fn due(done: i32, age: Duration, linger: Duration) -> Due {
    match done {
        0 if age >= linger => Due::First,
        1.. if age >= linger + AGAIN => Due::Last,
        _ => Due::Nothing,
    }
}

fn age(since: i64) -> Duration {
    let millis = now_millis().saturating_sub(since);
    Duration::from_millis(u64::try_from(millis).unwrap_or_default())
}

// === impl Space ===

impl Space {
    /// Deletes what is due of all writers that this process has claimed.
    pub(crate) async fn sweep_own(&self) -> Result<(), Error> {
        let own: Vec<String> = {
            let claims = self.claims.lock();
            let held = claims.iter().filter(|(_, known)| !known.lost);
            held.map(|(writer, _)| writer.clone()).collect()
        };
        for writer in own {
            if !self.is_purged() {
                self.sweep(&writer).await?;
            }
        }
        Ok(())
    }

    /// Deletes what is due of a writer.
    pub(crate) async fn sweep(&self, writer: &str) -> Result<(), Error> {
        let found = self.db.run(Name::SweepList, (self.ns, writer)).await?;
        for (part, shards, since, done) in rows::<SweepRow>(found)? {
            // A mark of a row that was removed has made a row of itself alone.
            let (Some(shards), Some(since)) = (shards, since) else {
                self.forget_sweep(writer, &part).await?;
                continue;
            };
            let age = age(since);
            let due = due(done.unwrap_or_default(), age, self.db.options.linger);
            if due == Due::Nothing {
                continue;
            }
            let place = self.place(&part, Name::PlaceSerial).await?;
            let Some(place) = place.filter(|place| place.is_reclaimed) else {
                // The name was never reclaimed, so the data is somebody's.
                if age >= GIVEN_UP {
                    self.forget_sweep(writer, &part).await?;
                }
                continue;
            };
            if place.facts.entries {
                self.db.end_seats(self.ns, &part, writer).await?;
                self.db.drop_head(self.ns, &part).await?;
            }
            let shards = shards.max(place.checked_shards()?);
            self.db.drop_objects(self.ns, &part, shards).await?;
            self.unlist(&part).await?;
            debug!(partition = part, ?due, "a reclaimed partition was deleted");
            match due {
                Due::Last => self.forget_sweep(writer, &part).await?,
                Due::First | Due::Nothing => {
                    let values = (1, self.ns, writer, &part);
                    self.db.run(Name::SweepDone, values).await?;
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn forget_sweep(&self, writer: &str, part: &str) -> Result<(), Error> {
        let values = (self.ns, writer, part);
        self.db.run(Name::SweepDelete, values).await?;
        Ok(())
    }
}

// === impl Db ===

impl Db {
    /// Deletes the objects of a partition, with a timestamp above those of all puts.
    pub(crate) async fn drop_objects(&self, ns: i64, part: &str, shards: i32) -> Result<(), Error> {
        let dropped = stream::iter(0..shards).map(|shard| async move {
            let values = (DELETE, ns, part, shard);
            self.run(Name::ObjectDrop, values).await.map(drop)
        });
        dropped.buffer_unordered(AT_ONCE).try_collect().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_deleted_after_the_linger_and_again_a_day_later() {
        let linger = Duration::from_mins(1);
        let due = |done, age| due(done, age, linger);
        assert_eq!(due(0, Duration::from_secs(59)), Due::Nothing);
        assert_eq!(due(0, linger), Due::First);
        assert_eq!(due(0, AGAIN * 3), Due::First);
        assert_eq!(due(1, AGAIN), Due::Nothing);
        assert_eq!(due(1, AGAIN + linger), Due::Last);
    }
}
