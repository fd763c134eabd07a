//! A plugin that is open on an empty store: a writer, and for a `replicated` plugin a reader beside it, which answers the searches.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use larder_model::storage::{
    self, Batch, ErrorKind, Operation, Part, Pieces, Search, Sightings, Storage, TraceId, Wanted,
};
use larder_runtime::plugin::{
    Component, Direct, DirectResult, GuestError, Instancing, NoAnswer, Place,
};
use larder_store::{Driver as _, MemoryDriver};
use tokio::sync::Mutex;

use crate::error::Error;

/// More steps of upkeep in a row than what was written in between can need.
const MAX_STEPS: usize = 10_000;

/// See the module. Searched as a [`Storage`].
pub(crate) struct Held {
    name: String,
    place: Place,
    /// It may keep something outside of the store.
    reaches_out: bool,
    writer: Mutex<Direct>,
    reader: Option<Mutex<Direct>>,
    /// The first rule that a search has found broken.
    faults: parking_lot::Mutex<Option<String>>,
}

/// What came of a write.
pub(crate) enum Written {
    /// It is stored.
    Stored,
    /// The plugin is full, and says so.
    Full(String),
}

// === impl Held ===

impl Held {
    pub(crate) async fn open(component: &Component) -> Result<Arc<Self>, Error> {
        let name = component.name().to_string();
        let store = |error: &larder_store::Error| Error::setup("the store in memory failed", error);
        let driver = MemoryDriver::new();
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let tenant = format!("larder-bench-{:x}", since.unwrap_or_default().as_nanos());
        let namespace = driver.open(&tenant).await.map_err(|it| store(&it))?;
        let place = Place {
            tenant: tenant.into(),
            namespace,
        };
        let claim = place.namespace.claim(&driver.writer_id()).await;
        let claim = claim.map_err(|it| store(&it))?;
        let open = async |claim| {
            let opened = Direct::open(component, &place, claim).await;
            answered(&name, "open", opened)
        };
        let writer = open(Some(&claim)).await?;
        let reader = match component.instancing() {
            Instancing::Exclusive => None,
            Instancing::Replicated => Some(open(None).await?),
        };
        Ok(Arc::new(Self {
            name,
            place,
            reaches_out: component.config().grants.reaches_out(),
            writer: Mutex::new(writer),
            reader: reader.map(Mutex::new),
            faults: parking_lot::Mutex::default(),
        }))
    }

    /// Has it delete what it has stored outside of the store, if it may have.
    pub(crate) async fn purge(&self) -> Result<(), Error> {
        if !self.reaches_out {
            return Ok(());
        }
        let purged = self.writer.lock().await.purge().await;
        answered(&self.name, "purge", purged)
    }

    /// The name that the plugin gives itself.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes an Export as a server's worker does, which looks at the counters of an `exclusive` plugin after each write.
    pub(crate) async fn write_export(&self, batches: &[&Batch]) -> Result<Written, Error> {
        let mut writer = self.writer.lock().await;
        let called = writer.write(now(), batches).await;
        if let Ok(Err(GuestError::ResourceExhausted(text))) = called {
            return Ok(Written::Full(text));
        }
        answered(&self.name, "write", called)?;
        if self.reader.is_none() {
            let counted = writer.statistics().await;
            counted.map_err(|ended| self.ended("statistics", &ended))?;
        }
        Ok(Written::Stored)
    }

    /// A step of upkeep. True if there is more to do now.
    pub(crate) async fn maintain(&self) -> Result<bool, Error> {
        let called = self.writer.lock().await.maintain(now()).await;
        answered(&self.name, "maintain", called)
    }

    /// Steps of upkeep until there is nothing to do.
    pub(crate) async fn maintain_all(&self) -> Result<(), Error> {
        for _ in 0..MAX_STEPS {
            if !self.maintain().await? {
                return Ok(());
            }
        }
        Err(self.failed(format!(
            "`maintain` has said {MAX_STEPS} times that there is more to do"
        )))
    }

    /// Has a query see what was written before it.
    pub(crate) async fn refresh(&self) -> Result<(), Error> {
        let Some(reader) = &self.reader else {
            return Ok(());
        };
        answered(&self.name, "refresh", reader.lock().await.refresh().await)
    }

    /// Traces that it has dropped, as far as it counts them.
    pub(crate) async fn dropped(&self) -> Result<u64, Error> {
        let counted = self.writer.lock().await.statistics().await;
        let counted = counted.map_err(|ended| self.ended("statistics", &ended))?;
        let traces = counted.evicted_traces + counted.expired_traces;
        let spans = counted.evicted_spans + counted.expired_spans;
        Ok(traces.max(u64::from(spans > 0)))
    }

    /// Bytes of memory of all instances.
    pub(crate) fn memory_used(self: &Arc<Self>) -> u64 {
        let used = |direct: &Mutex<Direct>| direct.try_lock().map_or(0, |it| it.memory_used());
        used(&self.writer) + self.reader.as_ref().map_or(0, used)
    }

    /// Bytes that it has stored in `kv`, compressed.
    pub(crate) fn stored_bytes(self: &Arc<Self>) -> u64 {
        self.place.namespace.stored_bytes()
    }

    /// Fails if the search has found a rule broken which it need not have told.
    pub(crate) fn sound(&self) -> Result<(), Error> {
        let fault = self.faults.lock().take();
        fault.map_or(Ok(()), |fault| Err(self.failed(fault)))
    }

    /// The error of a search that failed.
    pub(crate) fn failed(&self, what: String) -> Error {
        Error::Call {
            plugin: self.name.clone(),
            what,
        }
    }

    fn ended(&self, function: &str, ended: &NoAnswer) -> Error {
        self.failed(told(function, ended))
    }

    async fn reader(&self) -> tokio::sync::MutexGuard<'_, Direct> {
        self.reader.as_ref().unwrap_or(&self.writer).lock().await
    }
}

#[async_trait::async_trait]
impl Storage for Held {
    async fn write(&self, batch: Batch) -> Result<(), storage::Error> {
        let called = self.writer.lock().await.write(now(), &[&batch]).await;
        read_of("write", called)
    }

    async fn find(
        &self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Result<Sightings, storage::Error> {
        let called = self.reader().await.find(search, resume, limit).await;
        read_of("find", called)
    }

    async fn read(
        &self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Result<Pieces, storage::Error> {
        let mut reader = self.reader().await;
        let called = reader.read(wanted, part, resume, max_bytes).await;
        read_of("read", called)
    }

    async fn services(&self) -> Result<Vec<String>, storage::Error> {
        read_of("services", self.reader().await.services().await)
    }

    async fn operations(&self, service: &str) -> Result<Vec<Operation>, storage::Error> {
        read_of("operations", self.reader().await.operations(service).await)
    }

    fn report(&self, breach: &storage::Error) {
        self.faults.lock().get_or_insert_with(|| breach.to_string());
    }

    fn not_read_back(&self, fragments: usize, (handle, trace): (u64, TraceId)) {
        self.faults.lock().get_or_insert_with(|| {
            format!(
                "{fragments} fragments were sighted and are not read back, such as {handle} of trace {trace}"
            )
        });
    }
}

fn answered<T>(plugin: &str, function: &str, called: DirectResult<T>) -> Result<T, Error> {
    let what = match called {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(raised)) => format!("`{function}` raised {raised}"),
        Err(ended) => told(function, &ended),
    };
    Err(Error::Call {
        plugin: plugin.to_owned(),
        what,
    })
}

/// What came of a call of a search, as the search has it.
fn read_of<T>(function: &str, called: DirectResult<T>) -> Result<T, storage::Error> {
    match called {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(raised)) => Err(storage::Error::new(
            ErrorKind::ContractBroken,
            format!("`{function}` raised {raised}"),
        )),
        Err(ended) => Err(storage::Error::new(
            ErrorKind::ContractBroken,
            told(function, &ended),
        )),
    }
}

fn told(function: &str, ended: &NoAnswer) -> String {
    format!(
        "`{function}` breaks the rule {}: {}",
        ended.rule, ended.detail
    )
}

/// Nanoseconds since the Unix epoch.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(now.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX)
}
