//! The connection that everything of the driver shares: it executes statements, repeats those that may be repeated, and counts.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder_model::Hex;
use larder_store::{Error, ObjectCache, Quotas};
use parking_lot::Mutex;
use scylla::client::session::Session;
use scylla::deserialize::row::DeserializeRow;
use scylla::errors::ExecutionError;
use scylla::response::query_result::QueryResult;
use scylla::serialize::row::SerializeRow;
use scylla::statement::batch::Batch;
use scylla::value::{CqlValue, Row};
use tokio::sync::{Notify, Semaphore, SemaphorePermit};

use crate::errors::{Failure, misread};
use crate::held::HeldIds;
use crate::options::Options;
use crate::reach::ReachState;
use crate::statements::{Name, Statements};
use crate::timestamps::Falling;
use crate::watch::Watch;

/// The first pause before a statement is repeated; it doubles up to the last one.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LAST_PAUSE: Duration = Duration::from_millis(500);

/// See the module.
pub(crate) struct Db {
    pub(crate) options: Options,
    /// A random name of this process.
    pub(crate) instance: String,
    pub(crate) session: Session,
    pub(crate) statements: Statements,
    pub(crate) quotas: Mutex<Quotas>,
    pub(crate) cache: ObjectCache,
    pub(crate) falling: Falling,
    pub(crate) reach: ReachState,
    /// Ids of this host that others have.
    pub(crate) held: HeldIds,
    /// The other hosts' signs of life.
    pub(crate) watch: Mutex<Watch>,
    /// Wakes the removal of purged namespaces.
    pub(crate) doomed: Notify,
    pub(crate) refused: AtomicU64,
    pub(crate) damaged: AtomicU64,
    permits: Semaphore,
}

/// Whether a condition was met.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) applied: bool,
    /// What the row has, if the condition was not met.
    columns: Vec<(String, CqlValue)>,
}

/// The repetitions of a statement.
pub(crate) struct Tries {
    until: Instant,
    pause: Duration,
}

/// A random number that is not negative and not 0. Numbers of other processes are different ones.
pub(crate) fn random() -> i64 {
    // The keys are the system's random bytes.
    let random = RandomState::new().hash_one(std::process::id()) >> 1;
    i64::try_from(random).unwrap_or(i64::MAX).max(1)
}

/// All rows of a result.
pub(crate) fn rows<R>(result: QueryResult) -> Result<Vec<R>, Error>
where
    R: for<'frame> DeserializeRow<'frame, 'frame>,
{
    let rows = result.into_rows_result().map_err(misread)?;
    let rows = rows.rows::<R>().map_err(misread)?;
    rows.map(|row| row.map_err(misread)).collect()
}

/// The only row of a result, if there is one.
pub(crate) fn row<R>(result: QueryResult) -> Result<Option<R>, Error>
where
    R: for<'frame> DeserializeRow<'frame, 'frame>,
{
    let rows = result.into_rows_result().map_err(misread)?;
    rows.maybe_first_row::<R>().map_err(misread)
}

// === impl Db ===

impl Db {
    pub(crate) fn new(options: Options, session: Session, statements: Statements) -> Arc<Self> {
        Arc::new(Self {
            instance: format!("{:016x}{:016x}", random(), random()),
            session,
            statements,
            quotas: Mutex::new(options.quotas.clone()),
            cache: ObjectCache::new(options.cache_bytes),
            falling: Falling::new(),
            reach: ReachState::default(),
            held: HeldIds::default(),
            watch: Mutex::default(),
            doomed: Notify::new(),
            refused: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            permits: Semaphore::new(options.max_in_flight.clamp(1, Semaphore::MAX_PERMITS)),
            options,
        })
    }

    /// Repetitions for as long as one statement may take.
    pub(crate) fn tries(&self) -> Tries {
        Tries {
            until: Instant::now() + self.options.timeout,
            pause: FIRST_PAUSE,
        }
    }

    /// Executes a read or a plain write, and repeats it while it fails.
    pub(crate) async fn run(
        &self,
        name: Name,
        values: impl SerializeRow,
    ) -> Result<QueryResult, Error> {
        let mut tries = self.tries();
        loop {
            match self.attempt(name, &values).await {
                Ok(result) => return Ok(result),
                Err(failure) => tries.again(failure).await?,
            }
        }
    }

    /// Executes a write with a condition, once.
    pub(crate) async fn condition(
        &self,
        name: Name,
        values: impl SerializeRow,
    ) -> Result<Verdict, Failure> {
        Verdict::of(self.attempt(name, &values).await?)
    }

    /// Executes a batch with a condition, once. It is counted under the name of the condition.
    pub(crate) async fn batch<V: SerializeRow>(
        &self,
        name: Name,
        batch: &Batch,
        values: &[V],
    ) -> Result<Verdict, Failure> {
        let _permit = self.permit().await?;
        let started = Instant::now();
        let done = self.session.batch(batch, values).await;
        Verdict::of(self.judge(name, started, done)?)
    }

    /// Executes a statement once.
    pub(crate) async fn attempt(
        &self,
        name: Name,
        values: &impl SerializeRow,
    ) -> Result<QueryResult, Failure> {
        let statement = self.statements.get(name);
        let statement = statement.map_err(|error| Failure::Refused(error.to_string()))?;
        let _permit = self.permit().await?;
        let started = Instant::now();
        let done = self.session.execute_unpaged(statement, values).await;
        self.judge(name, started, done)
    }

    async fn permit(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let permit = self.permits.acquire().await;
        permit.map_err(|_| Failure::NotDone("the driver is closed".to_owned()))
    }

    fn judge(
        &self,
        name: Name,
        started: Instant,
        done: Result<QueryResult, ExecutionError>,
    ) -> Result<QueryResult, Failure> {
        self.statements
            .count(name, started.elapsed(), done.is_err());
        match done {
            Ok(result) => {
                self.reach.succeeded(name.writes());
                Ok(result)
            }
            Err(error) => {
                let failure = Failure::of(&error, &self.options.keyspace);
                if !matches!(failure, Failure::Refused(_)) {
                    self.reach.failed(name.writes(), failure.words());
                }
                Err(failure)
            }
        }
    }

    /// Counts a value that cannot be read back, and makes its error.
    pub(crate) fn damage(&self, partition: &str, sort: &[u8]) -> Error {
        self.damaged.fetch_add(1, Ordering::Relaxed);
        let sort = Hex(sort).to_string();
        tracing::error!(partition, sort, "a stored value cannot be read back");
        Error::DataLoss(format!(
            "partition `{partition}`, key {sort}: its checksum does not match"
        ))
    }
}

// === impl Verdict ===

impl Verdict {
    fn of(result: QueryResult) -> Result<Self, Failure> {
        let wrong = |error: &dyn std::fmt::Display| Failure::Refused(misread(error).to_string());
        let rows = result.into_rows_result().map_err(|error| wrong(&error))?;
        let row = rows
            .maybe_first_row::<Row>()
            .map_err(|error| wrong(&error))?;
        let names = rows.column_specs();
        let columns: Vec<_> = names
            .iter()
            .zip(row.into_iter().flat_map(|row| row.columns))
            .filter_map(|(spec, value)| Some((spec.name().to_owned(), value?)))
            .collect();
        let applied = columns
            .iter()
            .any(|(name, value)| name == "[applied]" && *value == CqlValue::Boolean(true));
        Ok(Self { applied, columns })
    }

    /// A number of the row that the condition is on.
    pub(crate) fn number(&self, column: &str) -> Option<i64> {
        let value = self.columns.iter().find(|(name, _)| name == column);
        value.and_then(|(_, value)| value.as_bigint())
    }

    /// A text of the row that the condition is on.
    pub(crate) fn text(&self, column: &str) -> Option<&str> {
        let value = self.columns.iter().find(|(name, _)| name == column);
        value
            .and_then(|(_, value)| value.as_text())
            .map(String::as_str)
    }
}

// === impl Tries ===

impl Tries {
    /// Returns after a pause if there is time for another try, and else the failure.
    pub(crate) async fn again(&mut self, failure: Failure) -> Result<(), Error> {
        if matches!(failure, Failure::Refused(_)) || Instant::now() + self.pause >= self.until {
            return Err(failure.into());
        }
        // Not all hosts at the same time.
        let pause = self.pause.mul_f64(0.5 + fastrand::f64());
        tokio::time::sleep(pause).await;
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        Ok(())
    }

    /// As [`Tries::again`], for a condition that was not met because another host was faster.
    pub(crate) async fn lost(&mut self, what: &str) -> Result<(), Error> {
        let words = format!("other hosts change {what} all the time; retry");
        self.again(Failure::NotDone(words)).await
    }
}
