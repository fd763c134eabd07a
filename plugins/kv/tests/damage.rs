//! Damages and removes every stored value in turn. Each answer must then be right or `data-loss`, and data outside of the value must
//! stay readable.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::{TRACES, in_role, small_shape, store};
use larder_kv::Kv;
use larder_plugin::kv::Key;
use larder_plugin::testing::random::term;
use larder_plugin::testing::{Stored, batch, environment, fragment, kv, logged};
use larder_plugin::{Error, Part, Plugin, Role, Search, Sizes, TraceId, Wanted};

fn find(plugin: &mut Kv, search: &Search) -> Result<BTreeSet<Vec<u8>>, Error> {
    let mut digests = BTreeSet::new();
    let mut resume = None;
    loop {
        let page = plugin.find(search, resume.as_deref(), 7)?;
        let handles = page.found.iter().filter_map(|it| it.fragment).collect();
        digests.extend(read(plugin, &Wanted::Fragments(handles), Part::Digest)?);
        resume = page.resume;
        if resume.is_none() {
            return Ok(digests);
        }
    }
}

fn read(plugin: &mut Kv, wanted: &Wanted, part: Part) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = Vec::new();
    let mut resume = None;
    loop {
        let page = plugin.read(wanted, part, resume.as_deref(), 300)?;
        found.extend(page.pieces.into_iter().map(|it| it.bytes));
        resume = page.resume;
        if resume.is_none() {
            return Ok(found);
        }
    }
}

/// Makes every kind of request, and counts those that failed, by kind.
fn ask(stored: &Stored) -> BTreeMap<&'static str, usize> {
    let mut unanswered = BTreeMap::new();
    let mut check = |what, right: Result<bool, Error>| match right {
        Ok(right) => assert!(right, "a wrong answer: {what}"),
        Err(Error::DataLoss(_)) => *unanswered.entry(what).or_default() += 1,
        Err(error) => panic!("{error:?}"),
    };
    let mut plugin = match Kv::open_with(&in_role(Role::Reader), small_shape()) {
        Ok(plugin) => plugin,
        Err(error) => {
            check("open", Err(error));
            return unanswered;
        }
    };
    for n in 0..TRACES {
        let search = Search {
            clauses: vec![vec![term(100 + n)]],
            ..Search::all()
        };
        let due = stored.matching(&search).map(|it| it.digest.clone());
        let due: BTreeSet<_> = due.collect();
        check(
            "a rare term",
            find(&mut plugin, &search).map(|it| it == due),
        );
    }
    for n in 0..=TRACES / 2 {
        let id = TraceId::from(u128::from(n + 1));
        let wanted = Wanted::Traces(vec![id]);
        let due: Vec<_> = stored.of_trace(id).map(|it| it.otlp.clone()).collect();
        check(
            "a trace",
            read(&mut plugin, &wanted, Part::Otlp).map(|it| it == due),
        );
    }
    for n in 0..7 {
        let search = Search {
            clauses: vec![vec![term(1)], vec![term(n)]],
            ..Search::all()
        };
        let due: BTreeSet<_> = stored
            .matching(&search)
            .map(|it| it.digest.clone())
            .collect();
        check("two terms", find(&mut plugin, &search).map(|it| it == due));
    }
    let due: BTreeSet<_> = stored
        .operations()
        .into_iter()
        .map(|it| it.service)
        .collect();
    // Their numbers rise, and the last that was written comes first.
    let due: Vec<_> = due.into_iter().rev().collect();
    check("services", plugin.services().map(|it| it == due));
    unanswered
}

#[test]
fn an_answer_is_right_or_data_loss_whatever_is_damaged() {
    let stored = store();
    assert_eq!(ask(&stored), BTreeMap::new());
    let mut kinds = BTreeSet::new();
    for key in kv::keys() {
        let before = kv::get(std::slice::from_ref(&key))
            .unwrap()
            .remove(0)
            .unwrap();
        kinds.insert(key.sort[0]);
        for how in [Damage::Flipped, Damage::Lost, Damage::Unreadable] {
            how.damage(&key);
            logged();
            check(&key, how, &ask(&stored));
            kv::put_back(&key, before.clone());
        }
    }
    let all: Vec<u8> = b"defhkmnorstx".to_vec();
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
    assert_eq!(ask(&stored), BTreeMap::new());
}

/// A way to damage a value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    /// One bit is flipped; the plugin's checksum fails.
    Flipped,
    /// The value is removed.
    Lost,
    /// The host's checksum fails: it raises `data-loss` itself, and logs the value.
    Unreadable,
}

impl Damage {
    fn damage(self, key: &Key) {
        match self {
            Self::Flipped => kv::damage(key, |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }),
            Self::Lost => kv::damage(key, Vec::clear),
            Self::Unreadable => kv::make_unreadable(key),
        }
    }
}

fn check(key: &Key, how: Damage, unanswered: &BTreeMap<&'static str, usize>) {
    let kind = char::from(key.sort[0]);
    let of = |what| unanswered.get(what).copied().unwrap_or(0);
    let told = format!("{kind} of {}, {how:?}: {unanswered:?}", key.partition);
    assert!(!unanswered.is_empty(), "{told}");
    let traces = usize::try_from(TRACES / 2 + 1).unwrap();
    match kind {
        's' | 'm' => assert_eq!(of("open"), 1, "{told}"),
        // Its contents are unknown.
        'e' => assert!(of("services") == 1 && of("a trace") == traces, "{told}"),
        'h' => assert!(of("a rare term") > 0, "{told}"),
        'k' | 'r' => assert!(of("a trace") == 0 && of("services") == 0, "{told}"),
        'f' => assert!(of("a rare term") == 0 && of("services") == 0, "{told}"),
        'n' => assert!(of("services") == 1 && of("a trace") == 0, "{told}"),
        'o' | 'x' => assert!(of("a rare term") == 0 && of("a trace") <= 40, "{told}"),
        'd' => assert!(of("a trace") == 0 && of("a rare term") <= 80, "{told}"),
        't' => assert!(of("a trace") <= 40 && of("a rare term") <= 80, "{told}"),
        other => panic!("{other}"),
    }
    let number = format!(
        "{kind}{:016x}",
        u64::from_be_bytes(key.sort[1..].try_into().unwrap())
    );
    let named = logged()
        .into_iter()
        .any(|(_, it)| it.contains(&number) && it.contains(&key.partition));
    assert!(
        named || how == Damage::Unreadable,
        "{number} is not named in the log"
    );
}

/// Without its head, nothing of a writer is known to be unreferenced.
#[test]
fn a_writer_whose_head_is_gone_does_not_open_and_removes_nothing() {
    store();
    let before = kv::keys();
    let (head, rest): (Vec<Key>, Vec<Key>) = before
        .into_iter()
        .partition(|key| key.partition == "head/test");
    assert!(!rest.is_empty());
    let deletes: Vec<_> = head
        .into_iter()
        .map(|key| larder_plugin::kv::Change::Delete(key.sort))
        .collect();
    kv::commit("head/test", &deletes).unwrap();
    logged();
    for _ in 0..2 {
        let opened = Kv::open_with(&environment(&[]), small_shape());
        assert!(matches!(opened, Err(Error::DataLoss(_))), "{opened:?}");
        assert_eq!(kv::keys(), rest);
    }
    assert!(logged().iter().any(|(_, it)| it.contains("head/test")));
}

#[test]
fn a_check_reads_every_value_and_names_those_that_are_damaged() {
    store();
    let check = || {
        let mut reader = Kv::open_with(&in_role(Role::Reader), small_shape()).unwrap();
        let (mut values, mut damaged, mut resume) = (0, Vec::new(), None);
        loop {
            let part = reader.check(resume.as_deref()).unwrap();
            values += part.values;
            damaged.extend(part.damaged);
            assert!(part.resume.is_none() || part.resume != resume);
            resume = part.resume;
            if resume.is_none() {
                return (values, damaged);
            }
        }
    };
    let (values, damaged) = check();
    assert_eq!(damaged, Vec::<String>::new());
    assert!(values >= kv::keys().len() as u64);
    for key in kv::keys() {
        if matches!(key.sort[0], b's' | b'm') {
            continue;
        }
        let before = kv::get(std::slice::from_ref(&key))
            .unwrap()
            .remove(0)
            .unwrap();
        let middle = before.len() / 2;
        kv::damage(&key, |bytes| bytes[middle] ^= 1);
        let number = u64::from_be_bytes(key.sort[1..].try_into().unwrap());
        let name = format!(
            "{}{number:016x} of partition {}",
            char::from(key.sort[0]),
            key.partition
        );
        let (_, damaged) = check();
        assert!(
            damaged
                .iter()
                .any(|it| it.contains(&name) && it.contains("; it held ")),
            "{name}: {damaged:?}"
        );
        kv::put_back(&key, before);
    }
}

/// Each step resumes where the one before ended; no value is skipped or reported twice.
#[test]
fn a_check_of_a_large_store_takes_many_steps_and_names_each_damaged_value() {
    kv::reset();
    let mut plugin = Kv::open_with(&environment(&[]), small_shape()).unwrap();
    for n in 0..600_u64 {
        let built = fragment(n.into()).terms([term(n)]).digest(vec![1; 700]);
        let built = built.otlp(vec![2; 20_000]);
        plugin.write(1, vec![batch([built])]).unwrap();
        while n < 400 && plugin.maintain(1, Sizes::default()).unwrap() {}
    }
    let check = || {
        let mut reader = Kv::open_with(&in_role(Role::Reader), small_shape()).unwrap();
        let (mut steps, mut values, mut told, mut resume) = (0, 0, Vec::new(), None);
        loop {
            let step = reader.check(resume.as_deref()).unwrap();
            assert!(step.bytes < 8 << 20, "{}", step.bytes);
            steps += 1;
            values += step.values;
            told.extend(step.damaged);
            resume = step.resume;
            if resume.is_none() {
                assert!(steps >= 3, "{steps}");
                return (values, told);
            }
        }
    };
    let keys = kv::keys();
    let (values, told) = check();
    assert_eq!(told, Vec::<String>::new());
    // A block that two tables share is read for each.
    let (least, more) = (keys.len() as u64, keys.len() as u64 / 50);
    assert!((least..=least + more).contains(&values), "{values}");
    // Without values that refer to others, which would hide those.
    let keys = keys.iter().filter(|it| b"odkrxfn".contains(&it.sort[0]));
    let damaged: Vec<&Key> = keys.step_by(97).collect();
    for key in &damaged {
        kv::damage(key, |bytes| bytes[0] ^= 1);
    }
    let (_, told) = check();
    let lines: BTreeSet<&String> = told.iter().collect();
    assert_eq!(lines.len(), told.len(), "{told:?}");
    for key in damaged {
        let number = u64::from_be_bytes(key.sort[1..9].try_into().unwrap());
        let name = format!("{number:016x} of partition {} ", key.partition);
        let lines = told.iter().filter(|line| line.contains(&name));
        let kind = format!(" {}", char::from(key.sort[0]));
        let lines = lines.filter(|line| line.contains(&kind));
        assert!((1..=2).contains(&lines.count()), "{name}: {told:?}");
    }
}

#[test]
fn a_newer_version_is_refused_by_name() {
    kv::reset();
    drop(Kv::open_with(&environment(&[]), small_shape()).unwrap());
    let stamp = kv::keys()
        .into_iter()
        .find(|it| it.sort[0] == b's')
        .unwrap();
    kv::damage(&stamp, |bytes| {
        let end = bytes.len() - 8;
        bytes[1] = 9;
        let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[..end], 0);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    });
    for environment in [environment(&[]), in_role(Role::Reader)] {
        let error = Kv::open_with(&environment, small_shape()).unwrap_err();
        assert!(
            matches!(&error, Error::Other(text) if text.contains("newer version of the kv plugin") && text.contains("version 9")),
            "{error:?}"
        );
    }
}

#[test]
fn maintenance_continues_beside_damaged_segments() {
    let stored = store();
    let page = kv::keys()
        .into_iter()
        .find(|it| it.sort[0] == b'k')
        .unwrap();
    kv::damage(&page, Vec::clear);
    let mut plugin = Kv::open_with(&environment(&[]), small_shape()).unwrap();
    for n in 0..300 {
        let fragment = fragment(1000 + n).starts(9000, 9000).otlp(vec![1; 100]);
        plugin.write(1, vec![batch([fragment])]).unwrap();
        for _ in 0..20 {
            plugin.maintain(1, Sizes::default()).unwrap();
        }
    }
    let mut steps = 0;
    while plugin.maintain(1, Sizes::default()).unwrap() {
        steps += 1;
        assert!(steps < 1000);
    }
    let all = find(&mut plugin, &Search::all()).unwrap();
    assert!(stored.fragments().all(|it| all.contains(&it.digest)));
}

#[test]
fn an_entry_that_the_host_cannot_read_is_sealed_over() {
    let stored = store();
    let lost = kv::keys()
        .into_iter()
        .rfind(|it| it.sort[0] == b'e')
        .unwrap();
    kv::make_unreadable(&lost);
    let mut plugin = Kv::open_with(&environment(&[]), small_shape()).unwrap();
    let unanswered = find(&mut plugin, &Search::all()).unwrap_err();
    assert!(matches!(&unanswered, Error::DataLoss(text) if text.contains("Entry e")));
    for n in 0..60 {
        let fragment = fragment(1000 + n).starts(9000, 9000).otlp(vec![1; 100]);
        plugin.write(1, vec![batch([fragment])]).unwrap();
        while plugin.maintain(1, Sizes::default()).unwrap() {}
    }
    assert!(kv::keys().iter().all(|it| *it != lost), "it is deleted");
    let all = find(&mut plugin, &Search::all()).unwrap();
    let gone = stored.fragments().filter(|it| !all.contains(&it.digest));
    assert_eq!(gone.count(), 1);
}
