//! Inspects a folder before anything in it is opened or changed, and refuses a store with missing parts.
//!
//! Opening a tree creates one if there is none, and removes the tables that its manifest does not list. So the manifest has to be intact,
//! and a folder without one is a new store only if nothing was ever written through a tree. The order of writes shows this: the manifest
//! exists before the journal's first file, that before the first table, and that before the first commit.

use std::fs;
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::bytes::{take_u8, take_u64, take_u128};
use super::objects::{entries, numbered_files};
use super::{journal, objects};
use crate::Error;

/// The state of a folder that can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FolderState {
    /// Nothing was ever stored in it.
    New,
    /// A store with its manifest and its journal.
    Store,
}

/// The files in a folder.
#[derive(Debug, Default)]
struct Files {
    tables: u64,
    objects: usize,
    /// Number and length of each file, oldest first.
    journal: Vec<(u64, u64)>,
}

/// Inspects a folder, which need not exist. Reads names, lengths and the manifest, and writes nothing.
///
/// # Errors
/// [`Error::DataLoss`] if the folder has files of a store, but others that the store needs are missing or damaged;
/// [`Error::Unavailable`] if the disk fails.
pub(super) fn survey(dir: &Path) -> Result<FolderState, Error> {
    let refused =
        |error: io::Error| Error::Unavailable(format!("cannot read `{}`: {error}", dir.display()));
    let files = Files::of(dir).map_err(refused)?;
    if !files.belong_to_a_store() {
        return Ok(FolderState::New);
    }
    let fault = match damaged_manifest(&dir.join("tree")).map_err(refused)? {
        Some(fault) => Some(format!(
            "{fault}, and without it nothing refers to what is there: {}",
            files.describe()
        )),
        None => files.fault(),
    };
    match fault {
        Some(fault) => Err(incomplete(dir, &fault)),
        None => Ok(FolderState::Store),
    }
}

/// The error for a store with missing parts that has not been changed.
pub(super) fn incomplete(dir: &Path, fault: &str) -> Error {
    Error::DataLoss(format!(
        "DATA_LOSS: the store in `{}` is not complete: {fault}. Nothing was changed. Restore what is missing from the backup, all of it from the same one; or set another `data_dir` to begin with an empty store",
        dir.display()
    ))
}

// === impl Files ===

impl Files {
    fn of(dir: &Path) -> io::Result<Self> {
        let mut files = Self::default();
        for entry in entries(&dir.join("tree/tables"))? {
            let is_number = |name: &str| name.parse::<u64>().is_ok();
            files.tables += u64::from(entry.file_name().to_str().is_some_and(is_number));
        }
        files.objects = numbered_files(&dir.join("objects"), objects::SUFFIX)?.len();
        for (number, path) in numbered_files(&dir.join("journal"), journal::SUFFIX)? {
            files.journal.push((number, fs::metadata(path)?.len()));
        }
        Ok(files)
    }

    fn belong_to_a_store(&self) -> bool {
        let mut journal = self.journal.iter();
        // The first file is removed after the next one has been created and the first table is on disk.
        let is_rotated = self.journal.first().is_some_and(|(number, _)| *number > 1);
        self.tables > 0 || self.objects > 0 || is_rotated || journal.any(|(_, length)| *length > 0)
    }

    fn fault(&self) -> Option<String> {
        if self.tables == 0 {
            return Some(format!(
                "`tree/tables` has no tables, and without them nothing refers to what is there: {}",
                self.describe()
            ));
        }
        let Some((first, _)) = self.journal.first() else {
            return Some(
                "`journal` has no file; it has one at all times, which is empty where the server was stopped"
                    .to_owned(),
            );
        };
        let mut expected = *first..;
        let gap = self
            .journal
            .iter()
            .zip(&mut expected)
            .find(|((number, _), expected)| number != expected);
        gap.map(|(_, missing)| format!("`journal/{}` is missing", journal::file_name(missing)))
    }

    fn describe(&self) -> String {
        format!(
            "{} files of objects in `objects`, {} tables in `tree/tables`, {} files in `journal`",
            self.objects,
            self.tables,
            self.journal.len()
        )
    }
}

/// Checks the manifest that the file `current` refers to, and returns a description of the fault, if there is one. `current` holds the
/// manifest's number (8), its xxh3-128 (16) and the kind of that checksum (1). `lsm-tree` does not verify the checksum.
fn damaged_manifest(tree: &Path) -> io::Result<Option<String>> {
    let Some(current) = read(&tree.join("current"))? else {
        return Ok(Some("`tree/current` is missing".to_owned()));
    };
    let Some((number, checksum)) = parse_current(&current) else {
        return Ok(Some("`tree/current` is damaged".to_owned()));
    };
    let Some(manifest) = read(&tree.join(format!("v{number}")))? else {
        return Ok(Some(format!(
            "`tree/v{number}`, which `tree/current` names, is missing"
        )));
    };
    Ok((xxh3_128(&manifest) != checksum)
        .then(|| format!("`tree/v{number}`, or `tree/current`, which names it, is damaged")))
}

fn parse_current(mut bytes: &[u8]) -> Option<(u64, u128)> {
    let number = take_u64(&mut bytes)?;
    let checksum = take_u128(&mut bytes)?;
    let kind = take_u8(&mut bytes)?;
    (kind == 0 && bytes.is_empty()).then_some((number, checksum))
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
