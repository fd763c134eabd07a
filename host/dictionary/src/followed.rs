//! The values of all hosts that write to a tenant's data, read from their logs.
//!
//! Each host lists values by its own dictionary alone, and keeps them in its own log: also a value that it knows from another's is written
//! there, as the other drops it once nothing of its own has it. So the listed values of a fragment are in the log of the host that wrote it.
//!
//! A search asks for them once it has begun, and sees every value that it needs. The write of a fragment that it has to find had ended before.
//! The commit of the fragment's listed values had ended before that write began, and so had the one of the host's state. [`Keep::hosts`] is
//! called after all of that, so it tells the host, and a stamp that is no older than that commit. If the stamp is the one that is known, the
//! log was read up to that commit; else it is read now. It does not matter when the search has the plugin look at the data anew: it may then
//! see fragments that were written later, which it need not find.
//!
//! A log is read in pages, while its host writes. That is sound as entries are numbered, and one that is removed has been written again
//! under a greater number in the same commit: a reader that goes up meets each value. Values that a host has dropped stay here for a while,
//! which costs a little time and changes no answer. No clock is compared with another host's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::try_join_all;
use larder_model::dictionary::{Bounds, Contents, Dictionary, Follower, Snapshot};
use larder_model::storage::{HostState, Keep};
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

use crate::entry::{self, Unreadable};
use crate::log::{HEAD, LoadError, Lost, STAMP, decode_head, entry_key, number_of};
use crate::stamp::Stamp;

/// How long a search waits for the values. Without them it judges more fragments.
const PATIENCE: Duration = Duration::from_secs(5);

/// Time after which values are dropped that are in no log any more.
const REREADING: Duration = Duration::from_hours(1);

/// The values of all hosts.
pub(crate) struct Followed {
    tenant: String,
    /// The dictionary of what this host has written.
    own: Dictionary,
    /// The values of all logs, those of this host's among them: another process may have written under its id while this one was paused.
    all: Dictionary,
    /// Number of looks at the logs that have begun.
    begun: AtomicU64,
    looks: tokio::sync::Mutex<Looks>,
}

struct Looks {
    keep: Arc<dyn Keep>,
    /// The number of the last look that has ended, and whether it found all values.
    ended: u64,
    is_known: bool,
    /// By the names of states.
    logs: BTreeMap<String, FollowedLog>,
    /// True if `all` may have values that are in no log.
    has_garbage: bool,
    /// When all logs were read from their beginnings.
    since: Instant,
    /// True if the log of the server tells why the values are not known.
    is_told: bool,
}

/// A log as far as it has been read.
#[derive(Clone, Copy, Debug)]
struct FollowedLog {
    stamp: Stamp,
    /// The number of the next entry to be read.
    next: u64,
}

/// A log that has to be read.
struct ToRead {
    state: String,
    stamp: Stamp,
    /// The number of the first entry that is not known.
    from: u64,
}

/// Why the values of all hosts are not known.
#[derive(Debug, thiserror::Error)]
enum Unknown {
    #[error(transparent)]
    Log(#[from] LoadError),
    #[error("host `{0}` has written what was not observed, as with another plugin")]
    NotObserved(String),
    #[error("host `{0}` has lost values that stored fragments may have")]
    Lost(String),
}

// === impl Followed ===

impl Followed {
    /// Follows the logs in `keep`, where the log of `own` is among them.
    pub(crate) fn new(tenant: &str, own: Dictionary, keep: Arc<dyn Keep>) -> Self {
        Self {
            tenant: tenant.to_owned(),
            own,
            // What was listed is recorded, whatever the bounds.
            all: Dictionary::new(Bounds::default()),
            begun: AtomicU64::new(0),
            looks: tokio::sync::Mutex::new(Looks::new(keep)),
        }
    }

    /// Begins with other logs: everything that was stored is gone.
    pub(crate) async fn restart(&self, keep: Arc<dyn Keep>) {
        let mut looks = self.looks.lock().await;
        let ended = looks.ended;
        *looks = Looks {
            ended,
            ..Looks::new(keep)
        };
        self.all.close();
    }

    pub(crate) fn close(&self) {
        self.all.close();
    }

    /// Bytes of memory that it takes, about.
    pub(crate) fn memory(&self) -> usize {
        self.all.memory()
    }

    async fn look(&self) -> Option<Snapshot> {
        let arrived = self.begun.load(Ordering::SeqCst);
        let mut looks = self.looks.lock().await;
        if !looks.keep.is_shared() {
            drop(looks);
            return self.own.snapshot();
        }
        // One that began after this search is as good as its own. So those that come at the same time share one.
        if looks.ended <= arrived {
            let number = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
            let known = looks.update(&self.all).await;
            looks.ended = number;
            looks.is_known = known.is_ok();
            self.tell(&mut looks, known);
            self.all.note_full(&self.own);
        }
        let is_known = looks.is_known;
        is_known.then(|| self.all.snapshot()).flatten()
    }

    fn tell(&self, looks: &mut Looks, known: Result<(), Unknown>) {
        let tenant = &*self.tenant;
        match known {
            Err(cause) if !looks.is_told => {
                looks.is_told = true;
                warn!(tenant.id = tenant, error = %cause, "the values that other hosts have listed are not known; until they are, searches for patterns look at all fragments with listed values");
            }
            Ok(()) if looks.is_told => {
                looks.is_told = false;
                info!(
                    tenant.id = tenant,
                    "the values that other hosts have listed are known again"
                );
            }
            Ok(()) | Err(_) => {}
        }
    }
}

#[async_trait::async_trait]
impl Follower for Followed {
    async fn follow(&self) -> Option<Snapshot> {
        timeout(PATIENCE, self.look()).await.ok().flatten()
    }
}

// === impl Looks ===

impl Looks {
    fn new(keep: Arc<dyn Keep>) -> Self {
        Self {
            keep,
            ended: 0,
            is_known: false,
            logs: BTreeMap::new(),
            has_garbage: false,
            since: Instant::now(),
            is_told: false,
        }
    }

    /// Reads what is new in the logs of all hosts. A search that goes away meanwhile leaves everything as it was.
    async fn update(&mut self, all: &Dictionary) -> Result<(), Unknown> {
        let keys = [HEAD.to_vec(), STAMP.to_vec()];
        let hosts = self.keep.hosts(&keys).await.map_err(LoadError::Keep)?;
        let mut found = BTreeMap::new();
        for host in &hosts {
            if let Some((state, stamp)) = log_of(host)? {
                found.insert(state.to_owned(), stamp);
            }
        }
        let begins = self.logs.is_empty() || (self.has_garbage && self.since.elapsed() > REREADING);
        let known = |state| self.logs.get(state).filter(|_| !begins);
        let (mut to_read, mut leaves_garbage) = (Vec::new(), false);
        for (state, stamp) in &found {
            let from = match known(state) {
                Some(known) if known.stamp == *stamp => continue,
                Some(known) if known.stamp.series == stamp.series => {
                    leaves_garbage |= known.stamp.cleaned != stamp.cleaned;
                    known.next
                }
                Some(_) => {
                    leaves_garbage = true;
                    0
                }
                None => 0,
            };
            to_read.push(ToRead {
                state: state.clone(),
                stamp: *stamp,
                from,
            });
        }
        let reads = to_read.into_iter().map(|it| read(&*self.keep, it));
        let new = try_join_all(reads).await?;
        // Nothing waits from here on.
        if begins {
            self.logs.clear();
            self.has_garbage = false;
            self.since = Instant::now();
            all.open(Contents::default(), true);
        }
        for (state, log, contents) in new {
            all.record(contents);
            self.logs.insert(state, log);
        }
        let before = self.logs.len();
        self.logs.retain(|state, _| found.contains_key(state));
        self.has_garbage |= leaves_garbage || self.logs.len() < before;
        Ok(())
    }
}

/// The state with the log of a host, and the log's stamp; `None` if nothing was written to it.
fn log_of(host: &HostState) -> Result<Option<(&str, Stamp)>, Unknown> {
    let Some(state) = &host.state else {
        return Err(Unknown::NotObserved(host.host.clone()));
    };
    let mut values = host.values.iter();
    let (head, stamp) = (values.next().cloned(), values.next().cloned());
    let lost = match head.flatten() {
        Some(head) => decode_head(&head).map_err(LoadError::Unreadable)?,
        // It has listed nothing yet.
        None if host.is_whole => Lost::Nothing,
        None => Lost::SoFar,
    };
    if lost != Lost::Nothing {
        return Err(Unknown::Lost(host.host.clone()));
    }
    let stamp = stamp.flatten().map(|it| Stamp::decode(&it)).transpose();
    let stamp = stamp.map_err(LoadError::Unreadable)?;
    Ok(stamp.map(|stamp| (state.as_str(), stamp)))
}

/// Reads the entries of a log that are not known.
async fn read(
    keep: &dyn Keep,
    to_read: ToRead,
) -> Result<(String, FollowedLog, Contents), LoadError> {
    let ToRead { state, stamp, from } = to_read;
    let mut contents = Contents::default();
    let mut next = from;
    loop {
        let (entries, more) = keep.scan_host(&state, &entry_key(next)).await?;
        for (key, value) in &entries {
            let number = number_of(key).ok_or(Unreadable::Damaged)?;
            let (day, values) = entry::decode(value)?;
            for (source, key, form) in values {
                contents.add(source, key, form, day);
            }
            next = number.saturating_add(1);
        }
        if !more || entries.is_empty() {
            break;
        }
    }
    Ok((state, FollowedLog { stamp, next }, contents))
}
