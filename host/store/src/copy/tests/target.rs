//! A driver in memory that fails when it is told to, and keeps what was written in its order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use crate::{
    Change, Claim, Driver, Error, Key, MemoryDriver, Namespace, Object, Page, Quotas, Scan, Stored,
    TenantUsage,
};

/// A put or a commit that was applied.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) partition: String,
    pub(super) is_put: bool,
    pub(super) sorts: Vec<Vec<u8>>,
    pub(super) bytes: usize,
}

#[derive(Default)]
struct State {
    writes: Mutex<Vec<Write>>,
    /// Calls that succeed before one that fails; of writes alone, or of all.
    calls_left: AtomicUsize,
    writes_left: AtomicUsize,
    /// The failing write is applied, and its outcome unknown.
    is_applied: AtomicBool,
    held: Mutex<Option<String>>,
    number: Mutex<Option<(String, u16)>>,
}

pub(super) struct Target {
    inner: MemoryDriver,
    state: Arc<State>,
}

struct TargetNamespace {
    inner: Arc<dyn Namespace>,
    state: Arc<State>,
}

// === impl State ===

impl State {
    fn new() -> Self {
        Self {
            calls_left: AtomicUsize::new(usize::MAX),
            writes_left: AtomicUsize::new(usize::MAX),
            ..Self::default()
        }
    }

    /// Counts a call. It fails once, when the count has come to its end.
    fn fails(left: &AtomicUsize) -> bool {
        match left.load(Ordering::Relaxed) {
            usize::MAX => false,
            0 => {
                left.store(usize::MAX, Ordering::Relaxed);
                true
            }
            n => {
                left.store(n - 1, Ordering::Relaxed);
                false
            }
        }
    }

    fn call(&self) -> Result<(), Error> {
        if Self::fails(&self.calls_left) {
            return Err(Error::Unavailable("it fails".to_owned()));
        }
        Ok(())
    }

    /// An error in place of a write, or after it.
    fn write(&self) -> (Option<Error>, bool) {
        let fails = Self::fails(&self.calls_left);
        if !Self::fails(&self.writes_left) && !fails {
            return (None, true);
        }
        let is_applied = self.is_applied.load(Ordering::Relaxed);
        let text = "it fails".to_owned();
        if is_applied {
            (Some(Error::OutcomeUnknown(text)), true)
        } else {
            (Some(Error::Unavailable(text)), false)
        }
    }
}

// === impl Target ===

impl Target {
    pub(super) fn new() -> Self {
        Self {
            inner: MemoryDriver::new(),
            state: Arc::new(State::new()),
        }
    }

    /// One in which this id has this number.
    pub(super) fn numbering(writer: &str, number: u16) -> Self {
        let target = Self::new();
        *target.state.number.lock() = Some((writer.to_owned(), number));
        target
    }

    /// Has a call fail after so many more.
    pub(super) fn fail_call(&self, after: usize, applied: bool) {
        self.state.calls_left.store(after, Ordering::Relaxed);
        self.state.is_applied.store(applied, Ordering::Relaxed);
    }

    /// Has a write fail after so many more. It is not applied.
    pub(super) fn fail_write(&self, after: usize) {
        self.state.writes_left.store(after, Ordering::Relaxed);
    }

    pub(super) fn stop_failing(&self) {
        self.fail_call(usize::MAX, false);
        self.fail_write(usize::MAX);
    }

    /// Has a live host hold this id.
    pub(super) fn hold(&self, writer: &str) {
        *self.state.held.lock() = Some(writer.to_owned());
    }

    pub(super) fn writes(&self) -> Vec<Write> {
        self.state.writes.lock().clone()
    }
}

#[async_trait::async_trait]
impl Driver for Target {
    fn name(&self) -> &'static str {
        "target"
    }

    fn is_durable(&self) -> bool {
        false
    }

    fn writer_id(&self) -> String {
        self.inner.writer_id()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        self.state.call()?;
        Ok(Arc::new(TargetNamespace {
            inner: self.inner.open(tenant).await?,
            state: Arc::clone(&self.state),
        }))
    }

    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        self.inner.renew(tenant).await
    }

    async fn forget(&self, tenant: &str) -> Result<(), Error> {
        self.inner.forget(tenant).await
    }

    async fn tenants(&self) -> Result<Vec<TenantUsage>, Error> {
        self.inner.tenants().await
    }

    fn set_quotas(&self, quotas: Quotas) {
        self.inner.set_quotas(quotas);
    }
}

#[async_trait::async_trait]
impl Namespace for TargetNamespace {
    async fn claim(&self, writer: &str) -> Result<Claim, Error> {
        self.state.call()?;
        if self.state.held.lock().as_deref() == Some(writer) {
            return Err(Error::Held(format!("{writer} is alive")));
        }
        self.inner.claim(writer).await
    }

    async fn number(&self, writer: &str) -> Result<u16, Error> {
        let number = self.state.number.lock().clone();
        match number.filter(|(id, _)| id == writer) {
            Some((_, number)) => Ok(number),
            None => self.inner.number(writer).await,
        }
    }

    async fn retire(&self, by: &Claim) -> Result<(), Error> {
        self.state.call()?;
        self.inner.retire(by).await
    }

    async fn is_current(&self) -> Result<bool, Error> {
        self.inner.is_current().await
    }

    async fn put(&self, by: &Claim, objects: Vec<Object>) -> Result<(), Error> {
        let (error, applies) = self.state.write();
        if applies {
            let write = Write {
                partition: objects[0].key.partition.clone(),
                is_put: true,
                sorts: objects.iter().map(|it| it.key.sort.clone()).collect(),
                bytes: objects.iter().map(|it| it.value.len()).sum(),
            };
            self.inner.put(by, objects).await?;
            self.state.writes.lock().push(write);
        }
        error.map_or(Ok(()), Err)
    }

    async fn commit(&self, by: &Claim, partition: &str, changes: Vec<Change>) -> Result<(), Error> {
        let (error, applies) = self.state.write();
        if applies {
            let sorts = changes.iter().map(|change| match change {
                Change::Put(entry) => (entry.sort.clone(), entry.sort.len() + entry.value.len()),
                Change::Delete(sort) => (sort.clone(), sort.len()),
            });
            let (sorts, bytes): (Vec<_>, Vec<usize>) = sorts.unzip();
            let write = Write {
                partition: partition.to_owned(),
                is_put: false,
                sorts,
                bytes: bytes.iter().sum(),
            };
            self.inner.commit(by, partition, changes).await?;
            self.state.writes.lock().push(write);
        }
        error.map_or(Ok(()), Err)
    }

    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Vec<u8>>>, Error> {
        self.state.call()?;
        self.inner.get(keys).await
    }

    async fn scan(&self, partition: &str, scan: &Scan) -> Result<Page, Error> {
        self.state.call()?;
        self.inner.scan(partition, scan).await
    }

    async fn scan_stored(&self, partition: &str, kind: Stored, scan: &Scan) -> Result<Page, Error> {
        self.state.call()?;
        self.inner.scan_stored(partition, kind, scan).await
    }

    async fn reclaim(&self, by: &Claim, partition: &str) -> Result<(), Error> {
        self.inner.reclaim(by, partition).await
    }

    async fn writers(&self) -> Result<Vec<String>, Error> {
        self.state.call()?;
        self.inner.writers().await
    }

    async fn partitions(&self) -> Result<Vec<String>, Error> {
        self.state.call()?;
        self.inner.partitions().await
    }

    async fn sync(&self, generation: u64) -> Result<(), Error> {
        self.state.call()?;
        self.inner.sync(generation).await
    }

    fn stored_bytes(&self) -> u64 {
        self.inner.stored_bytes()
    }

    fn host_bytes(&self) -> u64 {
        self.inner.host_bytes()
    }
}
