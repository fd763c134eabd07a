//! Another plugin, other settings, other tenants, while the server runs.
//!
//! Those who are open are changed one after the other, each without a failed call; those who are away open with what is new. A tenant
//! whose plugin cannot be replaced goes on with the one it has, also after it was put away, until a later reload succeeds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use larder_core::telemetry::Chain;
use larder_model::TenantName;
use serde::Serialize;

use super::Tenants;
use super::blueprints::{Blueprints, Components, Plan, Unusable};
use super::exchange::InUse;
use super::slot::Slot;
use super::tenants::Options;
use crate::plugin::{self, Exchanged, Opener};

/// How many are changed at a time: each opens instances.
const AT_A_TIME: usize = 4;

/// What a reload has done to the tenants that are open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Whose instances are new, or whose limits are.
    pub replaced: Vec<TenantName>,
    /// Whose plugin could not be replaced, and goes on as it was.
    pub failed: Vec<NotTaken>,
}

/// A tenant whose plugin goes on as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotTaken {
    /// Whose.
    pub tenant: TenantName,
    /// Why.
    pub reason: String,
}

impl Tenants {
    /// What opens the plugin of who has none of its own.
    pub fn opens_with(&self) -> Arc<Opener> {
        Arc::clone(self.decided.now().blueprints.default_opener())
    }

    /// The blueprints of a changed plan, to be reloaded with.
    ///
    /// # Errors
    /// The first component that cannot be loaded.
    pub async fn redrawn(
        &self,
        plan: Plan,
        components: Components,
    ) -> Result<Blueprints, Unusable> {
        let now = self.decided.now();
        now.blueprints.redrawn(plan, components).await
    }

    /// Gives tenants what `blueprints` say from here on, and has those who are open run it.
    ///
    /// # Errors
    /// A plugin that refuses to open even on nothing, and without tenancy one that cannot take the place of the one there: then
    /// nothing has changed.
    pub async fn reload(&self, blueprints: Blueprints) -> Result<Taken, Unusable> {
        let tried = blueprints.try_out().await?;
        let enabled = self.options().enabled;
        if !enabled {
            let (now, next) = (self.opens_with(), blueprints.default_opener());
            let may = now.may_become(next);
            may.map_err(|source| Unusable::new(None, source))?;
        }
        let before = self.decide(Arc::new(InUse { blueprints, tried }));
        let now = self.decided.now();
        // Also where nothing has changed: one that failed the last time may not fail now.
        let slots = stream::iter(self.slots());
        let changed = slots.map(|slot| {
            let name = slot.name().clone();
            let before = Arc::clone(before.blueprints.of(name.as_str()));
            let next = Arc::clone(now.blueprints.of(name.as_str()));
            async move {
                let exchanged = slot.exchange(&before.opener, &next.opener).await;
                (name, exchanged)
            }
        });
        let changed: Vec<_> = changed.buffer_unordered(AT_A_TIME).collect().await;
        let mut taken = Taken::default();
        for (tenant, exchanged) in changed {
            match exchanged {
                Ok(Exchanged::Unchanged) => {}
                Ok(Exchanged::Replaced) => taken.replaced.push(tenant),
                Err(error) if !enabled => {
                    self.decide(before);
                    return Err(Unusable::new(None, error));
                }
                Err(error) => taken.failed.push(NotTaken {
                    tenant,
                    reason: Chain(&error).to_string(),
                }),
            }
        }
        taken.replaced.sort();
        taken.failed.sort_by(|one, two| one.tenant.cmp(&two.tenant));
        Ok(taken)
    }

    /// Takes another list of tenants, other defaults and limits; whether tenancy is on cannot change. Who is no longer in the list is
    /// put away once nobody calls, and what it has stored stays.
    pub async fn set(&self, options: Options) {
        let gone: Vec<Arc<Slot>> = {
            let mut slots = self.slots_mut();
            for name in &options.known {
                let known = slots.entry(name.clone());
                known.or_insert_with_key(|name| {
                    Slot::away(name.clone(), &self.decided.of(name.as_str()))
                });
            }
            let is_gone = |slot: &&Arc<Slot>| {
                let known = self.options();
                known.known.contains(slot.name()) && !options.known.contains(slot.name())
            };
            let gone = slots.values().filter(is_gone).cloned().collect();
            // Under the lock: a name that is to be kept does not go meanwhile.
            self.set_options(options);
            gone
        };
        for slot in gone {
            slot.put_away(Instant::now(), Duration::ZERO).await;
        }
    }
}

impl Slot {
    /// Has the tenant run `next`, if its plugin is open. Where that cannot be, it stays with what it has: `before`, or what an earlier
    /// reload has left it with.
    async fn exchange(
        &self,
        before: &Arc<Opener>,
        next: &Arc<Opener>,
    ) -> Result<Exchanged, plugin::Error> {
        let mut door = self.door().await;
        let Some(tenant) = self.look() else {
            if !before.is_same_as(next) {
                door.kept = None;
                door.forget_failure();
            }
            return Ok(Exchanged::Unchanged);
        };
        let exchanged = tenant.exchange(next).await;
        if exchanged.is_ok() {
            door.kept = None;
        } else if door.kept.is_none() {
            door.kept = Some(Arc::clone(before));
        }
        exchanged
    }
}
