//! Time that goes by, a store that fails, and a host that is gone for good.

use std::collections::BTreeSet;

use larder_plugin::testing::kv::Fault;
use larder_plugin::testing::{
    Breach, Subject, answered, batch, find_all, fragment, raised, read_all,
};
use larder_plugin::{Part, Search, TraceId, Wanted};

use super::{Passed, Tried};
use crate::faults::ALL;
use crate::sandboxed::Sandboxed;
use crate::world::World;

const HOUR: u64 = 3_600_000_000_000;
/// More changes of kv than a small write can make.
const MOST_CHANGES: usize = 200;

/// Writes once in a while for a year, with upkeep after each. What retention drops is the plugin's to choose; what is there has to be
/// whole.
pub(super) fn a_year(world: &World) -> Tried {
    let mut subject = world.open()?;
    let begin = 1_700_000_000_000_000_000;
    for day in 0..365 {
        let now = begin + day * 24 * HOUR;
        if day % 5 == 0 {
            let id = u128::from(day) + 1;
            let built = fragment(id).starts(now, now + 1).digest(*b"d").otlp(*b"o");
            let written = subject.write(now, vec![batch([built.terms([day])])]);
            answered("write", written)?;
        }
        subject.maintain_all(now)?;
    }
    is_coherent(&mut subject)?;
    Ok(Passed::All)
}

/// Checks that all that is sighted can be read, and is of its trace.
fn is_coherent(subject: &mut Sandboxed<'_>) -> Result<(), Breach> {
    answered("refresh", subject.refresh())?;
    for sighting in find_all(subject, &Search::all(), 50)? {
        let wanted = sighting.fragment.map_or_else(
            || Wanted::Traces(vec![sighting.trace_id]),
            |handle| Wanted::Fragments(vec![handle]),
        );
        let read = read_all(subject, &wanted, Part::Digest, 1 << 20)?;
        let id = sighting.trace_id;
        if read.is_empty() || read.iter().any(|it| it.trace_id != id) {
            let text = format!(
                "`find` sights trace {:x}, and `read` of that gives {} pieces, or those of another trace",
                u128::from(id),
                read.len()
            );
            return Err(Breach::new("find.handle", text));
        }
    }
    Ok(())
}

/// Has each change of a write and of the upkeep after it fail once, in each way. What was acknowledged stays, and a write is there whole
/// or not at all.
pub(super) fn faults(world: &World) -> Tried {
    if !world.is_replicated() {
        return Ok(Passed::Skipped("it keeps nothing in kv".to_owned()));
    }
    for fault in ALL {
        for after in 0..MOST_CHANGES {
            if !fault_at(world, fault, after)? {
                break;
            }
        }
    }
    Ok(Passed::All)
}

/// Asks whether a writer's id may be forgotten, before upkeep and after it, while something is stored under it.
pub(super) fn retire(world: &World) -> Tried {
    if !world.is_replicated() {
        return Ok(Passed::Skipped("it keeps nothing in kv".to_owned()));
    }
    if world.reaches_out() {
        return Ok(Passed::Skipped(
            "what it stores outside need not be a writer's".to_owned(),
        ));
    }
    let mut subject = world.open()?;
    let built = fragment(1).terms([1]).digest(*b"d").otlp(*b"o");
    answered("write", subject.write(1, vec![batch([built])]))?;
    for when in ["", ", and after upkeep"] {
        if answered("retire", subject.retire())? {
            let text = format!(
                "after a write{when}, `retire` says that nothing which is stored is the writer's"
            );
            return Err(Breach::new("retire.stored", text));
        }
        subject.maintain_all(1)?;
    }
    is_coherent(&mut subject)?;
    Ok(Passed::All)
}

/// Returns false once there are fewer changes than that.
fn fault_at(world: &World, fault: Fault, after: usize) -> Result<bool, Breach> {
    let (faulty, place) = world.faulty_place()?;
    let mut subject = world.open_in(place)?;
    let write = |subject: &mut Sandboxed<'_>, now: u64| {
        let built = |it: u128| {
            let built = fragment(u128::from(now) * 10 + it).terms([now]);
            built.digest(*b"d").otlp(*b"spans")
        };
        let batches = [(1, 2), (3, 4)].map(|(one, other)| batch([built(one), built(other)]));
        subject.write(now, batches.into())
    };
    let mut acknowledged = vec![1];
    answered("write", write(&mut subject, 1))?;
    faulty.plan(after, fault);
    if write(&mut subject, 2)?.is_ok() {
        acknowledged.push(2);
    }
    for _ in 0..20 {
        if !matches!(subject.maintain(2)?, Ok(true)) {
            break;
        }
    }
    let is_over = faulty.heal();
    let how = format!("change {after} of kv has failed ({fault:?})");
    if fault == Fault::Crash {
        subject.reopen()?;
    }
    if let Err(error) = write(&mut subject, 3)? {
        // An instance may say that it has to be opened again.
        subject.reopen()?;
        let again = write(&mut subject, 3)?;
        again.map_err(|again| {
            let text = format!(
                "{how}; `write` raised {}, and after it was opened again {}",
                raised(&error),
                raised(&again)
            );
            Breach::new("write.again", text)
        })?;
    }
    acknowledged.push(3);
    check_writes(&mut subject, &acknowledged, &how)?;
    subject.reopen()?;
    let mended = format!("{how}, and it was opened again");
    check_writes(&mut subject, &acknowledged, &mended)?;
    subject.maintain_all(3)?;
    check_writes(&mut subject, &acknowledged, &mended)?;
    Ok(!is_over)
}

fn check_writes(
    subject: &mut Sandboxed<'_>,
    acknowledged: &[u64],
    how: &str,
) -> Result<(), Breach> {
    answered("refresh", subject.refresh())?;
    for number in 1..=3_u64 {
        let ids = (1..=4).map(|it| TraceId::from(u128::from(number) * 10 + it));
        let ids: BTreeSet<TraceId> = ids.collect();
        let wanted = Wanted::Traces(ids.iter().copied().collect());
        let mut search = Search::all();
        search.clauses = vec![vec![number]];
        let read = read_all(subject, &wanted, Part::Otlp, 1 << 20)?;
        let found = find_all(subject, &search, 1_000)?;
        let read: BTreeSet<TraceId> = read.iter().map(|it| it.trace_id).collect();
        let found = found.iter().map(|it| it.trace_id);
        let found: BTreeSet<TraceId> = found.filter(|it| ids.contains(it)).collect();
        if acknowledged.contains(&number) && (read != ids || found != ids) {
            let text = format!(
                "{how}: write {number} had succeeded, and of its 4 traces `read` gives {} and `find` {}",
                read.len(),
                found.len()
            );
            return Err(Breach::new("write.lost", text));
        }
        if !read.is_empty() && read != ids {
            let text = format!(
                "{how}: write {number} had failed, and of its 4 traces {} are there: all batches of a call are stored, or none",
                read.len()
            );
            return Err(Breach::new("write.whole", text));
        }
    }
    Ok(())
}
