//! The registry: every tenant that is known, and its plugin while that is open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use larder_core::Live;
use larder_core::Quotas;
use larder_core::Serving;
use larder_core::Stores;
use larder_core::telemetry::{Metrics, TenantGauges};
use larder_model::TenantName;
use larder_model::storage::{self, ErrorKind, Storage};
use larder_store as kv;
use parking_lot::{RwLock, RwLockWriteGuard};
use tokio::sync::watch;

use super::current::Current;
use super::room::Room;
use super::slot::{Slot, stopping};
use super::{Error, LoadError, LoadedConfig, TenantLimits, TenantStatus, eviction, health, store};
use crate::plugin::{self, Plugin};

/// Tenants that are shut down at a time.
const AT_A_TIME: usize = 16;

/// Configuration of the registry.
#[derive(Clone, Debug)]
pub struct Options {
    /// True if requests name their tenants. Otherwise there is one tenant, which is opened at the start and stays open.
    pub enabled: bool,
    /// Tenants that are known from the start.
    pub known: Vec<TenantName>,
    /// The tenant of an operator's request that names none.
    pub default: Option<TenantName>,
    /// The most tenants (`tenancy.max_tenants`).
    pub max_tenants: usize,
    /// Tenants that were idle for so long are evicted (`tenancy.idle_timeout`).
    pub idle_timeout: Duration,
    /// The most tenants whose plugin is open (`tenancy.max_open`).
    pub max_open: usize,
    /// The most memory that open tenants take together, in bytes (`tenancy.open_memory`): their plugins, and what the host holds of their data.
    pub open_memory: u64,
}

/// See the module.
pub struct Tenants {
    pub(super) current: Arc<Current>,
    pub(super) kv: Arc<dyn kv::Driver>,
    options: Live<Options>,
    pub(super) slots: Arc<RwLock<HashMap<TenantName, Arc<Slot>>>>,
    pub(super) room: Arc<Room>,
    ready: watch::Receiver<bool>,
    health: Serving,
    /// True until the server stops.
    serving: watch::Sender<bool>,
}

// === impl Tenants ===

impl Tenants {
    /// Lists the tenants that have data. Without tenancy the one tenant is opened; with it each is opened by its first call.
    ///
    /// # Errors
    /// A plugin that cannot be opened, a store that cannot be read.
    pub async fn start(config: LoadedConfig, options: Options) -> Result<Arc<Self>, LoadError> {
        let (serving, mut ready) = watch::channel(true);
        let mut health = health::always();
        let kv = Arc::clone(config.kv());
        kv.set_quotas(config.kv_quotas());
        // Before a plugin is opened: a start that is tried again has opened none in vain.
        let stored = kv.tenants().await.map_err(|source| {
            let plugin = config.default.plugin.name().to_string();
            LoadError::new(None, plugin::Error::Kv { plugin, source })
        })?;
        let mut slots = HashMap::new();
        if !options.enabled {
            let name = TenantName::default_tenant();
            let of_tenant = config.of(name.as_str());
            let plugin = of_tenant.plugin.open(name.as_str()).await;
            let plugin = plugin.map_err(|source| LoadError::new(None, source))?;
            ready = plugin.ready();
            health = plugin.serving();
            slots.insert(name.clone(), Slot::open(name, of_tenant, plugin));
        }
        let stored = stored
            .iter()
            .filter_map(|stored| stored.tenant.parse().ok());
        let mut stored: Vec<TenantName> = stored.collect();
        stored.sort();
        // In this order they get series of their own, of which the number is limited: first those that the configuration names.
        for name in options.known.iter().cloned().chain(stored) {
            let known = slots.entry(name);
            known.or_insert_with_key(|name: &TenantName| {
                Slot::away(name.clone(), config.of(name.as_str()))
            });
        }
        let enabled = options.enabled;
        let taken = store::taken(&*kv, config.default.plugin.instancing());
        let followed = health::Followed::new(health, taken);
        let instances = Arc::clone(config.default.plugin.host().runtime.instances());
        let (options, slots) = (Live::new(options), Arc::new(RwLock::new(slots)));
        let room = Room::new(Arc::clone(&slots), options.clone(), instances);
        let tenants = Arc::new(Self {
            current: Arc::new(Current::new(config)),
            kv,
            options,
            slots,
            room,
            ready,
            health: followed.serving(),
            serving,
        });
        tokio::spawn(followed.follow(Arc::downgrade(&tenants)));
        if enabled {
            eviction::start(&tenants);
        }
        Ok(tenants)
    }

    /// Keeps so many bytes of the disk free from the next write on (`kv.min_free`).
    pub fn keep_free(&self, bytes: u64) {
        self.kv.set_min_free(bytes);
    }

    /// True while calls are served. Always true with tenancy, as a plugin that fails affects its own tenant only.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Calls that are taken now, for health checks. If the plugin keeps its data in `kv`, none are that do not reach the store, and writes are
    /// not while its disk is full.
    pub fn health(&self) -> Serving {
        self.health.clone()
    }

    /// The plugin of the default tenant if it is open, else the default plugin as it was tried out.
    pub fn status(&self) -> plugin::Status {
        let plugin = self.find(None).ok().and_then(|slot| slot.peek());
        plugin.map_or_else(
            || self.current.get().default.plugin.status(),
            |plugin| plugin.status(),
        )
    }

    /// The state of the server: always ready with tenancy, else the state of the one plugin. [`Tenants::reach`] has that of the store.
    pub fn state(&self) -> plugin::State {
        if self.options().enabled {
            plugin::State::Ready
        } else {
            self.status().state
        }
    }

    /// All known tenants, by name.
    ///
    /// # Errors
    /// A store that cannot be read.
    pub async fn list(&self) -> Result<Vec<TenantStatus>, storage::Error> {
        let stored = self.stored().await?;
        let mut slots = self.slots();
        slots.sort_by(|one, other| one.name().cmp(other.name()));
        let status = |slot: &Arc<Slot>| TenantStatus {
            name: slot.name().to_string(),
            state: slot.presence(),
            stored_bytes: stored.get(slot.name().as_str()).copied(),
            plugin: slot.peek().map(|plugin| plugin.status()),
            limits: TenantLimits::from(&self.current.of(slot.name().as_str())),
        };
        Ok(slots.iter().map(status).collect())
    }

    /// Sets the gauges of all tenants, of their sums over open ones, and of the kv driver.
    pub async fn measure(&self, metrics: &Metrics) {
        let stored = self.stored().await;
        let mut sum = TenantGauges::default();
        let mut tenants = Vec::new();
        for slot in self.slots() {
            let plugin = slot.peek();
            let mut gauges = plugin.map_or_else(TenantGauges::default, |it| it.gauges());
            sum += gauges;
            let in_kv = stored.as_ref().ok();
            let in_kv = in_kv.and_then(|stored| stored.get(slot.name().as_str()));
            // A plugin whose data is in its memory has an empty namespace, or none.
            if let Some(bytes) = in_kv.filter(|bytes| **bytes > 0) {
                gauges.bytes = *bytes;
            }
            tenants.push((Arc::clone(slot.quotas().series()), gauges));
        }
        metrics.set_gauges(&sum);
        // Without the sizes in kv, the tenants' gauges stay as they are.
        if stored.is_ok() {
            metrics.set_tenants(&tenants);
        }
        metrics.kv(&self.kv.statistics());
        metrics.kv_statements(self.kv.statements());
    }

    /// The storage of the tenant that an operator names, or of the default one.
    ///
    /// # Errors
    /// [`Error`]; a tenant that is not known yet is not made.
    pub async fn named(&self, name: Option<&str>) -> Result<Arc<dyn Storage>, Error> {
        let slot = self.found(name).await?;
        let name = slot.name().as_str();
        let opened = self.enter(&slot).await;
        let plugin = opened.map_err(|source| Error::storage(name, source))?;
        let plugin = plugin.ok_or_else(|| Error::unknown(name))?;
        Ok(plugin.pinned())
    }

    /// The name of the tenant that an operator names, or of the default one.
    ///
    /// # Errors
    /// As [`Tenants::named`]; nothing is opened.
    pub async fn name_of(&self, name: Option<&str>) -> Result<TenantName, Error> {
        Ok(self.found(name).await?.name().clone())
    }

    /// The quotas of the tenant that an operator names, or of the default one.
    ///
    /// # Errors
    /// As [`Tenants::named`]; nothing is opened.
    pub async fn named_quotas(&self, name: Option<&str>) -> Result<Arc<Quotas>, Error> {
        Ok(Arc::clone(self.found(name).await?.quotas()))
    }

    /// Shuts every tenant's plugin down once its waiting writes are written. None is opened again.
    pub async fn shutdown(&self) {
        self.serving.send_replace(false);
        stream::iter(self.slots())
            .for_each_concurrent(AT_A_TIME, |slot| async move { slot.close().await })
            .await;
    }

    /// Brings what is stored to disk, before the process ends: see [`Driver::close`](larder_store::Driver::close).
    ///
    /// # Errors
    /// The disk's: writes that were acknowledged before they were on it may be lost.
    pub async fn close_store(&self) -> Result<(), larder_store::Error> {
        self.kv.close().await
    }

    /// Stored bytes of every tenant that has a namespace. Where other hosts share the store, the slots follow.
    pub(super) async fn stored(&self) -> Result<HashMap<String, u64>, storage::Error> {
        let stored = self.kv.tenants().await.map_err(|error| {
            let text = format!("the tenants that are stored cannot be listed: {error}");
            storage::Error::new(ErrorKind::Unavailable, text)
        })?;
        let pairs = stored
            .into_iter()
            .map(|stored| (stored.tenant, stored.bytes));
        let stored = pairs.collect();
        if self.kv.is_shared() {
            self.learn(&stored);
        }
        Ok(stored)
    }

    pub(super) fn options(&self) -> Arc<Options> {
        self.options.get()
    }

    pub(super) fn set_options(&self, options: Options) {
        self.room.apply(&options);
        self.options.set(options);
    }

    pub(super) fn slots_mut(&self) -> RwLockWriteGuard<'_, HashMap<TenantName, Arc<Slot>>> {
        self.slots.write()
    }

    pub(super) fn slots(&self) -> Vec<Arc<Slot>> {
        let slots = self.slots.read();
        slots.values().cloned().collect()
    }

    /// The slot of the tenant that an operator names, or of the default one.
    pub(super) fn find(&self, name: Option<&str>) -> Result<Arc<Slot>, Error> {
        let options = self.options();
        let default = TenantName::default_tenant();
        let name = match (name, &options.default) {
            (Some(name), _) => name,
            (None, _) if !options.enabled => default.as_str(),
            (None, Some(default)) => default.as_str(),
            (None, None) => return Err(Error::Missing),
        };
        let slots = self.slots.read();
        slots.get(name).cloned().ok_or_else(|| Error::unknown(name))
    }

    /// The slot of a tenant that a request has named, made if this is its first call.
    pub(super) fn slot(&self, name: &TenantName) -> Result<Arc<Slot>, storage::Error> {
        let mut slots = self.slots_mut();
        if let Some(slot) = slots.get(name) {
            return Ok(Arc::clone(slot));
        }
        let (most, setting) = (self.options().max_tenants, "tenancy.max_tenants");
        if slots.len() >= most {
            let text = format!("there are {most} tenants already, as many as {setting} allows");
            let error = storage::Error::new(ErrorKind::ResourceExhausted, text);
            return Err(error.with_setting(setting));
        }
        // Under the lock, so that a reload at this moment finds the slot.
        let slot = Slot::away(name.clone(), &self.current.of(name.as_str()));
        slots.insert(name.clone(), Arc::clone(&slot));
        Ok(slot)
    }

    /// The slot of a request's tenant.
    fn slot_of(&self, tenant: Option<&TenantName>) -> Result<Arc<Slot>, storage::Error> {
        match tenant {
            Some(name) => self.slot(name),
            None if self.options().enabled => {
                let text = "a request came without its tenant";
                Err(storage::Error::new(ErrorKind::Internal, text))
            }
            None => self.slot(&TenantName::default_tenant()),
        }
    }

    /// None if the slot was removed meanwhile.
    pub(super) async fn enter(
        &self,
        slot: &Arc<Slot>,
    ) -> Result<Option<Arc<Plugin>>, storage::Error> {
        if let Some(plugin) = slot.call() {
            return Ok(Some(plugin));
        }
        if !*self.serving.borrow() {
            return Err(stopping());
        }
        let (current, room) = (Arc::clone(&self.current), Arc::clone(&self.room));
        Arc::clone(slot).opened(current, room).await
    }
}

#[async_trait::async_trait]
impl Stores for Tenants {
    fn get(&self, tenant: Option<&TenantName>) -> Option<Arc<dyn Storage>> {
        let name = match tenant {
            Some(name) => name.as_str(),
            None if self.options().enabled => return None,
            None => plugin::DEFAULT_TENANT,
        };
        let slots = self.slots.read();
        let plugin = slots.get(name)?.call()?;
        Some(plugin.pinned())
    }

    fn quotas(&self, tenant: Option<&TenantName>) -> Result<Arc<Quotas>, storage::Error> {
        if let Some(name) = tenant {
            let slots = self.slots.read();
            if let Some(slot) = slots.get(name) {
                return Ok(Arc::clone(slot.quotas()));
            }
        }
        Ok(Arc::clone(self.slot_of(tenant)?.quotas()))
    }

    async fn open(&self, tenant: Option<&TenantName>) -> Result<Arc<dyn Storage>, storage::Error> {
        loop {
            let slot = self.slot_of(tenant)?;
            // The slot was removed: make another.
            if let Some(plugin) = self.enter(&slot).await? {
                return Ok(plugin.pinned());
            }
        }
    }
}

#[cfg(test)]
mod tests;
