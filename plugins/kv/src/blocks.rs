//! Packs the bytes of many fragments into blocks of about one size.

use larder_plugin::{Error, Part};

use crate::frame::{self, Area, Kind};
use crate::store::{Objects, Writer};
use crate::table::Place;

/// A fragment of at least this many bytes begins a block.
const LARGE: usize = 1 << 20;

/// Generates numbers that no instance uses twice: the instance's generation in the upper 32 bits, a counter below.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Numbers(u64);

/// Fills blocks one after the other and puts each full one.
#[derive(Debug)]
pub(crate) struct BlockWriter {
    kind: Kind,
    area: Area,
    /// A block is full at this many bytes.
    target: usize,
    number: u64,
    value: Vec<u8>,
}

/// Returns the kind of the blocks that hold a part.
pub(crate) fn kind_of(part: Part) -> Kind {
    match part {
        Part::Digest => Kind::Digests,
        Part::Otlp => Kind::Otlp,
    }
}

// === impl Numbers ===

impl Numbers {
    /// Starts the numbers of a generation.
    pub(crate) fn new(generation: u64) -> Self {
        Self(generation << 32)
    }

    /// Returns the generation of a number.
    pub(crate) fn generation(number: u64) -> u64 {
        number >> 32
    }

    /// Returns the next number; never 0.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }
}

// === impl BlockWriter ===

impl BlockWriter {
    /// Plans equal blocks of about `block` bytes for `total` bytes of a part.
    pub(crate) fn new(part: Part, bucket: u64, total: usize, block: usize) -> Self {
        let count = ((total + block / 2) / block.max(1)).max(1);
        Self {
            kind: kind_of(part),
            area: Area::Data(bucket),
            target: total.div_ceil(count),
            number: 0,
            value: Vec::new(),
        }
    }

    /// Adds a fragment's bytes, and puts the block if it is full.
    pub(crate) fn push(
        &mut self,
        bytes: &[u8],
        numbers: &mut Numbers,
        writer: &Writer,
        objects: &mut Objects,
    ) -> Result<Place, Error> {
        if bytes.len() >= LARGE {
            // It has a block of its own, so that reading others does not read it.
            self.end(writer, objects)?;
        }
        if self.number == 0 {
            self.number = numbers.next();
            self.value = Vec::with_capacity(self.target + self.target / 8 + 64);
            frame::begin(self.kind, &mut self.value);
        }
        let offset = self.value.len() - frame::BEFORE;
        let place = Place::new(self.number, offset, bytes.len());
        self.value.extend_from_slice(bytes);
        if offset + bytes.len() >= self.target {
            self.end(writer, objects)?;
        }
        Ok(place)
    }

    /// Puts the last block, if it has any bytes.
    pub(crate) fn end(&mut self, writer: &Writer, objects: &mut Objects) -> Result<(), Error> {
        if self.number == 0 {
            return Ok(());
        }
        let mut value = std::mem::take(&mut self.value);
        frame::end(self.area, self.number, &mut value);
        let number = std::mem::take(&mut self.number);
        objects.push(writer, self.area, self.kind, number, value)
    }
}
