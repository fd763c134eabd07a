//! A purge, and the reclaiming after it, on a damaged store: files of the other tenants stay as they are, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use larder_tests::otlp::{noise, service, span};
use larder_tests::{Client, Home, Larder, Options, Plugin, eventually};

use crate::incomplete::{empty, halve, remove, spoil, start_and_stop};

/// So large that each trace's spans are one object.
const OBJECT: usize = 100_000;

fn options() -> Options {
    Options::new(Plugin::Kv)
        .environment("LARDER_TENANCY_ENABLED", "true")
        .purge()
}

async fn store(client: &Client, tenant: &str, number: u8) {
    let one = span([number; 16], 1).attribute("text", noise(number.into(), OBJECT));
    let client = client.tenant(tenant);
    client.store([service(tenant).span(one)]).await;
}

/// Returns the contents of the object files, by path.
fn objects(home: &Home) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = home.kv_files("objects").into_iter();
    files
        .filter_map(|path| {
            // Upkeep may remove it just now.
            let bytes = fs::read(&path).ok()?;
            Some((path.strip_prefix(home.path()).unwrap().to_owned(), bytes))
        })
        .collect()
}

/// Stores a trace of another tenant, purges that tenant, and waits until its files are removed: so upkeep has done all that was due.
/// False if the store is too damaged to be written to.
async fn purge_another(larder: &Larder, home: &Home) -> bool {
    let names = || objects(home).into_keys().collect::<BTreeSet<_>>();
    let before = names();
    let client = larder.client().await.tenant("other");
    let one = span([9; 16], 1).attribute("text", noise(9, OBJECT));
    if client.export([service("other").span(one)]).await.is_err() {
        return false;
    }
    let new: Vec<PathBuf> = names().difference(&before).cloned().collect();
    assert!(!new.is_empty());
    assert_eq!(larder.post("/purge?tenant=other").status, 200);
    eventually("the purged files to be removed", async || {
        let left = names();
        new.iter().all(|path| !left.contains(path)).then_some(())
    })
    .await;
    true
}

/// Every file and folder of the store, below its folder.
fn parts(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path.clone());
            }
            found.push(path.strip_prefix(dir).unwrap().to_owned());
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_purge_on_a_damaged_store_leaves_the_files_of_other_tenants() {
    let whole = Home::new();
    for first in [1, 3] {
        let larder = options().start_in(&whole);
        let client = larder.client().await;
        for (tenant, number) in [("kept", first), ("purged", first), ("kept", first + 1)] {
            store(&client, tenant, number).await;
        }
        if first == 1 {
            let (status, _) = larder.signal_until_exit("TERM").await;
            assert!(status.success());
        } else {
            larder.kill();
        }
    }
    // Without damage the files of the purged tenant are removed, and no others.
    let sound = whole.copy();
    let larder = options().start_in(&sound);
    assert_eq!(larder.post("/purge?tenant=purged").status, 200);
    assert!(purge_another(&larder, &sound).await);
    let kept: BTreeSet<PathBuf> = objects(&sound).into_keys().collect();
    let before = objects(&whole);
    assert!(!kept.is_empty() && kept.len() < before.len());
    assert!(kept.iter().all(|path| before.contains_key(path)));
    drop(larder);

    let dir = |home: &Home| home.data().join("kv");
    let (mut refused, mut purged) = (0, 0);
    for part in parts(&dir(&whole)) {
        let damages: &[fn(&Path)] = if dir(&whole).join(&part).is_dir() {
            &[remove]
        } else {
            &[remove, empty, halve, spoil]
        };
        for damage in damages {
            let home = whole.copy();
            damage(&dir(&home).join(&part));
            let (status, _) = start_and_stop(options(), &home).await;
            if status.success() {
                let larder = options().start_in(&home);
                // It may be too damaged for this.
                larder.post("/purge?tenant=purged");
                let client = larder.client().await;
                drop(client.tenant("kept").services().await);
                purged += usize::from(purge_another(&larder, &home).await);
            } else {
                refused += 1;
            }
            let after = objects(&home);
            for path in &kept {
                if home.path().join(path).starts_with(dir(&home).join(&part)) {
                    continue;
                }
                assert!(
                    after.get(path) == before.get(path),
                    "after damage of {}: {} has changed",
                    part.display(),
                    path.display()
                );
            }
        }
    }
    assert!(refused > 5 && purged > 5, "{refused}, {purged}");
}
