//! Looks at a folder before anything in it is opened or changed: a store of which a part is missing is refused.
//!
//! Opening a tree makes one where there is none, and removes the tables that its manifest does not name. So the manifest has to be
//! whole, and a folder without one is a new store only if nothing in it was ever written through a tree. The order of writes tells: the
//! manifest is there before the journal's first file, that before the first table, and that before the first commit.

use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

use super::bytes::{take_u8, take_u64, take_u128};
use super::{journal, objects};
use crate::Error;

/// The state of a folder that can be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing was ever stored here.
    New,
    /// A store, with its manifest and its journal.
    Store,
}

/// The files in a folder, without a look into them.
#[derive(Debug, Default)]
struct Files {
    tables: u64,
    objects: u64,
    /// Number and length, the oldest first.
    journal: Vec<(u64, u64)>,
}

/// Looks at the folder, which need not be there. Reads names, lengths and the manifest, and writes nothing.
///
/// # Errors
/// [`Error::DataLoss`] where files are there that belong to a store, and others that it cannot do without are missing or damaged;
/// [`Error::Unavailable`] where the disk refuses.
pub(super) fn survey(dir: &Path) -> Result<Found, Error> {
    let refused =
        |error: io::Error| Error::Unavailable(format!("cannot read `{}`: {error}", dir.display()));
    let files = Files::of(dir).map_err(refused)?;
    if !files.belong_to_a_store() {
        return Ok(Found::New);
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
        None => Ok(Found::Store),
    }
}

/// The error for a store of which a part is missing, before anything was changed.
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
        for entry in entries(&dir.join("objects"))? {
            let number = objects::number(&entry.path(), objects::SUFFIX);
            files.objects += u64::from(number.is_some());
        }
        for entry in entries(&dir.join("journal"))? {
            if let Some(number) = objects::number(&entry.path(), journal::SUFFIX) {
                files.journal.push((number, entry.metadata()?.len()));
            }
        }
        files.journal.sort_unstable();
        Ok(files)
    }

    fn belong_to_a_store(&self) -> bool {
        let mut journal = self.journal.iter();
        // The first file is removed when the next one has been begun and the first table is on disk.
        let turned = self.journal.first().is_some_and(|(number, _)| *number > 1);
        self.tables > 0 || self.objects > 0 || turned || journal.any(|(_, length)| *length > 0)
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

fn entries(dir: &Path) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The reason why `current` does not lead to a whole manifest. `lsm-tree` writes the manifest's number (8), its xxh3-128 (16) and the
/// kind of that checksum (1) there, and does not compare it.
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
