//! Repairs of a sound store, and of one with a value that cannot be read back.

use std::collections::BTreeSet;
use std::sync::Arc;

use larder_plugin::testing::{
    Breach, Checker, FragmentBuilder, Stored, Subject, answered, find_all, raised, read_all,
};
use larder_plugin::{Error, Operation, Part, Search, TraceId, Wanted};
use larder_runtime::plugin::{Direct, Place};

use super::{Passed, Tried, one_of_many};
use crate::convert;
use crate::faults::Faulty;
use crate::sandboxed::Sandboxed;
use crate::world::{World, store};

/// More steps than a repair of a small store can need.
const MAX_STEPS: usize = 10_000;
/// More values than are damaged one by one.
const MOST_VALUES: usize = 100;
const ROUNDS: u64 = 3;
const TRACES: u128 = 8;

/// What a repair has told.
#[derive(Default)]
struct Told {
    lost: Vec<String>,
    mended: Vec<String>,
    remade: usize,
}

/// How a repair has ended.
enum Ended {
    Done(Told),
    /// The plugin says that it cannot repair.
    Cannot(String),
}

/// Repairs a store that is sound. Nothing is lost or mended, and all of it is there afterwards.
pub(super) fn sound(world: &World) -> Tried {
    if let Some(why) = cannot(world) {
        return Ok(Passed::Skipped(why));
    }
    let (_, mut checker) = written(world)?;
    let place = checker.subject().place().clone();
    let told = match repair(world, &place, checker.stored())? {
        Ended::Done(told) => told,
        Ended::Cannot(why) => return Ok(Passed::Skipped(why)),
    };
    if let Some(line) = told.lost.first().or(told.mended.first()) {
        let text = format!("`repair` of a sound store tells of damage: {line}");
        return Err(Breach::new("repair.sound", text));
    }
    if told.remade > 0 {
        let text = format!(
            "`repair` of a sound store wants the digests of {} fragments made anew",
            told.remade
        );
        return Err(Breach::new("repair.sound", text));
    }
    checker.subject().reopen()?;
    checker.reopened();
    checker.check_all()?;
    Ok(Passed::All)
}

/// Damages each value in turn, each in a store of its own, and repairs it. Every call is answered then, rightly for what is left, and what
/// is not left was told of.
pub(super) fn repaired(world: &World) -> Tried {
    if let Some(why) = cannot(world) {
        return Ok(Passed::Skipped(why));
    }
    for number in 0..MOST_VALUES {
        let (faulty, mut checker) = written(world)?;
        let place = checker.subject().place().clone();
        let damaged = world.block_on(faulty.damage(number));
        let Some(key) = damaged.map_err(|error| store(&error))? else {
            break;
        };
        let how = format!(
            "value {number} of kv, in the partition `{}`, was damaged and repaired",
            key.partition.escape_default()
        );
        let told = match repair(world, &place, checker.stored())? {
            Ended::Done(told) => told,
            Ended::Cannot(why) => return Ok(Passed::Skipped(why)),
        };
        let stored = checker.stored().clone();
        let left = ask(checker.subject(), &stored);
        let left = left.map_err(|breach| {
            let text = format!("{how}; then {}: {}", breach.rule, breach.text);
            Breach::new("repair.left", text)
        })?;
        let lost = stored.fragments().count() - left;
        if lost > 0 && told.lost.is_empty() {
            let text = format!("{how}; {lost} fragments are lost, and `lost` says nothing of it");
            return Err(Breach::new("repair.lost", text));
        }
    }
    Ok(Passed::All)
}

/// Why the plugin cannot repair.
fn cannot(world: &World) -> Option<String> {
    if !world.is_replicated() {
        return Some("it keeps nothing in kv".to_owned());
    }
    let has_repair = world.component().check_repair();
    has_repair.err().map(str::to_owned)
}

/// A store with fragments of every age, and what they are.
fn written(world: &World) -> Result<(Arc<Faulty>, Checker<Sandboxed<'_>>), Breach> {
    let (faulty, place) = world.faulty_place()?;
    let mut checker = Checker::new(world.open_in(place)?);
    for round in 0..ROUNDS {
        let fragments = (1..=TRACES).map(|id| one_of_many(id, round));
        checker.write(fragments.collect::<Vec<FragmentBuilder>>())?;
        // The last round is as a write leaves it.
        if round + 1 < ROUNDS {
            let now = checker.now();
            checker.subject().maintain_all(now)?;
        }
    }
    Ok((faulty, checker))
}

/// All steps of a repair. What the host would make of a fragment's spans is known from the list.
fn repair(world: &World, place: &Place, stored: &Stored) -> Result<Ended, Breach> {
    let opened = world.open_repairer(place)?;
    let mut repairer: Direct = opened.map_err(|error| {
        let text = format!("`open` to repair raised {}", raised(&error));
        Breach::new("repair.open", text)
    })?;
    let (mut told, mut remade) = (Told::default(), Vec::new());
    for _ in 0..MAX_STEPS {
        let called = world.block_on(repairer.repair(1, &remade));
        let step = match convert::called("repair", called, |step| step)? {
            Ok(step) => step,
            Err(Error::Other(why)) => return Ok(Ended::Cannot(why)),
            error => answered("repair", Ok(error))?,
        };
        told.lost.extend(step.lost);
        told.mended.extend(step.mended);
        told.remade += step.remake.len();
        let remake = step.remake.iter().map(|otlp| {
            let fragment = stored.fragments().find(|it| it.otlp == *otlp);
            convert::remade(fragment)
        });
        remade = remake.collect();
        if !step.more && remade.is_empty() {
            return Ok(Ended::Done(told));
        }
    }
    let text = format!("`repair` has gone {MAX_STEPS} steps and is not at its end");
    Err(Breach::new("repair.end", text))
}

/// Asks everything of an instance that is opened anew. Returns the number of fragments that are left.
fn ask(subject: &mut Sandboxed<'_>, stored: &Stored) -> Result<usize, Breach> {
    subject.reopen()?;
    answered("refresh", subject.refresh())?;
    let ids: Vec<TraceId> = stored.traces().into_iter().collect();
    let wanted = Wanted::Traces(ids);
    let mut kept = BTreeSet::new();
    for piece in read_all(subject, &wanted, Part::Otlp, 500)? {
        let mut of_trace = stored.of_trace(piece.trace_id);
        if !of_trace.any(|it| it.otlp == piece.bytes) {
            let text = "`read` gives spans that nobody has written";
            return Err(Breach::new("read.bytes", text));
        }
        kept.insert(piece.bytes);
    }
    let mut left = stored.clone();
    left.retain(|it| kept.contains(&it.otlp));
    let digests = read_all(subject, &wanted, Part::Digest, 500)?;
    let digests: BTreeSet<Vec<u8>> = digests.into_iter().map(|it| it.bytes).collect();
    if digests != left.fragments().map(|it| it.digest.clone()).collect() {
        let text = "the digests that `read` gives are not those of the spans that it gives";
        return Err(Breach::new("read.bytes", text));
    }
    covered(subject, &left)?;
    named(subject, &left, stored)?;
    let now = 10;
    subject.maintain_all(now)?;
    subject.check_all()?;
    Ok(left.fragments().count())
}

/// Whether every search finds the traces that are left.
fn covered(subject: &mut Sandboxed<'_>, left: &Stored) -> Result<(), Breach> {
    let terms = left.fragments().flat_map(|it| &it.terms).copied();
    let terms: BTreeSet<u64> = terms.collect();
    let of_term = |term| Search {
        clauses: vec![vec![term]],
        ..Search::all()
    };
    for search in terms.into_iter().map(of_term).chain([Search::all()]) {
        let found = find_all(subject, &search, 7)?;
        let found: BTreeSet<TraceId> = found.into_iter().map(|it| it.trace_id).collect();
        let missing = left
            .matching(&search)
            .find(|it| !found.contains(&it.trace_id));
        if let Some(missing) = missing {
            let text = format!(
                "`find` does not sight trace {:x}, which is left",
                u128::from(missing.trace_id)
            );
            return Err(Breach::new("find.covered", text));
        }
    }
    Ok(())
}

/// Whether the names of what is left are listed, and none that nobody has written.
fn named(subject: &mut Sandboxed<'_>, left: &Stored, stored: &Stored) -> Result<(), Breach> {
    let services = answered("services", subject.services())?;
    let mut listed: BTreeSet<Operation> = BTreeSet::new();
    for service in &services {
        listed.extend(answered("operations", subject.operations(service))?);
    }
    if !listed.is_superset(&left.operations()) || !listed.is_subset(&stored.operations()) {
        let text =
            format!("of {services:?} are listed {listed:?}, which are not those of what is left");
        return Err(Breach::new("operations.all", text));
    }
    Ok(())
}
