//! Keys of the tree, and the records of tenants, writers and partitions.
//!
//! All keys begin with their kind. Namespaces and partitions get their numbers from one counter, and a number is never used again.
//!
//! The record of a partition is on disk before its object file is created, and the record that it was dropped before the file is removed.
//! A file without either means that records are missing, and is never removed.
//!
//! | key | value |
//! |---|---|
//! | `i` | the layout's version (4), the last number assigned (8), bytes of reclaimed partitions still in the tree (8) |
//! | `t` tenant | its namespace (8) |
//! | `w` namespace (8, big endian) writer | its epoch (8), 1 if it has ever committed (1) |
//! | `p` partition (8, big endian) | namespace (8), time of its reclaim in Unix milliseconds or 0 (8), stored bytes (8), bytes in the tree (8), length of its object file (8), name |
//! | `x` namespace (8, big endian) xxh3 of a name (8) | empty: a partition of this name was reclaimed |
//! | `d` namespace or partition (8, big endian) | empty: it was dropped, and the rest of its data has to be removed |
//! | `v` partition (8, big endian) sort | a slot, see `value.rs` |

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{take_u8, take_u32, take_u64};

/// Version of the layout that is written. Newer versions are refused.
pub(super) const VERSION: u32 = 1;
pub(super) const HEAD: &[u8] = b"i";
pub(super) const TENANT: u8 = b't';
pub(super) const WRITER: u8 = b'w';
pub(super) const PARTITION: u8 = b'p';
pub(super) const RECLAIMED_NAME: u8 = b'x';
pub(super) const DROPPED: u8 = b'd';
pub(super) const VALUE: u8 = b'v';

/// The record of the whole store.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Head {
    pub(super) version: u32,
    pub(super) last_number: u64,
    pub(super) garbage: u64,
}

/// The record of a writer of a namespace.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Writer {
    pub(super) epoch: u64,
    pub(super) committed: bool,
}

/// The record of a partition of a namespace.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    pub(super) namespace: u64,
    pub(super) name: String,
    /// Time of the reclaim in Unix milliseconds. The partition stays readable for a while after it.
    pub(super) reclaimed: Option<u64>,
    /// Bytes of keys and payloads, without deleted ones.
    pub(super) stored: u64,
    /// Bytes written to the tree, including overwritten and deleted ones.
    pub(super) in_tree: u64,
    /// Length of the object file: the position of the next object.
    pub(super) file_length: u64,
}

/// The key of a record or value of a namespace or partition.
pub(super) fn key(kind: u8, number: u64, rest: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + rest.len());
    key.push(kind);
    key.extend_from_slice(&number.to_be_bytes());
    key.extend_from_slice(rest);
    key
}

pub(super) fn tenant_key(tenant: &str) -> Vec<u8> {
    [&[TENANT], tenant.as_bytes()].concat()
}

pub(super) fn reclaimed_name_key(namespace: u64, name: &str) -> Vec<u8> {
    key(
        RECLAIMED_NAME,
        namespace,
        &xxh3_64(name.as_bytes()).to_be_bytes(),
    )
}

/// Splits a key made by [`key`] into its kind, number and rest.
pub(super) fn owner(key: &[u8]) -> Option<(u8, u64, &[u8])> {
    let (kind, rest) = key.split_first()?;
    let (number, rest) = rest.split_first_chunk()?;
    Some((*kind, u64::from_be_bytes(*number), rest))
}

// === impl Head ===

impl Head {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = self.version.to_le_bytes().to_vec();
        bytes.extend_from_slice(&self.last_number.to_le_bytes());
        bytes.extend_from_slice(&self.garbage.to_le_bytes());
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        Some(Self {
            version: take_u32(&mut bytes)?,
            last_number: take_u64(&mut bytes)?,
            garbage: take_u64(&mut bytes)?,
        })
    }
}

// === impl Writer ===

impl Writer {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = self.epoch.to_le_bytes().to_vec();
        bytes.push(u8::from(self.committed));
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        Some(Self {
            epoch: take_u64(&mut bytes)?,
            committed: take_u8(&mut bytes)? != 0,
        })
    }
}

// === impl Partition ===

impl Partition {
    pub(super) fn new(namespace: u64, name: &str) -> Self {
        Self {
            namespace,
            name: name.to_owned(),
            reclaimed: None,
            stored: 0,
            in_tree: 0,
            file_length: 0,
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let numbers = [
            self.namespace,
            self.reclaimed.unwrap_or(0),
            self.stored,
            self.in_tree,
            self.file_length,
        ];
        let mut bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        bytes.extend_from_slice(self.name.as_bytes());
        bytes
    }

    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        Some(Self {
            namespace: take_u64(bytes)?,
            reclaimed: Some(take_u64(bytes)?).filter(|at| *at != 0),
            stored: take_u64(bytes)?,
            in_tree: take_u64(bytes)?,
            file_length: take_u64(bytes)?,
            name: String::from_utf8(bytes.to_vec()).ok()?,
        })
    }
}
