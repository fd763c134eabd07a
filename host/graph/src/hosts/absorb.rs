//! Takes the marks of all hosts into the state that they keep together. The holder's alone.
//!
//! It runs between two jobs. So a job sees marks taken as one of a host that is alone sees those of its writes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Error, KeepChange, TraceId};

use super::followed::Seen;
use super::holding::{Holding, Taken, closing_key, put_closing, put_taken, taken_key};
use super::marks::{Head, HostMarks};
use crate::bucket::Bucket;
use crate::config::{Config, nanos};
use crate::entries::{put_bucket, put_late};
use crate::inner::{Blocked, Inner};
use crate::marks::Marks;
use crate::shared::{Gate, Shared};
use crate::state::{Entry, Phase};

/// What is taken in at once.
#[derive(Default)]
struct Plan {
    /// Entries that are new, opened, or have an earlier first write.
    entries: BTreeMap<Bucket, Entry>,
    late: HashMap<TraceId, (Bucket, u64)>,
    taken: BTreeMap<u64, Taken>,
    /// Open marks that are closed.
    closing: BTreeSet<(Bucket, u64, u64)>,
    /// The times before which hosts may have dropped something, of each drop that is new.
    drops: Vec<u64>,
    /// Buckets without room for an entry.
    unmarked: Vec<Bucket>,
}

/// Takes in what is due, and notes what is marked still. Returns `true` if anything was taken in.
pub(super) async fn absorb(
    shared: &Shared,
    holding: &mut Holding,
    seen: &Seen,
) -> Result<bool, Error> {
    let gate = shared.gate().await;
    shared.refresh(&gate).await?;
    let mut has_changed = begin_anew(shared, &gate, (holding, seen)).await?;
    let now = shared.now();
    let plan = {
        let mut inner = shared.inner.lock();
        inner.state.drops.oldest = Some(oldest(seen));
        Plan::new(&inner, (holding, seen), (&shared.config, now))
    };
    if !plan.is_empty() {
        commit(shared, &gate, (holding, plan), now).await?;
        has_changed = true;
    }
    clean(shared, &gate, (holding, seen)).await?;
    let mut inner = shared.inner.lock();
    inner.note_marks(holding, seen);
    if inner.state.drops.before > 0 && !inner.has_suspects() {
        // All records are of what is stored now, so none is suspect to those who read them.
        inner.state.drops.before = 0;
        inner.is_head_saved = false;
    }
    Ok(has_changed)
}

/// Each host that marks, with its series.
fn heads(seen: &Seen) -> impl Iterator<Item = (&str, &Arc<HostMarks>, Head)> {
    let hosts = seen.hosts.iter();
    hosts.filter_map(|(host, marks)| Some((host.as_str(), marks, marks.head?)))
}

/// The time of the oldest write that is stored, as far as the hosts know.
fn oldest(seen: &Seen) -> u64 {
    let told = seen.hosts.iter();
    let told = told.map(|(_, marks)| marks.drops.oldest.unwrap_or(0));
    told.min().unwrap_or(0)
}

/// Begins anew if a host has written what it did not mark, or is gone with what was counted of it.
async fn begin_anew(
    shared: &Shared,
    gate: &Gate,
    (holding, seen): (&mut Holding, &Seen),
) -> Result<bool, Error> {
    let current: HashSet<u64> = heads(seen).map(|(.., head)| head.series).collect();
    let known = holding.taken.keys();
    let gone: Vec<u64> = known.filter(|it| !current.contains(*it)).copied().collect();
    let new = heads(seen)
        .filter(|(.., head)| !head.is_whole && !holding.taken.contains_key(&head.series));
    let new = new.map(|(host, _, head)| {
        let host = host.to_owned();
        (head.series, Taken { host, number: 0 })
    });
    let new: Vec<(u64, Taken)> = new.collect();
    if gone.is_empty() && new.is_empty() {
        return Ok(false);
    }
    tracing::info!(
        tenant = shared.tenant,
        "the writes of a host were not marked, or it is gone: the service graph is made anew"
    );
    shared.begin_anew(gate).await?;
    let deletes = gone.iter().map(|it| KeepChange::Delete(taken_key(*it)));
    let puts = new.iter().map(|(series, taken)| put_taken(*series, taken));
    let changes = deletes.chain(puts).collect();
    shared.commit_once(gate, changes).await?;
    for series in gone {
        holding.taken.remove(&series);
    }
    holding.taken.extend(new);
    Ok(true)
}

async fn commit(
    shared: &Shared,
    gate: &Gate,
    (holding, plan): (&mut Holding, Plan),
    now: u64,
) -> Result<(), Error> {
    let Plan {
        entries,
        late,
        taken,
        closing,
        drops,
        unmarked,
    } = plan;
    let (marks, lowered, changes) = {
        let mut inner = shared.inner.lock();
        for bucket in unmarked {
            inner.leave_unmarked(bucket, now);
        }
        let known = &inner.state.late;
        let (again, new): (Vec<_>, Vec<_>) =
            late.iter().partition(|(id, _)| known.contains_key(*id));
        let series = inner.state.series;
        let changes = entries
            .iter()
            .map(|(bucket, entry)| put_bucket(series, *bucket, entry))
            .chain(
                new.iter()
                    .map(|(id, (bucket, _))| put_late(series, **id, *bucket)),
            );
        let changes: Vec<_> = changes.collect();
        let (opened, lowered): (Vec<_>, Vec<_>) = entries
            .into_iter()
            .partition(|(_, entry)| matches!(entry.phase, Phase::Open));
        let marks = Marks {
            opened,
            late: new
                .iter()
                .map(|(id, (bucket, _))| (**id, *bucket))
                .collect(),
            again: again.into_iter().map(|(id, _)| *id).collect(),
            unmarked: None,
        };
        (marks, lowered, changes)
    };
    // They are true whatever becomes of the rest.
    shared.commit(gate, changes).await?;
    {
        let mut inner = shared.inner.lock();
        let opened = marks.opened.iter();
        let opened: Vec<(Bucket, u64)> = opened.map(|(it, entry)| (*it, entry.opened)).collect();
        inner.apply(marks, now);
        // When they were written into last, as far as that is known.
        inner.written.extend(opened);
        inner.state.buckets_mut().extend(lowered);
        for (id, (_, at)) in &late {
            if let Some((_, since)) = inner.late_marks.get_mut(id) {
                *since = (*since).min(*at);
            }
        }
        for before in drops {
            inner.dropped_before(before, now);
        }
    }
    let mut closed = BTreeMap::new();
    for (bucket, series, number) in closing {
        let marks = closed
            .entry(bucket)
            .or_insert_with(|| holding.closing.get(&bucket).cloned().unwrap_or_default());
        marks.insert((series, number));
    }
    let changes = closed
        .iter()
        .map(|(bucket, marks)| put_closing(*bucket, marks))
        .chain(taken.iter().map(|(series, it)| put_taken(*series, it)));
    let changes: Vec<_> = changes.collect();
    // With the head, if something was dropped.
    shared.commit_once(gate, changes).await?;
    holding.closing.extend(closed);
    holding.taken.extend(taken);
    Ok(())
}

/// Removes from what is closing the marks that their hosts have removed.
async fn clean(
    shared: &Shared,
    gate: &Gate,
    (holding, seen): (&mut Holding, &Seen),
) -> Result<(), Error> {
    let marks = heads(seen).flat_map(|(_, marks, head)| {
        let opens = marks.opens.iter();
        opens.map(move |(bucket, open)| (*bucket, head.series, open.number))
    });
    let marks: HashSet<_> = marks.collect();
    let mut changed = Vec::new();
    {
        let inner = shared.inner.lock();
        for (bucket, closing) in &holding.closing {
            let left = closing.iter().copied();
            let left = left.filter(|(series, number)| marks.contains(&(*bucket, *series, *number)));
            let left: BTreeSet<_> = left.collect();
            let entry = inner.state.buckets.get(bucket);
            let is_open = entry.is_some_and(|it| matches!(it.phase, Phase::Open));
            if left.len() < closing.len() || (left.is_empty() && !is_open) {
                changed.push((*bucket, left, is_open));
            }
        }
    }
    let mut changes = Vec::new();
    for (bucket, left, is_open) in changed {
        // Its hosts go on to mark late traces there until it is settled.
        if left.is_empty() && !is_open {
            changes.push(KeepChange::Delete(closing_key(bucket)));
            holding.closing.remove(&bucket);
        } else {
            changes.push(put_closing(bucket, &left));
            holding.closing.insert(bucket, left);
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    shared.commit(gate, changes).await
}

// === impl Plan ===

impl Plan {
    fn new(
        inner: &Inner,
        (holding, seen): (&Holding, &Seen),
        (config, now): (&Config, u64),
    ) -> Self {
        let mut plan = Self::default();
        let mut late: Vec<(TraceId, Bucket, u64)> = Vec::new();
        for (host, marks, head) in heads(seen) {
            let taken = holding.taken(head.series);
            let mut number = taken;
            if is_due(marks, taken, (config, now)) {
                let new = marks.late.iter().filter(|(_, it)| it.number > taken);
                late.extend(new.map(|((id, bucket), it)| (*id, *bucket, it.at)));
                if marks.drops.number > taken {
                    plan.drops.push(marks.drops.before);
                }
                number = number.max(marks.last_number());
            }
            // Where all was made anew since they were taken, the state covers them again before anything is looked for in their buckets.
            for ((_, bucket), late) in marks.late.iter().filter(|(_, it)| it.number <= taken) {
                if plan.entry(inner, *bucket).is_none() {
                    plan.open(inner, config, (*bucket, late.at, now));
                }
            }
            let closing = plan.closing.len();
            for (bucket, open) in &marks.opens {
                let quiet = bucket.range().end.max(open.at);
                let quiet = quiet.saturating_add(nanos(config.quiet));
                let longest = open.at.saturating_add(nanos(config.longest_open));
                let known = holding.closing.get(bucket);
                let is_closing = known.is_some_and(|it| it.contains(&(head.series, open.number)));
                if is_closing && plan.entry(inner, *bucket).is_none() {
                    plan.open(inner, config, (*bucket, open.at, now));
                }
                if is_closing || quiet.min(longest) > now {
                    continue;
                }
                plan.open(inner, config, (*bucket, open.at, now));
                plan.closing.insert((*bucket, head.series, open.number));
            }
            if number > taken || plan.closing.len() > closing {
                let host = host.to_owned();
                plan.taken.insert(head.series, Taken { host, number });
            }
        }
        plan.take_late(inner, (config, now), late);
        plan
    }

    fn is_empty(&self) -> bool {
        self.taken.is_empty() && self.entries.is_empty() && self.unmarked.is_empty()
    }

    fn entry<'a>(&'a self, inner: &'a Inner, bucket: Bucket) -> Option<&'a Entry> {
        let own = self.entries.get(&bucket);
        own.or_else(|| inner.state.buckets.get(&bucket))
    }

    /// Has the bucket open, into which something was written at this time.
    fn open(&mut self, inner: &Inner, config: &Config, (bucket, at, now): (Bucket, u64, u64)) {
        let entry = match self.entry(inner, bucket) {
            Some(entry) if matches!(entry.phase, Phase::Open) && entry.first_write <= at => return,
            Some(entry) => Entry {
                first_write: entry.first_write.min(at),
                opened: at.min(now),
                phase: Phase::Open,
            },
            None if self.entries.len() >= inner.room(config) => {
                self.unmarked.push(bucket);
                return;
            }
            None => inner.state.new_entry(bucket, at),
        };
        self.entries.insert(bucket, entry);
    }

    /// Enters late traces, or opens the buckets that have too many.
    fn take_late(
        &mut self,
        inner: &Inner,
        (config, now): (&Config, u64),
        late: Vec<(TraceId, Bucket, u64)>,
    ) {
        let is_full = inner.state.late.len() + late.len() > config.most_late;
        let mut of: HashMap<Bucket, usize> = HashMap::new();
        for (_, bucket, _) in &late {
            *of.entry(*bucket).or_default() += 1;
        }
        for (id, bucket, at) in late {
            let is_many = of.get(&bucket).is_some_and(|it| *it > config.late_a_write);
            let entry = self.entry(inner, bucket);
            let is_settled = entry.is_some_and(|it| !matches!(it.phase, Phase::Open));
            if is_full || is_many || !is_settled {
                // With its bucket open the trace is judged.
                self.open(inner, config, (bucket, at, now));
                continue;
            }
            if let Some(entry) = entry.filter(|it| it.first_write > at) {
                let entry = Entry {
                    first_write: at,
                    ..entry.clone()
                };
                self.entries.insert(bucket, entry);
            }
            let known = self.late.entry(id).or_insert((bucket, at));
            known.1 = known.1.min(at);
        }
    }
}

/// True if the late traces and drops of a host are to be taken. Those taken before have to be gone, so that some are not marked for a while.
fn is_due(marks: &HostMarks, taken: u64, (config, now): (&Config, u64)) -> bool {
    if marks.late.values().any(|it| it.number <= taken) {
        return false;
    }
    if marks.drops.number > taken {
        return true;
    }
    let oldest = marks.late.values().map(|it| it.at).min();
    let is_old = oldest.is_some_and(|it| it.saturating_add(nanos(config.quiet)) <= now);
    is_old || marks.late.len() >= config.late_traces
}

// === impl Inner ===

impl Inner {
    /// Notes what must not be settled or taken in: writes of it may be under way that no other mark covers.
    fn note_marks(&mut self, holding: &Holding, seen: &Seen) {
        let mut blocked = Blocked::default();
        for (_, marks, head) in heads(seen) {
            let taken = holding.taken(head.series);
            blocked.buckets.extend(marks.opens.keys());
            for ((id, bucket), _) in marks.late.iter().filter(|(_, it)| it.number <= taken) {
                blocked.buckets.insert(*bucket);
                blocked.late.insert(*id);
            }
        }
        self.blocked = Some(blocked);
    }

    fn has_suspects(&self) -> bool {
        let drops = &self.state.drops;
        let mut entries = self.state.buckets.values();
        entries.any(|entry| entry.suspect(drops).is_some())
    }

    /// Something written before this time may be gone.
    fn dropped_before(&mut self, before: u64, now: u64) {
        let had_suspects = self.has_suspects();
        let drops = &mut self.state.drops;
        drops.number += 1;
        drops.before = drops.before.max(before);
        self.dropped = now;
        if !had_suspects {
            self.first_dropped = now;
        }
        self.is_head_saved = false;
    }
}
