//! The driver: what it shares among namespaces, and its work in the background.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use larder_store::{
    Driver, Error, HOST_PREFIX, HostStatus, Made, Namespace, Quotas, Reach, SnapshotError,
    SnapshotRequest, StatementStatistics, Statistics, TenantUsage, WriterStatus,
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::connect::connect;
use crate::db::{Db, rows};
use crate::doom;
use crate::heads::ENDED;
use crate::heartbeat;
use crate::namespace::Space;
use crate::options::Options;
use crate::statements::Name;
use crate::usage::PartRow;

/// Time between two exchanges of counts with the other hosts.
const EXCHANGE: Duration = Duration::from_secs(3);
/// Exchanges between two deletions of what was reclaimed.
const SWEEP_EVERY: u32 = 10;
/// Namespaces that are seen to at the same time.
const AT_ONCE: usize = 8;

/// The namespaces that are open in this process, by number. One that nobody has open any more stays until its counts are stored.
type Spaces = Arc<Mutex<HashMap<i64, Arc<Space>>>>;

/// Driver that stores its data in a Cassandra cluster.
pub struct CassandraDriver {
    db: Arc<Db>,
    spaces: Spaces,
    /// The work in the background. Empty once the driver is closed.
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

// === impl CassandraDriver ===

impl CassandraDriver {
    /// Connects to the cluster, makes or checks the schema, and begins to give signs of life.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if no node can be reached or there is no quorum; [`Error::Other`] if the password, other options or
    /// the schema have to be changed.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let db = connect(options).await?;
        db.beat(1, false).await?;
        db.look().await?;
        let spaces = Spaces::default();
        let tasks = vec![
            tokio::spawn(heartbeat::run(Arc::clone(&db))),
            tokio::spawn(doom::run(Arc::clone(&db))),
            tokio::spawn(exchange(Arc::clone(&spaces))),
        ];
        Ok(Self {
            db,
            spaces,
            tasks: Mutex::new(tasks),
        })
    }

    /// Takes back what was reclaimed of a tenant while the tables were copied that have been restored: see `restored.rs`. Returns the number
    /// of partitions. Nobody else may use the store.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store cannot be reached. Run again, it goes on.
    pub async fn restored(&self, tenant: &str) -> Result<u64, Error> {
        let Some(ns) = self.db.namespace_of(tenant).await? else {
            return Ok(0);
        };
        let space = Space::new(Arc::clone(&self.db), tenant, ns);
        space.take_reclaims_back().await
    }

    async fn space(&self, tenant: &str, ns: i64) -> Result<Arc<Space>, Error> {
        let known = self.open_space(ns);
        if let Some(space) = known {
            return Ok(space);
        }
        let space = Arc::new(Space::new(Arc::clone(&self.db), tenant, ns));
        // So that quotas hold from the first write on.
        space.poll().await?;
        let mut spaces = self.spaces.lock();
        Ok(Arc::clone(spaces.entry(ns).or_insert(space)))
    }

    fn open_space(&self, ns: i64) -> Option<Arc<Space>> {
        self.spaces.lock().get(&ns).cloned()
    }

    async fn replace(&self, tenant: &str, renew: bool) -> Result<Option<i64>, Error> {
        let (old, new) = self.db.replace_namespace(tenant, renew).await?;
        if let Some(old) = old {
            if let Some(space) = self.open_space(old) {
                space.purge();
            }
            self.db.end_writers(old).await?;
            self.db.doomed.notify_one();
        }
        Ok(new)
    }

    async fn usage(&self, tenant: String, ns: i64) -> Result<TenantUsage, Error> {
        if let Some(space) = self.open_space(ns) {
            let bytes = space.stored_bytes();
            return Ok(TenantUsage { tenant, bytes });
        }
        let found = self.db.run(Name::WriterList, (ns,)).await?;
        let mut bytes = 0;
        for (writer, ..) in rows::<(String, Option<i64>, Option<bool>)>(found)? {
            let found = self.db.run(Name::PartList, (ns, writer)).await?;
            bytes += stored_bytes(rows::<PartRow>(found)?);
        }
        Ok(TenantUsage { tenant, bytes })
    }

    /// What is stored under each writer id of a namespace: bytes, and who has adopted it.
    async fn writers_of(&self, ns: i64) -> Result<Vec<(String, u64, Option<String>)>, Error> {
        let found = self.db.run(Name::WriterHolders, (ns,)).await?;
        let mut writers = Vec::new();
        for (writer, epoch, address, adopted, committed) in rows::<HolderRow>(found)? {
            let is_there = committed == Some(true) && epoch.is_some_and(|epoch| epoch != ENDED);
            if !is_there || writer.starts_with(HOST_PREFIX) {
                continue;
            }
            let found = self.db.run(Name::PartList, (ns, &writer)).await?;
            let bytes = stored_bytes(rows::<PartRow>(found)?);
            let adopter = address.filter(|_| adopted == Some(true));
            writers.push((writer, bytes, adopter));
        }
        Ok(writers)
    }

    /// Ends the work in the background.
    fn stop(&self) -> bool {
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in &tasks {
            task.abort();
        }
        !tasks.is_empty()
    }
}

impl Drop for CassandraDriver {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A row of [`Name::WriterHolders`].
type HolderRow = (
    String,
    Option<i64>,
    Option<String>,
    Option<bool>,
    Option<bool>,
);

fn stored_bytes(parts: Vec<PartRow>) -> u64 {
    let counts = parts.into_iter().filter_map(|(.., bytes)| bytes);
    counts.filter_map(|it| u64::try_from(it).ok()).sum()
}

/// Exchanges counts with the other hosts, and deletes what was reclaimed, for ever.
async fn exchange(spaces: Spaces) {
    let mut failed = false;
    for round in 0_u32.. {
        tokio::time::sleep(EXCHANGE).await;
        let open: Vec<Arc<Space>> = {
            let mut spaces = spaces.lock();
            spaces.retain(|_, space| {
                !space.is_purged()
                    && (Arc::strong_count(space) > 1 || space.usage.lock().has_changes())
            });
            spaces.values().cloned().collect()
        };
        let sweeps = round.is_multiple_of(SWEEP_EVERY);
        let done = stream::iter(open).map(|space| async move {
            space.store_usage().await?;
            space.is_current().await?;
            if space.is_purged() {
                return Ok(());
            }
            space.poll().await?;
            if sweeps {
                space.sweep_own().await?;
            }
            Ok::<_, Error>(())
        });
        let done: Vec<Result<(), Error>> = done.buffer_unordered(AT_ONCE).collect().await;
        let error = done.into_iter().find_map(Result::err);
        // Told once, and not every few seconds.
        if let Some(error) = error.as_ref().filter(|_| !failed) {
            warn!(%error, "counts of bytes cannot be exchanged with the other hosts");
        }
        failed = error.is_some();
    }
}

#[async_trait::async_trait]
impl Driver for CassandraDriver {
    fn name(&self) -> &'static str {
        "cassandra"
    }

    fn is_durable(&self) -> bool {
        true
    }

    fn writer_id(&self) -> String {
        self.db.options.host.clone()
    }

    async fn open(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        let ns = self.db.make_namespace(tenant).await?;
        Ok(self.space(tenant, ns).await?)
    }

    async fn renew(&self, tenant: &str) -> Result<Arc<dyn Namespace>, Error> {
        match self.replace(tenant, true).await? {
            Some(new) => Ok(self.space(tenant, new).await?),
            None => self.open(tenant).await,
        }
    }

    async fn forget(&self, tenant: &str) -> Result<(), Error> {
        self.replace(tenant, false).await?;
        Ok(())
    }

    async fn tenants(&self) -> Result<Vec<TenantUsage>, Error> {
        let tenants = self.db.tenant_rows().await?;
        let usage = stream::iter(tenants).map(|(tenant, ns)| self.usage(tenant, ns));
        usage.buffer_unordered(AT_ONCE).try_collect().await
    }

    fn set_quotas(&self, quotas: Quotas) {
        *self.db.quotas.lock() = quotas;
    }

    async fn close(&self) -> Result<(), Error> {
        if !self.stop() {
            return Ok(());
        }
        let open: Vec<Arc<Space>> = {
            let spaces = self.spaces.lock();
            spaces.values().cloned().collect()
        };
        let stored = stream::iter(open).map(|space| async move { space.store_usage().await });
        let stored: Vec<Result<(), Error>> = stored.buffer_unordered(AT_ONCE).collect().await;
        // Others may adopt this host's writers at once.
        let goodbye = self.db.beat(0, true).await;
        // Both spare the others work. What was acknowledged is at a quorum since, and a host that is killed tells nothing either.
        if let Some(error) = stored.into_iter().chain([goodbye]).find_map(Result::err) {
            warn!(
                %error,
                "the store could not be told that this host ends: nothing acknowledged is lost, and other hosts take it for dead once they have seen no sign of life of it for a while"
            );
        }
        Ok(())
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn hosts(&self) -> Result<Vec<HostStatus>, Error> {
        self.db.look().await?;
        Ok(self.db.watch.lock().hosts(&self.db.instance))
    }

    async fn writers(&self) -> Result<Vec<WriterStatus>, Error> {
        let tenants = self.db.tenant_rows().await?;
        let found = stream::iter(tenants).map(|(_, ns)| self.writers_of(ns));
        let found: Vec<_> = found.buffer_unordered(AT_ONCE).try_collect().await?;
        let mut writers: BTreeMap<String, WriterStatus> = BTreeMap::new();
        for (writer, bytes, adopter) in found.into_iter().flatten() {
            let status = writers
                .entry(writer)
                .or_insert_with_key(|writer| WriterStatus {
                    writer: writer.clone(),
                    tenants: 0,
                    bytes: 0,
                    kept_up_by: BTreeSet::new(),
                });
            status.tenants += 1;
            status.bytes += bytes;
            status.kept_up_by.extend(adopter);
        }
        Ok(writers.into_values().collect())
    }

    async fn dismiss(&self, writer: &str) -> Result<(), Error> {
        self.db.dismiss(writer).await
    }

    fn reach(&self) -> Reach {
        self.db.reach_now()
    }

    /// Statements that are acknowledged by a quorum stand for syncs.
    fn statistics(&self) -> Statistics {
        let (commits, commit_time) = self.db.statements.cost(Name::SeatTurn);
        let (puts, put_time) = self.db.statements.cost(Name::ObjectPut);
        let spaces = self.spaces.lock();
        let open = spaces.values();
        Statistics {
            stored_bytes: open.map(|space| space.stored_bytes()).sum(),
            free_bytes: None,
            refused_for_space: self.db.refused.load(Ordering::Relaxed),
            syncs: commits + puts,
            sync_time: commit_time + put_time,
            damaged: self.db.damaged.load(Ordering::Relaxed),
        }
    }

    fn statements(&self) -> Vec<StatementStatistics> {
        self.db.statements.statistics()
    }

    async fn snapshot(&self, _request: SnapshotRequest) -> Result<Made, SnapshotError> {
        Err(SnapshotError::NothingOnDisk(format!(
            "the data is in Cassandra's keyspace `{}`, which has snapshots of its own: run `nodetool snapshot {}` on every node",
            self.db.options.keyspace, self.db.options.keyspace
        )))
    }
}
