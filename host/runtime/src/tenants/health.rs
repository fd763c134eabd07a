//! The state that health checks report: that of the plugin, of its disk, and of what is reached of a store on other machines.

use std::sync::Weak;
use std::time::Duration;

use larder_core::Serving;
use larder_store::Reach;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Tenants;

/// Interval at which the disk, and what is reached of the store, is looked at.
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

/// What the store takes now. Everything for a plugin that keeps its data in its own memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Taken {
    /// True while the disk is full, which refuses writes alone.
    pub(super) is_full: bool,
    pub(super) reach: Reach,
}

/// Channels that follow the plugin and the store.
pub(super) struct Followed {
    plugin: Serving,
    all: watch::Sender<bool>,
    reads: watch::Sender<bool>,
    writes: watch::Sender<bool>,
    /// As of the last look.
    store: Taken,
}

// === impl Taken ===

impl Taken {
    /// Reads and writes. A full disk leaves this as it is: reads, retention and a start go on.
    fn all(&self) -> bool {
        self.reads() && self.reach.writes.is_none()
    }

    fn reads(&self) -> bool {
        self.reach.reads.is_none()
    }

    fn writes(&self) -> bool {
        self.reach.writes.is_none() && !self.is_full
    }
}

// === impl Followed ===

impl Followed {
    /// Begins with the present state of both.
    pub(super) fn new(plugin: Serving, store: Taken) -> Self {
        let channel = |plugin: &watch::Receiver<bool>, taken| {
            let now = *plugin.borrow() && taken;
            watch::Sender::new(now)
        };
        let followed = Self {
            all: channel(&plugin.all, store.all()),
            reads: channel(&plugin.reads, store.reads()),
            writes: channel(&plugin.writes, store.writes()),
            plugin,
            store: Taken::default(),
        };
        log("reads", None, store.reach.reads.as_deref());
        log("writes", None, store.reach.writes.as_deref());
        Self { store, ..followed }
    }

    /// The channels, for health checks.
    pub(super) fn serving(&self) -> Serving {
        Serving {
            all: self.all.subscribe(),
            reads: self.reads.subscribe(),
            writes: self.writes.subscribe(),
        }
    }

    /// Reports what is taken, until the registry is dropped.
    pub(super) async fn follow(mut self, tenants: Weak<Tenants>) {
        let mut is_followed = true;
        while let Some(store) = tenants.upgrade().map(|tenants| tenants.taken()) {
            self.report(store);
            if is_followed {
                // An error means that the plugin's state never changes again.
                let changed = timeout(INTERVAL, self.plugin_changed()).await;
                is_followed = !matches!(changed, Ok(Err(_)));
            } else {
                tokio::time::sleep(INTERVAL).await;
            }
        }
    }

    fn report(&mut self, store: Taken) {
        let (before, now) = (&self.store.reach, &store.reach);
        log("reads", before.reads.as_deref(), now.reads.as_deref());
        log("writes", before.writes.as_deref(), now.writes.as_deref());
        let set = |channel: &watch::Sender<bool>, plugin: &mut watch::Receiver<bool>, taken| {
            let now = *plugin.borrow_and_update() && taken;
            channel.send_if_modified(|before| std::mem::replace(before, now) != now);
        };
        set(&self.all, &mut self.plugin.all, store.all());
        set(&self.reads, &mut self.plugin.reads, store.reads());
        set(&self.writes, &mut self.plugin.writes, store.writes());
        self.store = store;
    }

    async fn plugin_changed(&mut self) -> Result<(), watch::error::RecvError> {
        let Serving { all, reads, writes } = &mut self.plugin;
        tokio::select! {
            changed = all.changed() => changed,
            changed = reads.changed() => changed,
            changed = writes.changed() => changed,
        }
    }
}

/// Says once that calls do not reach the store any more, and once that they do again.
fn log(calls: &str, before: Option<&str>, now: Option<&str>) {
    match (before, now) {
        (None, Some(reason)) => {
            tracing::warn!(
                reason,
                "{calls} do not reach the store; they are not served"
            );
        }
        (Some(_), None) => tracing::info!("{calls} reach the store again"),
        (None, None) | (Some(_), Some(_)) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Channels of a plugin, and the senders of them: all, reads, writes.
    fn plugin() -> (Serving, [watch::Sender<bool>; 3]) {
        let senders = [true; 3].map(watch::Sender::new);
        let [all, reads, writes] = senders.each_ref().map(watch::Sender::subscribe);
        (Serving { all, reads, writes }, senders)
    }

    fn unreached(reads: bool, writes: bool) -> Taken {
        let why = |is_unreached: bool| is_unreached.then(|| "no quorum".to_owned());
        Taken {
            is_full: false,
            reach: Reach {
                reads: why(reads),
                writes: why(writes),
            },
        }
    }

    fn seen(serving: &Serving) -> [bool; 3] {
        let Serving { all, reads, writes } = serving;
        [all, reads, writes].map(|channel| *channel.borrow())
    }

    #[test]
    fn reads_and_writes_that_do_not_reach_the_store_are_told_apart() {
        let (plugin, _senders) = plugin();
        let mut followed = Followed::new(plugin, Taken::default());
        let serving = followed.serving();
        for (store, expected) in [
            (Taken::default(), [true, true, true]),
            (unreached(false, true), [false, true, false]),
            (unreached(true, false), [false, false, true]),
            (unreached(true, true), [false, false, false]),
            (Taken::default(), [true, true, true]),
        ] {
            followed.report(store.clone());
            assert_eq!(seen(&serving), expected, "{store:?}");
        }
    }

    #[test]
    fn a_full_disk_stops_writes_alone() {
        let (plugin, _senders) = plugin();
        let full = Taken {
            is_full: true,
            ..Taken::default()
        };
        let followed = Followed::new(plugin, full);
        assert_eq!(seen(&followed.serving()), [true, true, false]);
    }

    #[test]
    fn a_plugin_that_is_down_stays_so_whatever_the_store_takes() {
        let (plugin, [all, reads, writes]) = plugin();
        let mut followed = Followed::new(plugin, Taken::default());
        let serving = followed.serving();
        all.send_replace(false);
        reads.send_replace(false);
        followed.report(Taken::default());
        assert_eq!(seen(&serving), [false, false, true]);
        writes.send_replace(false);
        all.send_replace(true);
        reads.send_replace(true);
        followed.report(unreached(true, false));
        assert_eq!(seen(&serving), [false, false, false]);
    }
}
