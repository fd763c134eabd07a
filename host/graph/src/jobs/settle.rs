//! Settles a bucket: judges all traces with spans that start in it, and keeps the calls of those that begin in it.
//!
//! The bucket is switched to *settling* while no write is under way. So every write before is visible to the reads, and every write after
//! makes its trace late.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Keep, KeepChange, TraceId};
use larder_search::kept::{Finding, Names, Reader, TraceCalls};

use super::tidy::give_back;
use super::{Failure, Outcome};
use crate::bucket::Bucket;
use crate::checkpoint::pause;
use crate::entries::{bucket_key, put_bucket, put_late};
use crate::record::Rows;
use crate::rows::Found;
use crate::shared::Shared;
use crate::state::{Before, Entry, Phase, Record, Settling, State, Stored};

/// A settling that has begun.
struct Begun {
    bucket: Bucket,
    keep: Arc<dyn Keep>,
    epoch: u64,
    /// The number of the settling.
    number: u64,
    /// The record to be replaced.
    before: Option<Stored>,
    /// The number of drops seen, and the time of the oldest write that is stored.
    drops: u64,
    oldest: u64,
}

/// What was read.
#[derive(Default)]
struct Judged {
    /// Rows of the traces that begin in the bucket.
    rows: Rows,
    /// Traces with spans that start in other buckets too.
    straddling: Vec<(TraceId, TraceCalls)>,
    /// True if no trace has a span that starts in the bucket.
    is_empty: bool,
    /// Bytes that all this takes up, about.
    bytes: usize,
}

/// Bytes of a trace, and of each start and call of it, about.
const TRACE_BYTES: usize = 130;
const FACT_BYTES: usize = 8;

/// What becomes of the traces that straddle buckets.
#[derive(Default)]
struct Verdicts {
    late: Vec<(TraceId, Bucket)>,
    /// Buckets without an entry in which traces begin.
    opened: Vec<Bucket>,
    /// The buckets of the traces with spans that start in the bucket, whether they have rows in the record or not.
    buckets: HashSet<Bucket>,
}

/// Settles a bucket that is due.
pub(super) async fn settle(shared: &Shared, bucket: Bucket) -> Outcome {
    let begun = begin(shared, bucket).await?;
    let (epoch, number) = (begun.epoch, begun.number);
    let mut outcome = work(shared, begun).await;
    if matches!(outcome, Err(Failure::TooLarge(_)))
        && let Err(failure) = leave_open(shared, bucket, (epoch, number)).await
    {
        outcome = Err(failure);
    }
    if outcome.is_err() {
        give_up(shared, bucket, (epoch, number));
    }
    outcome
}

async fn begin(shared: &Shared, bucket: Bucket) -> Result<Begun, Failure> {
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    let now = shared.now();
    let mut inner = shared.inner.lock();
    if inner.is_blocked(bucket) {
        return Err(Failure::Blocked);
    }
    let number = inner.next_number();
    let drops = inner.state.drops;
    let is_unknown = inner.state.is_unknown(bucket);
    let is_unmarked = Some(bucket) <= inner.state.unmarked;
    let new = inner.state.new_entry(bucket, now);
    if is_unknown {
        inner.latest = inner.latest.max(now);
    }
    let buckets = inner.state.buckets_mut();
    let entry = match buckets.get_mut(&bucket) {
        Some(entry) => entry,
        None if is_unknown => buckets.entry(bucket).or_insert(new),
        None => return Err(Failure::Overtaken),
    };
    let before = match &entry.phase {
        Phase::Open if is_unknown && is_unmarked => Before::Unmarked,
        Phase::Open if is_unknown => Before::Unknown,
        Phase::Open => Before::Open,
        Phase::Settled(record) => Before::Settled(Arc::clone(record)),
        Phase::Settling(_) => return Err(Failure::Overtaken),
    };
    let stored = match &before {
        Before::Settled(record) => record.group.clone(),
        Before::Unknown | Before::Unmarked | Before::Open => None,
    };
    entry.phase = Phase::Settling(Settling { number, before });
    Ok(Begun {
        bucket,
        keep: Arc::clone(&inner.keep),
        epoch: inner.epoch,
        number,
        before: stored,
        drops: drops.number,
        oldest: drops.oldest.unwrap_or(0),
    })
}

/// Returns the bucket to the phase that it had.
fn give_up(shared: &Shared, bucket: Bucket, begun: (u64, u64)) {
    let mut inner = shared.inner.lock();
    if inner.epoch != begun.0 {
        return;
    }
    let buckets = inner.state.buckets_mut();
    let Some(entry) = buckets.get_mut(&bucket) else {
        return;
    };
    let Phase::Settling(settling) = &entry.phase else {
        return;
    };
    if settling.number != begun.1 {
        return;
    }
    match settling.before.clone() {
        Before::Unknown | Before::Unmarked => {
            buckets.remove(&bucket);
        }
        Before::Open => entry.phase = Phase::Open,
        Before::Settled(record) => entry.phase = Phase::Settled(record),
    }
}

/// Leaves a bucket open that is too large, whatever it was before, so that nothing waits for it.
async fn leave_open(shared: &Shared, bucket: Bucket, begun: (u64, u64)) -> Outcome {
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    let (series, entry) = {
        let inner = shared.inner.lock();
        let is_begun = |it: &&Entry| {
            let number = begun.1;
            matches!(&it.phase, Phase::Settling(settling) if settling.number == number)
        };
        let entry = inner.state.buckets.get(&bucket).filter(is_begun);
        let entry = entry.filter(|_| inner.epoch == begun.0);
        let entry = Entry {
            phase: Phase::Open,
            ..*entry.ok_or(Failure::Overtaken)?
        };
        (inner.state.series, entry)
    };
    let change = put_bucket(series, bucket, &entry);
    shared.commit_once(&gate, vec![change]).await?;
    let mut inner = shared.inner.lock();
    inner.too_large.insert(bucket);
    inner.has_orphans = true;
    inner.state.buckets_mut().insert(bucket, entry);
    Ok(())
}

async fn work(shared: &Shared, begun: Begun) -> Outcome {
    let storage = shared.storage().ok_or(Failure::Closed)?;
    let mut reader = Reader::new(storage, Arc::clone(&shared.metrics));
    let mut judged = read(shared, &begun, &mut reader).await?;
    let mut names = Names::default();
    for service in reader.services() {
        names.number(service);
    }
    drop(reader);
    let state = shared.inner.lock().state.clone();
    let found = compare(shared, &begun, (&state, &judged.straddling), &mut names).await?;
    let verdicts = judge(&begun, &state, &mut judged, &found);
    let encoded = judged.rows.encode(begun.bucket, names.all()).await;
    let encoded = encoded.map_err(|damage| Failure::Damaged(begun.bucket, damage.into()))?;
    let stored = shared.keep(&*begun.keep, begun.bucket, encoded).await?;
    let group = stored.as_ref().map(|it| it.group.clone());
    match commit(shared, &begun, (stored, judged.is_empty), verdicts).await {
        Ok(()) => {
            if let Some(before) = &begun.before {
                give_back(shared, &before.group).await;
            }
            Ok(())
        }
        Err(failure) => {
            // After a failed commit nobody knows whether the record is referred to.
            if let (Failure::Overtaken, Some(group)) = (&failure, group) {
                give_back(shared, &group).await;
            } else {
                shared.inner.lock().has_orphans = true;
            }
            Err(failure)
        }
    }
}

/// Reads and judges all traces with spans that start in the bucket, and those that have rows in its record.
async fn read(shared: &Shared, begun: &Begun, reader: &mut Reader) -> Result<Judged, Failure> {
    let range = begun.bucket.range();
    let mut seen = HashSet::new();
    if let Some(before) = &begun.before {
        let ids = shared.ids(&*begun.keep, before).await;
        seen = ids.map_err(|damage| Failure::Damaged(begun.bucket, damage))?;
    }
    let had_rows = seen.clone();
    let mut order: Vec<_> = seen.iter().map(|id| (u64::MAX, *id)).collect();
    let mut finding = Finding::new(range);
    let most = shared.config.most_bytes;
    while let Some(found) = reader.find(&mut finding).await? {
        let new = found.into_iter().filter(|(id, _)| seen.insert(*id));
        order.extend(new.map(|(id, fragment)| (fragment.unwrap_or(u64::MAX), id)));
        if seen.len().saturating_mul(TRACE_BYTES) > most {
            return Err(Failure::TooLarge(most));
        }
        pause().await;
    }
    // Plugins number fragments in the order written, and keep neighbours together. So a block of digests is read once, not once for each
    // of many calls.
    order.sort_unstable();
    reader.add(order.iter().map(|(_, id)| *id));
    drop(order);
    let mut judged = Judged {
        is_empty: true,
        bytes: seen.len().saturating_mul(TRACE_BYTES),
        ..Judged::default()
    };
    drop(seen);
    let mut each = |id: TraceId, trace: &TraceCalls| {
        let is_in = |start: &u64| (range.start..=range.end).contains(start);
        if judged.bytes > most {
            return;
        }
        judged.bytes += trace.calls.len() * FACT_BYTES;
        if trace.starts.iter().all(is_in) {
            judged.is_empty = false;
            if !trace.calls.is_empty() {
                judged
                    .rows
                    .push(id, (trace.first, trace.last), &trace.calls);
            }
        } else if had_rows.contains(&id) || trace.starts.iter().any(is_in) {
            judged.is_empty &= !trace.starts.iter().any(is_in);
            judged.bytes += trace.starts.len() * FACT_BYTES;
            judged.straddling.push((id, trace.clone()));
        }
    };
    while reader.judge(&mut each).await? {
        pause().await;
    }
    if judged.bytes > most {
        return Err(Failure::TooLarge(most));
    }
    Ok(judged)
}

/// Looks up the rows of straddling traces in the records of the other buckets.
async fn compare(
    shared: &Shared,
    begun: &Begun,
    (state, straddling): (&State, &[(TraceId, TraceCalls)]),
    names: &mut Names,
) -> Result<HashMap<(Bucket, TraceId), Found>, Failure> {
    let mut wanted: BTreeMap<Bucket, (Stored, HashMap<TraceId, Vec<u64>>)> = BTreeMap::new();
    for (id, trace) in straddling {
        for start in &trace.starts {
            let bucket = Bucket::of(*start);
            let record = state.record(bucket).filter(|_| bucket != begun.bucket);
            let Some(stored) = record.and_then(|it| it.group.as_ref()) else {
                continue;
            };
            let (_, ids) = wanted
                .entry(bucket)
                .or_insert_with(|| (stored.clone(), HashMap::new()));
            ids.entry(*id).or_default().push(*start);
        }
    }
    let mut found = HashMap::new();
    for (bucket, (stored, ids)) in wanted {
        let rows = shared.look_up(&*begun.keep, &stored, &ids, names).await;
        let rows = rows.map_err(|damage| Failure::Damaged(bucket, damage))?;
        found.extend(rows.into_iter().map(|(id, row)| ((bucket, id), row)));
    }
    Ok(found)
}

/// Decides what becomes of the straddling traces; those that belong to the bucket get rows.
fn judge(
    begun: &Begun,
    state: &State,
    judged: &mut Judged,
    found: &HashMap<(Bucket, TraceId), Found>,
) -> Verdicts {
    let mut verdicts = Verdicts::default();
    for (id, trace) in &judged.straddling {
        let own = Bucket::of(trace.first);
        let buckets: HashSet<Bucket> = trace.starts.iter().copied().map(Bucket::of).collect();
        let mut others = buckets.iter().filter(|bucket| **bucket != own);
        let is_elsewhere = others.any(|bucket| found.contains_key(&(*bucket, *id)));
        if buckets.contains(&begun.bucket) {
            // Once retention takes what lies elsewhere, the trace may begin here.
            verdicts.buckets.extend(buckets);
        }
        if is_elsewhere {
            verdicts.late.push((*id, own));
        } else if own == begun.bucket {
            let times = (trace.first, trace.last);
            judged.rows.push(*id, times, &trace.calls);
        } else if state.record(own).is_some() {
            let row = found.get(&(own, *id));
            if !row.is_some_and(|row| row.is_of(trace)) {
                verdicts.late.push((*id, own));
            }
        } else if !state.buckets.contains_key(&own) && !state.is_unknown(own) {
            verdicts.opened.push(own);
        }
    }
    verdicts
}

/// Makes the bucket settled.
async fn commit(
    shared: &Shared,
    begun: &Begun,
    (stored, is_empty): (Option<Stored>, bool),
    verdicts: Verdicts,
) -> Outcome {
    let bucket = begun.bucket;
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    let now = shared.now();
    let (series, entry, opened, late, is_unknown, is_empty) = {
        let mut inner = shared.inner.lock();
        let state = &inner.state;
        let entry = state.buckets.get(&bucket).ok_or(Failure::Overtaken)?;
        let Phase::Settling(settling) = &entry.phase else {
            return Err(Failure::Overtaken);
        };
        if inner.epoch != begun.epoch || settling.number != begun.number {
            return Err(Failure::Overtaken);
        }
        let is_unknown = matches!(settling.before, Before::Unknown | Before::Unmarked);
        // Since it began, a write may have come with an earlier time, where the clock has gone back.
        let oldest = begun.oldest.min(state.drops.oldest.unwrap_or(0));
        let first_write = entry.first_write.max(oldest);
        let others = verdicts.buckets.into_iter().filter(|it| *it != bucket);
        let needs_write = state.first_write(others, oldest).min(first_write);
        let entry = Entry {
            first_write,
            opened: entry.opened,
            phase: Phase::Settled(Arc::new(Record {
                group: stored,
                needs_write,
                drops: begun.drops,
            })),
        };
        let mut late = verdicts.late;
        late.retain(|(id, _)| !state.late.contains_key(id));
        // A late trace may begin in it, and then its first write has to be known.
        let is_empty = is_empty && state.late.is_empty();
        let series = state.series;
        let opened = inner.found_entries(&shared.config, verdicts.opened, now);
        inner.latest = inner.latest.max(first_write);
        (series, entry, opened, late, is_unknown, is_empty)
    };
    let marks = opened
        .iter()
        .map(|(bucket, entry)| put_bucket(series, *bucket, entry))
        .chain(
            late.iter()
                .map(|(id, bucket)| put_late(series, *id, *bucket)),
        );
    // A mark too many is only work.
    shared.commit(&gate, marks.collect()).await?;
    {
        let mut inner = shared.inner.lock();
        for (bucket, entry) in opened {
            inner.written.insert(bucket, now);
            inner.state.buckets_mut().insert(bucket, entry);
        }
        inner.add_late(late, now);
        if is_unknown {
            inner.move_frontier(bucket, bucket.before());
        }
    }
    let change = if is_empty {
        KeepChange::Delete(bucket_key(series, bucket))
    } else {
        put_bucket(series, bucket, &entry)
    };
    shared.commit_once(&gate, vec![change]).await?;
    let mut inner = shared.inner.lock();
    inner.written.remove(&bucket);
    let buckets = inner.state.buckets_mut();
    if is_empty {
        buckets.remove(&bucket);
    } else {
        buckets.insert(bucket, entry);
    }
    Ok(())
}
