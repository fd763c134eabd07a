//! The slots of the tree: a value, or its position in the partition's object file.
//!
//! | bytes | contents |
//! |---|---|
//! | 1 | flags as in [`crate::value`]; bit 1: the payload is in the partition's object file; bit 2: the id of a dictionary follows, refused |
//! | 8 | xxh3 of the payload, seeded by the xxh3 of the key; little endian |
//! | 4 | the uncompressed length of the value |
//! | rest | the payload; or its offset (8) and length (4) in the object file |
//!
//! The id of a dictionary will stand before the rest, as in a blob. A slot with unknown flags counts as damaged.

use xxhash_rust::xxh3::xxh3_64;

use super::bytes::{length_u32, take_u32, take_u64};
use crate::Stored;
use crate::value::{ELSEWHERE, Header};

pub(super) use crate::value::{Packed, pack};

/// The tree's value for a key.
pub(super) struct Slot<'a> {
    pub(super) payload: Payload<'a>,
    header: Header,
}

/// The payload of a slot, or its position in the partition's object file.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    Inline(&'a [u8]),
    InFile { offset: u64, length: u32 },
}

/// Encodes a slot with the payload in it.
pub(super) fn inline_slot(packed: &Packed, key: &[u8]) -> Vec<u8> {
    let mut slot = packed.head(packed.flags(0), xxh3_64(key));
    slot.extend_from_slice(&packed.payload);
    slot
}

/// Encodes a slot for a payload in the partition's object file.
pub(super) fn file_slot(packed: &Packed, key: &[u8], offset: u64) -> Vec<u8> {
    let mut slot = packed.head(packed.flags(ELSEWHERE), xxh3_64(key));
    slot.extend_from_slice(&offset.to_le_bytes());
    slot.extend_from_slice(&length_u32(&packed.payload).to_le_bytes());
    slot
}

// === impl Slot ===

impl<'a> Slot<'a> {
    /// Decodes a slot. Returns `None` if the bytes are not a slot.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (header, mut rest) = Header::parse(bytes)?;
        let payload = match header.place() {
            0 => Payload::Inline(rest),
            ELSEWHERE => {
                let offset = take_u64(&mut rest)?;
                let length = take_u32(&mut rest)?;
                Payload::InFile { offset, length }
            }
            _ => return None,
        };
        Some(Self { payload, header })
    }

    /// How the value was stored: every put goes to the file, and every commit to the tree.
    pub(super) fn kind(&self) -> Stored {
        match self.payload {
            Payload::Inline(_) => Stored::Entry,
            Payload::InFile { .. } => Stored::Object,
        }
    }

    /// The length of the payload, in bytes.
    pub(super) fn stored(&self) -> u64 {
        match self.payload {
            Payload::Inline(payload) => payload.len() as u64,
            Payload::InFile { length, .. } => u64::from(length),
        }
    }

    /// The uncompressed length of the value, in bytes.
    pub(super) fn length(&self) -> usize {
        self.header.length()
    }

    /// Returns `true` if the checksum of key and payload matches.
    pub(super) fn verify(&self, key: &[u8], payload: &[u8]) -> bool {
        self.header.verify(xxh3_64(key), payload)
    }

    /// Decodes the value. Returns `None` if it is damaged.
    pub(super) fn open(&self, key: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
        self.header.open(xxh3_64(key), payload)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

    use super::*;

    /// Slots of releases before [`crate::value`], byte for byte.
    #[test]
    fn slots_are_the_bytes_that_older_releases_wrote_and_read() {
        let mut inline = vec![0];
        inline.extend_from_slice(&0xb19f_cf79_2e11_118e_u64.to_le_bytes());
        inline.extend_from_slice(&[5, 0, 0, 0]);
        inline.extend_from_slice(b"value");
        assert_eq!(inline_slot(&pack(b"value".to_vec()), b"key"), inline);

        let packed = pack(vec![7; 70_000]);
        let stored = length_u32(&packed.payload);
        assert!(stored < 100, "{stored}");
        let slot = file_slot(&packed, b"key", 0x0102);
        assert_eq!(slot.len(), 25);
        assert_eq!(slot[0], 3);
        assert_eq!(slot[9..13], 70_000_u32.to_le_bytes());
        assert_eq!(slot[13..21], 0x0102_u64.to_le_bytes());
        assert_eq!(slot[21..], stored.to_le_bytes());

        let slot = Slot::parse(&slot).unwrap();
        assert!(matches!(
            slot.payload,
            Payload::InFile { offset: 0x0102, length } if length == stored
        ));
        assert_eq!(slot.open(b"key", &packed.payload), Some(vec![7; 70_000]));
        assert_eq!(slot.open(b"yek", &packed.payload), None);
        let slot = Slot::parse(&inline).unwrap();
        assert_eq!(slot.open(b"key", b"value"), Some(b"value".to_vec()));
    }

    #[test]
    fn a_slot_with_the_id_of_a_dictionary_is_refused() {
        let mut slot = inline_slot(&pack(b"value".to_vec()), b"key");
        slot[0] |= 1 << 2;
        assert!(Slot::parse(&slot).is_none());
    }
}
