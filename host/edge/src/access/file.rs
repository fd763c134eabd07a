//! The file of tokens:
//!
//! ```yaml
//! - { name: grafana, sha256: 9f86d0…, tenants: [shop, billing], rights: [read] }
//! - { name: collector, sha256: 2c26b4…, tenants: "*", rights: [write] }
//! ```

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Right;
use super::token::Hash;

/// What every tenant is called together.
const ALL: &str = "*";

/// A token that is accepted.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) hash: Hash,
    pub(super) tenants: Tenants,
    pub(super) rights: Vec<Right>,
}

/// What a token is for.
#[derive(Clone, Debug)]
pub(super) enum Tenants {
    All,
    Some(BTreeSet<String>),
}

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read `{}` of `access.tokens`: name a file that this user may read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no list of entries, or an entry is wrong.
    #[error("`{}` of `access.tokens`: {wrong}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong, where, and what is expected.
        wrong: String,
    },
}

/// An entry as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    sha256: String,
    tenants: WrittenTenants,
    rights: Vec<Right>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WrittenTenants {
    All(String),
    Some(Vec<String>),
}

// === reading ===

/// The entries of a file.
pub(super) fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let yaml = std::fs::read_to_string(path).map_err(|source| Error::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    entries(&yaml).map_err(|wrong| Error::Wrong {
        path: path.to_owned(),
        wrong,
    })
}

fn entries(yaml: &str) -> Result<Vec<Entry>, String> {
    // Without a snippet of the file: a token that was pasted there by mistake must not go to the log.
    let options = serde_saphyr::options! { with_snippet: false, strict_booleans: true };
    let written: Option<Vec<Written>> = serde_saphyr::from_str_with_options(yaml, options).map_err(
        |error| {
            let place = error.location().map_or_else(String::new, |at| {
                format!(" at line {}, column {}", at.line(), at.column())
            });
            format!(
                "not a list of entries{place}: each is `{{ name: NAME, sha256: HEX, tenants: [NAME, ...] or \"*\", rights: [read, write, admin] }}`, as `larder token` prints it"
            )
        },
    )?;
    // An editor may empty a file before it writes it: that must lock nobody out.
    let written = written
        .ok_or("the file is empty; `[]` is a list without an entry, which lets nobody in")?;
    let mut entries: Vec<Entry> = Vec::with_capacity(written.len());
    for (at, written) in written.into_iter().enumerate() {
        let number = at + 1;
        let entry = Entry::read(written).map_err(|wrong| format!("entry {number}: {wrong}"))?;
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

impl Entry {
    fn read(written: Written) -> Result<Self, String> {
        let Written {
            name,
            sha256,
            tenants,
            rights,
        } = written;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err("`name` has to be a text that can stand in a log line".to_owned());
        }
        let hash = Hash::parse(&sha256).ok_or_else(|| {
            format!("`sha256` of {name:?} has to be the 64 hex digits of the token's SHA-256, and not the token")
        })?;
        let tenants = match tenants {
            WrittenTenants::All(all) if all == ALL => Tenants::All,
            WrittenTenants::Some(names)
                if !names.is_empty() && names.iter().all(|it| it != ALL) =>
            {
                Tenants::Some(names.into_iter().collect())
            }
            _ => {
                return Err(format!(
                    "`tenants` of {name:?} has to be a list of names, or \"*\" for all of them"
                ));
            }
        };
        if rights.is_empty() {
            return Err(format!(
                "`rights` of {name:?} has to hold one of read, write and admin"
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

// === impl Tenants ===

impl Tenants {
    pub(super) fn have(&self, tenant: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(names) => names.contains(tenant),
        }
    }
}
