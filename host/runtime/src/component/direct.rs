//! An instance that is called one call at a time, with each answer checked: for tests of plugins.
//!
//! Nothing is queued, repeated or replaced: what a call has done to the instance is the caller's to see.

use std::sync::Arc;

use larder_model::storage::{
    Batch, Checked, Operation, Part, Pieces, Remade, Repaired, Search, Sightings, Statistics,
    Wanted,
};
use larder_store::{Claim, Namespace};

use super::Component;
use crate::instance::starter;
use crate::sandbox::check::{self, Breach};
use crate::sandbox::contract::{GuestError, Identity, Role};
use crate::sandbox::guest::{Cause, Failure, Gauge, Instance, KvAccess};

/// See the module. It cannot be called any more after an [`NoAnswer`] that is no broken rule.
pub struct Direct {
    /// `None` once a call has ended it.
    instance: Option<Instance>,
}

/// Why a call gave no answer that can be used, besides an error that the plugin raised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoAnswer {
    /// The rule that the answer broke, as metrics call it; `call.trap`, `call.memory` or `call.deadline` for the end of the instance.
    pub rule: &'static str,
    /// What has happened.
    pub detail: String,
}

/// What came of a call. The inner error is one of the contract's.
pub type DirectResult<T> = Result<Result<T, GuestError>, NoAnswer>;

/// Where an instance keeps a tenant's data.
#[derive(Clone)]
pub struct Place {
    /// The tenant's name, which tells tenants apart in what is kept outside of the namespace.
    pub tenant: Arc<str>,
    /// What `kv` works on.
    pub namespace: Arc<dyn Namespace>,
}

// === impl Direct ===

impl Direct {
    /// Opens an instance there: a writer under the claim, or a reader without one.
    ///
    /// # Errors
    /// As of every call.
    pub async fn open(
        component: &Component,
        place: &Place,
        claim: Option<&Claim>,
    ) -> DirectResult<Self> {
        let role = claim.map_or(Role::Reader, |claim| Role::Writer(Identity::from(claim)));
        Self::open_as(component, place, claim, role).await
    }

    /// Opens an instance that repairs what is there, and is asked for nothing else.
    ///
    /// # Errors
    /// As of every call.
    pub async fn open_repairer(
        component: &Component,
        place: &Place,
        claim: &Claim,
    ) -> DirectResult<Self> {
        Self::open_as(component, place, Some(claim), Role::Repairer).await
    }

    async fn open_as(
        component: &Component,
        place: &Place,
        claim: Option<&Claim>,
        role: Role<'_>,
    ) -> DirectResult<Self> {
        let gauge = Gauge::default();
        let kv = KvAccess::new(Arc::clone(&place.namespace), claim.cloned());
        let granted = component
            .granted(&place.tenant)
            .map_err(|error| NoAnswer::from(error.into_failure()))?;
        let started = Instance::start(&component.instance_config(&gauge, granted), kv).await;
        let mut instance = started.map_err(NoAnswer::from)?;
        let opened =
            starter::raised_by_open(&mut instance, component.config(), &place.tenant, role).await;
        Ok(opened.map_err(NoAnswer::from)?.map(|()| Self {
            instance: Some(instance),
        }))
    }

    /// The contract's `writer.write`.
    pub async fn write(&mut self, now: u64, batches: &[&Batch]) -> DirectResult<()> {
        let instance = self.instance()?;
        let called = instance.write(now, batches, 1).await;
        self.ended(called)
    }

    /// The contract's `purging.purge`.
    pub async fn purge(&mut self) -> DirectResult<()> {
        let instance = self.instance()?;
        let called = instance.purge().await;
        self.ended(called)
    }

    /// The contract's `replication.refresh`.
    pub async fn refresh(&mut self) -> DirectResult<()> {
        let instance = self.instance()?;
        let (called, _) = instance.refresh(None).await;
        self.ended(called)
    }

    /// The contract's `reader.find`.
    pub async fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> DirectResult<Sightings> {
        let instance = self.instance()?;
        let called = instance.find(search, resume, limit).await;
        let page = self.ended(called)?;
        checked(page, |page| check::sightings(page, resume, limit))
    }

    /// The contract's `reader.read`.
    pub async fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> DirectResult<Pieces> {
        let instance = self.instance()?;
        let called = instance.read(wanted, part, resume, max_bytes).await;
        let page = self.ended(called)?;
        checked(page, |page| {
            check::pieces(page, wanted, part, resume, max_bytes)
        })
    }

    /// The contract's `reader.services`.
    pub async fn services(&mut self) -> DirectResult<Vec<String>> {
        let instance = self.instance()?;
        let called = instance.services().await;
        let services = self.ended(called)?;
        checked(services, |services| check::services(services))
    }

    /// The contract's `reader.operations`.
    pub async fn operations(&mut self, service: &str) -> DirectResult<Vec<Operation>> {
        let instance = self.instance()?;
        let called = instance.operations(service).await;
        let operations = self.ended(called)?;
        checked(operations, |operations| {
            check::operations(operations, service)
        })
    }

    /// The contract's `upkeep.maintain`.
    pub async fn maintain(&mut self, now: u64) -> DirectResult<bool> {
        let instance = self.instance()?;
        let called = instance.maintain(now).await;
        self.ended(called)
    }

    /// The contract's `upkeep.statistics`.
    pub async fn statistics(&mut self) -> Result<Statistics, NoAnswer> {
        let instance = self.instance()?;
        let called = instance.statistics().await;
        self.ended(called)
    }

    /// The contract's `integrity.check`.
    pub async fn check(&mut self, resume: Option<&[u8]>) -> DirectResult<Checked> {
        let instance = self.instance()?;
        let called = instance.check(resume).await;
        let step = self.ended(called)?;
        checked(step, |step| check::checked(step, resume))
    }

    /// The contract's `replication.retire`.
    pub async fn retire(&mut self) -> DirectResult<bool> {
        let instance = self.instance()?;
        let called = instance.retire().await;
        self.ended(called)
    }

    /// The contract's `integrity.repair`.
    pub async fn repair(&mut self, now: u64, remade: &[Remade]) -> DirectResult<Repaired> {
        let instance = self.instance()?;
        let called = instance.repair(now, remade).await;
        let step = self.ended(called)?;
        checked(step, check::repaired)
    }

    /// Bytes that count against its memory limit; 0 once a call has ended it.
    pub fn memory_used(&self) -> u64 {
        self.instance.as_ref().map_or(0, Instance::memory_used)
    }

    fn instance(&mut self) -> Result<&mut Instance, NoAnswer> {
        self.instance.as_mut().ok_or_else(|| NoAnswer {
            rule: "call.trap",
            detail: "an earlier call has ended the instance".to_owned(),
        })
    }

    fn ended<T>(&mut self, called: Result<T, Failure>) -> Result<T, NoAnswer> {
        called.map_err(|failure| {
            self.instance = None;
            NoAnswer::from(failure)
        })
    }
}

/// Checks an answer by the rules that hold for one call.
fn checked<T>(
    answer: Result<T, GuestError>,
    check: impl FnOnce(&T) -> Result<(), Breach>,
) -> DirectResult<T> {
    if let Ok(answer) = &answer {
        check(answer).map_err(|breach| NoAnswer {
            rule: breach.rule,
            detail: breach.detail,
        })?;
    }
    Ok(answer)
}

// === impl NoAnswer ===

impl From<Failure> for NoAnswer {
    fn from(failure: Failure) -> Self {
        let rule = match failure.cause {
            Cause::Memory => "call.memory",
            Cause::Deadline => "call.deadline",
            _ => "call.trap",
        };
        Self {
            rule,
            detail: format!("{}: {}", failure.cause, failure.detail),
        }
    }
}
