//! The observer that keeps the dictionary of one tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use larder_model::DEFAULT_TENANT;
use larder_model::dictionary::{Contents, Dictionaries, Dictionary, Follower, ListedValues, day};
use larder_model::storage::{Batch, Error, ErrorKind, Keep, Observer, Statistics, StorageSource};
use parking_lot::Mutex;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::{error, warn};

use crate::ask::has_listed;
use crate::entry::Value;
use crate::followed::Followed;
use crate::log::{LoadError, Loaded, Log, Lost};

/// How long the opening of a tenant waits for what it asks of the storage, and for the logs of other hosts. An empty store answers at once.
const OPENING: Duration = Duration::from_secs(1);

/// Delays before the storage is asked again after an error: the first, and the longest.
const RETRIES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(1));

/// Time after which a log that could not be read is read again, in nanoseconds.
const RELOAD: u64 = 10_000_000_000;

/// Time between two removals of outdated values, in nanoseconds.
const PRUNING: u64 = 3_600_000_000_000;

/// Days between the last day of a value and the oldest write for which no fragment can have it: the clock of a request and that of its
/// write differ by one at most.
const MARGIN: u32 = 2;

/// See the module.
pub(crate) struct TenantDictionary {
    tenant: String,
    dictionaries: Dictionaries,
    dictionary: Dictionary,
    /// What other hosts list besides, if there are others.
    followed: Arc<Followed>,
    storage: Weak<dyn StorageSource>,
    this: Weak<Self>,
    status: tokio::sync::Mutex<Status>,
    told: Mutex<Told>,
    asking: Mutex<Option<AbortHandle>>,
}

/// Where the dictionary stands. It is open exactly while the log is.
enum Status {
    Open(Log),
    /// The log has not begun, and it is not known whether that is because it is lost.
    New(Box<(Log, Contents)>),
    /// The log could not be read; if that may pass, with the time of the next attempt.
    Closed {
        keep: Arc<dyn Keep>,
        retry_at: Option<u64>,
    },
}

/// What the plugin's counters told.
#[derive(Default)]
struct Told {
    oldest_write: Option<u64>,
    /// The time of the last removal of outdated values.
    pruned: Option<u64>,
}

// === impl TenantDictionary ===

impl TenantDictionary {
    pub(crate) async fn open(
        tenant: &str,
        (dictionaries, dictionary): (Dictionaries, Dictionary),
        keep: Arc<dyn Keep>,
        storage: Weak<dyn StorageSource>,
    ) -> Arc<Self> {
        let followed = Followed::new(tenant, dictionary.clone(), Arc::clone(&keep));
        let followed = Arc::new(followed);
        let is_shared = keep.is_shared();
        if is_shared {
            let follower: Arc<dyn Follower> = Arc::<Followed>::clone(&followed);
            dictionary.followed_by(Arc::downgrade(&follower));
        }
        let this = Arc::new_cyclic(|this| Self {
            tenant: tenant.to_owned(),
            dictionaries,
            followed,
            dictionary,
            storage,
            this: Weak::clone(this),
            status: tokio::sync::Mutex::new(Status::Closed {
                keep: Arc::clone(&keep),
                retry_at: None,
            }),
            told: Mutex::default(),
            asking: Mutex::default(),
        });
        let is_new = {
            let mut status = this.status.lock().await;
            *status = this.load(keep, 0).await;
            matches!(*status, Status::New(_))
        };
        if is_new {
            // No write comes before the tenant is open, so what is found now was written before.
            let asked = timeout(OPENING, has_listed(&this.storage)).await;
            match asked {
                Ok(Some(Ok(is_lost))) => this.begin(is_lost).await,
                _ => this.ask_later(),
            }
        }
        // Of many tenants few are searched.
        if is_shared && tenant == DEFAULT_TENANT {
            // The first search then reads only what is new. One that finds no time for it here reads all of it itself.
            drop(timeout(OPENING, this.followed.follow()).await);
        }
        this
    }

    /// Reads the log, and opens the dictionary if it has begun. It begins one if nothing can have been lost: others may have written what a
    /// storage finds.
    async fn load(&self, keep: Arc<dyn Keep>, now: u64) -> Status {
        self.dictionary.close();
        match Log::load_whole(Arc::clone(&keep)).await {
            Ok(Loaded {
                log,
                contents,
                has_head: true,
            }) => {
                let is_complete = log.lost == Lost::Nothing;
                self.dictionary.open(contents, is_complete);
                Status::Open(log)
            }
            Ok(Loaded { log, contents, .. }) => Status::New(Box::new((log, contents))),
            Err(cause) => {
                self.tell(&cause);
                let retry_at = cause.is_passing().then(|| now.saturating_add(RELOAD));
                Status::Closed { keep, retry_at }
            }
        }
    }

    fn tell(&self, cause: &LoadError) {
        let tenant = &*self.tenant;
        if cause.is_passing() {
            warn!(tenant.id = tenant, error = %cause, "the dictionary of values could not be read; until it is, no value is listed, and searches for patterns look at all fragments");
        } else {
            error!(tenant.id = tenant, error = %cause, "the dictionary of values cannot be used: no value is listed, and searches for patterns look at all fragments; use a newer release, or stop the server and run `larder repair`");
        }
    }

    /// Begins a new log. `is_lost` tells whether fragments refer to an earlier one.
    async fn begin(&self, is_lost: bool) {
        let mut status = self.status.lock().await;
        let Status::New(new) = &mut *status else {
            return;
        };
        let lost = if is_lost { Lost::SoFar } else { Lost::Nothing };
        if let Err(cause) = new.0.begin(lost).await {
            let keep = new.0.keep();
            self.tell(&LoadError::Keep(cause));
            *status = Status::Closed {
                keep,
                retry_at: Some(0),
            };
            return;
        }
        if is_lost {
            warn!(
                tenant.id = &*self.tenant,
                "the dictionary of values is lost, as after a repair or the use of an older release; searches for patterns look at all fragments with listed values until those that are stored now have expired, or are purged"
            );
        }
        let keep = new.0.keep();
        let taken = std::mem::replace(
            &mut *status,
            Status::Closed {
                keep,
                retry_at: None,
            },
        );
        if let Status::New(new) = taken {
            let (log, contents) = *new;
            self.dictionary.open(contents, !is_lost);
            *status = Status::Open(log);
        }
    }

    /// Asks the storage in the background whether fragments refer to an earlier log, and begins a new one then. No value is listed before.
    fn ask_later(&self) {
        let (this, storage) = (Weak::clone(&self.this), Weak::clone(&self.storage));
        let task = tokio::spawn(async move {
            let (mut delay, longest) = RETRIES;
            loop {
                match has_listed(&storage).await {
                    None => return,
                    Some(Ok(is_lost)) => {
                        if let Some(this) = this.upgrade() {
                            this.begin(is_lost).await;
                        }
                        return;
                    }
                    Some(Err(error)) => {
                        warn!(%error, "it cannot be found out whether a dictionary of values is lost; no value is listed until it is");
                        sleep(delay).await;
                        delay = longest.min(delay * 2);
                    }
                }
            }
        });
        let before = self.asking.lock().replace(task.abort_handle());
        if let Some(before) = before {
            before.abort();
        }
    }

    /// Reads the log again if what was read is outdated, or could not be read before.
    ///
    /// # Errors
    /// If what was lost could not be restored yet: nothing can be recorded before it is.
    async fn reload(&self, status: &mut Status, now: u64) -> Result<(), Error> {
        let keep = match status {
            Status::Open(log) if log.is_outdated() => {
                *status = self.restored(log).await?;
                return Ok(());
            }
            Status::New(new) if new.0.is_outdated() => new.0.keep(),
            Status::Closed {
                keep,
                retry_at: Some(at),
            } if *at <= now => Arc::clone(keep),
            _ => return Ok(()),
        };
        *status = self.load(keep, now).await;
        if matches!(status, Status::New(_)) {
            self.ask_later();
        }
        Ok(())
    }

    /// The status after a log was restored, or cannot be any more.
    ///
    /// # Errors
    /// If it could not be restored yet.
    async fn restored(&self, log: &Log) -> Result<Status, Error> {
        match self.restore(log).await {
            Ok(restored) => Ok(Status::Open(restored)),
            // What has been recorded stays there for another attempt.
            Err(LoadError::Keep(error)) if error.kind() != ErrorKind::DataLoss => Err(error),
            Err(cause) => {
                self.tell(&cause);
                self.dictionary.close();
                Ok(Status::Closed {
                    keep: log.keep(),
                    retry_at: None,
                })
            }
        }
    }

    /// Reads the log again after a part of it was lost that was not durable, or all of it, and writes what it lacks of what has been recorded.
    ///
    /// A loss takes nothing from what is true. A fragment that is left was there when the dictionary was opened, or was written since by this
    /// process, as no other may use the store meanwhile; in both cases what it calls listed is recorded here. Fragments that were lost leave
    /// values behind that nothing may have: these are dropped in time. So what has been recorded stays, and what was listed in it may still be
    /// written. It has to be durable again before that: the journal is in order, so it is enough that it is committed before. The head comes
    /// last, so that a new log that is not complete counts as one that has not begun.
    ///
    /// What the log has is added: where the loss took back what retention had dropped, it took back that its values were removed as well, as
    /// that came later. What the plugin told before the loss is forgotten for the same reason: its oldest write may be there again.
    async fn restore(&self, log: &Log) -> Result<Log, LoadError> {
        *self.told.lock() = Told::default();
        let loaded = Log::load(log.keep()).await?;
        let (mut restored, contents) = (loaded.log, loaded.contents);
        let known = self.dictionary.contents().ok_or_else(forgotten)?;
        let mut lost: BTreeMap<u32, BTreeSet<Value<'_>>> = BTreeMap::new();
        for (source, key, form, day) in known.all() {
            let left = contents.day_of(source, key, form);
            if left.is_none_or(|left| left < day) {
                lost.entry(day).or_default().insert((source, key, form));
            }
        }
        for (day, values) in lost {
            restored.append(day, values).await?;
        }
        if !loaded.has_head {
            restored.begin(log.lost).await?;
        }
        self.dictionary.record(contents);
        let is_complete = restored.lost == Lost::Nothing;
        self.dictionary.set_complete(is_complete);
        Ok(restored)
    }

    /// Makes the values of the batches durable that are not, and records them.
    async fn record(&self, log: &mut Log, now: u64, listed: &[&ListedValues]) -> Result<(), Error> {
        if listed.iter().all(|listed| listed.is_empty()) {
            return Ok(());
        }
        self.settle_lost(log, now).await?;
        let known = self.dictionary.contents().ok_or_else(forgotten)?;
        let mut days: BTreeMap<u32, BTreeSet<Value<'_>>> = BTreeMap::new();
        for listed in listed {
            let new = listed.values().filter(|(source, key, form)| {
                let recorded = known.day_of(*source, key, form);
                recorded.is_none_or(|recorded| recorded < listed.day())
            });
            days.entry(listed.day()).or_default().extend(new);
        }
        let mut contents = Contents::default();
        for (day, values) in days {
            log.append(day, values.iter().copied()).await?;
            for (source, key, form) in values {
                contents.add(source, key, form, day);
            }
        }
        self.dictionary.record(contents);
        if let Some(current) = self.dictionary.contents()
            && let Err(error) = log.clean(&current).await
        {
            warn!(tenant.id = &*self.tenant, %error, "what is outdated in the dictionary of values could not be removed");
        }
        Ok(())
    }

    /// Notes until when fragments were written that refer to a lost dictionary, and that they are gone once they are.
    async fn settle_lost(&self, log: &mut Log, now: u64) -> Result<(), Error> {
        match log.lost {
            Lost::Nothing => {}
            Lost::SoFar => log.set_lost(Lost::Until(day(now))).await?,
            Lost::Until(last) => {
                let oldest = self.told.lock().oldest_write;
                if oldest.is_some_and(|oldest| day(oldest) > last.saturating_add(MARGIN)) {
                    log.set_lost(Lost::Nothing).await?;
                    self.dictionary.set_complete(true);
                }
            }
        }
        Ok(())
    }
}

#[async_trait::async_trait]
impl Observer for TenantDictionary {
    /// Also tells the dictionary the time, so that a request that is walked again is listed on the right day.
    fn admit(&self, now: u64, batch: &Batch) -> Result<(), Error> {
        match batch.listed() {
            Some(listed) if !self.dictionary.admits(listed, now) => Err(forgotten()),
            Some(_) | None => Ok(()),
        }
    }

    async fn before_write(&self, now: u64, batches: &[&Batch]) -> Result<(), Error> {
        let mut status = self.status.lock().await;
        let reloaded = self.reload(&mut status, now).await;
        let listed: Vec<&ListedValues> = batches.iter().filter_map(|it| it.listed()).collect();
        if listed.is_empty() {
            return Ok(());
        }
        reloaded?;
        // They were admitted, but the dictionary may have been opened since.
        if !listed.iter().all(|it| self.dictionary.admits(it, now)) {
            return Err(forgotten());
        }
        match &mut *status {
            Status::Open(log) => self.record(log, now, &listed).await,
            Status::New(_) | Status::Closed { .. } => Err(forgotten()),
        }
    }

    fn after_write(&self) {}

    fn counted(&self, now: u64, statistics: &Statistics) {
        let mut told = self.told.lock();
        told.oldest_write = statistics.oldest_write;
        let is_due = told.pruned.is_none_or(|last| now.abs_diff(last) >= PRUNING);
        if let Some(oldest) = statistics.oldest_write.filter(|_| is_due) {
            told.pruned = Some(now);
            self.dictionary.prune(day(oldest).saturating_sub(MARGIN));
        }
    }

    async fn forget(&self, keep: Arc<dyn Keep>) -> Result<(), Error> {
        let mut status = self.status.lock().await;
        self.dictionary.close();
        *self.told.lock() = Told::default();
        self.followed.restart(Arc::clone(&keep)).await;
        let loaded = Log::load(Arc::clone(&keep)).await;
        let begun = match loaded {
            // Another process of this host may have been there before.
            Ok(Loaded {
                log,
                contents,
                has_head: true,
            }) => Ok((log, contents)),
            Ok(Loaded {
                mut log, contents, ..
            }) => {
                let is_lost = keep.is_shared() && !keep.is_whole().await;
                let lost = if is_lost { Lost::SoFar } else { Lost::Nothing };
                let begun = log.begin(lost).await;
                begun.map(|()| (log, contents))
            }
            Err(LoadError::Keep(error)) => Err(error),
            Err(LoadError::Unreadable(error)) => {
                Err(Error::new(ErrorKind::DataLoss, error.to_string()))
            }
        };
        match begun {
            Ok((log, contents)) => {
                let is_complete = log.lost == Lost::Nothing;
                *status = Status::Open(log);
                self.dictionary.open(contents, is_complete);
                Ok(())
            }
            Err(error) => {
                *status = Status::Closed {
                    keep,
                    retry_at: Some(0),
                };
                Err(error)
            }
        }
    }

    async fn close(&self) {
        if let Some(asking) = self.asking.lock().take() {
            asking.abort();
        }
        self.dictionaries.remove(&self.tenant, &self.dictionary);
        self.dictionary.close();
        self.followed.close();
    }

    fn memory(&self) -> u64 {
        let bytes = self.dictionary.memory() + self.followed.memory();
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

fn forgotten() -> Error {
    Error::new(
        ErrorKind::Unavailable,
        "the tenant's dictionary of values changed while this write was on its way (a purge, or a restart of its plugin); retry",
    )
    .of_void_write()
}
