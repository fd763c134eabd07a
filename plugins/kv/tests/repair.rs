//! Damages values of every kind, and repairs the store: every call is then answered, and rightly for what is left.

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
use larder_plugin::testing::kv::Fault;
use larder_plugin::testing::random::term;
use larder_plugin::testing::{Stored, batch, environment, fragment, kv};
use larder_plugin::{
    Error, Identity, Part, Plugin, Remade, RemadeOperation, Role, Search, Sizes, SpanKind, TraceId,
    Wanted,
};

/// What a repair has reported.
#[derive(Debug, Default)]
struct Told {
    lost: Vec<String>,
    mended: Vec<String>,
}

/// Repairs the store; the host knows what `stored` has.
fn repair(stored: &Stored) -> Result<Told, Error> {
    kv::as_repairer(|| {
        let mut plugin = Kv::open_with(&in_role(Role::Repairer), small_shape())?;
        let (mut told, mut remade) = (Told::default(), Vec::new());
        for _ in 0..10_000 {
            let step = plugin.repair(7, &remade)?;
            told.lost.extend(step.lost);
            told.mended.extend(step.mended);
            if !step.more {
                assert!(step.remake.is_empty());
                return Ok(told);
            }
            assert!(step.values > 0);
            let remake = |otlp: &Vec<u8>| {
                let it = stored.fragments().find(|it| it.otlp == *otlp).unwrap();
                Remade {
                    digest: Some(it.digest.clone()),
                    operations: it
                        .operations
                        .iter()
                        .map(|it| RemadeOperation {
                            service: it.service.clone(),
                            name: it.name.clone(),
                            kind: it.kind,
                        })
                        .collect(),
                }
            };
            remade = step.remake.iter().map(remake).collect();
        }
        panic!("the repair never ends: {told:?}");
    })
}

fn check() -> Vec<String> {
    let mut reader = Kv::open_with(&in_role(Role::Reader), small_shape()).unwrap();
    let (mut damaged, mut resume) = (Vec::new(), None);
    loop {
        let part = reader.check(resume.as_deref()).unwrap();
        damaged.extend(part.damaged);
        resume = part.resume;
        if resume.is_none() {
            return damaged;
        }
    }
}

fn find(plugin: &mut Kv, search: &Search) -> BTreeSet<Vec<u8>> {
    let mut digests = BTreeSet::new();
    let mut resume = None;
    loop {
        let page = plugin.find(search, resume.as_deref(), 7).unwrap();
        let handles = page.found.iter().filter_map(|it| it.fragment).collect();
        digests.extend(read(plugin, &Wanted::Fragments(handles), Part::Digest));
        resume = page.resume;
        if resume.is_none() {
            return digests;
        }
    }
}

fn read(plugin: &mut Kv, wanted: &Wanted, part: Part) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut resume = None;
    loop {
        let page = plugin.read(wanted, part, resume.as_deref(), 300).unwrap();
        found.extend(page.pieces.into_iter().map(|it| it.bytes));
        resume = page.resume;
        if resume.is_none() {
            return found;
        }
    }
}

/// Makes every kind of request, which all have to be answered, and compares the answers with what is left. Returns the lost fragments.
fn ask(plugin: &mut Kv, stored: &Stored, told: &str) -> BTreeSet<Vec<u8>> {
    let left = find(plugin, &Search::all());
    let all: BTreeSet<Vec<u8>> = stored.fragments().map(|it| it.digest.clone()).collect();
    assert!(left.is_subset(&all), "{told}");
    let mut searches: Vec<Search> = Vec::new();
    for n in 0..TRACES {
        searches.push(Search {
            clauses: vec![vec![term(100 + n)]],
            ..Search::all()
        });
    }
    for n in 0..7 {
        searches.push(Search {
            clauses: vec![vec![term(1)], vec![term(n)]],
            ..Search::all()
        });
        searches.push(Search {
            clauses: vec![vec![term(n), term(100 + n)], vec![term(1), term(107 + n)]],
            ..Search::all()
        });
    }
    for search in searches {
        let due = stored.matching(&search).map(|it| it.digest.clone());
        let due: BTreeSet<_> = due.filter(|it| left.contains(it)).collect();
        // The host drops what does not match.
        let found = find(plugin, &search);
        assert!(due.is_subset(&found), "{told}: {search:?}");
        assert!(found.is_subset(&left), "{told}: {search:?}");
    }
    for n in 0..=TRACES / 2 {
        let id = TraceId::from(u128::from(n + 1));
        let of_trace = stored.of_trace(id).filter(|it| left.contains(&it.digest));
        let due: Vec<_> = of_trace.map(|it| it.otlp.clone()).collect();
        let wanted = Wanted::Traces(vec![id]);
        assert_eq!(read(plugin, &wanted, Part::Otlp), due, "{told}");
    }
    let services: BTreeSet<String> = plugin.services().unwrap().into_iter().collect();
    let of = |kept: &dyn Fn(&Vec<u8>) -> bool| -> BTreeSet<String> {
        let kept = stored.fragments().filter(|it| kept(&it.digest));
        let operations = kept.flat_map(|it| &it.operations);
        operations.map(|it| it.service.clone()).collect()
    };
    assert!(of(&|it| left.contains(it)).is_subset(&services), "{told}");
    assert!(services.is_subset(&of(&|_| true)), "{told}");
    all.difference(&left).cloned().collect()
}

/// A way to damage a value.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    /// One bit is flipped; the plugin's checksum fails.
    Flipped,
    /// The value is removed.
    Lost,
    /// The host's checksum fails.
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

fn hex(number: u64) -> String {
    format!("{:032x}", u128::from(number))
}

/// Repairs what was damaged, and checks the answers, the report, and what is stored afterwards.
fn repair_and_ask(stored: &Stored, about: &str) -> (BTreeSet<Vec<u8>>, Told) {
    let told = repair(stored).unwrap_or_else(|error| panic!("{about}: {error:?}"));
    let text = format!("{about}: {told:?}");
    assert_eq!(check(), Vec::<String>::new(), "{text}");
    let mut reader = Kv::open_with(&in_role(Role::Reader), small_shape()).unwrap();
    let lost = ask(&mut reader, stored, &text);

    // The next repair finds nothing to do.
    let changes = kv::changes();
    let again = repair(stored).unwrap();
    assert!(
        again.lost.is_empty() && again.mended.is_empty(),
        "{again:?}"
    );
    assert_eq!(kv::changes(), changes, "{text}");

    // A writer goes on from there.
    let mut writer = Kv::open_with(&environment(&[]), small_shape()).unwrap();
    for n in 0..30 {
        let fragment = fragment(1000 + n).starts(9000, 9000).otlp(vec![1; 100]);
        writer.write(1, vec![batch([fragment])]).unwrap();
        while writer.maintain(1, Sizes::default()).unwrap() {}
    }
    let mut with_new = stored.clone();
    for n in 0..30 {
        let fragment = fragment(1000 + n).starts(9000, 9000).otlp(vec![1; 100]);
        with_new.push(fragment);
    }
    assert_eq!(ask(&mut writer, &with_new, &text), lost, "{text}");
    (lost, told)
}

#[test]
fn every_kind_of_damage_is_repaired() {
    store();
    let mut by_kind: BTreeMap<u8, Vec<Key>> = BTreeMap::new();
    for key in kv::keys() {
        by_kind.entry(key.sort[0]).or_default().push(key);
    }
    let all: Vec<u8> = b"defhkmnorstx".to_vec();
    assert_eq!(by_kind.keys().copied().collect::<Vec<_>>(), all);
    for (kind, keys) in by_kind {
        let some = [0, keys.len() / 2, keys.len() - 1];
        let some: BTreeSet<usize> = some.into_iter().collect();
        for key in some.into_iter().map(|at| &keys[at]) {
            for how in [Damage::Flipped, Damage::Lost, Damage::Unreadable] {
                let stored = store();
                how.damage(key);
                let letter = char::from(kind);
                let about = format!("{letter} of {}, {how:?}", key.partition);
                let (lost, told) = repair_and_ask(&stored, &about);
                let text = format!("{about}: {told:?}, {lost:?}");
                assert_eq!(lost.is_empty(), told.lost.is_empty(), "{text}");
                match letter {
                    'd' | 'f' | 'h' | 'k' | 'm' | 'n' | 'r' | 's' | 'x' => {
                        assert!(lost.is_empty() && !told.mended.is_empty(), "{text}");
                    }
                    'e' => assert_eq!((lost.len(), told.lost.len()), (1, 1), "{text}"),
                    'o' | 't' => assert!((1..=40).contains(&lost.len()), "{text}"),
                    other => panic!("{other}"),
                }
                if letter == 'o' {
                    // One line, whatever was in the block.
                    assert_eq!(told.lost.len(), 1, "{text}");
                    let fragments = format!(" in {} fragments, of trace ", lost.len());
                    assert!(told.lost[0].contains(&fragments), "{text}");
                    for digest in &lost {
                        let n = u64::from_be_bytes(digest[..].try_into().unwrap());
                        assert!(told.lost[0].contains(&hex(n / 2 + 1)), "{text}");
                    }
                }
                if letter == 't' {
                    let count = format!("{} fragments of unknown traces", lost.len());
                    assert!(told.lost[0].contains(&count), "{text}");
                }
            }
        }
    }
}

/// An operation is stored by the write that has it first in its bucket, and later ones rely on that.
#[test]
fn operations_that_a_lost_entry_had_first_are_made_anew() {
    let write = || {
        kv::reset();
        let mut stored = Stored::default();
        let mut plugin = Kv::open_with(&environment(&[]), small_shape()).unwrap();
        for (n, name) in [(0, "GET"), (1, "PUT"), (2, "PUT"), (3, "GET")] {
            let fragment = fragment(u128::from(n + 1_u8))
                .operation("shop", name, SpanKind::Server)
                .digest([n])
                .otlp([n; 20]);
            stored.push(fragment.clone());
            plugin.write(1, vec![batch([fragment])]).unwrap();
        }
        stored
    };
    write();
    let entries = kv::keys().into_iter().filter(|key| key.sort[0] == b'e');
    let entries: Vec<Key> = entries.collect();
    assert_eq!(entries.len(), 4);
    for (place, key) in entries.iter().enumerate() {
        let mut left = write();
        kv::make_unreadable(key);
        let told = repair(&left).unwrap();
        assert_eq!(told.lost.len(), 1, "{told:?}");
        assert_eq!(check(), Vec::<String>::new());
        let mut reader = Kv::open_with(&in_role(Role::Reader), small_shape()).unwrap();
        left.retain(|it| usize::from(it.digest[0]) != place);
        let operations = reader.operations("shop").unwrap().into_iter();
        assert_eq!(
            operations.collect::<BTreeSet<_>>(),
            left.operations(),
            "{place}"
        );
    }
}

/// As where a file of objects is missing.
#[test]
fn a_partition_that_is_gone_is_repaired() {
    store();
    let partitions: BTreeSet<String> = kv::keys().into_iter().map(|it| it.partition).collect();
    assert!(partitions.len() > 3, "{partitions:?}");
    for partition in partitions {
        let stored = store();
        let gone = kv::keys()
            .into_iter()
            .filter(|it| it.partition == partition);
        for key in gone {
            kv::damage(&key, Vec::clear);
        }
        let (lost, told) = repair_and_ask(&stored, &partition);
        match partition.split('/').next() {
            // All entries are lost too, and no value says that there were any.
            Some("head") => assert!(lost.len() <= 14, "{told:?}, {lost:?}"),
            Some("index") => assert!(lost.is_empty(), "{told:?}, {lost:?}"),
            Some("data") => assert!(!lost.is_empty(), "{told:?}"),
            _ => panic!("{partition}"),
        }
    }
}

#[test]
fn many_damaged_values_are_repaired_at_once() {
    let stored = store();
    let keys = kv::keys();
    for kind in b"odtxfnkrhe" {
        let of_kind = keys.iter().filter(|it| it.sort[0] == *kind);
        for key in of_kind.step_by(3) {
            kv::damage(key, |bytes| bytes[0] ^= 1);
        }
    }
    let (lost, _) = repair_and_ask(&stored, "many");
    assert!(lost.len() < usize::try_from(TRACES).unwrap());
}

#[test]
fn a_sound_store_is_not_changed() {
    let stored = store();
    let changes = kv::changes();
    let told = repair(&stored).unwrap();
    assert!(told.lost.is_empty() && told.mended.is_empty(), "{told:?}");
    assert_eq!(kv::changes(), changes);
}

/// Whatever step a repair ends in, the next one does the rest.
#[test]
fn a_repair_that_is_cut_off_is_finished_by_the_next() {
    let spoil = || {
        let stored = store();
        let keys = kv::keys();
        for kind in b"odkxnem" {
            let key = keys.iter().find(|it| it.sort[0] == *kind).unwrap();
            kv::damage(key, |bytes| bytes[0] ^= 1);
        }
        stored
    };
    let stored = spoil();
    let (due, _) = repair_and_ask(&stored, "whole");
    let stored = spoil();
    let before = kv::changes();
    repair(&stored).unwrap();
    let changes = kv::changes() - before;
    assert!(changes > 5, "{changes}");
    for after in 0..changes {
        let stored = spoil();
        kv::fail(after, Fault::Crash);
        if repair(&stored).is_ok() {
            continue;
        }
        kv::restart();
        let (lost, _) = repair_and_ask(&stored, &format!("after {after} changes"));
        assert_eq!(lost, due, "after {after} changes");
    }
}

/// A store that was copied from one that hosts shared has numbers that are not made of the ids.
#[test]
fn a_writer_whose_number_is_lost_gets_none_that_another_has() {
    kv::reset();
    let open = |id: &str, number| {
        kv::act_as(id);
        let id = id.to_owned();
        let role = in_role(Role::Writer(Identity { id, number }));
        Kv::open_with(&role, small_shape())
    };
    // What a host that is alone would give to the first.
    let [low, high, ..] = xxhash_rust::xxh3::xxh3_64(b"first").to_le_bytes();
    let usual = u16::from_le_bytes([low, high]);
    let numbers = [
        ("first", usual + 1),
        ("second", usual),
        ("third", usual + 2),
    ];
    for ((id, number), n) in numbers.into_iter().zip(1..) {
        let mut writer = open(id, number).unwrap();
        writer.write(1, vec![batch([fragment(n)])]).unwrap();
    }
    let keys = kv::keys();
    let manifest = |it: &&Key| it.partition == "head/first" && it.sort[0] == b'm';
    kv::damage(keys.iter().find(manifest).unwrap(), Vec::clear);
    let told = repair(&Stored::default()).unwrap();
    assert_eq!(told.mended.len(), 1, "{told:?}");

    let mut reader = Kv::open_with(&in_role(Role::Reader), small_shape()).unwrap();
    reader.refresh().unwrap();
    let page = reader.find(&Search::all(), None, 10).unwrap();
    let handles = page.found.iter().filter_map(|it| it.fragment);
    let found: BTreeSet<u64> = handles.map(|it| it >> 48).collect();
    let is_kept = |number: u16| found.contains(&u64::from(number));
    assert!(
        found.len() == 3 && is_kept(usual) && is_kept(usual + 2),
        "{found:?}"
    );
    for (id, number) in numbers {
        open(id, number).unwrap();
    }
}

#[test]
fn a_value_of_a_newer_version_is_not_repaired() {
    let stored = store();
    let keys = kv::keys();
    let stamp = keys.iter().find(|it| it.sort[0] == b's').unwrap();
    kv::damage(stamp, |bytes| {
        let end = bytes.len() - 8;
        bytes[1] = 9;
        let checksum = xxhash_rust::xxh3::xxh3_64_with_seed(&bytes[..end], 0);
        bytes[end..].copy_from_slice(&checksum.to_le_bytes());
    });
    let changes = kv::changes();
    let error = repair(&stored).unwrap_err();
    assert!(
        matches!(&error, Error::Other(text) if text.contains("newer version")),
        "{error:?}"
    );
    assert_eq!(kv::changes(), changes);
}
