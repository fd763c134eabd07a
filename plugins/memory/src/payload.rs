//! The bytes of a segment's fragments, one after the other in blocks.
//!
//! A block is given back once nothing in it is alive any more, and written anew without its dead once they are more than half
//! of it. So what is evicted frees memory soon, though fragments are small and share blocks. Where the store would have to
//! evict, it first packs blocks with LZ4, which leaves about a quarter of them.

#![expect(
    clippy::indexing_slicing,
    reason = "places are those that this module gave out"
)]

use std::borrow::Cow;
use std::ops::Range;

use larder_plugin::Error;

use crate::limits::heap;

/// Where a fragment's bytes are.
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
    /// Whether the last block takes more.
    open: bool,
    /// How many blocks, from the first, have been packed or are not worth it.
    packed: usize,
    bytes: usize,
    /// How many bytes the blocks from `packed` on take up.
    unpacked: usize,
}

/// The last packed block that was opened, for the next fragment of it.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// What the block belongs to, as the caller of [`Payload::get`] numbers it, and its place there.
    block: Option<(u64, u16)>,
    bytes: Vec<u8>,
}

/// Room to pack in, kept from one block to the next: what is packed then fits into small gaps of the heap, and the large
/// gaps that are left are the size of the next block.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    room: Vec<u8>,
}

/// What a packer keeps; a larger block takes more for as long as it is packed.
const PACKER_BYTES: usize = 80 << 10;

#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
    /// How long the bytes are when they are not packed; none if they are not.
    unpacked_len: Option<usize>,
    /// How many of them belong to fragments that are alive.
    live: usize,
    /// The first fragment whose bytes are here; the last is the one before the next block's first.
    first: u16,
}

// === impl Payload ===

impl Payload {
    /// Bytes of memory taken up.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + heap(self.blocks.capacity() * size_of::<Block>())
    }

    /// How many of them could be packed.
    pub(crate) fn unpacked(&self) -> usize {
        self.unpacked
    }

    /// Bytes that [`Payload::push`] may take beside those that are taken up now.
    pub(crate) fn growth(&self, len: usize, block: usize) -> usize {
        if self.fits(len) {
            0
        } else {
            heap(block.max(len)) + 2 * heap(self.blocks.capacity().max(4) * size_of::<Block>())
        }
    }

    /// Appends the bytes of the fragment at `ordinal`, which comes after those before it; `block` is a new block's size.
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

    /// The bytes at a place. `number` tells this payload from others whose blocks are kept in `opened`.
    ///
    /// Raises `data-loss` if a block cannot be opened.
    pub(crate) fn get<'a>(
        &'a self,
        place: Place,
        number: u64,
        opened: &'a mut Opened,
    ) -> Result<&'a [u8], Error> {
        if place.len == 0 {
            // Its block may be gone.
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

    /// Packs the first block that has not been and takes no more. False if there is none.
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

    /// Takes no more into the last block, and gives back what it does not need.
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

    /// Counts the bytes at a place as dead. Gives the block's fragments, of which there are `fragments` in the segment, where
    /// [`Payload::compact`] should follow.
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

    /// Writes a block anew with no more than these places, which are those in it that are alive, and moves them.
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
            // It stays as it is; whoever reads it is told.
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

    /// Changes a block, and counts what that takes and gives.
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
    /// Bytes of memory taken up.
    pub(crate) fn bytes(&self) -> usize {
        heap(self.room.capacity())
    }

    /// Bytes that the next block may take beside those that are taken up now.
    pub(crate) fn growth(&self) -> usize {
        heap(PACKER_BYTES).saturating_sub(self.bytes())
    }
}

// === impl Place ===

impl Place {
    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

// === impl Block ===

impl Block {
    /// Packs the bytes, unless that leaves more than seven eighths of them.
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
