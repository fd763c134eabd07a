//! What is done about tenants that nobody calls: they are put away, and now and then brought back for their upkeep.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};

use super::Tenants;
use super::slot::Slot;
use crate::plugin::Instancing;

/// Retention goes on for tenants that nobody calls: so often they are brought back for it.
const UPKEEP_EVERY: Duration = Duration::from_hours(1);

/// How many are put away, or brought back, at a time.
const AT_A_TIME: usize = 4;

/// The time between two looks, at the least and at the most.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Looks again and again, until the tenants are gone.
pub(super) fn start(tenants: &Arc<Tenants>) {
    let tenants: Weak<Tenants> = Arc::downgrade(tenants);
    tokio::spawn(async move {
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
            tenants.open_for_upkeep(Instant::now()).await;
        }
    });
}

impl Tenants {
    /// Puts away who has not been called for so long; gives how many that were.
    pub(super) async fn evict_idle(&self, now: Instant, idle_timeout: Duration) -> usize {
        stream::iter(self.slots())
            .map(|slot| async move { slot.evict(now, idle_timeout).await })
            .buffer_unordered(AT_A_TIME)
            .filter(|was_idle| std::future::ready(*was_idle))
            .count()
            .await
    }

    /// Opens who has something stored and was not open for a while, so that its plugin's `maintain` is called.
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
            // What another plugin has stored is not looked after by one that keeps its data in its memory, and would then stay open.
            let component = self.current.of(name).plugin;
            bytes.is_some_and(|bytes| *bytes > 0)
                && component.instancing() == Instancing::Replicated
        });
        stream::iter(due)
            .for_each_concurrent(AT_A_TIME, |slot| async move {
                // One that cannot be opened has said so in the log.
                drop(slot.opened(Arc::clone(&self.current)).await);
            })
            .await;
    }
}
