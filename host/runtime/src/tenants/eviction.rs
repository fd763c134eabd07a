//! Idle tenants are evicted, and opened once in a while for their upkeep.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};

use super::Tenants;
use super::slot::Slot;
use crate::plugin::Instancing;

/// Interval at which idle tenants are opened, so that retention goes on.
const UPKEEP_EVERY: Duration = Duration::from_hours(1);

/// Tenants that are evicted, or opened, at a time.
const AT_A_TIME: usize = 4;

/// The shortest and the longest time between two rounds.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Runs rounds until the registry is dropped.
pub(super) fn start(tenants: &Arc<Tenants>) {
    let tenants: Weak<Tenants> = Arc::downgrade(tenants);
    tokio::spawn(async move {
        let mut listed = Instant::now();
        loop {
            let Some(idle_timeout) = tenants.upgrade().map(|it| it.options().idle_timeout) else {
                return;
            };
            let pause = (idle_timeout / 4).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
            tokio::time::sleep(pause).await;
            let Some(tenants) = tenants.upgrade() else {
                return;
            };
            tenants.evict_idle(Instant::now(), idle_timeout).await;
            if tenants.kv.is_shared() && listed.elapsed() >= UPKEEP_EVERY {
                listed = Instant::now();
                // Finds the tenants that other hosts have made. A store that cannot be read is asked again.
                drop(tenants.stored().await);
            }
            tenants.open_for_upkeep(Instant::now()).await;
        }
    });
}

impl Tenants {
    /// Evicts tenants that were idle for at least `idle_timeout`, and returns their number.
    pub(super) async fn evict_idle(&self, now: Instant, idle_timeout: Duration) -> usize {
        stream::iter(self.slots())
            .map(|slot| async move { slot.evict(now, idle_timeout).await })
            .buffer_unordered(AT_A_TIME)
            .filter(|was_idle| std::future::ready(*was_idle))
            .count()
            .await
    }

    /// Opens tenants that have data and were not open for [`UPKEEP_EVERY`], so that their plugins' `maintain` is called.
    pub(super) async fn open_for_upkeep(&self, now: Instant) {
        let due: Vec<Arc<Slot>> = self
            .slots()
            .into_iter()
            .filter(|slot| slot.is_away_for(now, UPKEEP_EVERY))
            .collect();
        if due.is_empty() {
            return;
        }
        let stored = self.stored().await.unwrap_or_default();
        let due = due.into_iter().filter(|slot| {
            let name = slot.name().as_str();
            let bytes = stored.get(name);
            // An `exclusive` plugin would not maintain what another plugin has stored, and would stay open.
            let component = self.current.of(name).plugin;
            bytes.is_some_and(|bytes| *bytes > 0)
                && component.instancing() == Instancing::Replicated
        });
        stream::iter(due)
            .for_each_concurrent(AT_A_TIME, |slot| async move {
                if self.kv.is_shared() && !self.is_written_here(&slot, now).await {
                    return;
                }
                // A failure is in the log.
                drop(
                    slot.opened(Arc::clone(&self.current), Arc::clone(&self.room))
                        .await,
                );
            })
            .await;
    }
}
