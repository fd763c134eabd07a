//! Pages of terms and pages of runs: written in order of terms, looked up by term, and read in order by merges.
//!
//! A page of terms begins with a mark for each 32nd term and its offset, so that a lookup reads only a part of the page.

use larder_plugin::Error;

use super::lists::{List, Run, decode};
use crate::codec::{Damaged, Input, put_varint, small};
use crate::frame::{self, Area, Kind};
use crate::limits::Shape;
use crate::store::{Objects, Writer};

/// Writes the pages of one segment.
#[derive(Debug)]
pub(crate) struct IndexWriter {
    writer: Writer,
    segment: u64,
    page_bytes: usize,
    /// Lists of more bytes are cut into runs.
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

/// The result of writing all pages of a segment, for its header.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The first term of every page of terms.
    pub(crate) fences: Vec<u32>,
    /// The number of pages of runs.
    pub(crate) runs_pages: u32,
}

/// Terms per mark.
const MARK_TERMS: usize = 32;

/// A page of terms, for lookups in ascending order.
#[derive(Debug)]
pub(crate) struct Terms<'a> {
    marks: &'a [[u8; 8]],
    entries: &'a [u8],
    /// The current mark and the cursor after it.
    at: Option<(usize, TermCursor<'a>)>,
}

/// A cursor at a term of a page.
#[derive(Clone, Copy, Debug)]
struct TermCursor<'a> {
    term: u32,
    /// Reads from the term's list on.
    input: Input<'a>,
    /// The number of terms left before the next mark.
    left: usize,
}

/// Checks that a page of terms is well formed, and that its terms and lists ascend. One without a payload is what a repair left.
pub(crate) fn check(payload: &[u8]) -> Result<(), Damaged> {
    if payload.is_empty() {
        return Ok(());
    }
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

/// The first and the last term of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outline {
    pub(crate) first: u32,
    pub(crate) last: u32,
    /// The number after that of the last page of runs that its lists refer to; 0 for none.
    pub(crate) runs_pages: u32,
}

/// Reads all of a page of terms.
pub(crate) fn outline(payload: &[u8]) -> Result<Outline, Damaged> {
    let mut input = Input::new(payload);
    let count = input.size()?;
    let marks = input.bytes(count.checked_mul(8).ok_or(Damaged)?)?;
    let first = Input::new(marks).u32()?;
    let (mut last, mut runs_pages) = (first, 0);
    while !input.is_empty() {
        last = last.checked_add(input.small()?).ok_or(Damaged)?;
        if let List::Long(runs) = List::parse(&mut input)? {
            let pages = runs.iter().map(|it| it.page.saturating_add(1)).max();
            runs_pages = runs_pages.max(pages.unwrap_or(0));
        }
    }
    Ok(Outline {
        first,
        last,
        runs_pages,
    })
}

// === impl Terms ===

impl<'a> Terms<'a> {
    /// Parses a page's payload.
    pub(crate) fn parse(payload: &'a [u8]) -> Result<Self, Damaged> {
        let mut input = Input::new(payload);
        let count = input.size()?;
        let (marks, _) = input
            .bytes(count.checked_mul(8).ok_or(Damaged)?)?
            .as_chunks();
        Ok(Self {
            marks,
            entries: input.rest(),
            at: None,
        })
    }

    /// Returns the list of a term, if the page has it. Terms must be looked up in ascending order; the first may precede the page.
    pub(crate) fn find(&mut self, term: u32) -> Result<Option<List<'a>>, Damaged> {
        let after = self
            .marks
            .partition_point(|it| mark(*it).is_ok_and(|(first, _)| first <= term));
        let Some(number) = after.checked_sub(1) else {
            return Ok(None);
        };
        let mut standing = match self.at {
            Some((at, standing)) if at == number => standing,
            _ => self.seek_mark(number)?,
        };
        while standing.term < term && standing.next()? {}
        self.at = Some((number, standing));
        if standing.term == term {
            return List::parse(&mut standing.input).map(Some);
        }
        Ok(None)
    }

    fn seek_mark(&self, number: usize) -> Result<TermCursor<'a>, Damaged> {
        let (term, offset) = mark(*self.marks.get(number).ok_or(Damaged)?)?;
        let mut input = Input::new(self.entries.get(offset as usize..).ok_or(Damaged)?);
        input.varint()?;
        Ok(TermCursor {
            term,
            input,
            left: MARK_TERMS - 1,
        })
    }
}

/// Decodes a mark: its term, and the offset of that term among the page's terms.
fn mark(bytes: [u8; 8]) -> Result<(u32, u32), Damaged> {
    let mut input = Input::new(&bytes);
    Ok((input.u32()?, input.u32()?))
}

// === impl TermCursor ===

impl TermCursor<'_> {
    /// Moves to the next term before the next mark; false if there is none.
    fn next(&mut self) -> Result<bool, Damaged> {
        let mut input = self.input;
        List::skip(&mut input)?;
        if self.left == 0 || input.is_empty() {
            return Ok(false);
        }
        self.left -= 1;
        self.term = self.term.wrapping_add(input.small()?);
        self.input = input;
        Ok(true)
    }
}

// === impl IndexWriter ===

impl IndexWriter {
    /// Starts the pages of this segment.
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

    /// Adds the next term, with a short list.
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

    /// Writes a run whose ordinals count from `chunk`.
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

    /// Puts the last pages.
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
        // The first term of a page is stored in its first mark.
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

    #[cold]
    #[inline(never)]
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

    #[cold]
    #[inline(never)]
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
