//! Entries: fragments that are not in a segment yet, with everything needed to search and to seal them.
//!
//! A write makes one or a few entries. An entry stays in memory in its stored form and is read in place.

mod admitted;
mod term_filter;
mod traces;

use std::cell::OnceCell;
use std::ops::Range;

use larder_plugin::{Fragment, Part, Term, Timestamp};

use crate::bounds::Bounds;
use crate::cache::Value;
use crate::codec::{Damaged, Input, put_bytes, put_varint};
use crate::column::{self, Column};
use crate::frame::{self, Area, BEFORE, Kind};
use crate::table::{self, Located, Place, Table};
use crate::traces::WantedTrace;
use term_filter::TermFilter;
use traces::Traces;

/// The header of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Time of the write, by the host's clock.
    pub(crate) written: Timestamp,
    /// The bucket that holds the entry's blocks.
    pub(crate) bucket: u64,
    /// Time at which that bucket was opened.
    pub(crate) opened: Timestamp,
    /// Number of the first fragment.
    pub(crate) first: u64,
}

/// Fragments that were written together.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) sequence: u64,
    pub(crate) head: Head,
    pub(crate) spans: u64,
    /// Bytes of its fragments, before compression.
    pub(crate) bytes: u64,
    pub(crate) bounds: Bounds,
    pub(crate) table: Table,
    value: Value,
    /// For each fragment the end of its terms, counted in terms.
    ends: Column,
    terms: Range<usize>,
    term_filter: OnceCell<TermFilter>,
    traces: OnceCell<Traces>,
    operations: Range<usize>,
    digests: Range<usize>,
    otlp: Range<usize>,
    /// Number of the partition that holds it, unless it is stored in the head.
    pub(crate) area: Option<u64>,
}

/// The parts from which [`encode`] makes an entry.
pub(crate) struct NewEntry<'a> {
    /// The partition that it will be stored in, and its sequence number.
    pub(crate) area: Area,
    pub(crate) sequence: u64,
    pub(crate) head: Head,
    pub(crate) fragments: &'a [Fragment<'a>],
    /// A row for each fragment; block 0 means that the bytes are stored in the entry.
    pub(crate) rows: &'a mut [Located],
    /// Operations that are new to the bucket.
    pub(crate) operations: &'a [u8],
}

/// Returns the stored half of a term. Two terms rarely share it; where they do, a search only returns extra candidates.
#[inline]
pub(crate) fn short(term: Term) -> u32 {
    (term >> 32) as u32
}

/// Encodes a whole entry.
pub(crate) fn encode(new: NewEntry<'_>) -> Vec<u8> {
    let NewEntry {
        area,
        sequence,
        head,
        fragments,
        rows,
        operations,
    } = new;
    let terms: usize = fragments.iter().map(|it| it.terms.len()).sum();
    let mut inline = [0_usize; 2];
    for row in rows.iter_mut() {
        for (place, end) in [&mut row.digest, &mut row.otlp]
            .into_iter()
            .zip(&mut inline)
        {
            if place.block == 0 {
                *place = Place::new(0, *end, place.len as usize);
                *end += place.len as usize;
            }
        }
    }
    let [digests, otlp] = inline;
    let room = 256 + rows.len() * 56 + terms * 4 + operations.len() + digests + otlp;
    let mut out = Vec::with_capacity(room);
    frame::begin(Kind::Entry, &mut out);
    for number in [head.written, head.bucket, head.opened, head.first] {
        put_varint(&mut out, number);
    }
    table::encode(rows, &mut out);
    let mut end = 0;
    let ends = fragments.iter().map(|it| {
        end += it.terms.len() as u64;
        end
    });
    let ends: Vec<u64> = ends.collect();
    column::encode(&mut out, ends.iter().copied());
    put_varint(&mut out, terms as u64);
    for fragment in fragments {
        let start = out.len();
        out.resize(start + fragment.terms.len() * 4, 0);
        let to = out.get_mut(start..).unwrap_or_default();
        let (to, _) = to.as_chunks_mut::<4>();
        for (to, term) in to.iter_mut().zip(fragment.terms) {
            *to = short(*term).to_le_bytes();
        }
    }
    put_bytes(&mut out, operations);
    put_varint(&mut out, digests as u64);
    let inline = |place: &Place| place.block == 0;
    for (fragment, _) in fragments
        .iter()
        .zip(rows.iter())
        .filter(|(_, it)| inline(&it.digest))
    {
        out.extend_from_slice(fragment.digest);
    }
    put_varint(&mut out, otlp as u64);
    for (fragment, _) in fragments
        .iter()
        .zip(rows.iter())
        .filter(|(_, it)| inline(&it.otlp))
    {
        out.extend_from_slice(fragment.otlp);
    }
    frame::end(area, sequence, &mut out);
    out
}

// === impl Entry ===

impl Entry {
    /// Parses a value whose checksum has been verified.
    pub(crate) fn parse(sequence: u64, value: Value, area: Option<u64>) -> Result<Self, Damaged> {
        let mut input = Input::new(value.payload());
        let total = input.len();
        let head = Head {
            written: input.varint()?,
            bucket: input.varint()?,
            opened: input.varint()?,
            first: input.varint()?,
        };
        let table = Table::parse(&value, &mut input)?;
        let ends = Column::parse(&value, &mut input, table.len() as usize)?;
        let terms = input.size()?.checked_mul(4).ok_or(Damaged)?;
        let terms = taken(total, &mut input, terms)?;
        let mut prefixed = || {
            let len = input.size()?;
            taken(total, &mut input, len)
        };
        let (operations, digests, otlp) = (prefixed()?, prefixed()?, prefixed()?);
        let (mut spans, mut bytes, mut bounds) = (0, 0, Bounds::NONE);
        for row in 0..table.len() {
            let it = table.located(row)?;
            bounds.add(&it.row);
            spans += u64::from(it.row.spans);
            bytes += u64::from(it.digest.len) + u64::from(it.otlp.len);
        }
        if table.len() == 0 {
            return Err(Damaged);
        }
        Ok(Self {
            sequence,
            head,
            spans,
            bytes,
            bounds,
            table,
            value,
            ends,
            terms,
            term_filter: OnceCell::new(),
            traces: OnceCell::new(),
            operations,
            digests,
            otlp,
            area,
        })
    }

    /// Returns the number of fragments.
    pub(crate) fn len(&self) -> u32 {
        self.table.len()
    }

    /// Returns the number after that of its last fragment.
    pub(crate) fn end(&self) -> u64 {
        self.head.first.saturating_add(u64::from(self.len()))
    }

    /// Returns the bytes of fragments that are stored in the entry.
    pub(crate) fn inline_bytes(&self) -> usize {
        self.digests.len() + self.otlp.len()
    }

    /// Returns the number of terms, summed over the fragments.
    pub(crate) fn terms_len(&self) -> usize {
        self.terms.len() / 4
    }

    /// Returns the stored terms of a fragment, ascending.
    #[inline]
    pub(crate) fn terms(&self, row: u32) -> &[[u8; 4]] {
        let end = |row| usize::try_from(self.ends.get(&self.value, row)).unwrap_or(usize::MAX);
        let start = row.checked_sub(1).map_or(0, end);
        self.all_terms().get(start..end(row)).unwrap_or_default()
    }

    fn all_terms(&self) -> &[[u8; 4]] {
        self.slice(&self.terms).as_chunks().0
    }

    /// Calls `found` with (index into `wanted`, row) for each row of a wanted trace. `wanted` ascends by hash.
    pub(crate) fn locate(&self, wanted: &[WantedTrace], found: impl FnMut(usize, u32)) {
        let traces = self.traces.get_or_init(|| Traces::new(&self.table));
        traces.each(&self.table, wanted, found);
    }

    /// Returns the encoded operations that were new to its bucket.
    pub(crate) fn operations(&self) -> &[u8] {
        self.slice(&self.operations)
    }

    /// Returns the bytes of a part that are stored in the entry.
    pub(crate) fn inline(&self, part: Part) -> &[u8] {
        match part {
            Part::Digest => self.slice(&self.digests),
            Part::Otlp => self.slice(&self.otlp),
        }
    }

    fn slice(&self, range: &Range<usize>) -> &[u8] {
        self.value.bytes().get(range.clone()).unwrap_or_default()
    }
}

/// Skips the next `len` bytes and returns their range in the value; `input` reads that value's payload, of `total` bytes.
fn taken(total: usize, input: &mut Input<'_>, len: usize) -> Result<Range<usize>, Damaged> {
    let start = BEFORE + (total - input.len());
    input.bytes(len)?;
    Ok(start..start + len)
}
