//! The journal: changes that are committed and not yet in the tree's tables.
//!
//! Each sync writes one *frame* with all changes since the sync before. A frame is valid as a whole or not at all.
//!
//! | bytes | contents |
//! |---|---|
//! | 4 | `LJF1` |
//! | 8 | the number of the frame, little endian; one more than that of the frame before |
//! | 4 | the length of the operations |
//! | 8 | xxh3 of number, length and operations |
//! | … | operations: 1 put, 0 delete (1), key length (2), value length (4), key, value |
//!
//! Files are named by ascending numbers. A file is removed when the tree has flushed all its changes, so the journal is empty at rest.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use super::bytes::{length_u32, take, take_u8, take_u32, take_u64};
use super::faults::Faults;
use super::objects::{numbered_files, sync_dir};

const MAGIC: [u8; 4] = *b"LJF1";
const HEAD: usize = 24;
pub(super) const SUFFIX: &str = "jnl";

/// The journal file that is being written.
pub(super) struct Journal {
    dir: PathBuf,
    id: u64,
    file: File,
    next_frame: u64,
    faults: Faults,
}

/// A change of one key in a frame.
pub(super) enum Operation<'a> {
    Put(&'a [u8], &'a [u8]),
    Delete(&'a [u8]),
}

/// The operations of the next frame.
#[derive(Default)]
pub(super) struct PendingFrame {
    bytes: Vec<u8>,
}

/// A valid frame.
pub(super) struct Frame {
    pub(super) number: u64,
    operations: Vec<u8>,
}

/// The contents of all journal files.
pub(super) struct Recovered {
    pub(super) frames: Vec<Frame>,
    /// Position of bytes that are neither a frame nor a torn end, with advice. Later frames depend on the lost one, so the frames must
    /// not be used then.
    pub(super) damage: Option<String>,
    /// The number for the next file.
    pub(super) next_id: u64,
}

// === impl Journal ===

impl Journal {
    pub(super) fn create(dir: &Path, id: u64, next_frame: u64, faults: Faults) -> io::Result<Self> {
        faults.write()?;
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .open(path(dir, id))?;
        sync_dir(dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            id,
            file,
            next_frame,
            faults,
        })
    }

    /// Creates the next file. Nothing more is written to this one.
    pub(super) fn next(&self) -> io::Result<Self> {
        Self::create(&self.dir, self.id + 1, self.next_frame, self.faults.clone())
    }

    /// Writes one frame without syncing it, and returns its number.
    pub(super) fn append(&mut self, pending: &PendingFrame) -> io::Result<u64> {
        self.faults.write()?;
        let number = self.next_frame;
        let mut frame = Vec::with_capacity(HEAD + pending.bytes.len());
        frame.extend_from_slice(&MAGIC);
        frame.extend_from_slice(&number.to_le_bytes());
        frame.extend_from_slice(&length_u32(&pending.bytes).to_le_bytes());
        frame.extend_from_slice(&checksum(number, &pending.bytes).to_le_bytes());
        frame.extend_from_slice(&pending.bytes);
        self.file.write_all(&frame)?;
        self.next_frame += 1;
        Ok(number)
    }

    pub(super) fn sync(&self) -> io::Result<()> {
        self.faults.sync()?;
        self.file.sync_data()
    }

    /// Removes the files with lower numbers.
    pub(super) fn remove_before(dir: &Path, id: u64) -> io::Result<()> {
        for (found, path) in numbered_files(dir, SUFFIX)? {
            if found < id {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Reads the frames of all files, oldest first. A missing folder has none.
    pub(super) fn recover(dir: &Path) -> io::Result<Recovered> {
        let mut recovered = Recovered {
            frames: Vec::new(),
            damage: None,
            next_id: 1,
        };
        let files = numbered_files(dir, SUFFIX)?;
        for (id, path) in &files {
            if let Some(at) = recovered.read(&fs::read(path)?) {
                let name = file_name(*id);
                let is_last = files.last().is_some_and(|(last, _)| last == id);
                let way_out = if is_last {
                    format!("; cut off there (`truncate -s {at}`), it gives up what follows")
                } else {
                    String::new()
                };
                recovered.damage = Some(format!(
                    "`journal/{name}` is damaged at byte {at}, and what follows stands on what is lost there{way_out}"
                ));
                break;
            }
            recovered.next_id = id + 1;
        }
        Ok(recovered)
    }
}

// === impl Recovered ===

impl Recovered {
    /// Reads a whole file. Returns the position of damage, if there is any.
    fn read(&mut self, file: &[u8]) -> Option<usize> {
        let mut bytes = file;
        while !bytes.is_empty() {
            if let Some((frame, rest)) = Frame::parse(bytes) {
                self.frames.push(frame);
                bytes = rest;
                continue;
            }
            // Damage if a valid frame follows. Otherwise the torn end of a write that was never acknowledged.
            let is_damaged = (1..bytes.len()).any(|at| {
                let tail = bytes.get(at..).unwrap_or_default();
                tail.starts_with(&MAGIC) && Frame::parse(tail).is_some()
            });
            return is_damaged.then_some(file.len() - bytes.len());
        }
        None
    }
}

// === impl Frame ===

impl Frame {
    fn parse(mut bytes: &[u8]) -> Option<(Self, &[u8])> {
        if take(&mut bytes, MAGIC.len())? != MAGIC {
            return None;
        }
        let number = take_u64(&mut bytes)?;
        let length = take_u32(&mut bytes)?;
        let expected = take_u64(&mut bytes)?;
        let operations = take(&mut bytes, length as usize)?;
        (checksum(number, operations) == expected).then(|| {
            let operations = operations.to_vec();
            (Self { number, operations }, bytes)
        })
    }

    /// The operations, in order.
    pub(super) fn operations(&self) -> impl Iterator<Item = Operation<'_>> {
        let mut bytes = self.operations.as_slice();
        std::iter::from_fn(move || {
            let put = take_u8(&mut bytes)? == 1;
            let (key, rest) = bytes.split_first_chunk()?;
            bytes = rest;
            let key = usize::from(u16::from_le_bytes(*key));
            let value = take_u32(&mut bytes)? as usize;
            let key = take(&mut bytes, key)?;
            let value = take(&mut bytes, value)?;
            Some(if put {
                Operation::Put(key, value)
            } else {
                Operation::Delete(key)
            })
        })
    }
}

// === impl PendingFrame ===

impl PendingFrame {
    pub(super) fn put(&mut self, key: &[u8], value: &[u8]) {
        self.push(1, key, value);
    }

    pub(super) fn delete(&mut self, key: &[u8]) {
        self.push(0, key, &[]);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    fn push(&mut self, kind: u8, key: &[u8], value: &[u8]) {
        // A key is at most a kind, a number and `MAX_SORT_BYTES`.
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX);
        self.bytes.push(kind);
        self.bytes.extend_from_slice(&length.to_le_bytes());
        self.bytes
            .extend_from_slice(&length_u32(value).to_le_bytes());
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
    }
}

fn checksum(number: u64, operations: &[u8]) -> u64 {
    let mut hasher = Xxh3::new();
    hasher.update(&number.to_le_bytes());
    hasher.update(&length_u32(operations).to_le_bytes());
    hasher.update(operations);
    hasher.digest()
}

fn path(dir: &Path, id: u64) -> PathBuf {
    dir.join(file_name(id))
}

/// The name of the file with this number.
pub(super) fn file_name(id: u64) -> String {
    format!("{id:016x}.{SUFFIX}")
}
