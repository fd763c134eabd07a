//! Pages of rows.
//!
//! | part | bytes |
//! |---|---|
//! | number of rows | varint |
//! | lengths of the three columns that follow the ids | 3 varints |
//! | trace ids | 16 each |
//! | first starts | zigzag varint each: difference to the row before, or to 0 |
//! | lengths of the traces, first start to last end | varint each |
//! | lengths of the calls, in bytes | varint each |
//! | calls of each row | varint: number of the edge; 1: class |

use larder_model::storage::TraceId;

use super::{EdgeCall, Value};
use crate::codec::{self, Damaged, Reading};

const VERSION: u8 = 1;

/// The calls of one trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row<'a> {
    pub(crate) id: TraceId,
    /// Its first start and its last end.
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Its encoded calls, sorted.
    pub(crate) calls: &'a [u8],
}

/// The rows of a page.
#[derive(Clone, Debug)]
pub(crate) struct Page<'a> {
    ids: &'a [u8],
    firsts: Reading<'a>,
    lengths: Reading<'a>,
    sizes: Reading<'a>,
    calls: Reading<'a>,
    first: u64,
}

/// Encodes a page.
pub(super) fn encode<'a>(number: u32, rows: impl Iterator<Item = Row<'a>> + Clone) -> Vec<u8> {
    let (mut firsts, mut lengths, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    let mut before = 0_u64;
    let mut count = 0;
    for row in rows.clone() {
        let delta = row.first.wrapping_sub(before).cast_signed();
        before = row.first;
        codec::put(&mut firsts, ((delta << 1) ^ (delta >> 63)).cast_unsigned());
        codec::put(&mut lengths, row.last.saturating_sub(row.first));
        codec::put_len(&mut sizes, row.calls.len());
        count += 1;
    }
    codec::seal(VERSION, Value::Page(number).number(), |bytes| {
        codec::put_len(bytes, count);
        for column in [&firsts, &lengths, &sizes] {
            codec::put_len(bytes, column.len());
        }
        for row in rows.clone() {
            bytes.extend_from_slice(&row.id.to_bytes());
        }
        for column in [&firsts, &lengths, &sizes] {
            bytes.extend_from_slice(column);
        }
        for row in rows {
            bytes.extend_from_slice(row.calls);
        }
    })
}

/// Appends a call.
pub(super) fn put_call(bytes: &mut Vec<u8>, (edge, class): EdgeCall) {
    codec::put(bytes, u64::from(edge));
    bytes.push(class);
}

/// The encoded calls of a row.
pub(crate) fn calls(bytes: &[u8]) -> impl Iterator<Item = Result<EdgeCall, Damaged>> {
    let mut reading = Reading::of(bytes);
    std::iter::from_fn(move || {
        (!reading.is_empty()).then(|| {
            let call = reading
                .number_u32()
                .and_then(|edge| Ok((edge, reading.byte()?)));
            if call.is_err() {
                reading = Reading::of(&[]);
            }
            call
        })
    })
}

// === impl Page ===

impl<'a> Page<'a> {
    /// Decodes a page.
    pub(crate) fn decode(number: u32, bytes: &'a [u8]) -> Result<Self, Damaged> {
        let mut reading = codec::open(bytes, VERSION, Value::Page(number).number())?;
        let count = reading.count()?;
        let [firsts, lengths, sizes] = [reading.length()?, reading.length()?, reading.length()?];
        let ids = count
            .checked_mul(16)
            .ok_or(Damaged("a count is too large"))?;
        Ok(Self {
            ids: reading.take(ids)?,
            firsts: Reading::of(reading.take(firsts)?),
            lengths: Reading::of(reading.take(lengths)?),
            sizes: Reading::of(reading.take(sizes)?),
            calls: reading,
            first: 0,
        })
    }

    /// The next row; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Row<'a>>, Damaged> {
        let Some((id, rest)) = self.ids.split_first_chunk::<16>() else {
            let left = self.firsts.len() + self.lengths.len() + self.sizes.len() + self.calls.len();
            return if left == 0 {
                Ok(None)
            } else {
                Err(Damaged("a column has more rows than ids"))
            };
        };
        self.ids = rest;
        let zigzag = self.firsts.number()?;
        let delta = (zigzag >> 1) ^ (zigzag & 1).wrapping_neg();
        self.first = self.first.wrapping_add(delta);
        let last = self
            .first
            .checked_add(self.lengths.number()?)
            .ok_or(Damaged("a trace ends outside of time"))?;
        let size = self.sizes.length()?;
        Ok(Some(Row {
            id: TraceId(u128::from_be_bytes(*id)),
            first: self.first,
            last,
            calls: self.calls.take(size)?,
        }))
    }
}
