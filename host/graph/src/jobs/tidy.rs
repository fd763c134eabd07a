//! Small upkeep: the head, remains, and records that cannot be read.

use hashbrown::HashSet;
use larder_model::storage::KeepChange;

use super::{Failure, Outcome};
use crate::bucket::Bucket;
use crate::checkpoint::pause;
use crate::entries::put_bucket;
use crate::shared::Shared;
use crate::state::{Entry, Phase, Stored};

/// Groups that are given back in one piece of work.
const GROUPS_A_PIECE: usize = 64;
/// Keys that are deleted in one piece of work.
const KEYS_A_PIECE: usize = 1024;

/// Makes the head durable.
pub(super) async fn save_head(shared: &Shared) -> Outcome {
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    Ok(shared.commit_once(&gate, Vec::new()).await?)
}

/// Deletes keys of former series, and gives back groups that nothing refers to.
pub(super) async fn tidy(shared: &Shared) -> Outcome {
    let unused = std::mem::take(&mut shared.inner.lock().days.unused);
    for group in &unused {
        give_back(shared, group).await;
    }
    let (keep, epoch, remains, has_orphans) = {
        let mut inner = shared.inner.lock();
        let remains = std::mem::take(&mut inner.remains);
        let has_orphans = std::mem::take(&mut inner.has_orphans);
        (inner.keep.clone(), inner.epoch, remains, has_orphans)
    };
    let mut rest = &remains[..];
    while let Some((some, after)) = rest.split_at_checked(KEYS_A_PIECE.min(rest.len()))
        && !some.is_empty()
    {
        rest = after;
        let gate = shared.gate().await;
        if shared.inner.lock().epoch != epoch {
            return Err(Failure::Overtaken);
        }
        let changes = some.iter().cloned().map(KeepChange::Delete).collect();
        if let Err(error) = shared.commit_once(&gate, changes).await {
            let mut inner = shared.inner.lock();
            inner.remains = some.iter().chain(rest).cloned().collect();
            inner.has_orphans |= has_orphans;
            return Err(error.into());
        }
        drop(gate);
        pause().await;
    }
    if !has_orphans {
        return Ok(());
    }
    let groups = keep.groups().await.inspect_err(|_| {
        shared.inner.lock().has_orphans = true;
    })?;
    let used: HashSet<String> = {
        let inner = shared.inner.lock();
        if inner.epoch != epoch {
            return Err(Failure::Overtaken);
        }
        let entries = inner.state.buckets.values();
        let stored = entries.filter_map(Entry::group);
        let days = inner.state.days.values().map(|it| &it.stored);
        stored.chain(days).map(|it| it.group.clone()).collect()
    };
    // Nothing else puts groups while this job runs.
    for (number, group) in groups.iter().enumerate() {
        if !used.contains(group) {
            give_back(shared, group).await;
        }
        if number % GROUPS_A_PIECE == GROUPS_A_PIECE - 1 {
            pause().await;
        }
    }
    Ok(())
}

/// Opens a bucket again whose record cannot be read.
pub(super) async fn reopen(shared: &Shared, bucket: Bucket) -> Outcome {
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    let now = shared.now();
    let (series, epoch, entry) = {
        let mut inner = shared.inner.lock();
        let entry = inner.state.buckets.get(&bucket);
        let Some(entry) = entry.filter(|it| matches!(it.phase, Phase::Settled(_))) else {
            inner.damaged.remove(&bucket);
            return Ok(());
        };
        let entry = Entry {
            first_write: entry.first_write,
            opened: now,
            phase: Phase::Open,
        };
        inner.latest = inner.latest.max(now);
        (inner.state.series, inner.epoch, entry)
    };
    let change = put_bucket(series, bucket, &entry);
    shared.commit_once(&gate, vec![change]).await?;
    let mut inner = shared.inner.lock();
    if inner.epoch == epoch {
        inner.damaged.remove(&bucket);
        inner.written.insert(bucket, 0);
        inner.state.buckets_mut().insert(bucket, entry);
        inner.has_orphans = true;
    }
    Ok(())
}

/// Begins anew.
pub(super) async fn begin_anew(shared: &Shared) -> Outcome {
    let gate = shared.gate().await;
    tracing::info!(
        tenant = shared.tenant,
        "the plugin does not tell what its retention has taken: the service graph is made anew"
    );
    Ok(shared.begin_anew(&gate).await?)
}

/// Gives back the group of a record that nothing refers to any more. If that fails it is left for the next look at all groups.
pub(super) async fn give_back(shared: &Shared, group: &str) {
    shared.cache.lock().remove(group);
    shared.outlines.lock().remove(group);
    let keep = shared.inner.lock().keep.clone();
    if let Err(error) = keep.reclaim(group).await {
        tracing::debug!(tenant = shared.tenant, %error, group, "a group of the service graph was not given back");
    }
}

/// Gives back the groups of records that have been replaced.
pub(super) async fn give_back_all(shared: &Shared, records: Vec<Stored>) {
    for stored in records {
        give_back(shared, &stored.group).await;
    }
}
