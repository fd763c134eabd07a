//! A cursor over the terms of a segment, for merging.

use larder_plugin::Error;

use super::lists::{List, Run};
use crate::cache::Value;
use crate::codec::{Damaged, Input};
use crate::frame::{Area, Fault, Kind};
use crate::store::{Store, Writer, lost};

/// Iterates over the terms of a segment, page by page.
#[derive(Debug)]
pub(crate) struct Cursor {
    writer: Writer,
    segment: u64,
    pages: u64,
    next_page: u64,
    page: Option<Value>,
    /// Start and end of the current term's list in the page's payload; for a short list without its length.
    list: (usize, usize),
    is_short: bool,
    /// The current term; `None` at the end.
    pub(crate) term: Option<u32>,
    runs: Option<(u32, Value)>,
    /// Bytes read so far.
    pub(crate) bytes: usize,
}

// === impl Cursor ===

impl Cursor {
    /// Starts at the first term of a segment that has this many pages of terms.
    pub(crate) fn new(writer: &Writer, segment: u64, pages: usize) -> Result<Self, Error> {
        let mut cursor = Self {
            writer: writer.clone(),
            segment,
            pages: pages as u64,
            next_page: 0,
            page: None,
            list: (0, 0),
            is_short: false,
            term: None,
            runs: None,
            bytes: 0,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    /// Moves to the next term.
    #[inline]
    pub(crate) fn advance(&mut self) -> Result<(), Error> {
        loop {
            let payload = self.page.as_ref().map(Value::payload).unwrap_or_default();
            let mut input = Input::new(payload.get(self.list.1..).unwrap_or_default());
            if !input.is_empty() {
                return match next(&mut input, payload.len()) {
                    Ok((delta, list, is_short)) => {
                        self.term = self.term.map(|before| before.wrapping_add(delta));
                        (self.list, self.is_short) = (list, is_short);
                        Ok(())
                    }
                    Err(Damaged) => Err(self.lost(Kind::Terms, self.next_page - 1)),
                };
            }
            if self.next_page == self.pages {
                self.term = None;
                return Ok(());
            }
            self.load()?;
        }
    }

    fn load(&mut self) -> Result<(), Error> {
        let place = self.next_page;
        let area = Area::Index(self.segment);
        let page = Store::load(&self.writer, area, Kind::Terms, place)?;
        let payload = page.payload();
        if payload.is_empty() {
            return Err(replaced(Kind::Terms, place));
        }
        self.bytes += payload.len();
        let mut input = Input::new(payload);
        let marks = input
            .size()
            .and_then(|count| input.bytes(count.saturating_mul(8)));
        if marks.is_err() {
            return Err(self.lost(Kind::Terms, place));
        }
        let start = payload.len() - input.len();
        (self.list, self.next_page) = ((start, start), place + 1);
        // The first term of a page is stored in its first mark.
        let mut first = marks.map_or(Input::new(&[]), Input::new);
        self.term = first.u32().ok();
        self.page = Some(page);
        Ok(())
    }

    /// Returns the current term's list, if it is short.
    #[inline]
    pub(crate) fn short(&self) -> Option<&[u8]> {
        let payload = self.page.as_ref()?.payload();
        payload
            .get(self.list.0..self.list.1)
            .filter(|_| self.is_short)
    }

    /// Returns the runs of the current term's list, if it is long.
    pub(crate) fn long(&self) -> Result<Vec<Run>, Error> {
        let payload = self.page.as_ref().map(Value::payload).unwrap_or_default();
        let bytes = payload.get(self.list.0..self.list.1).unwrap_or_default();
        match List::parse(&mut Input::new(bytes)) {
            Ok(List::Long(runs)) => Ok(runs),
            _ => Err(self.lost(Kind::Terms, self.next_page - 1)),
        }
    }

    /// Returns a page of runs.
    pub(crate) fn runs(&mut self, page: u32) -> Result<Value, Error> {
        if let Some((number, value)) = &self.runs
            && *number == page
        {
            return Ok(value.clone());
        }
        let area = Area::Index(self.segment);
        let value = Store::load(&self.writer, area, Kind::Runs, u64::from(page))?;
        if value.payload().is_empty() {
            return Err(replaced(Kind::Runs, u64::from(page)));
        }
        self.bytes += value.payload().len();
        self.runs = Some((page, value.clone()));
        Ok(value)
    }

    /// Returns the error for a page that cannot be read.
    pub(crate) fn lost(&self, kind: Kind, place: u64) -> Error {
        let area = Area::Index(self.segment);
        lost(&self.writer, area, kind, place, Fault::Damaged)
    }
}

/// The error for a page that a repair replaced: its lists are not known, so they cannot be merged.
fn replaced(kind: Kind, place: u64) -> Error {
    Error::DataLoss(format!("page {kind:?} {place} was damaged and repaired"))
}

/// Reads the next term of a page: its difference from the term before, the range of its list, and true if that list is short.
/// `input` ends with the page, of `len` bytes.
#[inline]
fn next(input: &mut Input<'_>, len: usize) -> Result<(u32, (usize, usize), bool), Damaged> {
    let delta = input.small()?;
    let start = len - input.len();
    let bytes = input.size()?;
    if bytes > 0 {
        let start = len - input.len();
        input.bytes(bytes)?;
        return Ok((delta, (start, start + bytes), true));
    }
    List::skip_runs(input)?;
    Ok((delta, (start, len - input.len()), false))
}
