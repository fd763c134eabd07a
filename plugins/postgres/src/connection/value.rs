//! Values in PostgreSQL's binary format: parameters of statements, and columns of rows.

use std::ops::Range;

use bytes::{BufMut as _, BytesMut};
use fallible_iterator::FallibleIterator as _;
use postgres_protocol::message::backend::DataRowBody;

use super::failure::Failure;

/// A parameter of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Int4(i32),
    Int8(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
    Int2s(Vec<i16>),
    Int8s(Vec<i64>),
    Uuids(Vec<u128>),
    ByteStrings(Vec<&'a [u8]>),
}

/// The numbers of types in `pg_type`, which never change.
mod oid {
    pub(super) const BYTEA: u32 = 17;
    pub(super) const INT8: u32 = 20;
    pub(super) const INT2: u32 = 21;
    pub(super) const INT4: u32 = 23;
    pub(super) const TEXT: u32 = 25;
    pub(super) const UUID: u32 = 2950;
    pub(super) const BYTEA_ARRAY: u32 = 1001;
    pub(super) const INT2_ARRAY: u32 = 1005;
    pub(super) const INT8_ARRAY: u32 = 1016;
    pub(super) const UUID_ARRAY: u32 = 2951;
}

// === impl Value ===

impl Value<'_> {
    pub(super) fn oid(&self) -> u32 {
        match self {
            Self::Int4(_) => oid::INT4,
            Self::Int8(_) => oid::INT8,
            Self::Text(_) => oid::TEXT,
            Self::Bytes(_) => oid::BYTEA,
            Self::Int2s(_) => oid::INT2_ARRAY,
            Self::Int8s(_) => oid::INT8_ARRAY,
            Self::Uuids(_) => oid::UUID_ARRAY,
            Self::ByteStrings(_) => oid::BYTEA_ARRAY,
        }
    }

    pub(super) fn write(&self, out: &mut BytesMut) {
        match self {
            Self::Int4(it) => out.put_i32(*it),
            Self::Int8(it) => out.put_i64(*it),
            Self::Text(it) => out.put_slice(it.as_bytes()),
            Self::Bytes(it) => out.put_slice(it),
            Self::Int2s(list) => {
                write_array(oid::INT2, list.iter().map(|it| it.to_be_bytes()), out);
            }
            Self::Int8s(list) => {
                write_array(oid::INT8, list.iter().map(|it| it.to_be_bytes()), out);
            }
            Self::Uuids(list) => {
                write_array(oid::UUID, list.iter().map(|it| it.to_be_bytes()), out);
            }
            Self::ByteStrings(list) => write_array(oid::BYTEA, list.iter(), out),
        }
    }
}

/// Writes an array of one dimension of `bigint`, as `COPY` takes it too.
pub(crate) fn write_bigints(list: impl ExactSizeIterator<Item = i64>, out: &mut BytesMut) {
    write_array(oid::INT8, list.map(i64::to_be_bytes), out);
}

fn write_array(
    oid: u32,
    list: impl ExactSizeIterator<Item = impl AsRef<[u8]>>,
    out: &mut BytesMut,
) {
    let dimensions = i32::from(list.len() > 0);
    out.put_i32(dimensions);
    // No NULLs.
    out.put_i32(0);
    out.put_u32(oid);
    if dimensions == 0 {
        return;
    }
    // The least index of a dimension is 1.
    out.put_u32(length(list.len()));
    out.put_i32(1);
    for it in list {
        let bytes = it.as_ref();
        out.put_u32(length(bytes.len()));
        out.put_slice(bytes);
    }
}

/// A length on the wire. The host takes no batch with more; the server refuses a length that is no `int`.
pub(crate) fn length(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

/// A row of an answer.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    bytes: &'a [u8],
    columns: Vec<Option<Range<usize>>>,
}

// === impl Row ===

impl<'a> Row<'a> {
    pub(super) fn new(body: &'a DataRowBody) -> Result<Self, Failure> {
        let columns = body.ranges().collect().map_err(Failure::from)?;
        let bytes = body.buffer();
        Ok(Self { bytes, columns })
    }

    /// A column that may be NULL.
    pub(crate) fn optional(&self, column: usize) -> Result<Option<&'a [u8]>, Failure> {
        let Some(range) = self.columns.get(column) else {
            return Err(Failure::Lost(format!("a row has no column {column}")));
        };
        let range = range.as_ref();
        Ok(range.and_then(|range| self.bytes.get(range.clone())))
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<&'a [u8], Failure> {
        let bytes = self.optional(column)?;
        bytes.ok_or_else(|| Failure::Lost(format!("column {column} of a row is NULL")))
    }

    pub(crate) fn text(&self, column: usize) -> Result<String, Failure> {
        let text = String::from_utf8(self.bytes(column)?.to_vec());
        text.map_err(|_| Failure::data_loss("a text in the database is not UTF-8"))
    }

    pub(crate) fn bool(&self, column: usize) -> Result<bool, Failure> {
        self.array::<1>(column).map(|[byte]| byte != 0)
    }

    pub(crate) fn int2(&self, column: usize) -> Result<i16, Failure> {
        self.array(column).map(i16::from_be_bytes)
    }

    pub(crate) fn int4(&self, column: usize) -> Result<i32, Failure> {
        self.array(column).map(i32::from_be_bytes)
    }

    pub(crate) fn int8(&self, column: usize) -> Result<i64, Failure> {
        self.array(column).map(i64::from_be_bytes)
    }

    pub(crate) fn uuid(&self, column: usize) -> Result<u128, Failure> {
        self.array(column).map(u128::from_be_bytes)
    }

    fn array<const N: usize>(&self, column: usize) -> Result<[u8; N], Failure> {
        let bytes = self.bytes(column)?;
        bytes.try_into().map_err(|_| {
            let len = bytes.len();
            Failure::Lost(format!("column {column} has {len} bytes in place of {N}"))
        })
    }
}
