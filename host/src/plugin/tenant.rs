//! One tenant's plugin at work.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Error, Runtime, Settings, Status};
use crate::kv;
use crate::storage::{self, Batch, Operation, Part, Pieces, Search, Sightings, Storage, Wanted};
use crate::telemetry::Metrics;

/// One tenant's plugin: takes writes and reads, and replaces instances that fail.
pub struct Tenant {
    ready: watch::Receiver<bool>,
    status: Status,
}

impl Tenant {
    /// Loads the plugin, checks that it fits the contract, and opens it.
    ///
    /// # Errors
    /// Everything that makes the plugin unusable: see [`Error`].
    pub async fn open(
        _runtime: &Runtime,
        settings: Settings,
        _kv: Arc<dyn kv::Driver>,
        _metrics: Arc<Metrics>,
    ) -> Result<Arc<Self>, Error> {
        settings.source.read()?;
        Err(Error::Start {
            plugin: settings.source.to_string(),
            reason: "the runtime is not finished".into(),
        })
    }

    /// How the plugin is now.
    pub fn status(&self) -> Status {
        self.status.clone()
    }

    /// Whether calls are served; changes with every restart.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Forgets everything. A write that is acknowledged after this returns is kept.
    pub async fn purge(&self) -> Result<(), storage::Error> {
        Err(unfinished())
    }

    /// Writes what waits, and refuses what comes after.
    pub async fn shutdown(&self) {}
}

fn unfinished() -> storage::Error {
    storage::Error::new(
        storage::ErrorKind::Unavailable,
        "the runtime is not finished",
    )
}

#[async_trait::async_trait]
impl Storage for Tenant {
    async fn write(&self, _batch: Batch) -> Result<(), storage::Error> {
        Err(unfinished())
    }

    async fn find(
        &self,
        _search: &Search,
        _resume: Option<&[u8]>,
        _limit: u32,
    ) -> Result<Sightings, storage::Error> {
        Err(unfinished())
    }

    async fn read(
        &self,
        _wanted: &Wanted,
        _part: Part,
        _resume: Option<&[u8]>,
        _max_bytes: u32,
    ) -> Result<Pieces, storage::Error> {
        Err(unfinished())
    }

    async fn services(&self) -> Result<Vec<String>, storage::Error> {
        Err(unfinished())
    }

    async fn operations(&self, _service: &str) -> Result<Vec<Operation>, storage::Error> {
        Err(unfinished())
    }

    fn report(&self, _breach: &storage::Error) {}
}
