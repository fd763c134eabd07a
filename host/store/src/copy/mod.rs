//! Copies of a tenant from one driver into another, of any kind, under the same writer ids.
//!
//! The source does not change meanwhile; hosts may use the target. For each tenant:
//!
//! 1. The source is looked through (`plan.rs`): its writers with their numbers, its partitions, and a hash of everything that was committed.
//!    Partitions of the host's own are left out, as what is in them is derived from the rest.
//! 2. The objects of all partitions are put. Nothing refers to them yet, and an id under which only objects were put is none that wrote.
//! 3. Entries are committed, those of heads last. A head is a partition of a kind that has no objects, so all that it has is what refers to
//!    others; entries elsewhere are there because a repair has replaced objects. The last commit of a partition has as many of its last
//!    entries as one commit takes: the root of what is in a head, if it stands last, is whole or not there.
//!
//! How far the copy has come is kept in the target (`record.rs`), so it goes on where it was cut off. What has changed in a source is found
//! by the hash: objects never change, so as long as the entries are the same, so is every object that they refer to.
//!
//! Objects and entries are told apart by how they were stored ([`Namespace::scan_stored`]), which every driver knows without reading them:
//! the embedded one has them in different slots, a remote one in different tables. The size of a value would not tell: small ones are put
//! too, and a small object that is committed costs a remote driver a condition each, and is kept in no cache. Only an entry that is too
//! large for a commit, which the contract does not let a plugin make, is put.

mod moving;
mod plan;
mod record;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU64, Ordering};

use crate::{Driver, Error, Namespace, Stored};

use self::moving::Moving;
use self::plan::Plan;
use self::record::{Known, Phase, Record};

/// How a copy is made.
#[derive(Clone, Copy, Debug)]
pub struct CopyOptions {
    /// Partitions that are copied at the same time. Each has up to two pages of 2 MiB, or an object, in memory.
    pub at_once: usize,
    /// Times that a write is repeated while the target cannot be reached, with 1 to 30 seconds in between.
    pub repetitions: u32,
}

/// What has been written so far, of all tenants. Values that an earlier run has written do not count.
#[derive(Debug, Default)]
pub struct CopyProgress {
    values: AtomicU64,
    bytes: AtomicU64,
}

/// What a tenant has in the source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// The ids that it was written under.
    pub writers: Vec<String>,
    /// Partitions that are to be copied.
    pub partitions: u64,
    /// [`Namespace::stored_bytes`], without the host's own.
    pub stored_bytes: u64,
}

/// How a tenant stands in the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing was ever committed in the source.
    Empty,
    /// It can be copied.
    Ready,
    /// A copy was begun, and goes on.
    Begun,
    /// It has been copied, as it is in the source now.
    Copied,
    /// It cannot be copied, for this reason. Nothing was changed.
    Refused(String),
}

/// A failed copy. Run again, it goes on where it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// The source cannot be read.
    #[error("the source: {0}")]
    Source(Error),
    /// The target cannot be read or written.
    #[error("the target: {0}")]
    Target(Error),
    /// A host has written to what was copied by half.
    #[error("{0}")]
    Refused(String),
}

/// What a copy has to go on from.
enum Start {
    Fresh,
    GoOn(Known),
}

/// Looks how a tenant stands. Nothing is changed. `target` is `None` if there is no store yet.
///
/// # Errors
/// Those of reading either driver.
pub async fn look(
    source: &dyn Driver,
    target: Option<&dyn Driver>,
    tenant: &str,
) -> Result<(Extent, Standing), CopyError> {
    let from = source.open(tenant).await.map_err(CopyError::Source)?;
    let plan = Plan::of(&*from, 1).await.map_err(CopyError::Source)?;
    let Some(plan) = plan else {
        return Ok((Extent::default(), Standing::Empty));
    };
    let extent = plan.extent(&*from);
    let Some(target) = target else {
        return Ok((extent, Standing::Ready));
    };
    let tenants = target.tenants().await.map_err(CopyError::Target)?;
    if tenants.iter().all(|it| it.tenant != tenant) {
        return Ok((extent, Standing::Ready));
    }
    let to = target.open(tenant).await.map_err(CopyError::Target)?;
    let judged = judge(&plan, target, &*to, tenant).await;
    let standing = match judged.map_err(CopyError::Target)? {
        Ok(Start::Fresh) => Standing::Ready,
        Ok(Start::GoOn(known)) if known.phase == Phase::Done => Standing::Copied,
        Ok(Start::GoOn(_)) => Standing::Begun,
        Err(why) => Standing::Refused(why),
    };
    Ok((extent, standing))
}

/// Copies a tenant, and returns what it has and how it stood before. The writers of [`Extent`] belong to no host of the target afterwards:
/// hosts that share it adopt them once the target is closed here.
///
/// # Errors
/// Those of either driver, [`Error::Held`] if the id of a writer is that of a live host of the target.
pub async fn copy(
    source: &dyn Driver,
    target: &dyn Driver,
    tenant: &str,
    (options, progress): (CopyOptions, &CopyProgress),
) -> Result<(Extent, Standing), CopyError> {
    let from = source.open(tenant).await.map_err(CopyError::Source)?;
    let plan = Plan::of(&*from, options.at_once).await;
    let Some(plan) = plan.map_err(CopyError::Source)? else {
        return Ok((Extent::default(), Standing::Empty));
    };
    let extent = plan.extent(&*from);
    let to = target.open(tenant).await.map_err(CopyError::Target)?;
    let judged = judge(&plan, target, &*to, tenant).await;
    let (known, before) = match judged.map_err(CopyError::Target)? {
        Ok(Start::GoOn(known)) if known.phase == Phase::Done => {
            let tidied = record::tidy(&*to, &plan, known).await;
            tidied.map_err(CopyError::Target)?;
            return Ok((extent, Standing::Copied));
        }
        Ok(Start::GoOn(known)) => (Some(known), Standing::Begun),
        Ok(Start::Fresh) => (None, Standing::Ready),
        Err(why) => return Ok((extent, Standing::Refused(why))),
    };
    let generation = to.generation();
    let mut moving = Moving {
        source: &*from,
        target: &*to,
        tenant,
        plan: &plan,
        claims: Vec::new(),
        options,
        progress,
    };
    let phase = known.as_ref().map(|known| known.phase);
    let entries = moving.unwritten(phase).await?;
    if !entries.is_empty() || phase != Some(Phase::Entries) {
        // Before the record, so that no number is taken that one of them has.
        let claimed = async {
            if !target.is_shared() {
                // What its host keeps of the data that it has seen holds for as long as nobody else has claimed its id.
                to.claim(&target.writer_id()).await?;
            }
            moving.claim().await
        };
        match claimed.await {
            Ok(()) => {}
            Err(Error::Other(why)) => return Ok((extent, Standing::Refused(why))),
            Err(error) => return Err(CopyError::Target(error)),
        }
    }
    let record = Record::open(&*to, &plan, known).await;
    let record = record.map_err(CopyError::Target)?;
    if phase != Some(Phase::Entries) {
        moving.put_objects(&record).await?;
        let begun = record.enter(Phase::Entries).await;
        begun.map_err(CopyError::Target)?;
    }
    moving.commit_entries(&entries).await?;
    // Nothing counts as copied before it is durable.
    let ended = async {
        to.sync(generation).await?;
        record.end().await?;
        to.sync(generation).await
    };
    ended.await.map_err(CopyError::Target)?;
    Ok((extent, before))
}

/// Where a copy begins, or why it cannot.
async fn judge(
    plan: &Plan,
    driver: &dyn Driver,
    target: &dyn Namespace,
    tenant: &str,
) -> Result<Result<Start, String>, Error> {
    let known = match Known::read(target, plan).await? {
        Ok(known) => known,
        Err(why) => return Ok(Err(why)),
    };
    if let Some(known) = known {
        let is_same = known.fingerprint == plan.fingerprint;
        return Ok(match known.phase {
            _ if is_same => Ok(Start::GoOn(known)),
            // Nothing refers to what was put.
            Phase::Objects => Ok(Start::GoOn(known.begun_again())),
            Phase::Entries => Err(format!(
                "a copy of the tenant `{tenant}` was cut off while it made data visible in the target, and the source has changed since: go on with the folder or snapshot that it was begun with, or purge the tenant in the target"
            )),
            Phase::Done => Err(format!(
                "the tenant `{tenant}` was copied to the target before, and the source has changed since: what was written to it meanwhile cannot be added. Purge the tenant in the target to copy it anew"
            )),
        });
    }
    let writers = target.writers().await?;
    let parts = target.partitions().await?;
    let is_known = |id: &&String| plan.writers.iter().any(|it| it.id == **id);
    if let Some(writer) = writers.iter().find(is_known) {
        return Ok(Err(format!(
            "the tenant `{tenant}` has data of the writer `{writer}` in the target already, which no copy has put there: purge the tenant in the target, if it is not needed"
        )));
    }
    if let Some(part) = parts.iter().find(|name| plan.has(name)) {
        return Ok(Err(format!(
            "the tenant `{tenant}` has a partition `{part}` in the target already, which no copy has put there: purge the tenant in the target, if it is not needed"
        )));
    }
    let own = driver.writer_id();
    // A driver that is shared assigns numbers, and refuses one that is taken.
    let local = (!driver.is_shared()).then_some(&own);
    for other in writers.iter().chain(local) {
        if other.starts_with(crate::HOST_PREFIX) || is_known(&other) {
            continue;
        }
        let number = if local == Some(other) {
            crate::local_number(other)
        } else {
            target.number(other).await?
        };
        if let Some(clash) = plan.writers.iter().find(|it| it.number == number) {
            return Ok(Err(format!(
                "the writer `{}` of the tenant `{tenant}` has the number {number}, which is that of `{other}` in the target, and names in the data are made of it: copy into a store that was never written to",
                clash.id
            )));
        }
    }
    Ok(Ok(Start::Fresh))
}

// === impl CopyOptions ===

impl Default for CopyOptions {
    fn default() -> Self {
        Self {
            at_once: 8,
            repetitions: 20,
        }
    }
}

// === impl CopyProgress ===

impl CopyProgress {
    /// Values that were written.
    pub fn values(&self) -> u64 {
        self.values.load(Ordering::Relaxed)
    }

    /// Their bytes, keys included, before compression.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    fn add(&self, values: usize, bytes: usize) {
        self.values.fetch_add(values as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}
