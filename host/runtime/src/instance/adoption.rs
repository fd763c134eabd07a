//! Keeps up what dead hosts have written: drops what is too old, merges what is small, and takes an id away once nothing refers to it.
//!
//! Upkeep stays per writer, and nobody leads. Each host looks at the ids of a tenant that are not its own, now and then, and claims those of
//! hosts that are dead; the driver gives each to one host. An instance in the role of that writer does its upkeep alone, and is dropped. A
//! host that comes back claims its id again, which fences the one that has adopted it. One such instance of a tenant runs at a time.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use larder_store::{self as kv, Claim, HOST_PREFIX, Namespace};
use tokio::sync::Mutex;
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::keep;
use super::starter::{OpenError, Starter};
use crate::component::Instancing;
use crate::sandbox::guest::{Cause, Failure, Instance};
use crate::sandbox::refusal;

/// Interval at which the ids of a tenant are looked at.
const LOOK_EVERY: Duration = Duration::from_mins(1);
/// Interval between two upkeeps of an adopted id that has nothing more to do.
const UPKEEP_EVERY: Duration = Duration::from_mins(10);

/// Adopts the ids of dead hosts in one tenant.
pub(crate) struct Adopter {
    starter: Arc<Starter>,
    adopted: Mutex<Adopted>,
}

/// What was adopted, in one namespace.
#[derive(Default)]
struct Adopted {
    namespace: Option<Arc<dyn Namespace>>,
    by_id: HashMap<String, Adoption>,
}

struct Adoption {
    claim: Claim,
    /// True once the observer has the dead host's place.
    is_observed: bool,
    /// When its upkeep is due.
    due: Instant,
}

/// Why an upkeep has ended early.
enum Ended {
    /// Its host is back, another one has adopted it, or the tenant was purged.
    Fenced,
    /// It goes on at the next time.
    Failed(String),
}

// === impl Adopter ===

impl Adopter {
    pub(crate) fn new(starter: Arc<Starter>) -> Self {
        Self {
            starter,
            adopted: Mutex::default(),
        }
    }

    /// Visits the tenant for as long as it is open. Ends at once where no other host can have written to it.
    pub(crate) async fn run(self: Arc<Self>) {
        let is_replicated = self.starter.component().instancing() == Instancing::Replicated;
        while self.starter.is_shared() && is_replicated {
            self.visit(Instant::now()).await;
            sleep(LOOK_EVERY).await;
        }
    }

    /// Looks for ids of dead hosts, and does the upkeep of those that are due.
    pub(crate) async fn visit(&self, now: Instant) {
        if let Err(error) = self.try_visit(now).await {
            debug!(tenant.id = self.starter.tenant(), %error, "the data of other hosts cannot be looked at");
        }
    }

    async fn try_visit(&self, now: Instant) -> Result<(), kv::Error> {
        if !self.starter.is_followed() {
            // It has to be told of all upkeep. Without an adoption another host can do that.
            return Ok(());
        }
        let mut adopted = self.adopted.lock().await;
        let namespace = self.starter.namespace();
        adopted.enter(&namespace);
        let writers = namespace.writers().await?;
        adopted.by_id.retain(|id, _| writers.contains(id));
        let own = self.starter.driver().writer_id();
        for id in &writers {
            if *id == own || id.starts_with(HOST_PREFIX) {
                continue;
            }
            let (claim, was_observed) = match adopted.by_id.get(id) {
                Some(adoption) if adoption.due > now => continue,
                Some(adoption) => (adoption.claim.clone(), adoption.is_observed),
                None => {
                    let Some(claim) = namespace.adopt(id).await? else {
                        continue;
                    };
                    let (tenant, writer) = (self.starter.tenant(), &**id);
                    info!(
                        tenant.id = tenant,
                        writer, "what a dead host has written is kept up here"
                    );
                    (claim, false)
                }
            };
            // Before upkeep, which the observer has to be told of.
            let is_observed = was_observed || self.observe(&namespace, id).await;
            match self.keep_up(&namespace, claim).await {
                Some((claim, has_failed)) => {
                    let adoption = Adoption {
                        claim,
                        // After a failure the place is looked for anew: another process may have it.
                        is_observed: is_observed && !has_failed,
                        due: now + UPKEEP_EVERY,
                    };
                    adopted.by_id.insert(id.clone(), adoption);
                }
                None => drop(adopted.by_id.remove(id)),
            }
        }
        Ok(())
    }

    /// Gives the observer the place of a dead host, whose writes are fenced. Returns `true` once it has it.
    async fn observe(&self, namespace: &Arc<dyn Namespace>, dead: &str) -> bool {
        match self.starter.keep_of_dead(namespace, dead).await {
            Ok(Some(keep)) => {
                let observed = self.starter.observed();
                observed.adopted(dead, Arc::new(keep)).await
            }
            Ok(None) => false,
            Err(error) => {
                debug!(tenant.id = self.starter.tenant(), writer = dead, %error, "what is derived of a dead host's data cannot be looked at");
                false
            }
        }
    }

    /// Does the upkeep of an adopted id. Gives the claim back if there will be more to do under it, and `true` if it has failed.
    async fn keep_up(&self, namespace: &Arc<dyn Namespace>, claim: Claim) -> Option<(Claim, bool)> {
        let (tenant, writer) = (self.starter.tenant(), &*claim.writer);
        match self.try_keep_up(namespace, &claim).await {
            Ok(false) => Some((claim, false)),
            Ok(true) => {
                info!(
                    tenant.id = tenant,
                    writer, "nothing is left of what a dead host has written"
                );
                None
            }
            Err(Ended::Fenced) => {
                debug!(tenant.id = tenant, writer, "an adopted id is another's");
                None
            }
            Err(Ended::Failed(error)) => {
                warn!(
                    tenant.id = tenant,
                    writer, error, "the upkeep of what a dead host has written failed"
                );
                Some((claim, true))
            }
        }
    }

    /// Returns `true` if nothing refers to the id any more, and it is gone.
    async fn try_keep_up(
        &self,
        namespace: &Arc<dyn Namespace>,
        claim: &Claim,
    ) -> Result<bool, Ended> {
        let component = self.starter.component();
        let instances = component.host().runtime.instances();
        // Counts for the instance until it is there. Tenants that are called come first.
        let Some(starting) = instances.try_open() else {
            return Ok(false);
        };
        let started = self
            .starter
            .adopted(&component, Arc::clone(namespace), claim);
        let mut instance = started.await?;
        drop(starting);
        while self.step(&mut instance, claim).await?.is_continue() {
            // Between two steps others compute.
            tokio::task::yield_now().await;
        }
        let retired = instance.retire().await?;
        drop(instance);
        match retired {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(raised) => return Err(Ended::Failed(refusal::describe(&raised))),
        }
        // The plugin's id last, as it is what brings the next visit here. Hosts that miss what was kept beside it only judge more meanwhile.
        keep::retire(&**namespace, &claim.writer).await?;
        namespace.retire(claim).await?;
        Ok(true)
    }

    /// One step of upkeep.
    async fn step(&self, instance: &mut Instance, claim: &Claim) -> Result<ControlFlow<()>, Ended> {
        let component = self.starter.component();
        let now = component.host().runtime.config().trusted_clock.now();
        let maintained = instance.maintain(now).await?;
        if instance.is_fenced() {
            return Err(Ended::Fenced);
        }
        instance.statistics().await?;
        let (observed, dead) = (self.starter.observed(), &*claim.writer);
        observed
            .after_upkeep(Some(dead), now, instance.upkept())
            .await;
        match maintained {
            Ok(true) => Ok(ControlFlow::Continue(())),
            Ok(false) => Ok(ControlFlow::Break(())),
            Err(raised) => Err(Ended::Failed(refusal::describe(&raised))),
        }
    }
}

// === impl Adopted ===

impl Adopted {
    /// Forgets what was adopted in another namespace.
    fn enter(&mut self, namespace: &Arc<dyn Namespace>) {
        let is_same = |known: &Arc<dyn Namespace>| Arc::ptr_eq(known, namespace);
        if !self.namespace.as_ref().is_some_and(is_same) {
            *self = Self {
                namespace: Some(Arc::clone(namespace)),
                by_id: HashMap::new(),
            };
        }
    }
}

// === impl Ended ===

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(format!("{}: {}", failure.cause, failure.detail))
    }
}

impl From<OpenError> for Ended {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Kv(error) => error.into(),
            OpenError::Failed(failure) if failure.cause == Cause::Fenced => Self::Fenced,
            OpenError::Failed(failure) => failure.into(),
            OpenError::Refused(reason) => Self::Failed(reason),
        }
    }
}

impl From<kv::Error> for Ended {
    fn from(error: kv::Error) -> Self {
        match error {
            kv::Error::Fenced | kv::Error::Held(_) => Self::Fenced,
            error => Self::Failed(error.to_string()),
        }
    }
}
