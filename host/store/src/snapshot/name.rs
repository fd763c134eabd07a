//! Names of snapshots.

use std::fmt;
use std::str::FromStr;

/// The longest name, in bytes. With what a name for the time of the copy adds it is far below what file systems allow.
const MAX_BYTES: usize = 128;

/// The name of a snapshot: one component of a path, of ASCII letters, digits, `-`, `_` and `.`, that does not begin with a dot.
///
/// So it can name neither a folder above (`..`), nor one below another, nor a hidden file, nor an option of a command.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotName(String);

// === impl SnapshotName ===

impl SnapshotName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SnapshotName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        if begins_well && text.len() <= MAX_BYTES && text.bytes().all(is_plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(format!(
            "the name of a snapshot has up to {MAX_BYTES} letters, digits, `-`, `_` and `.`, and begins with a letter or digit; it is a folder below the one that `kv.snapshot_dir` names, and no path"
        ))
    }
}

impl fmt::Display for SnapshotName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
