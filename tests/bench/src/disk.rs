//! Disk usage of a storage, as `du` counts it.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Error, Result};

#[cfg(test)]
mod tests;

/// The data folder of a target.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    target: String,
    path: PathBuf,
}

impl FromStr for Folder {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let (target, path) = text
            .split_once('=')
            .context("a data folder is NAME=PATH, where NAME is a target's")?;
        Ok(Self {
            target: target.to_owned(),
            path: path.into(),
        })
    }
}

/// Returns the disk usage of the target's folder, bytes; `None` if no folder was named.
pub(crate) fn of(folders: &[Folder], target: &str) -> Result<Option<u64>> {
    let folder = folders.iter().find(|folder| folder.target == target);
    let Some(folder) = folder else {
        return Ok(None);
    };
    let path = &folder.path;
    used(path)
        .map(Some)
        .with_context(|| format!("cannot measure {}", path.display()))
}

/// Sums the blocks of all files below `path`. Files that vanish meanwhile, for example by a merge, do not count.
fn used(path: &Path) -> Result<u64> {
    let metadata = std::fs::symlink_metadata(path)?;
    let mut bytes = metadata.blocks() * 512;
    if metadata.is_dir() {
        for entry in std::fs::read_dir(path)? {
            bytes += match used(&entry?.path()) {
                Ok(bytes) => bytes,
                Err(error) if is_gone(&error) => 0,
                Err(error) => return Err(error),
            };
        }
    }
    Ok(bytes)
}

fn is_gone(error: &Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == ErrorKind::NotFound)
}
