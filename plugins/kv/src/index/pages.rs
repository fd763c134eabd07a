//! Pages of terms, and pages of runs: written in order of terms, looked up by term, and read through for merging.
//!
//! A page of terms begins with a mark for each 32nd term and where it is, so that a term is found without reading all of the page.

use larder_plugin::Error;

use super::lists::{List, Run, decode};
use crate::cache::Value;
use crate::codec::{Damaged, Input, put_varint, small};
use crate::frame::{self, Area, Kind};
use crate::limits::Shape;
use crate::store::{Objects, Store, Writer, lost};

/// Writes the pages of one segment.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    writer: Writer,
    segment: u64,
    page_bytes: usize,
    /// A list of more bytes is cut.
    pub(crate) run_bytes: usize,
    objects: Objects,
    entries: Vec<u8>,
    marks: Vec<(u32, u32)>,
    in_page: usize,
    last: u32,
    /// The first term of every page of terms.
    fences: Vec<u32>,
    runs: Vec<u8>,
    runs_page: u32,
}

/// What remains to be said of a segment whose pages are all written.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The first term of every page of terms.
    pub(crate) fences: Vec<u32>,
    /// How many pages of runs there are.
    pub(crate) runs_pages: u32,
}

/// How many terms there are from mark to mark.
const MARK_TERMS: usize = 32;

/// The list of a term, if the page has it. The page may begin after the term.
pub(crate) fn find(payload: &[u8], term: u32) -> Result<Option<List<'_>>, Damaged> {
    let mut input = Input::new(payload);
    let count = input.size()?;
    let marks = input.bytes(count.checked_mul(8).ok_or(Damaged)?)?;
    let (marks, _) = marks.as_chunks::<8>();
    let split = |mark: &[u8; 8]| -> Result<(u32, u32), Damaged> {
        let mut input = Input::new(mark);
        Ok((input.u32()?, input.u32()?))
    };
    let at = marks.partition_point(|mark| split(mark).is_ok_and(|(first, _)| first <= term));
    let Some(mark) = at.checked_sub(1).and_then(|at| marks.get(at)) else {
        return Ok(None);
    };
    let (mut current, offset) = split(mark)?;
    let mut entries = Input::new(input.rest().get(offset as usize..).ok_or(Damaged)?);
    entries.varint()?;
    for left in (0..MARK_TERMS).rev() {
        if current == term {
            return List::parse(&mut entries).map(Some);
        }
        if current > term {
            break;
        }
        List::skip(&mut entries)?;
        if entries.is_empty() || left == 0 {
            break;
        }
        current = current.wrapping_add(entries.small()?);
    }
    Ok(None)
}

/// Whether a page of terms reads to its end, and its terms and their lists ascend.
pub(crate) fn check(payload: &[u8]) -> Result<(), Damaged> {
    let mut input = Input::new(payload);
    let count = input.size()?;
    let marks = input.bytes(count.checked_mul(8).ok_or(Damaged)?)?;
    let mut term = Input::new(marks).u32()?;
    let mut terms = 0;
    while !input.is_empty() {
        let delta = input.small()?;
        if (delta == 0) != (terms == 0) {
            return Err(Damaged);
        }
        term = term.checked_add(delta).ok_or(Damaged)?;
        terms += 1;
        if let List::Short(list) = List::parse(&mut input)? {
            decode(list, 0, |_| ())?;
        }
    }
    if terms == 0_usize || terms.div_ceil(MARK_TERMS) != count {
        return Err(Damaged);
    }
    Ok(())
}

// === impl IndexWriter ===

impl IndexWriter {
    /// Of this segment.
    pub(crate) fn new(writer: &Writer, segment: u64, shape: &Shape) -> Self {
        Self {
            writer: writer.clone(),
            segment,
            page_bytes: shape.page,
            run_bytes: shape.run,
            objects: Objects::default(),
            entries: Vec::with_capacity(shape.page + shape.run),
            marks: Vec::new(),
            in_page: 0,
            last: 0,
            fences: Vec::new(),
            runs: Vec::with_capacity(shape.page + shape.run),
            runs_page: 0,
        }
    }

    /// Adds the next term, whose list is short.
    #[inline]
    pub(crate) fn short(&mut self, term: u32, list: &[u8]) -> Result<(), Error> {
        self.begin(term);
        List::put_short(list, &mut self.entries);
        self.ended()
    }

    /// Adds the next term, whose runs have been written.
    pub(crate) fn long(&mut self, term: u32, runs: &[Run]) -> Result<(), Error> {
        self.begin(term);
        List::put_long(runs, &mut self.entries);
        self.ended()
    }

    /// Writes a run; `chunk` is where it counts from.
    pub(crate) fn run(&mut self, chunk: u32, bytes: &[u8]) -> Result<Run, Error> {
        if !self.runs.is_empty() && self.runs.len() + bytes.len() > self.page_bytes {
            self.end_runs()?;
        }
        let run = Run {
            chunk,
            page: self.runs_page,
            offset: small(self.runs.len()),
            len: small(bytes.len()),
        };
        self.runs.extend_from_slice(bytes);
        Ok(run)
    }

    /// Puts what is left.
    pub(crate) fn finish(mut self) -> Result<Finished, Error> {
        if self.in_page > 0 {
            self.end_terms()?;
        }
        if !self.runs.is_empty() {
            self.end_runs()?;
        }
        self.objects.flush()?;
        Ok(Finished {
            fences: self.fences,
            runs_pages: self.runs_page,
        })
    }

    #[inline]
    fn begin(&mut self, term: u32) {
        if self.in_page == 0 {
            self.fences.push(term);
        }
        if self.in_page.is_multiple_of(MARK_TERMS) {
            self.marks.push((term, small(self.entries.len())));
        }
        // The first one of a page stands in its first mark.
        let before = if self.in_page == 0 { term } else { self.last };
        let delta = term.wrapping_sub(before);
        put_varint(&mut self.entries, u64::from(delta));
        self.last = term;
        self.in_page += 1;
    }

    #[inline]
    fn ended(&mut self) -> Result<(), Error> {
        if self.entries.len() >= self.page_bytes {
            self.end_terms()?;
        }
        Ok(())
    }

    fn end_terms(&mut self) -> Result<(), Error> {
        let number = self.fences.len() as u64 - 1;
        let mut value = Vec::with_capacity(self.entries.len() + self.marks.len() * 8 + 16);
        frame::begin(Kind::Terms, &mut value);
        put_varint(&mut value, self.marks.len() as u64);
        for (term, offset) in self.marks.drain(..) {
            value.extend_from_slice(&term.to_le_bytes());
            value.extend_from_slice(&offset.to_le_bytes());
        }
        value.extend_from_slice(&self.entries);
        self.entries.clear();
        self.in_page = 0;
        self.put(Kind::Terms, number, value)
    }

    fn end_runs(&mut self) -> Result<(), Error> {
        let number = u64::from(self.runs_page);
        let mut value = Vec::with_capacity(self.runs.len() + 16);
        frame::begin(Kind::Runs, &mut value);
        value.extend_from_slice(&self.runs);
        self.runs.clear();
        self.runs_page += 1;
        self.put(Kind::Runs, number, value)
    }

    fn put(&mut self, kind: Kind, number: u64, mut value: Vec<u8>) -> Result<(), Error> {
        let area = Area::Index(self.segment);
        frame::end(area, number, &mut value);
        self.objects.push(&self.writer, area, kind, number, value)
    }
}

/// Goes through the terms of a segment, page after page.
#[derive(Debug)]
pub(crate) struct Cursor {
    writer: Writer,
    segment: u64,
    pages: u64,
    next_page: u64,
    page: Option<Value>,
    /// Where the current term's list begins in the page's payload, and where it ends; the length before a short one is left out.
    list: (usize, usize),
    is_short: bool,
    /// The term at which it stands; none at the end.
    pub(crate) term: Option<u32>,
    runs: Option<(u32, Value)>,
    /// Bytes read so far.
    pub(crate) bytes: usize,
}

// === impl Cursor ===

impl Cursor {
    /// At the first term of a segment with so many pages of terms.
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

    /// Goes to the next term.
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
        // The first term of a page is told by its first mark.
        let mut first = marks.map_or(Input::new(&[]), Input::new);
        self.term = first.u32().ok();
        self.page = Some(page);
        Ok(())
    }

    /// The list of the current term, if it is short.
    #[inline]
    pub(crate) fn short(&self) -> Option<&[u8]> {
        let payload = self.page.as_ref()?.payload();
        payload
            .get(self.list.0..self.list.1)
            .filter(|_| self.is_short)
    }

    /// The runs of the current term's list, if it is long.
    pub(crate) fn long(&self) -> Result<Vec<Run>, Error> {
        let payload = self.page.as_ref().map(Value::payload).unwrap_or_default();
        let bytes = payload.get(self.list.0..self.list.1).unwrap_or_default();
        match List::parse(&mut Input::new(bytes)) {
            Ok(List::Long(runs)) => Ok(runs),
            _ => Err(self.lost(Kind::Terms, self.next_page - 1)),
        }
    }

    /// The page of runs with this number.
    pub(crate) fn runs(&mut self, page: u32) -> Result<Value, Error> {
        if let Some((number, value)) = &self.runs
            && *number == page
        {
            return Ok(value.clone());
        }
        let area = Area::Index(self.segment);
        let value = Store::load(&self.writer, area, Kind::Runs, u64::from(page))?;
        self.bytes += value.payload().len();
        self.runs = Some((page, value.clone()));
        Ok(value)
    }

    /// The error for a page that cannot be read.
    pub(crate) fn lost(&self, kind: Kind, place: u64) -> Error {
        let area = Area::Index(self.segment);
        lost(&self.writer, area, kind, place, frame::Fault::Damaged)
    }
}

/// How far the next term of a page is above the one before it, where its list is, and whether that is short. `input` ends with the
/// page, of `len` bytes.
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
