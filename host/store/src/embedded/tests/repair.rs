//! Values that cannot be read are taken out of a store, and everything else stays.

use super::*;

/// Returns the tables of a store's tree.
fn tables(dir: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(dir.join("tree/tables")).unwrap();
    let mut tables: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    tables.sort();
    tables
}

/// Flips a byte of this value in the only file that has it.
fn spoil(files: &[PathBuf], value: &[u8]) {
    let part = &value[value.len() / 2..][..100];
    let mut spoiled = 0;
    for file in files {
        let mut bytes = fs::read(file).unwrap();
        if let Some(at) = bytes.windows(part.len()).position(|it| it == part) {
            bytes[at] = !bytes[at];
            fs::write(file, bytes).unwrap();
            spoiled += 1;
        }
    }
    assert_eq!(spoiled, 1);
}

fn number(n: u64) -> String {
    format!("k{n:02}")
}

/// Makes a store with entries in several tables, of which one is newer than another, and objects. Returns its contents.
async fn store(dir: &Path) -> Vec<Option<Vec<u8>>> {
    let opened = open(dir).await;
    for n in 0..20 {
        opened
            .commit("p", &number(n), &noise(10_000, n))
            .await
            .unwrap();
        opened
            .put("q", &number(n), &noise(10_000, 100 + n))
            .await
            .unwrap();
    }
    opened.commit("p", "gone", b"gone").await.unwrap();
    opened.sync().await.unwrap();
    opened.flush();
    // The first block of a table has the records too, without which nothing can be opened.
    for (n, seed) in [(9, 9), (10, 50)] {
        opened
            .commit("p", &number(n), &noise(10_000, seed))
            .await
            .unwrap();
    }
    let deleted = vec![crate::Change::Delete(b"gone".to_vec())];
    opened.kv.commit(&opened.claim, "p", deleted).await.unwrap();
    opened.sync().await.unwrap();
    opened.flush();
    drop(opened);
    contents(&*open(dir).await.kv).await
}

/// Returns the value of every key that the store may have.
async fn contents(kv: &dyn Namespace) -> Vec<Option<Vec<u8>>> {
    let mut keys = vec![key("p", "gone")];
    for n in 0..20 {
        keys.extend([key("p", &number(n)), key("q", &number(n))]);
    }
    let mut values = Vec::new();
    for key in keys {
        values.push(kv.get(&[key]).await.unwrap().remove(0));
    }
    values
}

/// Repairs, and returns what is stored after it; that is the same as what was shown before.
async fn repaired(dir: &Path, aside: &Path, removed: u64) -> Vec<Option<Vec<u8>>> {
    let scratch = tempfile::tempdir().unwrap();
    let shown = {
        let driver = EmbeddedDriver::open_repaired(options(dir), scratch.path());
        let driver = driver.unwrap().unwrap();
        contents(&*driver.open("t").await.unwrap()).await
    };
    let scratch = tempfile::tempdir().unwrap();
    let moved = EmbeddedDriver::set_aside(&options(dir), scratch.path(), aside).unwrap();
    assert_eq!((moved.values, moved.files), (removed, 0));
    assert!(aside.join("tree/current").is_file());
    let opened = open(dir).await;
    let mut damaged = Vec::new();
    opened.driver.check(&mut |damage| damaged.push(damage));
    assert_eq!(damaged, []);
    let stored = contents(&*opened.kv).await;
    assert_eq!(stored, shown);
    // What was taken out can be written again.
    opened.put("q", "k03", b"new").await.unwrap();
    opened.commit("p", "k10", b"new").await.unwrap();
    assert_eq!(opened.get("p", "k10").await.unwrap().unwrap(), b"new");
    stored
}

/// An older value in another table does not take its place, nor does a deleted one come back.
#[tokio::test]
async fn a_damaged_block_of_the_tree_takes_only_its_own_entries_along() {
    let home = tempfile::tempdir().unwrap();
    let (dir, aside) = (home.path().join("kv"), home.path().join("aside"));
    let mut due = store(&dir).await;
    assert!(tables(&dir).len() > 1);
    spoil(&tables(&dir), &noise(10_000, 50));
    due[1 + 2 * 10] = None;
    // Its key is known from the older table.
    assert!(repaired(&dir, &aside, 1).await == due);
}

#[tokio::test]
async fn a_damaged_object_is_taken_out_and_its_bytes_are_kept() {
    let home = tempfile::tempdir().unwrap();
    let (dir, aside) = (home.path().join("kv"), home.path().join("aside"));
    let mut due = store(&dir).await;
    let listed = fs::read_dir(dir.join("objects")).unwrap();
    let files: Vec<PathBuf> = listed.map(|entry| entry.unwrap().path()).collect();
    spoil(&files, &noise(10_000, 103));
    due[1 + 2 * 3 + 1] = None;
    assert!(repaired(&dir, &aside, 1).await == due);
    let kept: Vec<PathBuf> = fs::read_dir(aside.join("values"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1);
    let (kept, stored) = (fs::read(&kept[0]).unwrap(), noise(10_000, 103));
    assert_eq!(kept.len(), stored.len());
    assert_eq!(kept.iter().zip(&stored).filter(|(a, b)| a != b).count(), 1);
}
