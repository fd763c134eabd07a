//! Copies of folders made of symbolic links. They let code that changes the files it opens read a folder without changing it.

use std::io;
use std::path::Path;

/// Creates `to` as a copy of the folder `from`, with a symbolic link in place of each file. Files that are created, replaced or removed
/// in `to` do not change `from`; only a write through a link would. The files' contents are not copied.
///
/// # Errors
/// If `from` cannot be read, or `to` exists or cannot be created.
pub fn mirror(from: &Path, to: &Path) -> io::Result<()> {
    // A relative target would be resolved from the folder of the link.
    mirror_absolute(&std::path::absolute(from)?, to)
}

fn mirror_absolute(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            mirror_absolute(&from, &to)?;
        } else {
            std::os::unix::fs::symlink(from, to)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::fs;

    use super::*;

    #[test]
    fn replacing_or_removing_files_in_a_mirror_does_not_change_the_original() {
        let (dir, scratch) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (from, to) = (dir.path(), scratch.path().join("mirror"));
        fs::create_dir(from.join("folder")).unwrap();
        for file in ["replaced", "folder/removed"] {
            fs::write(from.join(file), file).unwrap();
        }
        mirror(from, &to).unwrap();
        for file in ["replaced", "folder/removed"] {
            assert_eq!(fs::read_to_string(to.join(file)).unwrap(), file);
        }
        fs::write(to.join("new"), "new").unwrap();
        fs::rename(to.join("new"), to.join("replaced")).unwrap();
        fs::remove_dir_all(to.join("folder")).unwrap();
        for file in ["replaced", "folder/removed"] {
            assert_eq!(fs::read_to_string(from.join(file)).unwrap(), file);
        }
        assert_eq!(fs::read_dir(from).unwrap().count(), 2);
    }
}
