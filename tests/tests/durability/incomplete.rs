//! Data folders with missing or damaged parts, as after an interrupted restore: the remaining data stays. A start and `larder check`
//! refuse a store that could serve nothing, and report what is missing; and `check` never changes a byte.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use larder_tests::otlp::{ResourceBuilder, noise, service, span};
use larder_tests::{Exit, Home, Options, Plugin, eventually};

const TRACES: u8 = 4;
/// So large that each trace's spans are one object.
const OBJECT: usize = 100_000;

/// A change of a file or folder.
type Damage = fn(&Path);

/// A file with its contents and owner; a folder with its owner.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    bytes: Option<Vec<u8>>,
    owner: (u32, u32),
    modified: Option<(i64, i64)>,
}

/// Returns all entries of a folder, by path.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                folders.push(path.clone());
            }
            let entry = Entry {
                bytes: meta.is_file().then(|| fs::read(&path).unwrap()),
                owner: (meta.uid(), meta.gid()),
                modified: meta.is_file().then(|| (meta.mtime(), meta.mtime_nsec())),
            };
            found.insert(path.strip_prefix(dir).unwrap().to_owned(), entry);
        }
    }
    found
}

/// Unlike `assert_eq`, it does not print the bytes.
#[track_caller]
pub(crate) fn assert_unchanged(dir: &Path, before: &BTreeMap<PathBuf, Entry>, what: &str) {
    let after = snapshot(dir);
    let changed = |path: &&PathBuf| before.get(*path) != after.get(*path);
    let paths: Vec<_> = before.keys().chain(after.keys()).filter(changed).collect();
    assert!(paths.is_empty(), "{what} has changed {paths:?}");
}

fn trace(number: u8) -> ResourceBuilder {
    let one = span([number; 16], 1)
        .at(u64::from(number) * 1_000_000)
        .attribute("text", noise(number.into(), OBJECT));
    service(format!("service-{number}")).span(one)
}

/// Returns a folder with tables, objects and a journal: one server was stopped, and the next one was killed.
async fn killed() -> Home {
    let home = Home::new();
    let half = TRACES / 2;
    for (first, last) in [(1, half), (half + 1, TRACES)] {
        let larder = Options::new(Plugin::Kv).own_cache().start_in(&home);
        let client = larder.client().await;
        for number in first..=last {
            client.store([trace(number)]).await;
        }
        if last == half {
            let (status, _) = larder.signal_until_exit("TERM").await;
            assert!(status.success());
        } else {
            larder.kill();
        }
    }
    home
}

async fn assert_serves_all(home: &Home) {
    let larder = Options::new(Plugin::Kv).own_cache().start_in(home);
    let client = larder.client().await;
    for number in 1..=TRACES {
        assert_eq!(client.get_trace([number; 16]).await.span_ids(), [1]);
    }
}

fn check(home: &Home) -> Exit {
    Options::new(Plugin::Kv)
        .own_cache()
        .arguments(["check"])
        .run_in(home)
}

pub(crate) fn kv(home: &Home) -> PathBuf {
    home.data().join("kv")
}

pub(crate) fn remove(path: &Path) {
    if path.is_dir() {
        fs::remove_dir_all(path).unwrap();
    } else {
        fs::remove_file(path).unwrap();
    }
}

pub(crate) fn empty(path: &Path) {
    fs::write(path, []).unwrap();
}

pub(crate) fn halve(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

/// Flips a byte in the middle.
pub(crate) fn spoil(path: &Path) {
    flip(path, |length| length / 2);
}

/// Inverts the byte at the place that is returned for the file's length.
pub(crate) fn flip(path: &Path, place: impl FnOnce(usize) -> usize) {
    let mut bytes = fs::read(path).unwrap();
    let place = place(bytes.len());
    if let Some(byte) = bytes.get_mut(place) {
        *byte = !*byte;
    }
    fs::write(path, bytes).unwrap();
}

/// Returns the manifest that `tree/current` names.
fn manifest(home: &Home) -> String {
    let names = home.kv_files("tree").into_iter();
    let mut names = names.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned());
    let name = names.find(|name| name.starts_with('v')).unwrap();
    format!("tree/{name}")
}

#[track_caller]
fn assert_refused(exit: &Exit, parts: &[&str]) {
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    for part in ["DATA_LOSS", "not complete", "data/kv`", "backup"] {
        assert!(exit.stderr.contains(part), "no {part:?} in {exit:?}");
    }
    for part in parts {
        assert!(exit.stderr.contains(part), "no {part:?} in {exit:?}");
    }
}

#[tokio::test]
async fn a_start_and_a_check_refuse_a_store_without_its_tree_and_leave_it_as_it_is() {
    let whole = killed().await;
    let manifest = manifest(&whole);
    let refers = "nothing refers to what is there";
    for (path, damage, parts) in [
        (
            "tree/current",
            remove as Damage,
            ["`tree/current` is missing", refers],
        ),
        ("tree", remove, ["`tree/current` is missing", refers]),
        ("tree/current", empty, ["`tree/current` is damaged", refers]),
        ("tree/current", halve, ["`tree/current` is damaged", refers]),
        ("tree/current", spoil, ["`tree/v", refers]),
        (&manifest, remove, ["is missing", refers]),
        (&manifest, halve, ["is damaged", refers]),
        (&manifest, spoil, ["is damaged", refers]),
        (
            "tree/tables",
            remove,
            ["`tree/tables` has no tables", refers],
        ),
        ("journal", remove, ["`journal` has no file", "at all times"]),
        ("objects", remove, ["`objects` is missing", "partitions"]),
    ] {
        let home = whole.copy();
        damage(&kv(&home).join(path));
        let before = snapshot(&home.data());
        assert_refused(&Options::new(Plugin::Kv).own_cache().run_in(&home), &parts);
        assert_unchanged(&home.data(), &before, "the start");
        assert_refused(&check(&home), &parts);
        assert_unchanged(&home.data(), &before, "the check");
    }
    assert_serves_all(&whole).await;
}

/// Backups of some tools do not contain the lock.
#[tokio::test]
async fn a_refused_store_does_not_even_get_a_lock() {
    let home = killed().await;
    remove(&kv(&home).join("LOCK"));
    remove(&kv(&home).join("tree/current"));
    let before = snapshot(&home.data());
    for exit in [
        Options::new(Plugin::Kv).own_cache().run_in(&home),
        check(&home),
    ] {
        assert_refused(&exit, &["`tree/current` is missing"]);
    }
    assert_unchanged(&home.data(), &before, "one of them");
}

#[tokio::test]
async fn a_check_changes_nothing_in_a_sound_store() {
    let home = killed().await;
    for after in ["a kill", "a stop"] {
        let before = snapshot(&home.data());
        let exit = check(&home);
        assert!(exit.status.success(), "{exit:?}");
        assert_eq!(exit.stdout.matches("damaged     0").count(), 2, "{exit:?}");
        assert_unchanged(&home.data(), &before, &format!("a check after {after}"));
        assert_serves_all(&home).await;
        let larder = Options::new(Plugin::Kv).own_cache().start_in(&home);
        let (status, _) = larder.signal_until_exit("TERM").await;
        assert!(status.success());
    }
}

/// Crashes always leave a record. So a file without one is kept, and its number is not reused.
#[tokio::test]
async fn an_unreferenced_object_file_is_reported_and_kept() {
    let home = killed().await;
    let known = home.kv_files("objects");
    let number = |path: &PathBuf| {
        let name = path.file_stem().unwrap().to_str().unwrap();
        u64::from_str_radix(name, 16).unwrap()
    };
    let next = known.iter().map(number).max().unwrap() + 1;
    let orphans: Vec<_> = (next..next + 8)
        .map(|number| kv(&home).join(format!("objects/{number:016x}.obj")))
        .collect();
    for orphan in &orphans {
        fs::write(orphan, "kept").unwrap();
    }
    let before = snapshot(&home.data());
    let exit = check(&home);
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    assert!(exit.stdout.contains("DATA_LOSS"), "{exit:?}");
    for orphan in &orphans {
        let line = format!("orphaned    file `objects/{}`, 4 bytes", name(orphan));
        assert!(exit.stdout.contains(&line), "no {line:?} in {exit:?}");
    }
    assert_unchanged(&home.data(), &before, "the check");

    // With small parts, a few writes make many partitions.
    for plugin in [Plugin::Kv, Plugin::Brittle, Plugin::Kv] {
        let larder = Options::new(plugin).own_cache().start_in(&home);
        larder.line_of(&["DATA_LOSS", "nothing refers to", &name(&orphans[0])]);
        let client = larder.client().await;
        for number in 1..=TRACES {
            assert_eq!(client.get_trace([number; 16]).await.span_ids(), [1]);
        }
        for number in 100..120 {
            client.store([trace(number)]).await;
        }
        larder.kill();
    }
    assert!(home.kv_files("objects").len() > known.len() + orphans.len());
    for orphan in &orphans {
        assert_eq!(fs::read_to_string(orphan).unwrap(), "kept");
    }
}

pub(crate) fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// A lock, an empty folder, and the files of an interrupted first start do not count as a store.
#[tokio::test]
async fn a_folder_without_stored_data_becomes_a_store() {
    for made in [
        &[][..],
        &["LOCK"],
        &["objects/"],
        &[
            "LOCK",
            "WRITER.new",
            "tree/tables/",
            "tree/v0",
            "journal/0000000000000001.jnl",
        ],
    ] {
        let home = Home::new();
        fs::create_dir_all(kv(&home)).unwrap();
        for path in made {
            let path = kv(&home).join(path);
            if path.to_str().unwrap().ends_with('/') {
                fs::create_dir_all(path).unwrap();
            } else {
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, []).unwrap();
            }
        }
        let before = snapshot(&home.data());
        let exit = check(&home);
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.contains("there is no store in"), "{exit:?}");
        assert_unchanged(&home.data(), &before, "the check");

        let larder = Options::new(Plugin::Kv).own_cache().start_in(&home);
        let client = larder.client().await;
        for number in 1..=TRACES {
            client.store([trace(number)]).await;
        }
        larder.kill();
        assert_serves_all(&home).await;
    }
}

/// Starts on a folder, waits until it serves or refuses to, and returns its exit.
pub(crate) async fn start_and_stop(options: Options, home: &Home) -> (ExitStatus, Vec<String>) {
    let larder = options.spawn_in(home);
    let outcomes = ["Serving Jaeger storage on ", "\"ERROR\""];
    let is_outcome = |line: &String| outcomes.iter().any(|outcome| line.contains(outcome));
    eventually("a start or its refusal", async || {
        larder.lines().iter().any(is_outcome).then_some(())
    })
    .await;
    larder.signal_until_exit("TERM").await
}

/// Removes and damages each file and folder in turn.
#[tokio::test]
async fn any_missing_or_damaged_file_leaves_the_rest_unchanged() {
    let whole = killed().await;
    let files = snapshot(&kv(&whole));
    assert!(files.len() > 10, "{:?}", files.keys());
    let (mut refused, mut served) = (0, 0);
    for path in files.keys() {
        let damages: &[(&str, Damage)] = if kv(&whole).join(path).is_dir() {
            &[("without", remove)]
        } else {
            &[
                ("without", remove),
                ("with nothing in", empty),
                ("with half of", halve),
                ("with a byte changed in", spoil),
            ]
        };
        for (how, damage) in damages {
            let home = whole.copy();
            damage(&kv(&home).join(path));
            let before = snapshot(&home.data());
            let exit = check(&home);
            assert!(matches!(exit.status.code(), Some(0 | 1)), "{exit:?}");
            let about = format!("{how} {}", path.display());
            assert_unchanged(&home.data(), &before, &format!("a check {about}"));

            let (status, lines) = start_and_stop(Options::new(Plugin::Kv).own_cache(), &home).await;
            let about = format!("a start {about}: {lines:?}");
            if lines.iter().any(|line| line.contains("DATA_LOSS")) {
                refused += 1;
                assert_eq!(status.code(), Some(1), "{about}");
                assert_unchanged(&home.data(), &before, &about);
                continue;
            }
            // Some damage is for the plugin to find, which opens after the journal has been read.
            assert!(matches!(status.code(), Some(0 | 1)), "{about}");
            served += usize::from(status.success());
            let after = snapshot(&kv(&home));
            let is_left = |(file, _): &(&PathBuf, &Entry)| {
                let is_object = file.extension().is_some_and(|it| it == "obj");
                is_object && !file.starts_with(path)
            };
            for (file, entry) in files.iter().filter(is_left) {
                let bytes = after.get(file).map(|it| &it.bytes);
                assert!(
                    bytes == Some(&entry.bytes),
                    "{about}: {} changed",
                    file.display()
                );
            }
        }
    }
    assert!(refused > 10 && served > 10, "{refused}, {served}");
}
