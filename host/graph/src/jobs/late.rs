//! Takes late traces into the records: judges them anew, and makes those records anew whose rows change.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Keep, KeepChange, TraceId};
use larder_search::kept::{Names, Reader, TraceCalls};

use super::tidy::give_back_all;
use super::{Failure, Outcome};
use crate::bucket::Bucket;
use crate::checkpoint::pause;
use crate::codec::Damaged;
use crate::config::Config;
use crate::entries::{late_key, put_bucket};
use crate::inner::Inner;
use crate::shared::Shared;
use crate::state::{Entry, Phase, Record, State, Stored};

/// Limit of the buckets whose records may change at once; a single trace may have more.
const MOST_BUCKETS: usize = 256;
/// Limit of the starts and calls that are held at once; a single trace may have more.
const MOST_FACTS: usize = 1 << 20;

/// Late traces that are being taken in.
struct Begun {
    keep: Arc<dyn Keep>,
    epoch: u64,
    /// The numbers that the traces had.
    marks: Vec<(TraceId, u64)>,
    oldest: u64,
    state: State,
}

/// The record of a bucket in which spans of late traces start.
struct Change {
    bucket: Bucket,
    before: Arc<Record>,
    /// These traces.
    ids: Vec<TraceId>,
    /// True if its rows change; `stored` has them then.
    has_rows: bool,
    stored: Option<Stored>,
}

/// Traces that were judged, each with the buckets in which its spans start.
type Traces = HashMap<TraceId, (TraceCalls, BTreeSet<Bucket>)>;

/// What becomes of the records.
#[derive(Default)]
struct Swaps {
    /// Buckets with other records, and buckets that are opened.
    entries: Vec<(Bucket, Entry)>,
    /// Buckets whose records keep their rows, and depend on older writes than before.
    older: Vec<(Bucket, Entry)>,
    has_orphans: bool,
}

/// Takes in some late traces.
pub(super) async fn apply(shared: &Shared) -> Outcome {
    let mut begun = begin(shared).await?;
    let storage = shared.storage().ok_or(Failure::Closed)?;
    let mut reader = Reader::new(storage, Arc::clone(&shared.metrics));
    let traces = read(&mut begun, &mut reader).await?;
    let mut changes = Vec::new();
    let services = reader.services();
    for (bucket, ids) in concerned(&begun.state, &traces) {
        let change = change(shared, &begun, (bucket, ids), (&traces, services)).await;
        match change {
            Ok(change) => changes.extend(change),
            Err(failure) => {
                shared.inner.lock().has_orphans |= !changes.is_empty();
                return Err(failure);
            }
        }
    }
    let opened: BTreeSet<Bucket> = traces
        .values()
        .map(|(trace, _)| Bucket::of(trace.first))
        .collect();
    match commit(shared, &begun, (&traces, changes), opened).await {
        Ok(replaced) => {
            give_back_all(shared, replaced).await;
            Ok(())
        }
        Err(failure) => {
            shared.inner.lock().has_orphans = true;
            Err(failure)
        }
    }
}

async fn begin(shared: &Shared) -> Result<Begun, Failure> {
    // No write is under way, so what was marked before is visible, or will never be.
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    let inner = shared.inner.lock();
    Ok(Begun {
        keep: Arc::clone(&inner.keep),
        epoch: inner.epoch,
        marks: choose(&inner, &shared.config),
        oldest: inner.state.drops.oldest.unwrap_or(0),
        state: inner.state.clone(),
    })
}

/// The late traces to be taken in, with their numbers: those of the bucket that has waited for the longest time, and of the buckets with
/// the most of them. So few records are made anew, and no trace waits for ever.
fn choose(inner: &Inner, config: &Config) -> Vec<(TraceId, u64)> {
    let mut by_bucket: HashMap<Bucket, Vec<(u64, u64, TraceId)>> = HashMap::new();
    for (id, (number, since)) in &inner.late_marks {
        if let Some(bucket) = inner.state.late.get(id)
            && !inner.is_late_blocked(*id)
        {
            let marks = by_bucket.entry(*bucket).or_default();
            marks.push((*since, *number, *id));
        }
    }
    let oldest = by_bucket.values().flatten().min().copied();
    let mut buckets: Vec<_> = by_bucket.into_iter().collect();
    buckets.sort_by_cached_key(|(bucket, marks)| {
        let is_later = marks.iter().min().copied() != oldest;
        (is_later, Reverse(marks.len()), *bucket)
    });
    buckets.truncate(config.late_buckets.max(1));
    let marks = buckets.into_iter().flat_map(|(_, mut marks)| {
        marks.sort_unstable();
        marks
    });
    let chosen = marks.take(config.late_batch);
    chosen.map(|(_, number, id)| (id, number)).collect()
}

/// Judges the traces that are still stored, those of them that can be taken in at once.
async fn read(begun: &mut Begun, reader: &mut Reader) -> Result<Traces, Failure> {
    reader.add(begun.marks.iter().map(|(id, _)| *id));
    let mut traces = Traces::new();
    let mut left_out = HashSet::new();
    let (mut buckets, mut facts) = (HashSet::new(), 0);
    let mut each = |id: TraceId, trace: &TraceCalls| {
        let is_full = buckets.len() > MOST_BUCKETS || facts > MOST_FACTS;
        if is_full && !traces.is_empty() {
            left_out.insert(id);
            return;
        }
        let own: BTreeSet<Bucket> = trace.starts.iter().copied().map(Bucket::of).collect();
        buckets.extend(own.iter().copied());
        facts += trace.starts.len() + trace.calls.len();
        traces.insert(id, (trace.clone(), own));
    };
    while reader.judge(&mut each).await? {
        pause().await;
    }
    begun.marks.retain(|(id, _)| !left_out.contains(id));
    Ok(traces)
}

/// The settled buckets in which spans of the traces start, each with these traces and the starts.
fn concerned(state: &State, traces: &Traces) -> BTreeMap<Bucket, HashMap<TraceId, Vec<u64>>> {
    let mut concerned: BTreeMap<Bucket, HashMap<TraceId, Vec<u64>>> = BTreeMap::new();
    for (id, (trace, _)) in traces {
        for start in &trace.starts {
            let bucket = Bucket::of(*start);
            if state.record(bucket).is_some() {
                let ids = concerned.entry(bucket).or_default();
                ids.entry(*id).or_default().push(*start);
            }
        }
    }
    concerned
}

/// Makes the record of a bucket anew, if its rows change. `None` if it has no record.
async fn change(
    shared: &Shared,
    begun: &Begun,
    (bucket, ids): (Bucket, HashMap<TraceId, Vec<u64>>),
    (traces, services): (&Traces, &[String]),
) -> Result<Option<Change>, Failure> {
    let damaged = |damage| Failure::Damaged(bucket, damage);
    let Some(before) = begun.state.record(bucket).cloned() else {
        return Ok(None);
    };
    let keep = &*begun.keep;
    let mut names = Names::default();
    for service in services {
        names.number(service);
    }
    let found = match &before.group {
        Some(stored) => shared.look_up(keep, stored, &ids, &mut names).await,
        None => Ok(HashMap::new()),
    };
    let mut found = found.map_err(damaged)?;
    let mut with = Vec::new();
    for id in ids.keys() {
        let Some((trace, own)) = traces.get(id) else {
            continue;
        };
        let is_here = own.first() == Some(&bucket) && (!trace.calls.is_empty() || own.len() > 1);
        if !is_here {
            continue;
        }
        if found.get(id).is_some_and(|row| row.is_of(trace)) {
            found.remove(id);
        } else {
            with.push((*id, trace));
        }
    }
    let mut change = Change {
        bucket,
        before,
        // Also those without a row here: once retention takes what lies elsewhere, they may begin here.
        ids: ids.into_keys().collect(),
        has_rows: false,
        stored: None,
    };
    if with.is_empty() && found.is_empty() {
        return Ok(Some(change));
    }
    let rows = change.before.group.as_ref().map_or(0, |it| it.bytes);
    if rows > shared.config.most_bytes as u64 {
        return Err(damaged(Damaged("it has grown too large").into()));
    }
    let without: HashSet<TraceId> = found
        .into_keys()
        .chain(with.iter().map(|it| it.0))
        .collect();
    let whole = (bucket, change.before.group.as_ref());
    let encoded = shared
        .rewrite(keep, whole, &without, (&with, services))
        .await;
    change.stored = shared.keep(keep, bucket, encoded.map_err(damaged)?).await?;
    change.has_rows = true;
    Ok(Some(change))
}

/// The entries of the buckets whose records change.
fn swaps(begun: &Begun, state: &State, traces: &Traces, changes: Vec<Change>) -> Swaps {
    // Since it began, a write may have come with an earlier time, where the clock has gone back.
    let oldest = begun.oldest.min(state.drops.oldest.unwrap_or(0));
    let writes = traces.iter().map(|(id, (_, buckets))| {
        let write = state.first_write(buckets.iter().copied(), oldest);
        (*id, write)
    });
    let writes: HashMap<TraceId, u64> = writes.collect();
    let mut swaps = Swaps::default();
    for change in changes {
        let Change {
            bucket,
            before,
            ids,
            has_rows,
            stored,
        } = change;
        let is_same = |it: &(&Entry, &Arc<Record>)| it.1.group == before.group;
        let Some((entry, before)) = state.settled(bucket).filter(is_same) else {
            // A bucket that was opened again in between needs no record.
            swaps.has_orphans |= stored.is_some();
            continue;
        };
        let needs_write = ids.iter().filter_map(|id| writes.get(id).copied()).min();
        let needs_write = needs_write.map_or(before.needs_write, |it| it.min(before.needs_write));
        if !has_rows && needs_write == before.needs_write {
            continue;
        }
        let group = if has_rows {
            stored
        } else {
            before.group.clone()
        };
        let record = Record {
            group,
            needs_write,
            drops: before.drops,
        };
        let entry = Entry {
            phase: Phase::Settled(Arc::new(record)),
            ..*entry
        };
        let list = if has_rows {
            &mut swaps.entries
        } else {
            &mut swaps.older
        };
        list.push((bucket, entry));
    }
    swaps
}

/// Swaps the records, and takes the traces off the list that were not written to in between. Returns the records that were replaced.
async fn commit(
    shared: &Shared,
    begun: &Begun,
    (traces, changes): (&Traces, Vec<Change>),
    opened: BTreeSet<Bucket>,
) -> Result<Vec<Stored>, Failure> {
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    let now = shared.now();
    let (series, swaps) = {
        let inner = shared.inner.lock();
        if inner.epoch != begun.epoch {
            return Err(Failure::Overtaken);
        }
        let swaps = swaps(begun, &inner.state, traces, changes);
        (inner.state.series, swaps)
    };
    let Swaps {
        mut entries,
        older,
        has_orphans,
    } = swaps;
    let put = |(bucket, entry): &(Bucket, Entry)| put_bucket(series, *bucket, entry);
    // They are true whatever becomes of the rest, and may be too many for one commit.
    shared
        .commit(&gate, older.iter().map(put).collect())
        .await?;
    let (gone, durable) = {
        let mut inner = shared.inner.lock();
        if !older.is_empty() {
            inner.state.buckets_mut().extend(older);
        }
        entries.extend(inner.found_entries(&shared.config, opened, now));
        let is_same = |(id, number): &&(TraceId, u64)| {
            inner
                .late_marks
                .get(id)
                .is_some_and(|mark| mark.0 == *number)
        };
        let gone: Vec<_> = begun.marks.iter().filter(is_same).map(|it| it.0).collect();
        let deletes = gone
            .iter()
            .map(|id| KeepChange::Delete(late_key(series, *id)));
        let durable: Vec<_> = entries.iter().map(put).chain(deletes).collect();
        (gone, durable)
    };
    shared.commit_once(&gate, durable).await?;
    let mut inner = shared.inner.lock();
    inner.has_orphans |= has_orphans;
    let mut replaced = Vec::new();
    for (bucket, entry) in entries {
        if matches!(entry.phase, Phase::Open) {
            inner.written.insert(bucket, now);
        }
        let before = inner.state.buckets_mut().insert(bucket, entry);
        replaced.extend(before.and_then(|it| it.group().cloned()));
    }
    inner.remove_late(&gone);
    Ok(replaced)
}
