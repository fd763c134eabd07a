//! Restores a snapshot into an empty data folder.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::draft::{free, make_dir, new_file, sync_dir};
use super::inventory::{Inventory, Listed};
use super::{Amount, INVENTORY, KV, is_within};
use crate::Error;
use crate::embedded::EmbeddedDriver;

/// The folder in the target that has the files until all are there.
const PARTIAL: &str = "restore.partial";

/// A snapshot that was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// Its name.
    pub name: String,
    /// The moment at which the store was as it is now again.
    pub moment: SystemTime,
    /// The version of the Larder that made it.
    pub version: String,
    /// The files that were copied.
    pub copied: Amount,
}

/// The reason why nothing was restored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The source is not a snapshot with all of its files.
    #[error("`{}` is not a complete snapshot: {fault}. Nothing was restored", from.display())]
    Incomplete {
        /// The source.
        from: PathBuf,
        /// The fault.
        fault: String,
    },
    /// The target has files.
    #[error("`{}` is not empty: it has `{found}`{advice}. A snapshot is restored into a folder that is empty or does not exist", data_dir.display())]
    NotEmpty {
        /// The target.
        data_dir: PathBuf,
        /// The name of a file in it.
        found: String,
        /// Advice for a name that a restore has left.
        advice: &'static str,
    },
    /// The target is in the snapshot.
    #[error("`{}` is in the snapshot itself, which nothing may change: restore it into a folder outside", .0.display())]
    Within(PathBuf),
    /// The snapshot does not fit.
    #[error("there is no room for {needed} bytes in `{}`: {free} are free", data_dir.display())]
    NoRoom {
        /// The target.
        data_dir: PathBuf,
        /// The length of all files.
        needed: u64,
        /// Free bytes on its disk.
        free: u64,
    },
    /// A file cannot be read or written.
    #[error("the snapshot cannot be restored: `{}`: {error}", path.display())]
    Disk {
        /// The file or folder.
        path: PathBuf,
        /// The error of the system.
        error: io::Error,
    },
    /// The source is in use as a data folder.
    #[error(transparent)]
    Store(#[from] Error),
}

/// Copies the store of the snapshot `from` into the folder `data_dir`, which is empty or does not exist, and syncs it. The snapshot is not
/// changed, and shares no file with the copy.
///
/// # Errors
/// [`RestoreError`]. The target has no store then.
pub fn restore(from: &Path, data_dir: &Path) -> Result<Restored, RestoreError> {
    let inventory = read_inventory(from)?;
    check_complete(from, &inventory)?;
    if is_within(data_dir, from) {
        return Err(RestoreError::Within(data_dir.to_owned()));
    }
    check_empty(data_dir)?;
    make_dir(data_dir).map_err(|source| disk(data_dir, source))?;
    let needed: u64 = inventory.files.iter().map(|file| file.length).sum();
    let free = free(data_dir).map_err(|source| disk(data_dir, source))?;
    if free < needed {
        return Err(RestoreError::NoRoom {
            data_dir: data_dir.to_owned(),
            needed,
            free,
        });
    }
    let partial = data_dir.join(PARTIAL);
    let copied = copy_all(from, &partial, &inventory.files)
        .and_then(|copied| Ok((copied, put_in_place(&partial, data_dir)?)));
    let (copied, ()) = copied.inspect_err(|_| {
        // The error that led here says more than one of this.
        drop(fs::remove_dir_all(&partial));
    })?;
    Ok(Restored {
        name: inventory.name,
        moment: inventory.moment,
        version: inventory.version,
        copied,
    })
}

fn read_inventory(from: &Path) -> Result<Inventory, RestoreError> {
    let path = from.join(INVENTORY);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let fault = format!("it has no file `{INVENTORY}`, which is written last");
            return Err(incomplete(from, fault));
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        Err(error) => return Err(disk(&path, error)),
    };
    Inventory::decode(&text)
        .map_err(|wrong| incomplete(from, format!("its file `{INVENTORY}` {wrong}")))
}

/// Checks that every file is there with its length, and that no server uses the folder.
fn check_complete(from: &Path, inventory: &Inventory) -> Result<(), RestoreError> {
    if EmbeddedDriver::is_in_use(&from.join(KV))? {
        let fault = "a server uses it as its data folder".to_owned();
        return Err(incomplete(from, fault));
    }
    for Listed { path, length } in &inventory.files {
        let fault = match fs::metadata(from.join(path)) {
            Ok(found) if found.len() == *length => continue,
            Ok(found) => format!("`{path}` has {} bytes in place of {length}", found.len()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                format!("`{path}` is missing")
            }
            Err(error) => return Err(disk(&from.join(path), error)),
        };
        let used = "; a copy of it was cut off, or a server was started on it, which makes it a store like any other";
        return Err(incomplete(from, fault + used));
    }
    Ok(())
}

fn check_empty(data_dir: &Path) -> Result<(), RestoreError> {
    let mut entries = match fs::read_dir(data_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(disk(data_dir, error)),
    };
    let Some(found) = entries.next() else {
        return Ok(());
    };
    let found = found.map_err(|source| disk(data_dir, source))?;
    let found = found.file_name().to_string_lossy().into_owned();
    let advice = if found == PARTIAL {
        ", which a restore that was cut off has left: remove it, and repeat"
    } else {
        ""
    };
    Err(RestoreError::NotEmpty {
        data_dir: data_dir.to_owned(),
        found,
        advice,
    })
}

/// Copies the files into a new folder, and syncs all of it.
fn copy_all(from: &Path, partial: &Path, files: &[Listed]) -> Result<Amount, RestoreError> {
    let mut copied = Amount::default();
    let mut folders = vec![partial.to_owned()];
    make_dir(&partial.join(KV)).map_err(|source| disk(partial, source))?;
    // A store needs the folder of objects, even an empty one.
    let objects = partial.join(KV).join("objects");
    make_dir(&objects).map_err(|source| disk(&objects, source))?;
    folders.extend([partial.join(KV), objects]);
    for Listed { path, length } in files {
        let (source, target) = (from.join(path), partial.join(path));
        if let Some(folder) = target.parent()
            && !folders.iter().any(|known| known == folder)
        {
            make_dir(folder).map_err(|error| disk(folder, error))?;
            folders.extend(
                folder
                    .ancestors()
                    .map(Path::to_owned)
                    .take_while(|it| it != partial),
            );
        }
        let file = File::open(&source).map_err(|error| disk(&source, error))?;
        let to = new_file(&target).map_err(|error| disk(&target, error))?;
        let bytes = super::copy(&file, &to, *length, |_| Ok::<_, io::Error>(()))
            .map_err(|error| disk(&target, error))?;
        if bytes != *length {
            let fault = format!("`{path}` has {bytes} bytes in place of {length}");
            return Err(incomplete(from, fault));
        }
        copied.add(bytes);
    }
    for folder in folders {
        sync_dir(&folder).map_err(|source| disk(&folder, source))?;
    }
    Ok(copied)
}

/// Moves the whole store to where a server looks for it.
fn put_in_place(partial: &Path, data_dir: &Path) -> Result<(), RestoreError> {
    let moved = || -> io::Result<()> {
        fs::rename(partial.join(KV), data_dir.join(KV))?;
        fs::remove_dir_all(partial)?;
        sync_dir(data_dir)?;
        // The folder itself may be new.
        match std::path::absolute(data_dir)?.parent() {
            Some(above) => sync_dir(above),
            None => Ok(()),
        }
    };
    moved().map_err(|source| disk(data_dir, source))
}

fn incomplete(from: &Path, fault: String) -> RestoreError {
    RestoreError::Incomplete {
        from: from.to_owned(),
        fault,
    }
}

fn disk(path: &Path, error: io::Error) -> RestoreError {
    RestoreError::Disk {
        path: path.to_owned(),
        error,
    }
}
