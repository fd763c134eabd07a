//! Folders of symbolic links, for reading a folder with code that may change what it opens.

use std::io;
use std::path::Path;

/// Makes `to` a copy of the folders in `from`, with a symbolic link in place of each file. Files that are made, replaced or removed
/// in `to` leave `from` as it is; only a write through a link would reach it. Takes no space for the files' contents.
///
/// # Errors
/// Where `from` cannot be read, or `to` is there already or cannot be made.
pub fn mirror(from: &Path, to: &Path) -> io::Result<()> {
    // A link's target is looked for from where the link is.
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
    fn what_is_replaced_or_removed_in_a_mirror_stays_in_what_it_mirrors() {
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
