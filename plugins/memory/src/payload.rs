//! The bytes of a segment's fragments, one after the other in blocks.
//!
//! A block is given back once nothing in it is alive any more, and written anew without its dead once they are more than half
//! of it. So what is evicted frees memory soon, though fragments are small and share blocks.

#![expect(
    clippy::indexing_slicing,
    reason = "places are those that this module gave out"
)]

use std::ops::Range;

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
    bytes: usize,
}

#[derive(Debug)]
struct Block {
    bytes: Vec<u8>,
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

    /// Bytes that [`Payload::push`] may take beside those that are taken up now.
    pub(crate) fn growth(&self, len: usize, block: usize) -> usize {
        if self.fits(len) {
            0
        } else {
            heap(block.max(len)) + 2 * heap(self.blocks.capacity().max(4) * size_of::<Block>())
        }
    }

    /// Appends the bytes of the fragment at `ordinal`, which comes after those before it; `block` is a new block's size.
    pub(crate) fn push(&mut self, mut bytes: Vec<u8>, ordinal: u16, block: usize) -> Place {
        let len = bytes.len();
        if self.fits(len) {
            if let Some(last) = self.blocks.last_mut() {
                last.bytes.extend_from_slice(&bytes);
                last.live += len;
            }
        } else {
            self.close();
            let bytes = if len < block {
                let mut room = Vec::with_capacity(block);
                room.extend_from_slice(&bytes);
                room
            } else {
                bytes.shrink_to_fit();
                bytes
            };
            self.bytes += heap(bytes.capacity());
            self.blocks.push(Block {
                bytes,
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

    /// The bytes at a place.
    pub(crate) fn get(&self, place: Place) -> &[u8] {
        if place.len == 0 {
            // Its block may be gone.
            return &[];
        }
        let start = place.start as usize;
        &self.blocks[usize::from(place.block)].bytes[start..start + place.len as usize]
    }

    /// Takes no more into the last block, and gives back what it does not need.
    pub(crate) fn close(&mut self) {
        self.open = false;
        if let Some(block) = self.blocks.last_mut() {
            self.bytes -= heap(block.bytes.capacity());
            if block.live == 0 {
                block.bytes = Vec::new();
            }
            block.bytes.shrink_to_fit();
            self.bytes += heap(block.bytes.capacity());
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
            self.bytes -= heap(block.bytes.capacity());
            block.bytes = Vec::new();
            return None;
        }
        let sparse = block.live < block.bytes.len() / 2;
        sparse.then(|| usize::from(block.first)..usize::from(end))
    }

    /// Writes a block anew with no more than these places, which are those in it that are alive, and moves them.
    pub(crate) fn compact<'a>(&mut self, places: impl Iterator<Item = &'a mut Place>) {
        let mut places = places.peekable();
        let Some(first) = places.peek() else {
            return;
        };
        let block = &mut self.blocks[usize::from(first.block)];
        let mut kept = Vec::with_capacity(block.live);
        for place in places {
            let start = place.start as usize;
            #[expect(clippy::cast_possible_truncation, reason = "no longer than before")]
            let moved = kept.len() as u32;
            kept.extend_from_slice(&block.bytes[start..start + place.len as usize]);
            place.start = moved;
        }
        self.bytes -= heap(block.bytes.capacity());
        self.bytes += heap(kept.capacity());
        block.bytes = kept;
    }

    fn fits(&self, len: usize) -> bool {
        let room = |block: &Block| block.bytes.capacity() - block.bytes.len();
        self.open && self.blocks.last().is_some_and(|block| len <= room(block))
    }
}
