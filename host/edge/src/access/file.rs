//! Reads the file of tokens:
//!
//! ```yaml
//! - { name: grafana, sha256: 9f86d0…, tenants: [shop, billing], rights: [read] }
//! - { name: collector, sha256: 2c26b4…, tenants: "*", rights: [write] }
//! ```

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Right;
use super::token::{NewEntry, TokenHash};

/// Stands for all tenants.
const ALL: &str = "*";

/// An accepted token.
#[derive(Clone, Debug)]
pub(super) struct TokenEntry {
    pub(super) name: String,
    pub(super) hash: TokenHash,
    pub(super) tenants: TenantScope,
    pub(super) rights: Vec<Right>,
}

/// The tenants of a token.
#[derive(Clone, Debug)]
pub(super) enum TenantScope {
    All,
    Some(BTreeSet<String>),
}

/// An invalid file of tokens.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read `{}` of `access.tokens`: name a file that this user may read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It cannot be written.
    #[error("cannot append to `{}`: name a file that this user may write", path.display())]
    Unwritable {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("cannot append to `{}`: it is no regular file; name one, or a file that does not exist yet", path.display())]
    NoFile {
        /// The path.
        path: PathBuf,
    },
    /// It is not a list of entries, or has an invalid one.
    #[error("`{}` of `access.tokens`: {wrong}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The problem, its place, and the expected form.
        wrong: String,
    },
}

/// An entry as deserialized.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    name: String,
    sha256: String,
    tenants: RawTenants,
    rights: Vec<Right>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum RawTenants {
    All(String),
    Some(Vec<String>),
}

// === reading ===

/// The entries of a file.
pub(super) fn read(path: &Path) -> Result<Vec<TokenEntry>, Error> {
    let yaml = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    entries(&yaml).map_err(|wrong| Error::Wrong {
        path: path.to_owned(),
        wrong,
    })
}

fn entries(yaml: &str) -> Result<Vec<TokenEntry>, String> {
    // No snippet of the file in errors: a token that was pasted there by mistake must not reach the log.
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let raw: Option<Vec<RawEntry>> = serde_saphyr::from_str_with_options(yaml, options).map_err(
        |error| {
            let place = error.location().map_or_else(String::new, |at| {
                format!(" at line {}, column {}", at.line(), at.column())
            });
            format!(
                "not a list of entries{place}: each is `{{ name: NAME, sha256: HEX, tenants: [NAME, ...] or \"*\", rights: [read, write, admin, metrics] }}`, as `larder token` prints it"
            )
        },
    )?;
    // An editor may truncate a file before it writes it, which must not lock all callers out.
    let raw =
        raw.ok_or("the file is empty; `[]` is a list without an entry, which lets nobody in")?;
    let mut entries: Vec<TokenEntry> = Vec::with_capacity(raw.len());
    for (at, raw) in raw.into_iter().enumerate() {
        let number = at + 1;
        let entry = TokenEntry::read(raw).map_err(|wrong| format!("entry {number}: {wrong}"))?;
        for other in &entries {
            if other.name == entry.name {
                return Err(format!(
                    "entry {number}: the name {:?} stands twice; give each entry its own",
                    entry.name
                ));
            }
            if other.hash == entry.hash {
                return Err(format!(
                    "entry {number}: {:?} and {:?} have the same sha256; join them, or make a token for each",
                    other.name, entry.name
                ));
            }
        }
        entries.push(entry);
    }
    Ok(entries)
}

// === writing ===

/// Appends an entry to a file, which is created for its owner only if it does not exist.
///
/// # Errors
/// The file is no regular one, cannot be read or written, or would be invalid with the entry. It is then not changed.
pub fn append(path: &Path, entry: &NewEntry<'_>) -> Result<(), Error> {
    // A pipe that nobody writes to would be read for ever.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        let path = path.to_owned();
        return Err(Error::NoFile { path });
    }
    let old = match std::fs::read_to_string(path) {
        Ok(old) => old,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(source) => {
            let path = path.to_owned();
            return Err(Error::Unreadable { path, source });
        }
    };
    // The list without an entry has no place for one.
    let is_empty = old.trim() == "[]";
    let kept = if is_empty { "" } else { &old };
    let line_end = if kept.is_empty() || kept.ends_with('\n') {
        ""
    } else {
        "\n"
    };
    let added = format!("{line_end}{entry}\n");
    entries(&format!("{kept}{added}")).map_err(|wrong| Error::Wrong {
        path: path.to_owned(),
        wrong,
    })?;
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| {
        if is_empty {
            file.set_len(0)?;
        }
        file.write_all(added.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| Error::Unwritable {
        path: path.to_owned(),
        source,
    })
}

impl TokenEntry {
    fn read(raw: RawEntry) -> Result<Self, String> {
        let RawEntry {
            name,
            sha256,
            tenants,
            rights,
        } = raw;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err("`name` has to be a text that can stand in a log line".to_owned());
        }
        let hash = TokenHash::parse(&sha256).ok_or_else(|| {
            format!("`sha256` of {name:?} has to be the 64 hex digits of the token's SHA-256, and not the token")
        })?;
        let tenants = match tenants {
            RawTenants::All(all) if all == ALL => TenantScope::All,
            RawTenants::Some(names) if !names.is_empty() && names.iter().all(|it| it != ALL) => {
                TenantScope::Some(names.into_iter().collect())
            }
            _ => {
                return Err(format!(
                    "`tenants` of {name:?} has to be a list of names, or \"*\" for all of them"
                ));
            }
        };
        if rights.is_empty() {
            return Err(format!(
                "`rights` of {name:?} has to hold one of read, write, admin and metrics"
            ));
        }
        Ok(Self {
            name,
            hash,
            tenants,
            rights,
        })
    }
}

// === impl TenantScope ===

impl TenantScope {
    pub(super) fn contains(&self, tenant: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.contains(tenant),
        }
    }
}
