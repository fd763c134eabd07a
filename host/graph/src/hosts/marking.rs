//! The marks of a host, made before each of its writes.
//!
//! Those of a dead host are removed here too, and what upkeep drops of its data is told, by the host that has adopted it.

use std::sync::Arc;
use std::time::Duration;

use larder_model::storage::{Batch, Error, ErrorKind, Keep, KeepChange, Upkept};
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tokio::time::timeout;

use super::followed::Together;
use super::marked::{CHANGES, Marked, read};
use super::marks::{Head, HostDrops, HostMarks, put_drops, put_head, put_stamp};
use crate::config::Config;
use crate::entries::scan_all;
use crate::shared::unique;

/// The smallest step of a plugin's times of writing; times within it may be told as equal.
const TIME_STEP: u64 = 1_000_000_000;
/// The time by which a write may be told of later than it was begun, in nanoseconds, and more.
const TOLERANCE: u64 = 1_000_000_000;
/// How long marks that may be removed wait for a write that is under way.
const LONGEST_GATE: Duration = Duration::from_secs(1);

/// See the module.
pub(crate) struct Marking {
    tenant: String,
    config: Config,
    /// True for the marks of a dead host.
    is_adopted: bool,
    /// Held during each write of the plugin, and while marks change.
    gate: Arc<AsyncMutex<()>>,
    /// The gate, during a write.
    held: Mutex<Option<OwnedMutexGuard<()>>>,
    marked: Mutex<Marked>,
}

/// The right to change marks: no write is under way.
struct Gate(OwnedMutexGuard<()>);

// === impl Marking ===

impl Marking {
    /// Marks in this place, which is read before they change.
    pub(crate) fn new(
        tenant: &str,
        config: &Config,
        (keep, is_adopted): (Arc<dyn Keep>, bool),
    ) -> Self {
        Self {
            tenant: tenant.to_owned(),
            config: config.clone(),
            is_adopted,
            gate: Arc::default(),
            held: Mutex::default(),
            marked: Mutex::new(Marked::new(keep)),
        }
    }

    /// Begins in a new place: nothing is stored any more.
    pub(crate) async fn forget(&self, keep: Arc<dyn Keep>) {
        let _gate = self.gate().await;
        *self.marked.lock() = Marked::new(keep);
    }

    async fn gate(&self) -> Gate {
        Gate(Arc::clone(&self.gate).lock_owned().await)
    }

    /// Has the marks read again before they are used.
    pub(crate) fn read_again(&self) {
        self.marked.lock().generation = None;
    }

    /// Has the host's marks begin, if nothing was marked.
    pub(crate) async fn begin(&self) -> Result<(), Error> {
        let gate = self.gate().await;
        self.refresh(&gate).await
    }

    /// Marks a write, and waits for the one before it.
    pub(crate) async fn before_write(&self, now: u64, batches: &[&Batch]) -> Result<(), Error> {
        drop(self.held.lock().take());
        let gate = self.gate().await;
        self.refresh(&gate).await?;
        let went_back = now.saturating_add(TOLERANCE) < self.marked.lock().stamp.latest;
        if went_back {
            // What was written before goes before what is written now, and has a later time.
            tracing::warn!(
                tenant = self.tenant,
                "the clock has gone back, and the service graph is counted anew"
            );
            self.restart(&gate, now).await?;
        }
        let is_full = {
            let marked = self.marked.lock();
            marked.marks.late.len() > self.config.most_late
        };
        if is_full {
            self.restart(&gate, now).await?;
        }
        let new = self.marked.lock().new_marks(&self.config, now, batches);
        if !new.is_empty() {
            self.commit(&gate, new.changes(), now).await?;
            self.marked.lock().add(new, now);
        }
        *self.held.lock() = Some(gate.0);
        Ok(())
    }

    /// A write has ended.
    pub(crate) fn after_write(&self) {
        drop(self.held.lock().take());
    }

    /// Removes the marks that what hosts keep together covers. Returns `true` if there were some.
    pub(crate) async fn obey(&self, together: &Arc<Together>) -> Result<bool, Error> {
        let now = (self.config.clock)();
        let of = (&self.config, self.is_adopted);
        {
            let mut marked = self.marked.lock();
            marked.together = Some(Arc::clone(together));
            if marked.is_read() && marked.covered(of, together, now).is_empty() {
                return Ok(false);
            }
        }
        // No write is under way. So those that were marked have ended. One that takes long, or whose instance cannot be replaced, must not keep
        // this host from all else.
        let Ok(gate) = timeout(LONGEST_GATE, self.gate()).await else {
            return Ok(false);
        };
        self.refresh(&gate).await?;
        let covered = self.marked.lock().covered(of, together, now);
        if covered.is_empty() {
            return Ok(false);
        }
        self.commit(&gate, covered.changes(), 0).await?;
        self.marked.lock().remove(&covered);
        Ok(true)
    }

    /// Notes that upkeep may drop something from now on.
    pub(crate) async fn before_upkeep(&self) -> Result<(), Error> {
        let gate = self.gate().await;
        self.refresh(&gate).await?;
        let drops = {
            let mut marked = self.marked.lock();
            let drops = marked.marks.drops;
            // Nobody has told what came of the upkeep before: its instance, or process, may have ended in the middle.
            marked.was_interrupted |= drops.is_under_way;
            drops
        };
        if drops.is_under_way {
            return Ok(());
        }
        let drops = HostDrops {
            is_under_way: true,
            ..drops
        };
        self.commit(&gate, vec![put_drops(drops)], 0).await?;
        self.marked.lock().marks.drops = drops;
        Ok(())
    }

    /// Tells what upkeep has dropped, if it may have.
    pub(crate) async fn after_upkeep(&self, now: u64, upkept: Upkept) -> Result<(), Error> {
        {
            let marked = self.marked.lock();
            if marked.is_read() && !marked.marks.drops.is_under_way {
                return Ok(());
            }
        }
        let gate = self.gate().await;
        self.refresh(&gate).await?;
        let (mut drops, number, was_interrupted, has_written) = {
            let marked = self.marked.lock();
            let has_marked = marked.stamp.latest > 0;
            let was_interrupted = marked.was_interrupted || upkept.has_dropped.is_none();
            let drops = marked.marks.drops;
            (
                drops,
                marked.stamp.next,
                was_interrupted,
                self.is_adopted || has_marked || marked.keep.had_written(),
            )
        };
        if !drops.is_under_way {
            return Ok(());
        }
        let told = upkept.oldest_write.map(|it| it.min(now));
        let has_dropped = was_interrupted || upkept.has_dropped == Some(true);
        match told {
            // The first that is told is of the first writes.
            _ if !has_dropped && (told == drops.oldest || drops.oldest.is_none()) => {
                drops.oldest = told;
            }
            // All of it is gone, or nobody knows what is.
            None if has_written => {
                return self.restart(&gate, now).await;
            }
            None => {}
            Some(oldest) => {
                // Of what was written at the same time some may be gone and some not.
                drops.before = drops.before.max(oldest.saturating_add(TIME_STEP));
                drops.oldest = told;
                drops.number = number;
            }
        }
        drops.is_under_way = false;
        self.commit(&gate, vec![put_drops(drops)], 0).await?;
        let mut marked = self.marked.lock();
        marked.marks.drops = drops;
        marked.was_interrupted = false;
        Ok(())
    }

    /// Makes changes durable, some at a time, each with a stamp of its own. `now` is the time of the write that they mark, or 0.
    async fn commit(&self, _: &Gate, changes: Vec<KeepChange>, now: u64) -> Result<(), Error> {
        for some in changes.chunks(CHANGES) {
            let (keep, stamp) = {
                let mut marked = self.marked.lock();
                marked.stamp.next += 1;
                marked.stamp.latest = marked.stamp.latest.max(now);
                (Arc::clone(&marked.keep), marked.stamp)
            };
            let mut some = some.to_vec();
            some.push(put_stamp(stamp));
            let committed = keep.commit(some).await;
            if committed.is_err() {
                // It may have happened all the same.
                self.marked.lock().generation = None;
                return committed;
            }
        }
        Ok(())
    }

    /// Reads the marks if they were not read, or if what was not durable has been lost.
    async fn refresh(&self, gate: &Gate) -> Result<(), Error> {
        let (keep, is_read) = {
            let marked = self.marked.lock();
            (Arc::clone(&marked.keep), marked.is_read())
        };
        if is_read {
            return Ok(());
        }
        let generation = keep.generation();
        let read = read(&*keep).await;
        let now = (self.config.clock)();
        match read {
            Ok(read) => {
                let has_head = read.0.head.is_some();
                self.marked.lock().take(generation, read, now);
                if has_head {
                    return Ok(());
                }
                // What a dead host has written unmarked is counted anew, and it writes no more.
                let is_whole = !self.is_adopted && !keep.had_written();
                self.begin_series(gate, is_whole).await
            }
            Err(error) if error.kind() == ErrorKind::DataLoss => {
                self.marked.lock().generation = Some(generation);
                self.restart(gate, now).await
            }
            Err(error) => Err(error),
        }
    }

    async fn begin_series(&self, gate: &Gate, is_whole: bool) -> Result<(), Error> {
        let head = Head {
            series: unique(),
            is_whole,
        };
        self.commit(gate, vec![put_head(head)], 0).await?;
        self.marked.lock().marks.head = Some(head);
        Ok(())
    }

    /// Begins another series, as what was marked in this one does not tell all. Until the holder has counted all anew nothing is answered from
    /// what is kept. After an error the marks are read again.
    async fn restart(&self, gate: &Gate, now: u64) -> Result<(), Error> {
        let restarted = self.try_restart(gate, now).await;
        if restarted.is_err() {
            self.marked.lock().generation = None;
        }
        restarted
    }

    async fn try_restart(&self, gate: &Gate, now: u64) -> Result<(), Error> {
        let head = Head {
            series: unique(),
            is_whole: false,
        };
        let (keep, drops) = {
            let marked = self.marked.lock();
            let drops = HostDrops {
                oldest: None,
                is_under_way: false,
                number: marked.stamp.next,
                ..marked.marks.drops
            };
            (Arc::clone(&marked.keep), drops)
        };
        self.commit(gate, vec![put_head(head), put_drops(drops)], 0)
            .await?;
        let keys = scan_all(&*keep).await?.into_iter().map(|(key, _)| key);
        let marks = keys.filter(|key| matches!(key.first(), Some(b'o' | b'l')));
        let keys = marks.map(KeepChange::Delete).collect();
        self.commit(gate, keys, 0).await?;
        // Last, so that a restart after a step of the clock is begun again if it was cut off.
        self.marked.lock().stamp.latest = now;
        self.commit(gate, vec![put_head(head)], now).await?;
        self.marked.lock().begin(HostMarks {
            head: Some(head),
            drops,
            ..HostMarks::default()
        });
        Ok(())
    }
}
