//! Counts the instances of the process against the memory mappings that the system allows it.
//!
//! Three quarters of the limit are for the writers of tenants, the rest is left to readers. An instance that replaces one that failed is
//! not refused, so tenants that are open go on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep};

/// The most mappings of an instance: its linear memory with two guard regions, its tables, the stack of its fiber with its guard, and a
/// block of the allocator. The bundled plugins take seven.
const MAPPINGS_OF_INSTANCE: u64 = 8;

/// The limit where the system allows fewer: a writer, and a reader beside it.
const FEWEST: u64 = 4;

/// Time for which a call waits until there is room.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);
/// Interval at which it looks for room.
pub(crate) const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// Makes room for an instance.
#[async_trait::async_trait]
pub(crate) trait Relief: Send + Sync {
    /// Evicts the tenant that was called least recently and is not in use. False if there is none.
    async fn relieve(&self) -> bool;
}

/// The instances that are alive, and the most that there may be.
#[derive(Debug)]
pub(crate) struct Instances {
    alive: AtomicU64,
    most: u64,
    relief: Mutex<Option<Weak<dyn Relief>>>,
}

/// One instance, counted until it is dropped.
#[derive(Debug)]
pub(crate) struct CountedInstance(Arc<Instances>);

// === impl Instances ===

impl Instances {
    /// At most `most` instances; without it as many as `vm.max_map_count` allows, of which a quarter is left to the rest of the process.
    pub(crate) fn new(most: Option<u64>) -> Arc<Self> {
        let of_system = || {
            let mappings = max_mappings()?;
            Some((mappings - mappings / 4) / MAPPINGS_OF_INSTANCE)
        };
        let most = most.or_else(of_system).unwrap_or(u64::MAX);
        Arc::new(Self {
            alive: AtomicU64::new(0),
            most: most.max(FEWEST),
            relief: Mutex::default(),
        })
    }

    /// Sets what makes room for readers.
    pub(crate) fn set_relief(&self, relief: Weak<dyn Relief>) {
        *self.relief.lock() = Some(relief);
    }

    /// Counts one more, beyond the limit as well.
    pub(crate) fn count(self: &Arc<Self>) -> CountedInstance {
        self.alive.fetch_add(1, Ordering::Relaxed);
        CountedInstance(Arc::clone(self))
    }

    /// Counts one for a tenant that is about to be opened. `None` if another one has to be evicted first.
    pub(crate) fn try_open(self: &Arc<Self>) -> Option<CountedInstance> {
        self.try_count(self.most - self.most / 4)
    }

    /// Counts one for a reader that is about to be started, once there is room. `None` if there is none for [`PATIENCE`].
    pub(crate) async fn reader(self: &Arc<Self>) -> Option<CountedInstance> {
        let begun = Instant::now();
        loop {
            if let Some(counted) = self.try_count(self.most) {
                return Some(counted);
            }
            let relief = self.relief.lock().as_ref().and_then(Weak::upgrade);
            let relieved = match relief {
                Some(relief) => relief.relieve().await,
                None => false,
            };
            if relieved {
                continue;
            }
            if begun.elapsed() >= PATIENCE {
                return None;
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Names the limit, for an error.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} plugin instances are open; the system's limit of memory mappings (`sysctl vm.max_map_count`) allows {}, a quarter of them for readers alone",
            self.alive.load(Ordering::Relaxed),
            self.most
        )
    }

    /// Counts one more if fewer than `limit` are alive.
    fn try_count(self: &Arc<Self>, limit: u64) -> Option<CountedInstance> {
        let one_more = |alive: u64| (alive < limit).then(|| alive.saturating_add(1));
        let counted = self
            .alive
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        counted.ok().map(|_| CountedInstance(Arc::clone(self)))
    }
}

impl Drop for CountedInstance {
    fn drop(&mut self) {
        self.0.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The most mappings that the system allows a process. `None` where it does not say.
fn max_mappings() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    struct DropsOne(Mutex<Vec<CountedInstance>>);

    #[async_trait::async_trait]
    impl Relief for DropsOne {
        async fn relieve(&self) -> bool {
            self.0.lock().pop().is_some()
        }
    }

    #[test]
    fn writers_leave_a_quarter_to_readers() {
        let instances = Instances::new(Some(8));
        let mut writers: Vec<_> = (0..6).map(|_| instances.try_open().unwrap()).collect();
        assert!(instances.try_open().is_none());
        let readers = [7, 8].map(|limit| instances.try_count(limit).unwrap());
        assert!(instances.try_count(8).is_none());
        // One that replaces another is never refused.
        drop(instances.count());
        drop(readers);
        assert!(instances.try_open().is_none());
        writers.pop();
        assert!(instances.try_open().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_gets_the_place_of_an_evicted_instance() {
        let instances = Instances::new(Some(4));
        let held: Vec<_> = (0..3).map(|_| instances.count()).collect();
        let evictable = Arc::new(DropsOne(Mutex::new(vec![instances.count()])));
        let relief: Weak<dyn Relief> = Arc::downgrade(&evictable) as Weak<dyn Relief>;
        instances.set_relief(relief);
        let reader = instances.reader().await.unwrap();
        assert!(instances.reader().await.is_none(), "all are in use");
        drop(held);
        assert!(instances.reader().await.is_some());
        drop(reader);
    }
}
