//! The file `SNAPSHOT`: what a snapshot consists of.
//!
//! Lines of text, so that it can be read without Larder:
//!
//! | line | contents |
//! |---|---|
//! | `larder snapshot, format 1` | the format's version |
//! | `name NAME` | the name under which it was made |
//! | `moment TIME` | the moment, in UTC |
//! | `version VERSION` | the Larder that made it |
//! | `file LENGTH PATH` | a file, for each |
//! | `end CHECKSUM` | xxh3 of all lines before, as 16 hexadecimal digits |

use std::fmt::Write as _;
use std::path::{Component, Path};
use std::time::SystemTime;

use xxhash_rust::xxh3::xxh3_64;

const FORMAT: &str = "larder snapshot, format ";
const VERSION: u32 = 1;

/// The contents of `SNAPSHOT`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Inventory {
    pub(super) name: String,
    pub(super) moment: SystemTime,
    pub(super) version: String,
    pub(super) files: Vec<Listed>,
}

/// A file of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// The path in the snapshot, with `/` between its parts.
    pub(super) path: String,
    /// The length, in bytes.
    pub(super) length: u64,
}

// === impl Inventory ===

impl Inventory {
    pub(super) fn encode(&self) -> String {
        let moment = humantime::format_rfc3339_millis(self.moment);
        let mut text = format!(
            "{FORMAT}{VERSION}\nname {}\nmoment {moment}\nversion {}\n",
            self.name, self.version
        );
        for Listed { path, length } in &self.files {
            // Writing to a string cannot fail.
            writeln!(text, "file {length} {path}").unwrap_or_default();
        }
        let checksum = xxh3_64(text.as_bytes());
        writeln!(text, "end {checksum:016x}").unwrap_or_default();
        text
    }

    /// Reads the text. The error says what is wrong with it.
    pub(super) fn decode(text: &str) -> Result<Self, String> {
        let version = text
            .strip_prefix(FORMAT)
            .and_then(|rest| rest.lines().next());
        match version.map(str::parse::<u32>) {
            Some(Ok(VERSION)) => {}
            Some(Ok(newer)) if newer > VERSION => {
                return Err(format!(
                    "was written by a newer Larder, in format {newer}; this one reads formats up to {VERSION}"
                ));
            }
            _ => return Err("is not the file of a snapshot".to_owned()),
        }
        Self::parse(text).ok_or_else(|| "is cut off or damaged".to_owned())
    }

    fn parse(text: &str) -> Option<Self> {
        let end = text.rfind("end ")?;
        let (listed, last) = text.split_at_checked(end)?;
        let checksum = last.strip_prefix("end ")?.strip_suffix('\n')?;
        if u64::from_str_radix(checksum, 16).ok()? != xxh3_64(listed.as_bytes()) {
            return None;
        }
        let mut lines = listed.lines().skip(1);
        let mut field = |name: &str| lines.next()?.strip_prefix(name);
        let name = field("name ")?.to_owned();
        let moment = humantime::parse_rfc3339(field("moment ")?).ok()?;
        let version = field("version ")?.to_owned();
        let files = lines.map(|line| {
            let (length, path) = line.strip_prefix("file ")?.split_once(' ')?;
            is_inside(path).then_some(Listed {
                path: path.to_owned(),
                length: length.parse().ok()?,
            })
        });
        Some(Self {
            name,
            moment,
            version,
            files: files.collect::<Option<_>>()?,
        })
    }
}

/// True for a path that stays in its folder.
fn is_inside(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    !path.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
}
