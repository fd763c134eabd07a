//! The end of purged namespaces. A purge dooms the namespace before it takes it from its tenant, so any host can carry it through.
//!
//! First all writers are ended, in the table `writer` and in every partition; the purge itself waits for that. Then the data is deleted,
//! and once more a day later, together with the lists. What a host that has noticed nothing puts meanwhile is dead or deleted then.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use larder_store::Error;
use tracing::{info, warn};

use crate::db::{Db, rows};
use crate::errors::misread;
use crate::heads::ENDED;
use crate::statements::Name;
use crate::sweep::AGAIN;
use crate::timestamps::{after_conditions, now_millis};
use crate::usage::PartRow;

/// Time between two looks for doomed namespaces.
const INTERVAL: Duration = Duration::from_mins(1);
/// Time for which one host deletes a namespace alone. If two do, it does no harm.
const LEASE: Duration = Duration::from_mins(10);
/// Time after which a purge that did not come about is given up.
const GIVEN_UP: Duration = Duration::from_hours(1);
const AT_ONCE: usize = 8;
/// Most shards that a partition can have.
const MAX_SHARDS: i32 = 512;

type DoomRow = (i64, Option<String>, Option<i64>, Option<i64>, Option<i32>);

/// A partition of a doomed namespace.
struct Doomed {
    part: String,
    writer: String,
    shards: i32,
}

/// Deletes doomed namespaces for ever.
pub(crate) async fn run(db: Arc<Db>) {
    loop {
        if let Err(error) = db.delete_doomed().await {
            warn!(%error, "purged data could not be deleted yet");
        }
        // Not all hosts at the same time.
        let pause = INTERVAL.mul_f64(0.5 + fastrand::f64());
        drop(tokio::time::timeout(pause, db.doomed.notified()).await);
    }
}

fn passed(since: i64, time: Duration) -> bool {
    let millis = now_millis().saturating_sub(since);
    u64::try_from(millis).is_ok_and(|millis| Duration::from_millis(millis) >= time)
}

// === impl Db ===

impl Db {
    /// Ends all writers of a namespace that no tenant has any more. When this returns, nothing is committed there.
    pub(crate) async fn end_writers(&self, ns: i64) -> Result<(), Error> {
        let writers = self.doomed_writers(ns).await?;
        for writer in &writers {
            let mut tries = self.tries();
            while let Err(failure) = self.condition(Name::WriterEnd, (ns, writer)).await {
                tries.again(failure).await?;
            }
        }
        // After that, so that no partition is entered any more without being in these lists.
        for writer in &writers {
            let found = self.run(Name::PartList, (ns, writer)).await?;
            let heads = rows::<PartRow>(found)?.into_iter();
            let heads = heads.filter(|(_, _, entries, ..)| entries.unwrap_or_default());
            let ended = stream::iter(heads).map(|(part, ..)| async move {
                self.raise(ns, &part, writer.as_bytes(), ENDED).await
            });
            ended.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        Ok(())
    }

    async fn doomed_writers(&self, ns: i64) -> Result<Vec<String>, Error> {
        let found = self.run(Name::WriterList, (ns,)).await?;
        let found: Vec<(String, Option<i64>, Option<bool>)> = rows(found)?;
        Ok(found.into_iter().map(|(writer, ..)| writer).collect())
    }

    async fn delete_doomed(&self) -> Result<(), Error> {
        let found = self.run(Name::DoomList, ()).await?;
        for (ns, tenant, since, lease, done) in rows::<DoomRow>(found)? {
            let (Some(tenant), Some(since)) = (tenant, since) else {
                continue;
            };
            let is_last = match done.unwrap_or_default() {
                0 => false,
                _ if passed(since, AGAIN) => true,
                _ => continue,
            };
            let lease = lease.unwrap_or_default();
            if !passed(lease, LEASE) {
                continue;
            }
            let now = now_millis();
            let leased = self.condition(Name::DoomLease, (now, ns, lease));
            if !leased.await.is_ok_and(|verdict| verdict.applied) {
                continue;
            }
            // A purge that is under way has not taken the namespace away yet, or one has failed.
            if self.namespace_of(&tenant).await? == Some(ns) {
                if passed(since, GIVEN_UP) {
                    self.settled(Name::DoomDelete, (ns,)).await?;
                } else {
                    // Others need not wait for the lease.
                    self.settled(Name::DoomLease, (0_i64, ns, now)).await?;
                }
                continue;
            }
            self.delete_namespace(ns, is_last).await?;
            info!(
                tenant,
                namespace = ns,
                is_last,
                "the data of a purged namespace was deleted"
            );
        }
        Ok(())
    }

    async fn delete_namespace(&self, ns: i64, is_last: bool) -> Result<(), Error> {
        self.end_writers(ns).await?;
        for doomed in self.doomed_partitions(ns).await? {
            let Doomed {
                part,
                writer,
                shards,
            } = &doomed;
            self.end_seats(ns, part, writer).await?;
            self.drop_head(ns, part).await?;
            self.drop_objects(ns, part, *shards).await?;
            if is_last {
                self.run(Name::PlaceDrop, (after_conditions(), ns, part))
                    .await?;
                self.run(Name::PartDelete, (ns, writer, part)).await?;
                self.run(Name::SweepDelete, (ns, writer, part)).await?;
            }
        }
        if !is_last {
            return self.settled(Name::DoomDone, (1, ns)).await;
        }
        self.run(Name::NumberDrop, (after_conditions(), ns)).await?;
        self.run(Name::WriterDrop, (after_conditions(), ns)).await?;
        self.settled(Name::DoomDelete, (ns,)).await
    }

    async fn doomed_partitions(&self, ns: i64) -> Result<Vec<Doomed>, Error> {
        let mut doomed = Vec::new();
        for writer in self.doomed_writers(ns).await? {
            let found = self.run(Name::PartList, (ns, &writer)).await?;
            let live = rows::<PartRow>(found)?.into_iter();
            let live = live.map(|(part, shards, ..)| (part, shards));
            let found = self.run(Name::SweepList, (ns, &writer)).await?;
            let reclaimed = rows::<(String, Option<i32>, Option<i64>, Option<i32>)>(found)?;
            let reclaimed = reclaimed
                .into_iter()
                .map(|(part, shards, ..)| (part, shards));
            for (part, shards) in live.chain(reclaimed) {
                let shards = shards.unwrap_or(MAX_SHARDS);
                if !(0..=MAX_SHARDS).contains(&shards) {
                    return Err(misread(format!("a partition with {shards} shards")));
                }
                doomed.push(Doomed {
                    part,
                    writer: writer.clone(),
                    shards,
                });
            }
        }
        Ok(doomed)
    }

    /// Executes a write with a condition whose outcome is the same however often it is done.
    async fn settled(
        &self,
        name: Name,
        values: impl scylla::serialize::row::SerializeRow,
    ) -> Result<(), Error> {
        let mut tries = self.tries();
        while let Err(failure) = self.condition(name, &values).await {
            tries.again(failure).await?;
        }
        Ok(())
    }
}
