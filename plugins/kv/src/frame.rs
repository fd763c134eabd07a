//! The frame of every stored value, and the names of partitions and keys.
//!
//! A value consists of its kind, the version of the format, a payload, and a checksum over all of that, seeded with the numbers of
//! its key. So a value stored under another key counts as damaged, as does one with a flipped bit.

use larder_plugin::Error;
use larder_plugin::kv::Key;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::codec::Damaged;

/// The highest version of the format that this build writes and reads. Only values of kind [`Kind::Pieces`] have it.
pub(crate) const VERSION: u8 = 2;
/// Bytes before the payload.
pub(crate) const BEFORE: usize = 2;
/// Bytes after the payload.
pub(crate) const AFTER: usize = 8;

/// The kind of a value. Its letter is the first byte of the value and of the sort of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Spans, one fragment after the other.
    Otlp = b'o',
    /// Digests, one fragment after the other.
    Digests = b'd',
    /// The fragment table of a chunk.
    Table = b't',
    /// The fragments of a group by trace.
    Traces = b'x',
    /// A Bloom filter of a group's traces.
    Filter = b'f',
    /// Operations that were new to a bucket.
    Operations = b'n',
    /// The header of a segment, needed to search it.
    Header = b'h',
    /// Terms with their lists.
    Terms = b'k',
    /// Long lists.
    Runs = b'r',
    /// Fragments that are not in a segment yet.
    Entry = b'e',
    /// Refers to an entry that is too large for a commit.
    EntryPlace = b'p',
    /// Stands for a value that is stored in pieces. Builds before version 2 do not know it.
    Pieces = b'q',
    /// The progress of a writer.
    Stamp = b's',
    /// A writer's buckets and segments.
    Manifest = b'm',
}

/// A kind of partition of one writer. Partition numbers are never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Area {
    /// The values that refer to all others.
    Head,
    /// The data of a bucket.
    Data(u64),
    /// The index of a segment.
    Index(u64),
    /// Entries that are too large for the head.
    Entries(u64),
}

/// Clears `out` and begins a value of this kind.
pub(crate) fn begin(kind: Kind, out: &mut Vec<u8>) {
    out.clear();
    out.push(kind as u8);
    out.push(kind.version());
}

/// Ends a value that was begun by [`begin`], to be stored under this number.
pub(crate) fn end(area: Area, number: u64, out: &mut Vec<u8>) {
    let checksum = xxh3_64_with_seed(out, seed(area, number));
    out.extend_from_slice(&checksum.to_le_bytes());
}

/// Returns the seed of the checksum of a value under this number.
fn seed(area: Area, number: u64) -> u64 {
    area.number().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ number
}

/// Frames a payload.
pub(crate) fn value(kind: Kind, area: Area, number: u64, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    begin(kind, &mut out);
    out.extend_from_slice(payload);
    end(area, number, &mut out);
    out
}

/// The reason why a value cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Its bytes are not those that were stored.
    Damaged,
    /// A later build wrote it, in this version of the format.
    Newer(u8),
}

/// Returns the payload, if the value is of this kind and was stored under this number.
pub(crate) fn open(kind: Kind, area: Area, number: u64, value: &[u8]) -> Result<&[u8], Fault> {
    let (framed, checksum) = value.split_last_chunk::<AFTER>().ok_or(Fault::Damaged)?;
    if u64::from_le_bytes(*checksum) != xxh3_64_with_seed(framed, seed(area, number)) {
        return Err(Fault::Damaged);
    }
    match framed {
        [_, version, ..] if *version > VERSION => Err(Fault::Newer(*version)),
        [first, version, payload @ ..] if (*first, *version) == (kind as u8, kind.version()) => {
            Ok(payload)
        }
        _ => Err(Fault::Damaged),
    }
}

/// Returns the key of a value.
pub(crate) fn key(writer: &str, area: Area, kind: Kind, number: u64) -> Key {
    Key {
        partition: area.name(writer),
        sort: sort(kind, number),
    }
}

/// Returns the sort of a value's key.
pub(crate) fn sort(kind: Kind, number: u64) -> Vec<u8> {
    let mut sort = Vec::with_capacity(9);
    sort.push(kind as u8);
    sort.extend_from_slice(&number.to_be_bytes());
    sort
}

/// Returns the key of a piece of a value that is too large for one object.
pub(crate) fn piece_key(writer: &str, area: Area, kind: Kind, number: u64, piece: u64) -> Key {
    let mut key = key(writer, area, kind, number);
    key.sort.extend_from_slice(&piece.to_be_bytes());
    key
}

/// Parses a sort that [`sort`] made for this kind, and returns the number.
pub(crate) fn number_of(kind: Kind, sort: &[u8]) -> Result<u64, Damaged> {
    match sort.split_first() {
        Some((first, number)) if *first == kind as u8 => {
            let number = number.try_into().map_err(|_| Damaged)?;
            Ok(u64::from_be_bytes(number))
        }
        _ => Err(Damaged),
    }
}

/// Returns the error for a value that cannot be read.
pub(crate) fn lost(writer: &str, area: Area, kind: Kind, number: u64, fault: Fault) -> Error {
    let what = match fault {
        Fault::Damaged => "is missing or damaged".to_owned(),
        Fault::Newer(version) => {
            format!("has format version {version}, and this build reads up to {VERSION}")
        }
    };
    let partition = area.name(writer);
    let letter = char::from(kind as u8);
    Error::DataLoss(format!(
        "{kind:?} {letter}{number:016x} of partition {partition} {what}"
    ))
}

// === impl Kind ===

impl Kind {
    /// Returns the version of the format in which values of this kind are written.
    fn version(self) -> u8 {
        match self {
            Self::Pieces => VERSION,
            _ => 1,
        }
    }

    /// Describes the payload of values of this kind, for the operator.
    pub(crate) fn holds(self) -> &'static str {
        match self {
            Self::Otlp => "spans",
            Self::Digests => "what searches judge spans by",
            Self::Table => "where fragments are, and their times",
            Self::Traces => "where the traces of a group are",
            Self::Filter => "which traces a group has",
            Self::Operations => "services and operations",
            Self::Header => "where all of a segment is",
            Self::Terms | Self::Runs => "where searches find spans by what they have",
            Self::Entry | Self::EntryPlace => {
                "spans that were not sealed yet, and where searches find them"
            }
            Self::Pieces => "where the pieces of a value are",
            Self::Stamp | Self::Manifest => "where all of a writer is",
        }
    }
}

// === impl Area ===

impl Area {
    /// Returns the partition's name.
    pub(crate) fn name(self, writer: &str) -> String {
        match self {
            Self::Head => format!("head/{writer}"),
            Self::Data(number) => format!("data/{number:016x}/{writer}"),
            Self::Index(number) => format!("index/{number:016x}/{writer}"),
            Self::Entries(number) => format!("entries/{number:016x}/{writer}"),
        }
    }

    /// Parses a name that [`Area::name`] gave for this writer; `None` for other names.
    pub(crate) fn of_name(name: &str, writer: &str) -> Option<Self> {
        let (kind, rest) = name.split_once('/')?;
        if kind == "head" {
            return (rest == writer).then_some(Self::Head);
        }
        let (digits, owner) = rest.split_once('/')?;
        if owner != writer || digits.len() != 16 {
            return None;
        }
        let number = u64::from_str_radix(digits, 16).ok()?;
        match kind {
            "data" => Some(Self::Data(number)),
            "index" => Some(Self::Index(number)),
            "entries" => Some(Self::Entries(number)),
            _ => None,
        }
    }

    /// Returns the partition's number; 0 for the head.
    pub(crate) fn number(self) -> u64 {
        match self {
            Self::Head => 0,
            Self::Data(number) | Self::Index(number) | Self::Entries(number) => number,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    #[test]
    fn a_value_is_read_only_under_its_own_kind_and_key() {
        fn open(kind: Kind, number: u64, value: &[u8]) -> Result<&[u8], Fault> {
            super::open(kind, Area::Data(3), number, value)
        }
        let stored = value(Kind::Table, Area::Data(3), 7, b"rows");
        assert_eq!(open(Kind::Table, 7, &stored), Ok(&b"rows"[..]));
        assert_eq!(open(Kind::Table, 8, &stored), Err(Fault::Damaged));
        assert_eq!(open(Kind::Otlp, 7, &stored), Err(Fault::Damaged));
        for place in 0..stored.len() {
            let mut damaged = stored.clone();
            damaged[place] ^= 0x10;
            assert_eq!(open(Kind::Table, 7, &damaged), Err(Fault::Damaged));
            assert_eq!(open(Kind::Table, 7, &stored[..place]), Err(Fault::Damaged));
        }
    }

    #[test]
    fn a_newer_version_is_distinguished_from_damage() {
        let mut stored = vec![Kind::Stamp as u8, 9, 1, 2, 3];
        end(Area::Head, 0, &mut stored);
        assert_eq!(
            open(Kind::Stamp, Area::Head, 0, &stored),
            Err(Fault::Newer(9))
        );
        let error = lost("w", Area::Head, Kind::Stamp, 0, Fault::Newer(9));
        assert!(
            matches!(error, Error::DataLoss(text) if text.contains("head/w") && text.contains("version 9"))
        );
    }

    #[test]
    fn a_partition_is_known_by_its_name() {
        for area in [
            Area::Head,
            Area::Data(1),
            Area::Index(u64::MAX),
            Area::Entries(9),
        ] {
            assert_eq!(Area::of_name(&area.name("a/b"), "a/b"), Some(area));
            assert_eq!(Area::of_name(&area.name("a/b"), "b"), None);
        }
        assert_eq!(Area::of_name("data/12/w", "w"), None);
        assert_eq!(number_of(Kind::Entry, &sort(Kind::Entry, 77)), Ok(77));
        assert_eq!(number_of(Kind::Entry, &sort(Kind::Stamp, 77)), Err(Damaged));
        assert_eq!(number_of(Kind::Entry, b"e123"), Err(Damaged));
    }
}
