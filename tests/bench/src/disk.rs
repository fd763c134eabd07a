//! What a storage takes on disk, as `du` counts it.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context, Error, Result};

#[cfg(test)]
mod tests;

/// Where a target keeps its data.
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

/// Bytes that the target's folder takes on disk; nothing if none was named.
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

/// The blocks of all files below `path`. What vanishes meanwhile, as merging files does, does not count.
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
