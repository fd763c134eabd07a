//! The lock of the data folder, and the writer id of this host.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;

use tracing::warn;

use super::objects::sync_dir;
use super::survey::{incomplete, survey};
use crate::Error;

/// Locks the folder for this process until it is dropped.
pub(super) struct Lock(File);

// === impl Lock ===

impl Drop for Lock {
    /// Unlocks explicitly: a child process that is just being started still has a copy of the file open, which would keep the lock.
    fn drop(&mut self) {
        if let Err(error) = self.0.unlock() {
            warn!(%error, "the data folder could not be unlocked: it is once this process and its children have ended");
        }
    }
}

/// Creates the folder if it does not exist, and locks it for this process.
///
/// # Errors
/// [`Error::Unavailable`], with the folder, if another process has locked it or it cannot be created. Also the errors of [`survey`], if
/// the folder has no lock file yet.
pub(super) fn lock(dir: &Path) -> Result<Lock, Error> {
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
    check_locked(dir, file.try_lock())?;
    Ok(Lock(file))
}

/// Locks the folder for reading, which keeps [`lock`] from succeeding. Creates no file: returns `None` if there is no lock file, as then no
/// process uses the folder.
///
/// # Errors
/// [`Error::Unavailable`], with the folder, if another process has locked it or it cannot be read.
pub(super) fn lock_shared(dir: &Path) -> Result<Option<Lock>, Error> {
    match File::open(dir.join("LOCK")) {
        Ok(file) => {
            check_locked(dir, file.try_lock_shared())?;
            Ok(Some(Lock(file)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(dir, &error)),
    }
}

/// True if another process has locked the folder to write there.
pub(super) fn is_locked(dir: &Path) -> Result<bool, Error> {
    let file = match File::open(dir.join("LOCK")) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(failed(dir, &error)),
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(false),
        Err(TryLockError::WouldBlock) => Ok(true),
        Err(TryLockError::Error(error)) => Err(failed(dir, &error)),
    }
}

fn check_locked(dir: &Path, tried: Result<(), TryLockError>) -> Result<(), Error> {
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

/// The writer id of this host. Creates it at the first start.
///
/// # Errors
/// [`Error::Unavailable`] if it can neither be read nor written.
pub(super) fn writer_id(dir: &Path) -> Result<String, Error> {
    let path = dir.join("WRITER");
    if let Some(id) = read_writer_id(dir)? {
        return Ok(id);
    }
    let id = create(dir, &path);
    id.map_err(|error| Error::Unavailable(format!("`{}`: {error}", path.display())))
}

/// The writer id of this host, if it has one.
///
/// # Errors
/// [`Error::Unavailable`] if it cannot be read, [`Error::DataLoss`] if it is not valid.
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
    // `RandomState` is seeded by the system's random numbers.
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
    fn an_unlocked_folder_can_be_locked_while_a_child_still_has_its_file_open() {
        let dir = tempfile::tempdir().unwrap();
        let locked = lock(dir.path()).unwrap();
        let of_child = locked.0.try_clone().unwrap();
        assert!(lock(dir.path()).is_err());
        drop(locked);
        lock(dir.path()).unwrap();
        drop(of_child);
    }
}
