//! The writer id of a stopped store whose file `WRITER` is damaged.
//!
//! A plugin goes on with what it has written under the id, and maintains nothing that was written under another one. So a damaged id is not
//! replaced by a new one, but by that of the records.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::folder::{self, WRITER_FILE, WriterFile};
use super::objects::sync_dir;
use super::shared::Shared;
use super::survey::{FolderState, survey};
use super::{EmbeddedDriver, Options};
use crate::{Error, HOST_PREFIX};

// === impl EmbeddedDriver ===

impl EmbeddedDriver {
    /// Opens the store as [`EmbeddedDriver::open_read_only`] does, also if the file of its writer id is damaged; the id is then that of the
    /// records.
    ///
    /// # Errors
    /// As [`EmbeddedDriver::open_read_only`]; [`Error::DataLoss`] also if the file is damaged and the records have several ids.
    pub fn open_to_repair(options: Options, scratch: &Path) -> Result<Option<Self>, Error> {
        Self::open_to_read(options, scratch, true)
    }

    /// True if the file of the writer id is damaged. [`Driver::writer_id`](crate::Driver::writer_id) is that of the records then.
    pub fn has_damaged_writer_id(&self) -> bool {
        self.damaged_writer_id
    }

    /// Gives a folder in which nothing was ever stored this writer id, so that what is copied there from a folder with that id is upkept.
    /// Returns `false`, and changes nothing, if a store or an id is there, or if it is not the id of a folder.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store is in use, or the disk fails.
    pub fn give_writer_id(dir: &Path, id: &str) -> Result<bool, Error> {
        let is_new = survey(dir)? == FolderState::New;
        if !is_new || !folder::is_writer_id(id) {
            return Ok(false);
        }
        let _lock = folder::lock(dir)?;
        if folder::read_writer_file(dir)? != WriterFile::Missing {
            return Ok(false);
        }
        folder::write_writer_id(dir, id).map_err(|error| {
            let path = dir.join(WRITER_FILE);
            Error::Unavailable(format!("cannot write `{}`: {error}", path.display()))
        })?;
        Ok(true)
    }

    /// Replaces the damaged file of the writer id by one with this id. The damaged one is copied to the folder `aside`, which may exist.
    ///
    /// # Errors
    /// [`Error::Unavailable`] if the store is in use, or the disk fails. The damaged file is in its place then.
    pub fn replace_writer_id(dir: &Path, id: &str, aside: &Path) -> Result<(), Error> {
        let _lock = folder::lock(dir)?;
        let kept = || -> io::Result<()> {
            fs::create_dir_all(aside)?;
            let copy = aside.join(WRITER_FILE);
            fs::copy(dir.join(WRITER_FILE), &copy)?;
            File::open(copy)?.sync_all()?;
            sync_dir(aside)
        };
        let replaced = kept().and_then(|()| folder::write_writer_id(dir, id));
        replaced.map_err(|error| {
            let path = dir.join(WRITER_FILE);
            Error::Unavailable(format!("cannot replace `{}`: {error}", path.display()))
        })
    }
}

/// The writer id of a store that is only read, and true if its file is damaged. The id is empty if there is no file.
pub(super) fn id_to_read(shared: &Shared, file: WriterFile) -> Result<(String, bool), Error> {
    match file {
        WriterFile::Missing => Ok((String::new(), false)),
        WriterFile::Id(id) => Ok((id, false)),
        WriterFile::Damaged => Ok((recorded_id(shared)?, true)),
    }
}

/// The id under which the store was written, or a new one if nothing was.
fn recorded_id(shared: &Shared) -> Result<String, Error> {
    let store = shared.store();
    let state = store.state();
    let writers = state.namespaces.values().flat_map(|it| it.writers.keys());
    let ids = writers.map(String::as_str);
    // The host's own writers have ids that are made of this one.
    let ids: BTreeSet<&str> = ids.filter(|id| !id.starts_with(HOST_PREFIX)).collect();
    let mut rest = ids.iter().copied();
    match (rest.next(), rest.next()) {
        (None, _) => Ok(folder::new_writer_id()),
        (Some(only), None) => Ok(only.to_owned()),
        (Some(_), Some(_)) => {
            let path = store.dir.join(WRITER_FILE);
            let path = path.display();
            let ids: Vec<&str> = ids.into_iter().collect();
            Err(Error::DataLoss(format!(
                "DATA_LOSS: `{path}` is damaged, and the store was written under several ids, so it is not known which of them it had: {}. Nothing was changed. Keep a copy of the file, and write one of these ids into it (`echo ID > {path}`): with each of them all that is stored is served, but retention drops only what was written under that one",
                ids.join(", ")
            )))
        }
    }
}
