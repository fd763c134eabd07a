//! Makes records of rows.

use hashbrown::HashMap;
use larder_model::storage::TraceId;
use larder_search::kept::Call;

use super::page::{self, Row};
use super::sums::Sums;
use super::{EdgeCall, Extent, Head, PART, PageHead, Value};
use crate::bucket::Bucket;
use crate::checkpoint::pause;
use crate::codec::Damaged;

/// Limits of a page: rows, and bytes of calls; one row may have more.
const PAGE_ROWS: usize = 4096;
const PAGE_CALLS: usize = 1 << 20;
/// Parts of a bucket whose rows are sorted apart, so that sorting pauses.
const SLICES: usize = 64;

/// The rows of one bucket. Services are numbers that the caller gives.
#[derive(Debug, Default)]
pub(crate) struct Rows {
    edges: HashMap<(u32, u32), u32>,
    places: Vec<Place>,
    /// The encoded calls of all rows.
    calls: Vec<u8>,
    /// A buffer.
    sorted: Vec<EdgeCall>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    id: TraceId,
    first: u64,
    last: u64,
    /// The place of its calls.
    start: usize,
    end: usize,
}

/// An encoded record.
#[derive(Debug)]
pub(crate) struct Encoded {
    /// Names and values.
    pub(crate) values: Vec<(Vec<u8>, Vec<u8>)>,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    /// Number of parts of the head.
    pub(crate) head_parts: u32,
}

// === impl Encoded ===

impl Encoded {
    /// Adds the head to the other values.
    pub(super) fn new(mut values: Vec<(Vec<u8>, Vec<u8>)>, head: &Head, rows: u64) -> Self {
        let head_parts = split(&mut values, Value::Head, &head.encode());
        Self {
            bytes: values.iter().map(|(_, value)| value.len() as u64).sum(),
            values,
            rows,
            head_parts,
        }
    }
}

// === impl Rows ===

impl Rows {
    /// Creates rows without edges.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Creates rows whose first edges are these.
    pub(crate) fn with_edges(edges: &[(u32, u32)]) -> Self {
        Self {
            edges: (0..)
                .zip(edges)
                .map(|(number, edge)| (*edge, number))
                .collect(),
            ..Self::default()
        }
    }

    /// Adds the row of a trace.
    pub(crate) fn push(&mut self, id: TraceId, (first, last): (u64, u64), calls: &[Call]) {
        self.sorted.clear();
        for call in calls {
            let next = u32::try_from(self.edges.len()).unwrap_or(u32::MAX);
            let edge = self.edges.entry((call.parent, call.child));
            self.sorted.push((*edge.or_insert(next), call.class));
        }
        self.sorted.sort_unstable();
        let start = self.calls.len();
        for call in &self.sorted {
            page::put_call(&mut self.calls, *call);
        }
        self.place(id, (first, last), start);
    }

    /// Adds a row whose edges are those that these rows were created with.
    pub(crate) fn push_row(&mut self, row: &Row<'_>) {
        let start = self.calls.len();
        self.calls.extend_from_slice(row.calls);
        self.place(row.id, (row.first, row.last), start);
    }

    fn place(&mut self, id: TraceId, (first, last): (u64, u64), start: usize) {
        let end = self.calls.len();
        self.places.push(Place {
            id,
            first,
            last,
            start,
            end,
        });
    }

    /// Encodes the record of a bucket. `services` are the names of the services by their numbers. Pauses in between.
    pub(crate) async fn encode(
        self,
        bucket: Bucket,
        services: &[String],
    ) -> Result<Encoded, Damaged> {
        let mut head = self.names(services)?;
        let mut sums = Sums::default();
        let mut values = Vec::new();
        let mut number = 0;
        let (mut counts, mut touched) = (vec![0_u64; head.edges.len()], Vec::new());
        for slice in self.slices(bucket) {
            for places in pages(&slice) {
                let rows = places.iter().map(|place| self.row(place));
                let mut extent = Extent::default();
                for row in rows.clone() {
                    extent.join(Extent::of(row.first, row.last));
                    for call in page::calls(row.calls) {
                        let call = call?;
                        sums.add(call);
                        let count = counts.get_mut(call.0 as usize);
                        let count = count.ok_or(Damaged("a call has an edge that is not there"))?;
                        if *count == 0 {
                            touched.push(call.0);
                        }
                        *count += 1;
                    }
                }
                touched.sort_unstable();
                let counted = touched.drain(..).filter_map(|edge| {
                    let count = counts.get_mut(edge as usize)?;
                    Some((edge, std::mem::take(count)))
                });
                let counts = counted.collect();
                let bytes = page::encode(number, rows);
                let parts = split(&mut values, Value::Page(number), &bytes);
                head.add(PageHead {
                    rows: places.len() as u64,
                    parts,
                    extent,
                    counts,
                })?;
                number += 1;
                pause().await;
            }
        }
        split(&mut values, Value::Sums, &sums.encode());
        Ok(Encoded::new(values, &head, self.places.len() as u64))
    }

    /// A head with the edges of the rows, and the services that these have.
    fn names(&self, services: &[String]) -> Result<Head, Damaged> {
        let mut edges = vec![(0, 0); self.edges.len()];
        for (edge, number) in &self.edges {
            if let Some(place) = edges.get_mut(*number as usize) {
                *place = *edge;
            }
        }
        let mut head = Head::default();
        let mut numbers: HashMap<u32, u32> = HashMap::new();
        for edge in &mut edges {
            for service in [&mut edge.0, &mut edge.1] {
                let next = u32::try_from(head.services.len()).unwrap_or(u32::MAX);
                let number = *numbers.entry(*service).or_insert(next);
                if number == next {
                    let name = services.get(*service as usize);
                    let name = name.ok_or(Damaged("a service has no name"))?;
                    head.services.push(name.clone());
                }
                *service = number;
            }
        }
        head.totals = vec![0; edges.len()];
        head.edges = edges;
        Ok(head)
    }

    /// The places of the rows, each slice sorted: those that end in the bucket in the order of their starts, and those that do not.
    fn slices(&self, bucket: Bucket) -> impl Iterator<Item = Vec<Place>> {
        let range = bucket.range();
        let length = (range.end - range.start) / SLICES as u64 + 1;
        let mut slices: Vec<Vec<Place>> = Vec::new();
        slices.resize_with(SLICES + 1, Vec::new);
        for place in &self.places {
            let slice = if place.last > range.end {
                SLICES
            } else {
                usize::try_from(place.first.saturating_sub(range.start) / length).unwrap_or(SLICES)
            };
            if let Some(slice) = slices.get_mut(slice) {
                slice.push(*place);
            }
        }
        slices.into_iter().enumerate().map(|(number, mut slice)| {
            if number == SLICES {
                slice.sort_unstable_by_key(|place| (place.last, place.id));
            } else {
                slice.sort_unstable_by_key(|place| (place.first, place.id));
            }
            slice
        })
    }

    fn row(&self, place: &Place) -> Row<'_> {
        Row {
            id: place.id,
            first: place.first,
            last: place.last,
            calls: self.calls.get(place.start..place.end).unwrap_or_default(),
        }
    }
}

/// Cuts rows into pages.
fn pages(mut places: &[Place]) -> impl Iterator<Item = &[Place]> {
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let mut fits = |place: &Place| {
            bytes += place.end - place.start;
            bytes <= PAGE_CALLS
        };
        let most = places.iter().take(PAGE_ROWS);
        let count = most.take_while(|place| fits(place)).count();
        let (page, rest) = places.split_at_checked(count.max(1))?;
        places = rest;
        Some(page)
    })
}

/// Adds the parts of a value. Returns their number.
fn split(values: &mut Vec<(Vec<u8>, Vec<u8>)>, value: Value, bytes: &[u8]) -> u32 {
    let parts = (0..).zip(bytes.chunks(PART));
    let before = values.len();
    values.extend(parts.map(|(number, part)| (value.name(number), part.to_vec())));
    u32::try_from(values.len() - before).unwrap_or(u32::MAX)
}
