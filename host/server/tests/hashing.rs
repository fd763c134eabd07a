//! Maps with keys that a client chooses have hashes with a random key, so that the client cannot compute collisions.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::hash::BuildHasher as _;
use std::path::{Path, PathBuf};

/// Names whose use can give a map a hash without a random key.
const UNKEYED: [&str; 11] = [
    "BuildHasherDefault",
    "DefaultHasher::new",
    "DefaultHasher::default",
    "with_hasher",
    "with_capacity_and_hasher",
    "FixedState",
    "with_seeds",
    "fxhash",
    "rustc_hash",
    "fnv::",
    "nohash",
];
/// Files that may use them: their keys are numbers made by the plugin, or fingerprints with a random seed of the instance.
const ALLOWED: [&str; 2] = ["plugins/kv/src/cache.rs", "plugins/kv/src/operations.rs"];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_map_has_a_hash_that_a_client_can_compute() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut found = Vec::new();
    let host = fs::read_dir(root.join("host")).unwrap();
    let host = host.map(|entry| entry.unwrap().path());
    let others = ["plugins/kv", "plugins/memory", "plugins/sdk", "proto"];
    let others = others.map(|folder| root.join(folder));
    for folder in host.chain(others) {
        let folder = folder.join("src");
        if folder.is_dir() {
            sources(&folder, &mut found);
        }
    }
    assert!(found.len() > 300, "only {} files", found.len());
    let mut unkeyed = Vec::new();
    for path in found {
        let text = fs::read_to_string(&path).unwrap();
        let code = text.lines().map(|line| line.split("//").next().unwrap());
        if code
            .into_iter()
            .any(|line| UNKEYED.iter().any(|it| line.contains(it)))
        {
            let path = path.strip_prefix(&root).unwrap();
            unkeyed.push(path.to_str().unwrap().to_owned());
        }
    }
    unkeyed.sort();
    assert_eq!(unkeyed, ALLOWED);
}

/// The default hashers of `HashMap`, of `hashbrown` and of the tables of a request.
#[test]
fn each_map_has_a_key_of_its_own() {
    let (one, other) = <(hashbrown::DefaultHashBuilder, hashbrown::DefaultHashBuilder)>::default();
    assert_ne!(one.hash_one("a name"), other.hash_one("a name"));
    let (one, other) = <(std::hash::RandomState, std::hash::RandomState)>::default();
    assert_ne!(one.hash_one("a name"), other.hash_one("a name"));
}
