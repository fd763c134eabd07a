//! The state that health checks report: that of the plugin, and of the disk for writes.

use std::sync::Weak;
use std::time::Duration;

use larder_core::Serving;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Tenants;

/// Interval at which the disk is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The state with tenancy: a plugin that fails affects its own tenant only, and `/tenants` shows it.
pub(super) fn always() -> Serving {
    let always = || watch::channel(true).1;
    Serving {
        all: always(),
        reads: always(),
        writes: always(),
    }
}

/// A channel for writes as the plugin and the disk take them, and the plugin's own state that it follows.
pub(super) fn with_disk(plugin: &Serving) -> (watch::Sender<bool>, watch::Receiver<bool>) {
    let writes = plugin.writes.clone();
    let now = *writes.borrow();
    (watch::Sender::new(now), writes)
}

/// Reports whether writes are taken, until the registry is dropped.
pub(super) async fn follow(
    tenants: Weak<Tenants>,
    mut plugin: watch::Receiver<bool>,
    writes: watch::Sender<bool>,
) {
    let mut is_followed = true;
    while let Some(has_room) = tenants.upgrade().map(|tenants| tenants.has_room()) {
        let now = *plugin.borrow_and_update() && has_room;
        writes.send_if_modified(|before| std::mem::replace(before, now) != now);
        if is_followed {
            let changed = timeout(INTERVAL, plugin.changed()).await;
            // An error means that the state never changes again.
            is_followed = !matches!(changed, Ok(Err(_)));
        } else {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}
