//! `larder repair` on damaged data: without `--apply` it only tells what it would do; with it, every request is answered again, and what
//! cannot be answered was told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use larder_tests::{Client, Exit, Home, Options, Plugin, Query, Trace};

use crate::checks::{ENTRY, OBJECT, assert_whole, check, largest, stopped, trace};
use crate::incomplete::{assert_unchanged, empty, halve, kv, name, remove, snapshot, spoil};

/// A change of a file.
type Damage = fn(&Path);

fn repair(plugin: Plugin, home: &Home, apply: bool) -> Exit {
    let flag = apply.then_some("--apply");
    Options::new(plugin)
        .arguments(["repair"].into_iter().chain(flag))
        .run_in(home)
}

fn id(number: u8) -> String {
    format!("{number:02x}").repeat(16)
}

/// Returns all traces by number.
async fn traces(client: &Client, count: u8) -> BTreeMap<u8, Trace> {
    let mut found = BTreeMap::new();
    for number in 1..=count {
        let mut of_id = client.get_traces([[number; 16]]).await.unwrap();
        assert!(of_id.len() <= 1, "trace {number}");
        found.extend(of_id.pop().map(|trace| (number, trace)));
    }
    found
}

/// Asserts that a server answers every request, with the traces of `whole` that are left. Returns the numbers of the others.
async fn assert_served(plugin: Plugin, home: &Home, whole: &BTreeMap<u8, Trace>) -> BTreeSet<u8> {
    let larder = Options::new(plugin).start_in(home);
    let client = larder.client().await;
    let last = *whole.keys().last().unwrap();
    let left = traces(&client, last).await;
    for (number, trace) in &left {
        assert_eq!(trace.data, whole[number].data, "trace {number}");
    }
    let services: BTreeSet<String> = client.services().await.unwrap().into_iter().collect();
    for number in whole.keys() {
        let service = format!("service-{number}");
        let found = client
            .find_traces(&Query::default().service(&service))
            .await
            .unwrap();
        let found: Vec<_> = found.into_iter().map(|it| it.data).collect();
        let due: Vec<_> = left
            .get(number)
            .map(|it| it.data.clone())
            .into_iter()
            .collect();
        assert_eq!(found, due, "{service}");
        if left.contains_key(number) {
            assert!(services.contains(&service), "{service} of {services:?}");
        }
    }
    // New writes are kept beside what is left.
    client.store([trace(200, 10)]).await;
    assert_eq!(client.get_trace([200; 16]).await.span_ids(), [1]);
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success());
    let is_lost = |number: &u8| !left.contains_key(number);
    whole.keys().copied().filter(is_lost).collect()
}

/// Returns the traces of a stopped server.
async fn served(plugin: Plugin, home: &Home, count: u8) -> BTreeMap<u8, Trace> {
    let larder = Options::new(plugin).start_in(home);
    let found = traces(&larder.client().await, count).await;
    assert_eq!(found.len(), usize::from(count));
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success());
    found
}

/// Tries a repair out, which changes nothing, and then repairs, which leaves nothing damaged. Returns the report.
#[track_caller]
fn assert_repaired(plugin: Plugin, home: &Home, about: &str) -> String {
    let before = snapshot(&home.data());
    let dry = repair(plugin, home, false);
    assert_eq!(dry.status.code(), Some(1), "{about}: {dry:?}");
    assert!(
        dry.stdout.contains("larder repair --apply"),
        "{about}: {dry:?}"
    );
    assert_unchanged(&home.data(), &before, about);
    let exit = repair(plugin, home, true);
    assert!(exit.status.success(), "{about}: {exit:?}");
    // What was said before is what was done.
    for line in dry
        .stdout
        .lines()
        .filter(|line| !line.starts_with("unchanged"))
    {
        assert!(
            exit.stdout.contains(line),
            "{about}: no {line:?} in {exit:?}"
        );
    }
    assert_whole(plugin, home);
    exit.stdout
}

#[tokio::test]
async fn a_sound_store_is_not_changed() {
    let home = stopped(Plugin::Kv, (1..=3).map(|it| trace(it, OBJECT))).await;
    assert_whole(Plugin::Kv, &home);
    let before = snapshot(&home.data());
    for apply in [false, true] {
        let exit = repair(Plugin::Kv, &home, apply);
        assert!(exit.status.success(), "{exit:?}");
        assert!(exit.stdout.contains("nothing is damaged"), "{exit:?}");
        assert_unchanged(&home.data(), &before, "a repair");
    }
}

#[tokio::test]
async fn only_the_store_of_a_stopped_server_is_repaired() {
    let home = Home::new();
    let refused = |told: &str| {
        for apply in [false, true] {
            let exit = repair(Plugin::Kv, &home, apply);
            assert_eq!(exit.status.code(), Some(1), "{exit:?}");
            assert!(exit.stderr.contains(told), "{exit:?}");
        }
    };
    refused("there is no store in");
    let larder = Options::new(Plugin::Kv).start_in(&home);
    refused("in use by another process");
    drop(larder);
}

/// Spoils and removes each file of objects of a store with segments, so that values of every kind are damaged.
#[tokio::test]
async fn a_damaged_or_missing_file_of_objects_is_repaired_and_the_rest_is_served() {
    const TRACES: u8 = 60;
    let home = stopped(Plugin::Brittle, (1..=TRACES).map(|it| trace(it, 300))).await;
    let whole = served(Plugin::Brittle, &home, TRACES).await;
    assert_whole(Plugin::Brittle, &home);
    let (mut repaired, mut kinds) = (0, BTreeSet::new());
    for at in 0..home.kv_files("objects").len() {
        for (how, damage) in [("spoiled", spoil as Damage), ("missing", remove)] {
            let home = home.copy();
            let file = home.kv_files("objects")[at].clone();
            damage(&file);
            let about = format!("{} {how}", name(&file));
            if check(Plugin::Brittle, &home).status.success() {
                // Nothing refers to the damaged part.
                continue;
            }
            let told = assert_repaired(Plugin::Brittle, &home, &about);
            repaired += 1;
            for line in told.lines().filter(|it| it.contains(" of partition ")) {
                kinds.extend(
                    line.split(&[' ', ':'][..])
                        .find_map(kind)
                        .map(str::to_owned),
                );
            }
            let lost = assert_served(Plugin::Brittle, &home, &whole).await;
            assert_eq!(
                lost.is_empty(),
                told.contains("\nlost        0\n"),
                "{about}: {told}"
            );
            let lines = told.lines().filter(|line| line.starts_with("lost "));
            let lines: Vec<&str> = lines.collect();
            let is_named = |number: &u8| lines.iter().any(|line| line.contains(&id(*number)));
            assert_blocks_are_told_once(&lines);
            let unknown = told.contains("of unknown traces");
            assert!(
                unknown || lost.iter().all(is_named),
                "{about}: {lost:?}, {told}"
            );
            assert_whole(Plugin::Brittle, &home);
        }
    }
    assert!(repaired > 5, "{repaired}");
    // Where a whole file is gone, so are the spans that digests could be made of; a flipped byte hits none of these small blocks.
    for kind in ["Otlp", "Terms", "Table", "Header"] {
        assert!(kinds.contains(kind), "{kind} of {kinds:?}");
    }
}

/// A block holds the spans of many traces, and several tables may refer to it.
#[track_caller]
fn assert_blocks_are_told_once(lines: &[&str]) {
    let blocks = lines.iter().filter_map(|line| {
        let (_, told) = line.split_once("Otlp ")?;
        told.split_once(": ").map(|(block, _)| block)
    });
    let blocks: Vec<&str> = blocks.collect();
    let different: BTreeSet<&str> = blocks.iter().copied().collect();
    assert_eq!(blocks.len(), different.len(), "{lines:?}");
}

/// Returns the word if it is a kind of value.
fn kind(word: &str) -> Option<&str> {
    let kinds = [
        "Otlp",
        "Digests",
        "Table",
        "Traces",
        "Filter",
        "Operations",
        "Header",
        "Terms",
        "Runs",
        "Entry",
        "Stamp",
        "Manifest",
    ];
    kinds.contains(&word).then_some(word)
}

#[tokio::test]
async fn a_lost_object_is_named_and_kept_aside() {
    const TRACES: u8 = 6;
    let home = stopped(Plugin::Kv, (1..=TRACES).map(|it| trace(it, OBJECT))).await;
    let whole = served(Plugin::Kv, &home, TRACES).await;
    spoil(&largest(home.kv_files("objects")));
    let told = assert_repaired(Plugin::Kv, &home, "an object");
    let lost = assert_served(Plugin::Kv, &home, &whole).await;
    assert_eq!(lost.len(), 1, "{lost:?}");
    let line = format!(
        ": 1 spans in 1 fragments, of trace {}\n",
        id(*lost.first().unwrap())
    );
    assert!(told.contains(&line), "no {line:?} in {told}");

    let aside: Vec<PathBuf> = fs::read_dir(home.data().join("kv-damaged"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [aside] = &aside[..] else {
        panic!("{aside:?}");
    };
    assert!(told.contains(aside.to_str().unwrap()), "{told}");
    let kept: Vec<_> = fs::read_dir(aside.join("values"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1, "{kept:?}");
    assert!(fs::metadata(&kept[0]).unwrap().len() > 70_000);
    let list = fs::read_to_string(aside.join("VALUES")).unwrap();
    assert!(list.starts_with(&name(&kept[0])), "{list}");
    assert!(aside.join("tree/current").is_file());
}

/// Some damage is in the tree, where entries, the stamp and the manifest are.
#[tokio::test]
async fn damaged_tables_of_the_tree_are_repaired_or_the_store_is_refused() {
    const TRACES: u8 = 5;
    const PARTS: u64 = 24;
    let home = stopped(Plugin::Kv, (1..=TRACES).map(|it| trace(it, ENTRY))).await;
    let whole = served(Plugin::Kv, &home, TRACES).await;
    assert_whole(Plugin::Kv, &home);
    let table = largest(home.kv_files("tree/tables"));
    let length = fs::metadata(&table).unwrap().len();
    let at = table.strip_prefix(home.data()).unwrap();
    let (mut repaired, mut refused, mut most_lost) = (0, 0, 0);
    for part in 0..PARTS {
        let home = home.copy();
        let table = home.data().join(at);
        let mut bytes = fs::read(&table).unwrap();
        let place = usize::try_from(length * part / PARTS).unwrap();
        bytes[place] = !bytes[place];
        fs::write(&table, bytes).unwrap();
        let about = format!("byte {place} of {length}");
        let checked = check(Plugin::Kv, &home);
        if checked.status.success() {
            continue;
        }
        if checked.stdout.is_empty() {
            let before = snapshot(&home.data());
            for apply in [false, true] {
                let exit = repair(Plugin::Kv, &home, apply);
                assert_eq!(exit.status.code(), Some(1), "{about}: {exit:?}");
                assert_unchanged(&home.data(), &before, &about);
            }
            refused += 1;
            continue;
        }
        let told = assert_repaired(Plugin::Kv, &home, &about);
        let lost = assert_served(Plugin::Kv, &home, &whole).await;
        assert!(
            lost.is_empty() || told.contains("of unknown traces"),
            "{about}: {told}"
        );
        most_lost = most_lost.max(lost.len());
        repaired += 1;
    }
    assert!(repaired > 3, "{repaired} repaired, {refused} refused");
    assert!(most_lost <= 2, "{most_lost}");
}

/// It has records of everything, or nothing can be repaired.
#[tokio::test]
async fn a_store_without_its_tree_is_refused_and_left_as_it_is() {
    let home = stopped(Plugin::Kv, (1..=3).map(|it| trace(it, OBJECT))).await;
    for path in ["tree/current", "tree/tables", "journal", "objects"] {
        let home = home.copy();
        drop(check(Plugin::Kv, &home));
        remove(&kv(&home).join(path));
        let before = snapshot(&home.data());
        for apply in [false, true] {
            let exit = repair(Plugin::Kv, &home, apply);
            assert_eq!(exit.status.code(), Some(1), "{exit:?}");
            assert!(exit.stderr.contains("not complete"), "{path}: {exit:?}");
            assert_unchanged(&home.data(), &before, path);
        }
    }
}

#[tokio::test]
async fn files_that_nothing_refers_to_are_moved_aside() {
    let home = stopped(Plugin::Kv, (1..=3).map(|it| trace(it, OBJECT))).await;
    let whole = served(Plugin::Kv, &home, 3).await;
    assert_whole(Plugin::Kv, &home);
    let orphan = kv(&home).join("objects/00000000000000ff.obj");
    fs::write(&orphan, "kept").unwrap();
    let told = assert_repaired(Plugin::Kv, &home, "a file");
    assert!(told.contains("aside       0 values and 1 files"), "{told}");
    assert!(!orphan.exists());
    let aside = fs::read_dir(home.data().join("kv-damaged")).unwrap();
    let aside = aside.map(|entry| entry.unwrap().path()).next().unwrap();
    let moved = aside.join("objects").join(name(&orphan));
    assert_eq!(fs::read_to_string(moved).unwrap(), "kept");
    assert!(assert_served(Plugin::Kv, &home, &whole).await.is_empty());
}

/// All data is there, and the plugin goes on with it under the same id.
#[tokio::test]
async fn a_damaged_writer_id_is_made_anew() {
    let home = stopped(Plugin::Kv, (1..=3).map(|it| trace(it, OBJECT))).await;
    let whole = served(Plugin::Kv, &home, 3).await;
    let id = fs::read_to_string(kv(&home).join("WRITER")).unwrap();
    for damage in [empty as Damage, halve, spoil] {
        let home = home.copy();
        assert_whole(Plugin::Kv, &home);
        let file = kv(&home).join("WRITER");
        damage(&file);
        let damaged = fs::read(&file).unwrap();
        let before = snapshot(&home.data());
        for exit in [
            Options::new(Plugin::Kv).run_in(&home),
            check(Plugin::Kv, &home),
        ] {
            assert_eq!(exit.status.code(), Some(1), "{exit:?}");
            for part in ["DATA_LOSS", "kv/WRITER`", "is damaged", "`larder repair`"] {
                assert!(exit.stderr.contains(part), "no {part:?} in {exit:?}");
            }
            assert_unchanged(&home.data(), &before, "a refusal");
        }
        let told = assert_repaired(Plugin::Kv, &home, "the id");
        let mended = format!("mended      the id of the writer: {id}");
        assert!(told.contains(&mended), "{told}");
        assert!(told.contains("lost        0\n"), "{told}");
        assert_eq!(fs::read_to_string(&file).unwrap(), id);
        let aside = fs::read_dir(home.data().join("kv-damaged")).unwrap();
        let aside = aside.map(|entry| entry.unwrap().path()).next().unwrap();
        assert_eq!(fs::read(aside.join("WRITER")).unwrap(), damaged);
        assert!(assert_served(Plugin::Kv, &home, &whole).await.is_empty());
    }
}

/// It is tried out first, so nothing is changed.
#[tokio::test]
async fn a_plugin_that_cannot_repair_changes_nothing() {
    let home = stopped(Plugin::Brittle, (1..=60).map(|it| trace(it, 300))).await;
    spoil(&largest(home.kv_files("objects")));
    let exit = check(Plugin::Brittle, &home);
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    let before = snapshot(&home.data());
    let refused = |options: Options, told: &str| {
        let options = options.arguments(["repair", "--apply"]);
        let exit = options.run_in(&home);
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.contains(told), "no {told:?} in {exit:?}");
        assert_unchanged(&home.data(), &before, told);
    };
    refused(Options::new(Plugin::Memory), "keeps nothing in the store");
    refused(
        Options::new(Plugin::Hostile),
        "it cannot repair what it has stored",
    );
    refused(
        Options::new(Plugin::Replicated0_1),
        "built for version 0.1.0",
    );
    let trapping = Options::new(Plugin::Brittle).setting("trap_repair", "1");
    refused(trapping, "could not repair what it has stored: a trap");
}
