//! Bounds the tenants that are open at a time: by number, by the memory of their plugins and of what the host holds of their data, and by
//! the mappings that their instances take.
//!
//! Before a tenant is opened beyond a bound, the one that was called least recently is evicted, as an idle one is later. A call is
//! refused only if all tenants that are open stay in use, or would lose their data by it.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use larder_core::{Live, Permit, Permits};
use larder_model::TenantName;
use larder_model::storage::{Error, ErrorKind};
use parking_lot::RwLock;
use tokio::time::sleep;

use super::registry::Options;
use super::slot::Slot;
use crate::sandbox::instances::{CountedInstance, Instances, PATIENCE, RETRY_INTERVAL, Relief};

/// See the module.
pub(super) struct Room {
    slots: Arc<RwLock<HashMap<TenantName, Arc<Slot>>>>,
    options: Live<Options>,
    places: Arc<Permits>,
    instances: Arc<Instances>,
}

/// A place for a tenant that is about to be opened.
pub(super) struct Place {
    /// Kept for as long as the tenant is open.
    pub(super) permit: Permit,
    /// Counts for the tenant's writer until that is there.
    _opening: CountedInstance,
}

/// A bound that is reached.
enum Bound {
    Number,
    Memory(u64),
    Instances,
}

// === impl Room ===

impl Room {
    pub(super) fn new(
        slots: Arc<RwLock<HashMap<TenantName, Arc<Slot>>>>,
        options: Live<Options>,
        instances: Arc<Instances>,
    ) -> Arc<Self> {
        let places = Permits::new(options.get().max_open);
        let room = Arc::new(Self {
            slots,
            options,
            places,
            instances,
        });
        let relief = Arc::downgrade(&room) as Weak<dyn Relief>;
        room.instances.set_relief(relief);
        room
    }

    /// Applies changed options. Tenants that are open stay so until another one is opened.
    pub(super) fn apply(&self, options: &Options) {
        self.places.set_limit(options.max_open);
    }

    /// A place for one more tenant.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if there is none, and no tenant can be evicted, for [`PATIENCE`]. The text names the limit.
    pub(super) async fn make(&self) -> Result<Place, Error> {
        let begun = tokio::time::Instant::now();
        loop {
            let bound = match self.place() {
                Ok(place) => return Ok(place),
                Err(bound) => bound,
            };
            if self.evict_one().await {
                continue;
            }
            if begun.elapsed() >= PATIENCE {
                return Err(self.refuse(&bound));
            }
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// A place if no bound is reached.
    fn place(&self) -> Result<Place, Bound> {
        let permit = self.places.try_acquire().ok_or(Bound::Number)?;
        let memory = self.memory();
        if memory >= self.options.get().open_memory {
            return Err(Bound::Memory(memory));
        }
        let opening = self.instances.try_open().ok_or(Bound::Instances)?;
        Ok(Place {
            permit,
            _opening: opening,
        })
    }

    /// Memory of all tenants that are open, in bytes. 0 if none is, so that one may be open in any case.
    fn memory(&self) -> u64 {
        let slots = self.slots.read();
        let open = slots.values().filter_map(|slot| slot.memory());
        open.fold(0, u64::saturating_add)
    }

    /// Evicts the tenant that was called least recently and is not in use. False if there is none.
    async fn evict_one(&self) -> bool {
        if !self.options.get().enabled {
            // The one tenant stays open.
            return false;
        }
        let mut open: Vec<(Instant, Arc<Slot>)> = {
            let slots = self.slots.read();
            let open = slots
                .values()
                .filter_map(|slot| Some((slot.evictable_since()?, Arc::clone(slot))));
            open.collect()
        };
        open.sort_by_key(|(used, _)| *used);
        for (_, slot) in open {
            if slot.evict(Instant::now(), Duration::ZERO).await {
                return true;
            }
        }
        false
    }

    fn refuse(&self, bound: &Bound) -> Error {
        let options = self.options.get();
        let (limit, setting) = match bound {
            Bound::Number => (
                format!(
                    "{} tenants are open, as many as tenancy.max_open allows",
                    options.max_open
                ),
                Some("tenancy.max_open"),
            ),
            Bound::Memory(bytes) => (
                format!(
                    "open tenants take {bytes} bytes of memory, and tenancy.open_memory allows {}",
                    options.open_memory
                ),
                Some("tenancy.open_memory"),
            ),
            Bound::Instances => (self.instances.describe(), None),
        };
        let text = format!(
            "{limit}, and none can be evicted: they are in use, or keep their data in memory; retry"
        );
        let error = Error::new(ErrorKind::ResourceExhausted, text);
        match setting {
            Some(setting) => error.with_setting(setting),
            None => error,
        }
    }
}

#[async_trait]
impl Relief for Room {
    async fn relieve(&self) -> bool {
        self.evict_one().await
    }
}
