//! The bytes of a segment's fragments, concatenated in blocks.
//!
//! A block is freed when none of its fragments is live, and compacted when more than half of its bytes are dead. So eviction frees
//! memory soon, although fragments are small and share blocks. Before it evicts, the store packs blocks with LZ4, which reduces them
//! to about a quarter.

#![expect(
    clippy::indexing_slicing,
    reason = "places are those that this module gave out"
)]

use std::borrow::Cow;
use std::ops::Range;

use larder_plugin::Error;

use crate::limits::heap;

/// The position of a fragment's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    block: u16,
    start: u32,
    len: u32,
}

/// The digests, or the `otlp`, of the fragments of one segment.
#[derive(Debug, Default)]
pub(crate) struct Payload {
    blocks: Vec<Block>,
    /// True if the last block accepts more bytes.
    open: bool,
    /// The number of leading blocks that are packed or are not worth packing.
    packed: usize,
    bytes: usize,
    /// Bytes of the blocks from `packed` on.
    unpacked: usize,
}

/// Cache of the last unpacked block, for the next fragment in it.
#[derive(Debug, Default)]
pub(crate) struct UnpackedBlock {
    /// The caller's number of the payload, as passed to [`Payload::get`], and the index of the block.
    block: Option<(u64, u16)>,
    bytes: Vec<u8>,
}

/// A reused buffer for packing. Packed blocks then fit into small gaps of the heap, and the large gaps that they leave have the size
/// of the next block.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    room: Vec<u8>,
}

/// The capacity that a packer keeps; packing a larger block takes more temporarily.
const PACKER_BYTES: usize = 80 << 10;

#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    /// Length of the unpacked bytes; `None` if they are not packed.
    unpacked_len: Option<usize>,
    /// The number of unpacked bytes that belong to live fragments.
    live: usize,
    /// The first fragment with bytes here; the last is the one before the next block's first.
    first: u16,
}

// === impl Payload ===

impl Payload {
    /// Returns the memory in use, bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + heap(self.blocks.capacity() * size_of::<Block>())
    }

    /// Returns the bytes that could still be packed.
    pub(crate) fn unpacked(&self) -> usize {
        self.unpacked
    }

    /// Returns the memory that [`Payload::push`] may take in addition, bytes.
    pub(crate) fn growth(&self, len: usize, block: usize) -> usize {
        if self.fits(len) {
            0
        } else {
            heap(block.max(len)) + 2 * heap(self.blocks.capacity().max(4) * size_of::<Block>())
        }
    }

    /// Appends the bytes of the fragment at `ordinal`, which must ascend. `block` is the size of a new block.
    pub(crate) fn push(&mut self, bytes: &[u8], ordinal: u16, block: usize) -> Place {
        let len = bytes.len();
        if self.fits(len) {
            if let Some(last) = self.blocks.last_mut() {
                last.bytes.extend_from_slice(bytes);
                last.live += len;
            }
        } else {
            self.close();
            let mut room = Vec::with_capacity(block.max(len));
            room.extend_from_slice(bytes);
            let bytes = room;
            self.bytes += heap(bytes.capacity());
            self.unpacked += heap(bytes.capacity());
            self.blocks.push(Block {
                bytes,
                unpacked_len: None,
                live: len,
                first: ordinal,
            });
            self.open = true;
        }
        let number = self.blocks.len() - 1;
        let start = self.blocks[number].bytes.len() - len;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a segment has fewer than 2^16 fragments, and a block less than 4 GiB"
        )]
        Place {
            block: number as u16,
            start: start as u32,
            len: len as u32,
        }
    }

    /// Returns the bytes at a place. `number` distinguishes payloads that share the cache `opened`.
    ///
    /// Raises `data-loss` if a block cannot be opened.
    pub(crate) fn get<'a>(
        &'a self,
        place: Place,
        number: u64,
        opened: &'a mut UnpackedBlock,
    ) -> Result<&'a [u8], Error> {
        if place.len == 0 {
            // Its block may have been freed.
            return Ok(&[]);
        }
        let block = &self.blocks[usize::from(place.block)];
        let bytes = if block.unpacked_len.is_none() {
            &block.bytes
        } else {
            let this = Some((number, place.block));
            if opened.block != this {
                opened.bytes = block.unpacked()?.into_owned();
                opened.block = this;
            }
            &opened.bytes
        };
        Ok(&bytes[place.range()])
    }

    /// Packs the first closed block that is not packed. Returns false if there is none.
    pub(crate) fn pack(&mut self, packer: &mut Packer) -> bool {
        let closed = self.blocks.len() - usize::from(self.open);
        if self.packed >= closed {
            return false;
        }
        let number = self.packed;
        self.unpacked -= heap(self.blocks[number].bytes.capacity());
        self.packed += 1;
        self.change(number, |block| block.pack(packer));
        true
    }

    /// Closes the last block and frees its unused capacity.
    pub(crate) fn close(&mut self) {
        self.open = false;
        if let Some(last) = self.blocks.len().checked_sub(1) {
            self.change(last, |block| {
                if block.live == 0 {
                    block.clear();
                }
                block.bytes.shrink_to_fit();
            });
        }
    }

    /// Marks the bytes at a place as dead. Returns the range of the block's fragments if [`Payload::compact`] should follow; `fragments`
    /// is the number of fragments in the segment.
    pub(crate) fn release(&mut self, place: Place, fragments: u16) -> Option<Range<usize>> {
        let number = usize::from(place.block);
        let last = number + 1 == self.blocks.len();
        let end = self.blocks.get(number + 1).map_or(fragments, |it| it.first);
        let block = &mut self.blocks[number];
        block.live -= place.len as usize;
        if last && self.open {
            return None;
        }
        if block.live == 0 {
            self.change(number, Block::clear);
            return None;
        }
        let len = block.unpacked_len.unwrap_or(block.bytes.len());
        let sparse = block.live < len / 2;
        sparse.then(|| usize::from(block.first)..usize::from(end))
    }

    /// Rewrites a block with only these places, which are its live ones, and updates them.
    pub(crate) fn compact<'a>(
        &mut self,
        places: impl Iterator<Item = &'a mut Place>,
        packer: &mut Packer,
    ) {
        let mut places = places.peekable();
        let Some(first) = places.peek() else {
            return;
        };
        let number = usize::from(first.block);
        let block = &self.blocks[number];
        let Ok(bytes) = block.unpacked() else {
            // The block stays as it is; a read of it reports the damage.
            return;
        };
        let mut kept = Vec::with_capacity(block.live);
        for place in places {
            let range = place.range();
            #[expect(clippy::cast_possible_truncation, reason = "no longer than before")]
            let moved = kept.len() as u32;
            kept.extend_from_slice(&bytes[range]);
            place.start = moved;
        }
        self.change(number, |block| {
            block.bytes = kept;
            if block.unpacked_len.take().is_some() {
                block.pack(packer);
            }
        });
    }

    /// Changes a block and updates the totals.
    fn change(&mut self, number: usize, change: impl FnOnce(&mut Block)) {
        let block = &mut self.blocks[number];
        let before = heap(block.bytes.capacity());
        change(block);
        let after = heap(block.bytes.capacity());
        self.bytes = self.bytes + after - before;
        if number >= self.packed {
            self.unpacked = self.unpacked + after - before;
        }
    }

    fn fits(&self, len: usize) -> bool {
        let room = |block: &Block| block.bytes.capacity() - block.bytes.len();
        self.open && self.blocks.last().is_some_and(|block| len <= room(block))
    }
}

// === impl Packer ===

impl Packer {
    /// Returns the memory in use, bytes.
    pub(crate) fn bytes(&self) -> usize {
        heap(self.room.capacity())
    }

    /// Returns the memory that packing the next block may take in addition, bytes.
    pub(crate) fn growth(&self) -> usize {
        heap(PACKER_BYTES).saturating_sub(self.bytes())
    }
}

// === impl Place ===

impl Place {
    /// Returns the length of the bytes when they are not packed.
    pub(crate) fn len(self) -> u64 {
        self.len.into()
    }

    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

// === impl Block ===

impl Block {
    /// Packs the bytes, unless that saves less than an eighth.
    fn pack(&mut self, packer: &mut Packer) {
        let len = self.bytes.len();
        let room = &mut packer.room;
        room.resize(lz4_flex::block::get_maximum_output_size(len), 0);
        let packed = lz4_flex::block::compress_into(&self.bytes, room);
        let packed = packed.ok().and_then(|packed| room.get(..packed));
        if let Some(packed) = packed.filter(|packed| packed.len() < len / 8 * 7) {
            self.bytes = packed.to_vec();
            self.unpacked_len = Some(len);
        }
        room.clear();
        room.shrink_to(PACKER_BYTES);
    }

    fn unpacked(&self) -> Result<Cow<'_, [u8]>, Error> {
        let Some(len) = self.unpacked_len else {
            return Ok(Cow::Borrowed(&self.bytes));
        };
        lz4_flex::block::decompress(&self.bytes, len)
            .ok()
            .filter(|bytes| bytes.len() == len)
            .map(Cow::Owned)
            .ok_or_else(|| Error::DataLoss(format!("a block of {len} bytes cannot be unpacked")))
    }

    fn clear(&mut self) {
        self.bytes = Vec::new();
        self.unpacked_len = None;
    }
}
