//! A server's folder. It may outlive the server, so that another can start on the same data.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

/// A folder that is removed with the last clone.
#[derive(Clone, Debug)]
pub struct Home(Arc<TempDir>);

// === impl Home ===

impl Home {
    /// Creates an empty folder.
    #[expect(clippy::new_without_default, reason = "it makes a folder")]
    pub fn new() -> Self {
        Self(Arc::new(
            tempfile::tempdir().expect("a temporary directory"),
        ))
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns the `data_dir` of its servers.
    pub fn data(&self) -> PathBuf {
        self.path().join("data")
    }

    /// Returns the files of a folder of the kv driver, such as `journal`, by name; empty if the folder does not exist yet.
    pub fn kv_files(&self, folder: &str) -> Vec<PathBuf> {
        let listed = std::fs::read_dir(self.data().join("kv").join(folder));
        let entries = listed.into_iter().flatten().map_while(Result::ok);
        let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        files.sort();
        files
    }

    /// Copies it in its current state.
    #[must_use]
    pub fn copy(&self) -> Self {
        let copy = Self::new();
        copy_folder(self.path(), copy.path()).expect("a copy of the folder");
        copy
    }
}

/// Replaces a file atomically, as deployments do.
pub fn replace(path: &Path, bytes: impl AsRef<[u8]>) {
    let new = path.with_extension("new");
    std::fs::write(&new, bytes).expect("a file");
    std::fs::rename(&new, path).expect("another file in its place");
}

fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (to, kind) = (to.join(entry.file_name()), entry.file_type()?);
        if kind.is_symlink() {
            // The shared cache of compiled code.
            continue;
        }
        if kind.is_dir() {
            std::fs::create_dir(&to)?;
            copy_folder(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}
