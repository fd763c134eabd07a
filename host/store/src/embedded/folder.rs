//! The data folder: who may use it, and the id under which this host writes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;

use tracing::warn;

use super::objects::sync_dir;
use super::survey::{incomplete, survey};
use crate::Error;

/// Holds the folder for one process, as long as it lives.
pub(super) struct Lock(File);

// === impl Lock ===

impl Drop for Lock {
    /// Closing the file would leave the lock with a child process that is just being started, until that has closed its copy.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            warn!(%error, "the data folder could not be unlocked: it is once this process and its children have ended");
        }
    }
}

/// Makes the folder if need be, and takes it for this process.
///
/// # Errors
/// [`Error::Unavailable`] naming the folder, where another process has it or it cannot be made. As [`survey`], where this would be the
/// first file to be made.
pub(super) fn take(dir: &Path) -> Result<Lock, Error> {
    let path = dir.join("LOCK");
    if !path.exists() {
        survey(dir)?;
    }
    let made = fs::create_dir_all(dir).and_then(|()| {
        OpenOptions::new()
            .create(true)
            .write(true)
            .truncate(false)
            .open(path)
    });
    let file = made.map_err(|error| failed(dir, &error))?;
    locked(dir, file.try_lock())?;
    Ok(Lock(file))
}

/// Keeps the folder from being taken by [`take`], and makes nothing there. None where there is no lock file: nothing that runs has it.
///
/// # Errors
/// [`Error::Unavailable`] naming the folder, where another process has it or it cannot be read.
pub(super) fn share(dir: &Path) -> Result<Option<Lock>, Error> {
    match File::open(dir.join("LOCK")) {
        Ok(file) => {
            locked(dir, file.try_lock_shared())?;
            Ok(Some(Lock(file)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(dir, &error)),
    }
}

fn locked(dir: &Path, tried: Result<(), TryLockError>) -> Result<(), Error> {
    match tried {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(Error::Unavailable(format!(
            "the data folder `{}` is in use by another process: stop that one, or give this one another `data_dir`",
            dir.display()
        ))),
        Err(TryLockError::Error(error)) => Err(failed(dir, &error)),
    }
}

fn failed(dir: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!(
        "the data folder `{}` cannot be used: {error}",
        dir.display()
    ))
}

/// The host's id, made at the first start.
///
/// # Errors
/// [`Error::Unavailable`] where it can neither be read nor written.
pub(super) fn writer_id(dir: &Path) -> Result<String, Error> {
    let path = dir.join("WRITER");
    if let Some(id) = read_writer_id(dir)? {
        return Ok(id);
    }
    let id = create(dir, &path);
    id.map_err(|error| Error::Unavailable(format!("`{}`: {error}", path.display())))
}

/// The host's id, where it has one.
///
/// # Errors
/// [`Error::Unavailable`] where it cannot be read, [`Error::DataLoss`] where that is no id.
pub(super) fn read_writer_id(dir: &Path) -> Result<Option<String>, Error> {
    let path = dir.join("WRITER");
    let id = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
        read => {
            read.map_err(|error| Error::Unavailable(format!("`{}`: {error}", path.display())))?
        }
    };
    let id = id.trim();
    if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
        return Err(incomplete(dir, "`WRITER` is damaged"));
    }
    Ok(Some(id.to_owned()))
}

fn create(dir: &Path, path: &Path) -> io::Result<String> {
    // Two states of the standard library's hasher, which the system seeds at random.
    let random =
        |n: u8| RandomState::new().hash_one((n, std::process::id(), std::time::SystemTime::now()));
    let id = format!("{:016x}{:016x}", random(0), random(1));
    let new = dir.join("WRITER.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(new, path)?;
    sync_dir(dir)?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn a_folder_that_is_given_up_can_be_taken_though_a_child_still_has_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let lock = take(dir.path()).unwrap();
        let of_child = lock.0.try_clone().unwrap();
        assert!(take(dir.path()).is_err());
        drop(lock);
        take(dir.path()).unwrap();
        drop(of_child);
    }
}
