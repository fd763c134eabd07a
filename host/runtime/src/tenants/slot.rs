//! One tenant's slot in the registry: its plugin while that is open, and the lock under which it is opened, evicted, purged and closed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_core::Quotas;
use larder_core::telemetry::{Chain, PluginLabels};
use larder_model::TenantName;
use larder_model::storage::{Error, ErrorKind};
use parking_lot::{Mutex, MutexGuard};

use super::current::Current;
use super::room::Room;
use super::{LoadedTenantConfig, Presence};
use crate::instance::Backoff;
use crate::plugin::{Component, Instancing, Plugin};

/// Delay after the second of two failed openings in a row.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Slot {
    name: TenantName,
    quotas: Arc<Quotas>,
    state: Mutex<SlotState>,
    /// Never waited for with `state` locked.
    lifecycle: tokio::sync::Mutex<Lifecycle>,
}

/// The part that every call reads.
struct SlotState {
    /// Cloned only while the lock is held, so a count of one means that no request uses it.
    plugin: Option<Arc<Plugin>>,
    /// When it was last seen in use.
    used: Instant,
    /// Openings so far.
    attempts: u64,
    /// Why the last one failed, if it did.
    reason: Option<String>,
}

/// The part that is locked while the plugin is opened, evicted, purged or closed.
pub(super) struct Lifecycle {
    backoff: Backoff,
    failed: Option<Failed>,
    /// The component that it is opened with instead of the configured one, because a reload could not replace it.
    pub(super) kept: Option<Arc<Component>>,
    /// The server is stopping.
    pub(super) closed: bool,
    /// It is no longer in the registry. The tenant's next call makes another slot.
    pub(super) removed: bool,
}

// === impl Lifecycle ===

impl Lifecycle {
    /// Has the next call try to open it at once.
    pub(super) fn forget_failure(&mut self) {
        self.failed = None;
    }
}

/// The plugin is in use and cannot be taken out.
pub(super) struct InUse;

/// The last opening failed.
struct Failed {
    attempt: u64,
    /// None is tried before this.
    until: Instant,
    error: Error,
}

// === impl Slot ===

impl Slot {
    /// A tenant whose plugin is not open.
    pub(super) fn away(name: TenantName, config: &LoadedTenantConfig) -> Arc<Self> {
        Self::new(name, config, None)
    }

    /// A tenant whose plugin is open.
    pub(super) fn open(
        name: TenantName,
        config: &LoadedTenantConfig,
        plugin: Arc<Plugin>,
    ) -> Arc<Self> {
        Self::new(name, config, Some(plugin))
    }

    fn new(
        name: TenantName,
        config: &LoadedTenantConfig,
        plugin: Option<Arc<Plugin>>,
    ) -> Arc<Self> {
        let metrics = Arc::clone(&config.plugin.host().metrics);
        let quotas = Quotas::new(name.clone(), &config.quotas, metrics);
        Arc::new(Self {
            name,
            quotas,
            state: Mutex::new(SlotState {
                plugin,
                used: Instant::now(),
                attempts: 0,
                reason: None,
            }),
            lifecycle: tokio::sync::Mutex::new(Lifecycle {
                backoff: Backoff::new(FIRST_DELAY),
                failed: None,
                kept: None,
                closed: false,
                removed: false,
            }),
        })
    }

    pub(super) fn name(&self) -> &TenantName {
        &self.name
    }

    /// The tenant's quotas.
    pub(super) fn quotas(&self) -> &Arc<Quotas> {
        &self.quotas
    }

    /// Applies the quotas and the limits of the queue. The limits of instances that run are left as they are.
    pub(super) fn apply(&self, config: &LoadedTenantConfig) {
        self.quotas.set(&config.quotas);
        if let Some(plugin) = self.peek() {
            let limits = config.plugin.limits();
            plugin.set_queue(limits.queue_depth, limits.queue_bytes);
        }
    }

    /// The plugin for a call, if it is open.
    pub(super) fn call(&self) -> Option<Arc<Plugin>> {
        let mut state = self.state();
        let plugin = state.plugin.clone()?;
        state.used = Instant::now();
        Some(plugin)
    }

    /// The plugin, without counting as a use of it.
    pub(super) fn peek(&self) -> Option<Arc<Plugin>> {
        self.state().plugin.clone()
    }

    /// Open, away or failed.
    pub(super) fn presence(&self) -> Presence {
        let state = self.state();
        match (&state.plugin, &state.reason) {
            (Some(_), _) => Presence::Open,
            (None, Some(reason)) => Presence::Failed {
                reason: reason.clone(),
            },
            (None, None) => Presence::Away,
        }
    }

    /// The plugin, opened if it is not. None if the slot was removed. Calls that wait for the same opening get the same outcome.
    pub(super) async fn opened(
        self: Arc<Self>,
        current: Arc<Current>,
        room: Arc<Room>,
    ) -> Result<Option<Arc<Plugin>>, Error> {
        let seen = self.state().attempts;
        // In a task of its own: the caller may go away, and others wait for the same.
        let opening = tokio::spawn(async move {
            let mut lifecycle = self.lifecycle.lock().await;
            if lifecycle.removed {
                return Ok(None);
            }
            if let Some(plugin) = self.call() {
                return Ok(Some(plugin));
            }
            let opened = self
                .open_locked(&mut lifecycle, &current, &room, seen)
                .await?;
            // The configuration may have been replaced meanwhile.
            self.apply(&current.of(self.name.as_str()));
            Ok(Some(opened))
        });
        opening.await.unwrap_or_else(|error| {
            let text = format!("the opening of a tenant ended early: {error}");
            Err(Error::new(ErrorKind::Internal, text))
        })
    }

    async fn open_locked(
        &self,
        lifecycle: &mut Lifecycle,
        current: &Current,
        room: &Room,
        seen: u64,
    ) -> Result<Arc<Plugin>, Error> {
        if lifecycle.closed {
            return Err(stopping());
        }
        if let Some(failed) = &lifecycle.failed
            && (failed.attempt > seen || Instant::now() < failed.until)
        {
            return Err(failed.error.clone());
        }
        let attempt = {
            let mut state = self.state();
            state.attempts += 1;
            state.attempts
        };
        let place = match room.make().await {
            Ok(place) => place,
            Err(error) => {
                tracing::warn!(tenant.id = %self.name, %error, "a tenant cannot be opened");
                // For the calls that wait for the same opening; the next one tries again.
                lifecycle.failed = Some(Failed {
                    attempt,
                    until: Instant::now(),
                    error: error.clone(),
                });
                return Err(error);
            }
        };
        let component = lifecycle.kept.clone();
        let component = component.unwrap_or_else(|| current.of(self.name.as_str()).plugin);
        let opened = component.open(self.name.as_str()).await;
        let mut state = self.state();
        state.used = Instant::now();
        match opened {
            Ok(plugin) => {
                plugin.keep(place.permit);
                lifecycle.failed = None;
                state.reason = None;
                state.plugin = Some(Arc::clone(&plugin));
                Ok(plugin)
            }
            Err(error) => {
                let until = lifecycle.backoff.failed(Instant::now());
                let plugin = Arc::clone(component.name());
                tracing::error!(tenant.id = %self.name, plugin = &*plugin, error = %Chain(&error), "a tenant cannot be opened");
                let tenant = self.name.as_str().into();
                let labels = PluginLabels { tenant, plugin };
                let error_type = error.error_type();
                let metrics = &component.host().metrics;
                metrics.opening_failed(&labels, error_type);
                state.reason = Some(Chain(&error).to_string());
                let brief = error.brief();
                let text = format!("tenant `{}` cannot be opened: {brief}; retry", self.name);
                let error = Error::new(ErrorKind::Unavailable, text);
                lifecycle.failed = Some(Failed {
                    attempt,
                    until,
                    error: error.clone(),
                });
                Err(error)
            }
        }
    }

    /// Shuts the plugin down and drops it if it was idle for at least `idle` and loses no data by that. True if it did.
    pub(super) async fn evict(&self, now: Instant, idle: Duration) -> bool {
        // The task that holds the lock is about to use it.
        let Ok(_lifecycle) = self.lifecycle.try_lock() else {
            return false;
        };
        let Some(plugin) = self.take_if_idle(now, idle) else {
            return false;
        };
        plugin.shutdown().await;
        tracing::info!(tenant.id = %self.name, "an idle tenant is evicted; its next call opens it again");
        true
    }

    /// Memory that the tenant takes while it is open, in bytes; `None` if it is not. Unlike [`Slot::peek`], it is no use of the plugin.
    pub(super) fn memory(&self) -> Option<u64> {
        let state = self.state();
        let plugin = state.plugin.as_ref()?;
        Some(plugin.memory_held())
    }

    /// When it was last seen in use, if it is open, not in use, and loses no data if it is evicted.
    pub(super) fn evictable_since(&self) -> Option<Instant> {
        let state = self.state();
        let plugin = state.plugin.as_ref()?;
        let is_free = plugin.instancing() == Instancing::Replicated && !plugin.is_used();
        is_free.then_some(state.used)
    }

    fn take_if_idle(&self, now: Instant, idle: Duration) -> Option<Arc<Plugin>> {
        let mut state = self.state();
        let plugin = state.plugin.as_ref()?;
        if plugin.instancing() == Instancing::Exclusive {
            return None;
        }
        if plugin.is_used() {
            state.used = now;
            return None;
        }
        let is_idle = now.saturating_duration_since(state.used) >= idle;
        if is_idle {
            state.used = now;
            state.plugin.take()
        } else {
            None
        }
    }

    /// Clears the reason of the last failed opening.
    pub(super) fn forget_reason(&self) {
        self.state().reason = None;
    }

    /// Takes the plugin out, if it is open.
    ///
    /// # Errors
    /// [`InUse`] where `used` says so.
    pub(super) fn take_unless(
        &self,
        used: impl FnOnce(&Arc<Plugin>) -> bool,
    ) -> Result<Option<Arc<Plugin>>, InUse> {
        let mut state = self.state();
        if state.plugin.as_ref().is_some_and(used) {
            return Err(InUse);
        }
        Ok(state.plugin.take())
    }

    /// True if the plugin has not been open for at least `time`.
    pub(super) fn is_away_for(&self, now: Instant, time: Duration) -> bool {
        let state = self.state();
        state.plugin.is_none() && now.saturating_duration_since(state.used) >= time
    }

    /// Its upkeep was looked at, and needs no plugin.
    pub(super) fn visited(&self, now: Instant) {
        self.state().used = now;
    }

    /// Marks the slot as removed, unless it is open, is being opened, or could not be. Calls that have it make another then.
    pub(super) fn remove_if_away(&self) -> bool {
        let Ok(mut lifecycle) = self.lifecycle.try_lock() else {
            return false;
        };
        let is_away = self.presence() == Presence::Away;
        lifecycle.removed |= is_away && !lifecycle.closed;
        lifecycle.removed
    }

    /// Shuts the plugin down for good.
    pub(super) async fn close(&self) {
        let mut lifecycle = self.lifecycle.lock().await;
        lifecycle.closed = true;
        let plugin = self.state().plugin.take();
        if let Some(plugin) = plugin {
            plugin.shutdown().await;
        }
    }

    /// Locks the slot: the plugin is neither opened nor evicted meanwhile.
    pub(super) async fn lifecycle(&self) -> tokio::sync::MutexGuard<'_, Lifecycle> {
        self.lifecycle.lock().await
    }

    fn state(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock()
    }
}

/// The error for calls that come too late.
pub(super) fn stopping() -> Error {
    Error::new(ErrorKind::Unavailable, "the server is shutting down")
}
