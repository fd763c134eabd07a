//! The background thread of the store: syncs of `periodic` durability, flushes, compactions, removal of reclaimed partitions, probes of
//! the free space, and reopening the store after the disk has failed.

use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use lsm_tree::AbstractTree;
use parking_lot::{Condvar, Mutex};
use tracing::warn;

use super::durable::{self, FLUSH_BYTES};
use super::shared::Shared;
use super::{Durability, LINGER};
use crate::Error;

/// Interval of the rounds.
const TICK: Duration = Duration::from_millis(500);
/// Time without writes after which the store is flushed, so that the journal is empty at rest.
const IDLE: Duration = Duration::from_secs(3);
/// First and longest delay between two attempts to reopen the store. It doubles each time.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(10));

/// The thread. It ends when this is dropped.
pub(super) struct Upkeep {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<Result<(), Error>>>,
}

#[derive(Default)]
struct Stop {
    stopped: Mutex<bool>,
    changed: Condvar,
}

struct Rounds {
    shared: Arc<Shared>,
    /// Time of the last growth of the memtable, and its size then.
    grown: (Instant, u64),
    tick: Duration,
    /// Interval of syncs for changes that no caller syncs, such as upkeep's own.
    sync_every: Duration,
    synced: Instant,
    retry: Option<(Instant, Duration)>,
}

// === impl Upkeep ===

impl Upkeep {
    pub(super) fn start(shared: Arc<Shared>) -> std::io::Result<Self> {
        let stop = Arc::<Stop>::default();
        let sync_every = match shared.options.durability {
            Durability::Sync => TICK,
            Durability::Periodic(every) => every,
        };
        let rounds = Rounds {
            shared,
            grown: (Instant::now(), 0),
            tick: sync_every.min(TICK),
            sync_every,
            synced: Instant::now(),
            retry: None,
        };
        let thread = thread::Builder::new().name("larder-kv".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || rounds.run(&stop)
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// Stops the thread after its current round, with a last sync and a flush, which leaves the journal empty.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the last sync fails.
    pub(super) fn stop(&mut self) -> Result<(), Error> {
        *self.stop.stopped.lock() = true;
        self.stop.changed.notify_all();
        let Some(thread) = self.thread.take() else {
            return Ok(());
        };
        thread
            .join()
            .unwrap_or_else(|_| Err(Error::Other("the upkeep of kv has panicked".to_owned())))
    }
}

impl Drop for Upkeep {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            warn!(%error, "the last sync of kv failed");
        }
    }
}

// === impl Rounds ===

impl Rounds {
    fn run(mut self, stop: &Stop) -> Result<(), Error> {
        let mut stopped = stop.stopped.lock();
        while !*stopped {
            stop.changed.wait_for(&mut stopped, self.tick);
            if *stopped {
                break;
            }
            drop(stopped);
            self.round();
            stopped = stop.stopped.lock();
        }
        drop(stopped);
        let store = self.shared.store();
        durable::sync(&store, &self.shared.syncs)?;
        // Where it fails, the next start reads the journal.
        self.log(durable::checkpoint(&store, &self.shared.syncs));
        Ok(())
    }

    fn round(&mut self) {
        self.shared.space.refresh();
        if self.shared.store().state().failed.is_some() {
            return self.recover();
        }
        self.log(self.shared.remove_reclaimed(LINGER));
        let store = self.shared.store();
        if self.synced.elapsed() >= self.sync_every {
            self.synced = Instant::now();
            self.log(durable::sync(&store, &self.shared.syncs));
        }
        let size = store.tree.active_memtable().size();
        if size != self.grown.1 {
            self.grown = (Instant::now(), size);
        }
        let idle = size > 0 && self.grown.0.elapsed() >= IDLE;
        if size >= FLUSH_BYTES || idle || store.tree.sealed_memtable_count() > 0 {
            self.log(durable::checkpoint(&store, &self.shared.syncs));
            self.log(durable::compact(&store));
        }
    }

    fn recover(&mut self) {
        let (at, wait) = self.retry.unwrap_or((Instant::now(), RETRY.0));
        if at > Instant::now() {
            return;
        }
        self.retry = match self.shared.recover() {
            Ok(()) => None,
            Err(error) => {
                warn!(%error, "the kv store cannot be opened again yet");
                Some((Instant::now() + wait, (wait * 2).min(RETRY.1)))
            }
        };
    }

    #[expect(clippy::unused_self, reason = "reads as a step of a round")]
    fn log(&self, done: Result<(), Error>) {
        if let Err(error) = done {
            warn!(%error, "upkeep of kv failed; it will be tried again");
        }
    }
}
