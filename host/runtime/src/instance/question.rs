//! The four reads: each is asked of an instance, and its answer is checked against the contract.

use std::future::Future;

use larder_model::storage::{Error, Operation, Part, Pieces, Search, Sightings, Wanted};

use super::shared::Shared;
use crate::sandbox::check::{self, Breach};
use crate::sandbox::guest::{Called, Failure, Instance};
use crate::sandbox::refusal;

/// A read, as owned values: it outlives a caller that goes away.
pub(crate) trait Question: Send + Sync + 'static {
    /// The instance's answer, once it has passed the rules of the contract.
    type Answer: Send + 'static;

    /// Asks the instance; `plugin` is the plugin's name, for errors.
    fn ask(
        &self,
        instance: &mut Instance,
        plugin: &str,
    ) -> impl Future<Output = Outcome<Self::Answer>> + Send;
}

/// A page of `find`.
#[derive(Debug)]
pub(crate) struct Find {
    pub(crate) search: Search,
    pub(crate) resume: Option<Vec<u8>>,
    pub(crate) limit: u32,
}

/// A page of `read`.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) wanted: Wanted,
    pub(crate) part: Part,
    pub(crate) resume: Option<Vec<u8>>,
    pub(crate) max_bytes: u32,
}

/// The names of all services.
#[derive(Debug)]
pub(crate) struct Services;

/// The operations of one service.
#[derive(Debug)]
pub(crate) struct Operations {
    pub(crate) service: String,
}

/// The end of a read.
pub(crate) enum Outcome<T> {
    /// The answer, which keeps to the contract.
    Answer(T),
    /// The guest raised one of the contract's errors.
    Refused(Error),
    /// The guest's answer breaks the contract.
    Broken(Breach),
    /// The instance is gone.
    Failed(Failure),
}

impl Question for Find {
    type Answer = Sightings;

    async fn ask(&self, instance: &mut Instance, plugin: &str) -> Outcome<Sightings> {
        let Self {
            search,
            resume,
            limit,
        } = self;
        let resume = resume.as_deref();
        let called = instance.find(search, resume, *limit).await;
        outcome(plugin, called, |page| {
            check::sightings(&page, resume, *limit)?;
            Ok(page)
        })
    }
}

impl Question for Read {
    type Answer = Pieces;

    async fn ask(&self, instance: &mut Instance, plugin: &str) -> Outcome<Pieces> {
        let Self {
            wanted,
            part,
            resume,
            max_bytes,
        } = self;
        let resume = resume.as_deref();
        let called = instance.read(wanted, *part, resume, *max_bytes);
        outcome(plugin, called.await, |page| {
            check::pieces(&page, wanted, *part, resume, *max_bytes)?;
            Ok(page)
        })
    }
}

impl Question for Services {
    type Answer = Vec<String>;

    async fn ask(&self, instance: &mut Instance, plugin: &str) -> Outcome<Vec<String>> {
        outcome(plugin, instance.services().await, |names| {
            check::services(&names)?;
            Ok(names)
        })
    }
}

impl Question for Operations {
    type Answer = Vec<Operation>;

    async fn ask(&self, instance: &mut Instance, plugin: &str) -> Outcome<Vec<Operation>> {
        let called = instance.operations(&self.service).await;
        outcome(plugin, called, |operations| {
            check::operations(&operations, &self.service)?;
            Ok(operations)
        })
    }
}

// === impl Outcome ===

impl<T> Outcome<T> {
    /// The caller's result, and the failure that ended the instance, if one did.
    pub(crate) fn settle(self, shared: &Shared) -> (Result<T, Error>, Option<Failure>) {
        match self {
            Self::Answer(answer) => (Ok(answer), None),
            Self::Refused(error) => (Err(error), None),
            Self::Broken(breach) => {
                let (error, out) = shared.broken(breach);
                (Err(error), out.then(Failure::struck_out))
            }
            Self::Failed(failure) => (Err(shared.unavailable(&failure)), Some(failure)),
        }
    }
}

fn outcome<T, A>(
    plugin: &str,
    called: Called<T>,
    checked: impl FnOnce(T) -> Result<A, Breach>,
) -> Outcome<A> {
    match called {
        Err(failure) => Outcome::Failed(failure),
        Ok(Err(raised)) => Outcome::Refused(refusal::of_read(plugin, &raised)),
        Ok(Ok(result)) => match checked(result) {
            Ok(answer) => Outcome::Answer(answer),
            Err(breach) => Outcome::Broken(breach),
        },
    }
}
