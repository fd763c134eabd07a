//! Names, inventories, and the restore of what is and what is not a snapshot.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::fs::{self, File};
use std::path::{Component, Path};
use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use tempfile::TempDir;

use super::draft::{Ended, check};
use super::inventory::{Inventory, Listed};
use super::*;

fn request(below: &Path) -> SnapshotRequest {
    SnapshotRequest::new(below.to_owned(), "monday".parse().unwrap())
}

/// A snapshot of files that are no store.
fn made(below: &Path) -> PathBuf {
    let request = request(below);
    let mut draft = Draft::begin(&request, below, 0).unwrap();
    draft.write(b"id", "WRITER").unwrap();
    draft.folder("objects").unwrap();
    draft.write(&[7; 5000], "tree/tables/1").unwrap();
    let journal = below.join("journal");
    fs::write(&journal, [9_u8; 1000]).unwrap();
    let journal = File::open(journal).unwrap();
    draft.copy(&journal, 900, "journal/1.jnl").unwrap();
    let moment = UNIX_EPOCH + Duration::from_millis(1_790_000_000_123);
    let made = draft.complete(moment).unwrap();
    assert_eq!((made.copied.files, made.copied.bytes), (3, 5902));
    assert_eq!(made.path, below.join("monday"));
    made.path
}

#[track_caller]
fn refused(from: &Path, data_dir: &Path, why: &str) {
    let refused = restore(from, data_dir).unwrap_err().to_string();
    assert!(refused.contains(why), "{why:?} not in {refused}");
    assert!(!data_dir.join("kv").exists());
}

#[test]
fn a_snapshot_is_restored_byte_for_byte() {
    let (below, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let from = made(below.path());
    for data_dir in [data.path().to_owned(), data.path().join("new/folder")] {
        drop(fs::remove_dir_all(data.path().join("kv")));
        let restored = restore(&from, &data_dir).unwrap();
        assert_eq!(restored.name, "monday");
        assert_eq!(restored.version, env!("CARGO_PKG_VERSION"));
        let millis = restored.moment.duration_since(UNIX_EPOCH).unwrap();
        assert_eq!(millis.as_millis(), 1_790_000_000_123);
        let read = |file: &str| fs::read(data_dir.join("kv").join(file)).unwrap();
        assert_eq!(read("WRITER"), b"id");
        assert_eq!(read("tree/tables/1"), [7_u8; 5000]);
        assert_eq!(read("journal/1.jnl"), [9_u8; 900]);
        assert!(data_dir.join("kv/objects").is_dir());
        assert_eq!(fs::read_dir(&data_dir).unwrap().count(), 1);
    }
}

#[test]
fn a_folder_that_is_not_empty_is_not_restored_into() {
    let (below, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let from = made(below.path());
    fs::write(data.path().join("mine"), b"").unwrap();
    refused(&from, data.path(), "it has `mine`");
    fs::remove_file(data.path().join("mine")).unwrap();
    fs::create_dir(data.path().join("restore.partial")).unwrap();
    refused(&from, data.path(), "remove it, and repeat");
    fs::remove_dir(data.path().join("restore.partial")).unwrap();
    restore(&from, data.path()).unwrap();
    let again = restore(&from, data.path()).unwrap_err().to_string();
    assert!(again.contains("it has `kv`"), "{again}");
    let file = below.path().join("journal");
    let refused = restore(&from, &file).unwrap_err();
    assert!(matches!(refused, RestoreError::Disk { .. }), "{refused}");
}

#[test]
fn a_snapshot_is_not_restored_into_itself() {
    let (below, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let from = made(below.path());
    let link = data.path().join("link");
    std::os::unix::fs::symlink(&from, &link).unwrap();
    for inside in [
        from.join("inner"),
        from.join("kv/../inner"),
        link.join("inner"),
    ] {
        let refused = restore(&from, &inside).unwrap_err();
        assert!(matches!(refused, RestoreError::Within(_)), "{refused}");
        assert!(!from.join("inner").exists());
    }
    restore(&link, &data.path().join("outside")).unwrap();
}

#[test]
fn what_is_not_whole_is_not_restored() {
    let (below, data) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (from, data) = (made(below.path()), data.path().join("data"));
    refused(&below.path().join("tuesday"), &data, "no file `SNAPSHOT`");

    let table = from.join("kv/tree/tables/1");
    fs::write(&table, [7_u8; 4999]).unwrap();
    refused(&from, &data, "has 4999 bytes in place of 5000");
    fs::remove_file(&table).unwrap();
    refused(&from, &data, "`kv/tree/tables/1` is missing");
    fs::write(&table, [7_u8; 5000]).unwrap();

    let file = from.join("SNAPSHOT");
    let whole = fs::read(&file).unwrap();
    for length in 0..whole.len() {
        fs::write(&file, &whole[..length]).unwrap();
        refused(&from, &data, "its file `SNAPSHOT` is");
    }
    let newer = String::from_utf8(whole.clone()).unwrap();
    let newer = newer.replace("format 1", "format 2");
    fs::write(&file, newer).unwrap();
    refused(&from, &data, "by a newer Larder");
    fs::write(&file, [0xff_u8; 100]).unwrap();
    refused(&from, &data, "its file `SNAPSHOT` is");
    fs::remove_file(&file).unwrap();
    refused(&from, &data, "no file `SNAPSHOT`");
    assert!(!data.exists());

    fs::write(&file, whole).unwrap();
    let lock = File::create(from.join("kv/LOCK")).unwrap();
    lock.try_lock().unwrap();
    refused(&from, &data, "a server uses it");
    lock.unlock().unwrap();
    restore(&from, &data).unwrap();
}

#[test]
fn a_copy_leaves_room_for_the_store() {
    let below = TempDir::new().unwrap();
    let request = request(below.path());
    assert!(check(&request, 0, 1).is_ok());
    for (reserve, left) in [(u64::MAX, 1), (0, u64::MAX)] {
        let Err(Ended::Refused(refused)) = check(&request, reserve, left) else {
            panic!("not refused");
        };
        assert!(refused.to_string().contains("`kv.min_free`"), "{refused}");
    }
    request.stop.store(true, Ordering::Relaxed);
    let stopped = check(&request, 0, 1);
    assert!(
        matches!(stopped, Err(Ended::Refused(SnapshotError::Stopped))),
        "{stopped:?}"
    );
}

#[test]
fn names_that_are_paths_are_refused() {
    let long = "a".repeat(129);
    for name in [
        "", ".", "..", "../up", "/etc", "a/b", "a/../b", "a\\b", ".hidden", "-option", "a b",
        "a\0", "a\n", "ä", "_a", &long,
    ] {
        let refused = name.parse::<SnapshotName>().unwrap_err();
        assert!(refused.contains("`kv.snapshot_dir`"), "{name:?}: {refused}");
    }
    for name in ["a", "2026-11-29", "nightly_3.1", "A..", &long[1..]] {
        assert_eq!(name.parse::<SnapshotName>().unwrap().as_str(), name);
    }
}

proptest! {
    #[test]
    fn every_name_is_one_part_of_a_path(name in "[a-z0-9./_\\-\\\\ \0]{0,12}|\\PC{0,8}") {
        if let Ok(name) = name.parse::<SnapshotName>() {
            let parts: Vec<_> = Path::new(name.as_str()).components().collect();
            prop_assert!(matches!(parts[..], [Component::Normal(part)] if part == name.as_str()));
            prop_assert!(!name.as_str().starts_with('.'));
        }
    }

    #[test]
    fn an_inventory_is_read_as_it_was_written_and_no_part_or_change_of_it_is(
        name in "[a-z]{1,9}",
        millis in 0..4_000_000_000_000_u64,
        files in proptest::collection::vec(("[a-z0-9]{1,5}(/[a-z0-9.]{0,3}[a-z]){0,3}", any::<u64>()), 0..9),
        at in any::<prop::sample::Index>(),
        bit in 0..7_u8,
    ) {
        let files = files.into_iter().map(|(path, length)| Listed { path, length });
        let inventory = Inventory {
            name,
            moment: UNIX_EPOCH + Duration::from_millis(millis),
            version: "1.2.3".to_owned(),
            files: files.collect(),
        };
        let text = inventory.encode();
        let decoded = Inventory::decode(&text);
        prop_assert_eq!(decoded.as_ref(), Ok(&inventory));
        let at = at.index(text.len());
        prop_assert!(Inventory::decode(&text[..at]).is_err());
        let mut changed = text.into_bytes();
        changed[at] ^= 1 << bit;
        if let Ok(changed) = String::from_utf8(changed) {
            // The checksum's own digits may be written in capitals.
            let decoded = Inventory::decode(&changed);
            prop_assert!(decoded.is_err() || decoded == Ok(inventory));
        }
    }

    #[test]
    fn an_inventory_names_no_file_outside(path in "[a-z./]{0,8}") {
        let inventory = Inventory {
            name: "n".to_owned(),
            moment: UNIX_EPOCH,
            version: "1".to_owned(),
            files: vec![Listed { path: path.clone(), length: 1 }],
        };
        let is_inside = !path.starts_with('/') && !path.split('/').any(|part| part == "..");
        if Inventory::decode(&inventory.encode()).is_ok() {
            prop_assert!(is_inside, "{path}");
        }
    }
}
