//! Tenants that other hosts make, write to and purge, where the store is shared.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use larder_core::telemetry::Chain;
use larder_model::TenantName;
use larder_store::{self as kv, HOST_PREFIX};
use tracing::warn;

use super::slot::Slot;
use super::{Error, Tenants};
use crate::instance::adoption::Adopter;
use crate::instance::starter::Starter;

impl Tenants {
    /// The slot of the tenant that an operator names, or of the default one; also if another host has made the tenant meanwhile.
    ///
    /// # Errors
    /// [`Error`]; a tenant that is not there is not made.
    pub(super) async fn found(&self, name: Option<&str>) -> Result<Arc<Slot>, Error> {
        match self.find(name) {
            Err(Error::Unknown { name }) if self.kv.is_shared() => {
                let stored = self.stored().await;
                stored.map_err(|source| Error::storage(&name, source))?;
                self.find(Some(&name))
            }
            found => found,
        }
    }

    /// Has a slot for each tenant that is stored, and none for those that other hosts have removed. A tenant that is open here, or that the
    /// configuration names, keeps its slot.
    pub(super) fn learn(&self, stored: &HashMap<String, u64>) {
        let names = stored.keys().filter_map(|name| name.parse().ok());
        let mut names: Vec<TenantName> = names.collect();
        names.sort();
        let mut slots = self.slots_mut();
        for name in names {
            let known = slots.entry(name);
            known.or_insert_with_key(|name: &TenantName| {
                Slot::away(name.clone(), &self.current.of(name.as_str()))
            });
        }
        slots.retain(|name, slot| {
            stored.contains_key(name.as_str()) || self.is_kept(slot) || !slot.remove_if_away()
        });
    }

    /// Returns `true` if the tenant has to be opened for its upkeep: this host has written to it, or a dead host has whose data has to be
    /// observed. Where nobody observes, what dead hosts have written is kept up here, which does not take an id of the tenant.
    pub(super) async fn is_written_here(&self, slot: &Slot, now: Instant) -> bool {
        let written = self.looked_at(slot, now).await;
        written.unwrap_or_else(|error| {
            warn!(tenant.id = %slot.name(), error, "a tenant cannot be looked at for its upkeep");
            false
        })
    }

    async fn looked_at(&self, slot: &Slot, now: Instant) -> Result<bool, String> {
        let name = slot.name().as_str();
        let component = self.current.of(name).plugin;
        let starter = component.starter(name).await;
        let starter = starter.map_err(|error| Chain(&error).to_string())?;
        let writers = writers(&starter).await.map_err(|error| error.to_string())?;
        if writers.contains(&self.kv.writer_id()) {
            return Ok(true);
        }
        if !starter.is_followed() {
            // Upkeep of what a dead host has written has to be told to an observer, which an open tenant has.
            let is_dead = any_dead(&starter, &writers).await;
            if is_dead.map_err(|error| error.to_string())? {
                return Ok(true);
            }
            slot.visited(now);
            return Ok(false);
        }
        slot.visited(now);
        if !writers.is_empty() {
            let lane = starter.lane().clone();
            let adopter = Adopter::new(Arc::new(starter));
            lane.gated(adopter.visit(now)).await;
        }
        Ok(false)
    }
}

/// True if one of these ids is a dead host's, which this one has adopted now.
async fn any_dead(starter: &Starter, writers: &[String]) -> Result<bool, kv::Error> {
    for writer in writers {
        if starter.namespace().adopt(writer).await?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The ids of the plugin's writers.
async fn writers(starter: &Starter) -> Result<Vec<String>, kv::Error> {
    let mut writers = starter.namespace().writers().await?;
    writers.retain(|writer| !writer.starts_with(HOST_PREFIX));
    Ok(writers)
}
