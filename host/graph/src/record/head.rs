//! Heads of records: the names, and the number of calls of each edge, of all rows and of each page.
//!
//! | part | bytes |
//! |---|---|
//! | number of services; each its name | varint; varint length, UTF-8 |
//! | number of edges; each its calling and its called service | varint; 2 varints, numbers of services |
//! | number of pages, then each: | varint |
//! | rows, parts of its value | 2 varints |
//! | first starts: least, greatest less least; last ends: likewise | 4 varints |
//! | number of edges with calls; each its number less that of the one before, and its calls | varint; 2 varints |
//!
//! The head is followed by nothing.

use super::Value;
use crate::codec::{self, Damaged};

const VERSION: u8 = 1;

/// The head of a record.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) services: Vec<String>,
    /// The calling and the called service of each edge.
    pub(crate) edges: Vec<(u32, u32)>,
    pub(crate) pages: Vec<PageHead>,
    /// Of all pages.
    pub(crate) extent: Extent,
    /// The number of calls of each edge.
    pub(crate) totals: Vec<u64>,
}

/// What a head tells of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PageHead {
    pub(crate) rows: u64,
    /// Number of parts of its value.
    pub(crate) parts: u32,
    pub(crate) extent: Extent,
    /// Edges and the number of their calls, by the numbers of the edges.
    pub(crate) counts: Vec<(u32, u64)>,
}

/// The times of some traces, ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) first: (u64, u64),
    pub(crate) last: (u64, u64),
}

// === impl Head ===

impl Head {
    pub(super) fn encode(&self) -> Vec<u8> {
        codec::seal(VERSION, Value::Head.number(), |bytes| {
            codec::put_len(bytes, self.services.len());
            for service in &self.services {
                codec::put_bytes(bytes, service.as_bytes());
            }
            codec::put_len(bytes, self.edges.len());
            for (parent, child) in &self.edges {
                codec::put(bytes, u64::from(*parent));
                codec::put(bytes, u64::from(*child));
            }
            codec::put_len(bytes, self.pages.len());
            for page in &self.pages {
                page.encode(bytes);
            }
        })
    }

    /// Decodes a head.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reading = codec::open(bytes, VERSION, Value::Head.number())?;
        let mut head = Self::default();
        for _ in 0..reading.count()? {
            let name =
                str::from_utf8(reading.bytes()?).map_err(|_| Damaged("a name is no text"))?;
            head.services.push(name.to_owned());
        }
        let is_service = |number: u32| (number as usize) < head.services.len();
        for _ in 0..reading.count()? {
            let edge = (reading.number_u32()?, reading.number_u32()?);
            if !is_service(edge.0) || !is_service(edge.1) {
                return Err(Damaged("an edge has a service that is not there"));
            }
            head.edges.push(edge);
        }
        head.totals = vec![0; head.edges.len()];
        for _ in 0..reading.count()? {
            let page = PageHead::decode(&mut reading)?;
            head.add(page)?;
        }
        reading.end()?;
        Ok(head)
    }

    /// Adds a page.
    pub(super) fn add(&mut self, page: PageHead) -> Result<(), Damaged> {
        for (edge, count) in &page.counts {
            let total = self.totals.get_mut(*edge as usize);
            let total = total.ok_or(Damaged("a page has an edge that is not there"))?;
            *total = total.saturating_add(*count);
        }
        self.extent.join(page.extent);
        self.pages.push(page);
        Ok(())
    }

    /// The same without its pages.
    pub(crate) fn outline(self) -> Self {
        Self {
            pages: Vec::new(),
            ..self
        }
    }

    /// Bytes that it takes up in memory, about.
    pub(crate) fn weight(&self) -> usize {
        let services = self.services.iter().map(|name| name.len() + 24);
        let pages = self.pages.iter().map(|page| page.counts.len() * 16 + 80);
        200 + services.sum::<usize>() + self.edges.len() * 16 + pages.sum::<usize>()
    }
}

// === impl PageHead ===

impl PageHead {
    fn encode(&self, bytes: &mut Vec<u8>) {
        codec::put(bytes, self.rows);
        codec::put(bytes, u64::from(self.parts));
        for (least, greatest) in [self.extent.first, self.extent.last] {
            codec::put(bytes, least);
            codec::put(bytes, greatest.saturating_sub(least));
        }
        codec::put_len(bytes, self.counts.len());
        let mut before = 0;
        for (edge, count) in &self.counts {
            codec::put(bytes, u64::from(edge - before));
            before = *edge;
            codec::put(bytes, *count);
        }
    }

    fn decode(reading: &mut codec::Reading<'_>) -> Result<Self, Damaged> {
        let (rows, parts) = (reading.number()?, reading.number_u32()?);
        let mut range = || {
            let least = reading.number()?;
            let greatest = least.checked_add(reading.number()?);
            Ok((least, greatest.ok_or(Damaged("a time is too large"))?))
        };
        let extent = Extent {
            first: range()?,
            last: range()?,
        };
        let mut counts = Vec::new();
        let mut edge = 0_u32;
        for _ in 0..reading.count()? {
            edge = edge
                .checked_add(reading.number_u32()?)
                .ok_or(Damaged("a number is too large"))?;
            counts.push((edge, reading.number()?));
        }
        Ok(Self {
            rows,
            parts,
            extent,
            counts,
        })
    }
}

// === impl Extent ===

impl Extent {
    /// Makes it hold these times too.
    pub(crate) fn join(&mut self, other: Self) {
        for (one, other) in [(&mut self.first, other.first), (&mut self.last, other.last)] {
            *one = (one.0.min(other.0), one.1.max(other.1));
        }
    }

    /// The times of one trace.
    pub(crate) fn of(first: u64, last: u64) -> Self {
        Self {
            first: (first, first),
            last: (last, last),
        }
    }
}

impl Default for Extent {
    /// No times.
    fn default() -> Self {
        Self {
            first: (u64::MAX, 0),
            last: (u64::MAX, 0),
        }
    }
}
