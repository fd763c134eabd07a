//! The lock of the data folder, and the writer id of this host.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;

use tracing::warn;

use super::objects::sync_dir;
use super::survey::{FolderState, survey};
use crate::Error;

/// The file of the writer id.
pub(super) const WRITER_FILE: &str = "WRITER";

/// Hexadecimal digits of a writer id.
const WRITER_ID_DIGITS: usize = 32;

/// Locks the folder for this process until it is dropped.
pub(super) struct Lock(File);

/// The contents of the file of the writer id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum WriterFile {
    Missing,
    Damaged,
    Id(String),
}

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
    if let Some(id) = read_writer_id(dir)? {
        return Ok(id);
    }
    let id = new_writer_id();
    let written = write_writer_id(dir, &id);
    written.map_err(|error| writer_file_failed(dir, &error))?;
    Ok(id)
}

/// The writer id of this host, if it has one.
///
/// # Errors
/// [`Error::Unavailable`] if it cannot be read, [`Error::DataLoss`] if it is not valid.
pub(super) fn read_writer_id(dir: &Path) -> Result<Option<String>, Error> {
    match read_writer_file(dir)? {
        WriterFile::Missing => Ok(None),
        WriterFile::Damaged => Err(damaged_writer_file(dir)),
        WriterFile::Id(id) => Ok(Some(id)),
    }
}

/// Reads the file of the writer id.
///
/// # Errors
/// [`Error::Unavailable`] if it cannot be read.
pub(super) fn read_writer_file(dir: &Path) -> Result<WriterFile, Error> {
    let text = match fs::read(dir.join(WRITER_FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(WriterFile::Missing),
        read => read.map_err(|error| writer_file_failed(dir, &error))?,
    };
    let id = str::from_utf8(text.trim_ascii()).ok();
    let id = id.filter(|id| is_writer_id(id));
    Ok(id.map_or(WriterFile::Damaged, |id| WriterFile::Id(id.to_owned())))
}

/// True for an id as [`new_writer_id`] makes them.
pub(super) fn is_writer_id(id: &str) -> bool {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    id.len() == WRITER_ID_DIGITS && id.as_bytes().iter().all(is_digit)
}

/// The error for a damaged file of the writer id.
pub(super) fn damaged_writer_file(dir: &Path) -> Error {
    let remedy = match survey(dir) {
        Ok(FolderState::New) => "Nothing is stored there, so remove the file",
        Ok(FolderState::Store) | Err(_) => {
            "Stop the server, and run `larder repair`, which makes it anew from the records of the store; all that is stored stays"
        }
    };
    Error::DataLoss(format!(
        "DATA_LOSS: `{}`, which has the id that this server writes under, is damaged. Nothing was changed. {remedy}",
        dir.join(WRITER_FILE).display()
    ))
}

fn writer_file_failed(dir: &Path, error: &io::Error) -> Error {
    Error::Unavailable(format!("`{}`: {error}", dir.join(WRITER_FILE).display()))
}

/// An id that no other host has.
pub(super) fn new_writer_id() -> String {
    // `RandomState` is seeded by the system's random numbers.
    let random =
        |n: u8| RandomState::new().hash_one((n, std::process::id(), std::time::SystemTime::now()));
    format!("{:016x}{:016x}", random(0), random(1))
}

/// Writes the file of the writer id, in one step.
pub(super) fn write_writer_id(dir: &Path, id: &str) -> io::Result<()> {
    let new = dir.join("WRITER.new");
    let mut file = File::create(&new)?;
    writeln!(file, "{id}")?;
    file.sync_all()?;
    fs::rename(new, dir.join(WRITER_FILE))?;
    sync_dir(dir)
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
