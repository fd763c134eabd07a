//! Merging: the indexes of adjacent segments become one, a step at a time. Only pages of terms and of runs are rewritten.

use std::rc::Rc;

use larder_plugin::Error;

use crate::bounds::Bounds;
use crate::cache::Value;
use crate::codec::{Damaged, put_varint};
use crate::frame::Kind;
use crate::index::{self, Cursor, IndexWriter, Run, last};
use crate::limits::Shape;
use crate::seal::put_header;
use crate::segment::{Header, Segment};
use crate::store::Writer;

/// A merge in progress. If the instance ends, the next one starts it again.
#[derive(Debug)]
pub(crate) struct Merge {
    /// The bucket of all segments.
    pub(crate) bucket: u64,
    /// The segments to merge, in the order written.
    pub(crate) sources: Vec<Segment>,
    /// The resulting segment.
    pub(crate) segment: Segment,
    headers: Vec<Rc<Header>>,
    inputs: Vec<Source>,
    output: Option<IndexWriter>,
    buffer: Vec<u8>,
}

#[derive(Debug)]
struct Source {
    cursor: Cursor,
    /// The number of chunks in the sources before it.
    chunks: u32,
}

/// The number of terms merged between two checks of a step's budget.
const TERMS_BETWEEN: u64 = 64;

/// One source's list of a term.
enum SourceList {
    /// The whole list, and the number to add to its first ordinal.
    Short(Vec<u8>, u32),
    /// A run, with the chunk from which it counts in the new segment.
    Run(Value, Run, u32),
}

/// Selects the segments of a bucket to merge next: `fan` adjacent ones of a level or, in a closed bucket, the last ones, until few
/// remain.
pub(crate) fn due(shape: &Shape, segments: &[Segment], closed: bool) -> Option<(usize, usize)> {
    let mut start = 0;
    for (at, segment) in segments.iter().enumerate() {
        if segments
            .get(start)
            .is_some_and(|it| it.level != segment.level)
        {
            start = at;
        }
        if at + 1 - start == shape.fan && segment.level < shape.levels {
            return Some((start, at + 1));
        }
    }
    let count = segments.len();
    if closed && count > shape.closed_segments {
        let most = (count + 1 - shape.closed_segments).max(2).min(shape.fan);
        return Some((count - most, count));
    }
    None
}

// === impl Merge ===

impl Merge {
    /// Starts a merge of adjacent segments of a bucket.
    pub(crate) fn new(
        writer: &Writer,
        shape: &Shape,
        number: u64,
        (bucket, sources, headers): (u64, Vec<Segment>, Vec<Rc<Header>>),
    ) -> Result<Self, Error> {
        let mut inputs = Vec::with_capacity(sources.len());
        let mut chunks = 0;
        let mut bounds = Bounds::NONE;
        for (source, header) in sources.iter().zip(&headers) {
            inputs.push(Source {
                cursor: Cursor::new(writer, source.number, header.fences.len())?,
                chunks,
            });
            chunks += header.chunks();
            bounds.join(&source.bounds);
        }
        let segment = Segment {
            number,
            level: sources.iter().map(|it| it.level).max().unwrap_or(0) + 1,
            first: sources.first().map_or(0, |it| it.first),
            end: sources.last().map_or(0, |it| it.end),
            bounds,
        };
        Ok(Self {
            bucket,
            sources,
            segment,
            headers,
            inputs,
            output: Some(IndexWriter::new(writer, number, shape)),
            buffer: Vec::new(),
        })
    }

    /// Continues until about `bytes` bytes have been read. Returns true once the new segment is complete.
    pub(crate) fn step(&mut self, writer: &Writer, bytes: usize) -> Result<bool, Error> {
        let read = |inputs: &[Source]| inputs.iter().map(|it| it.cursor.bytes).sum::<usize>();
        let until = read(&self.inputs) + bytes;
        for done in 1_u64.. {
            let (mut least, mut alone, mut place) = (u64::MAX, true, 0);
            for (at, input) in self.inputs.iter().enumerate() {
                let term = input.cursor.term.map_or(u64::MAX, u64::from);
                if term < least {
                    (least, alone, place) = (term, true, at);
                } else if term == least {
                    alone = false;
                }
            }
            let Ok(term) = u32::try_from(least) else {
                break;
            };
            let (Some(input), Some(output)) = (self.inputs.get_mut(place), &mut self.output) else {
                break;
            };
            if alone && input.copy_short(term, &mut self.buffer, output)? {
                input.cursor.advance()?;
            } else {
                self.merge_lists(term)?;
                for input in &mut self.inputs {
                    if input.cursor.term == Some(term) {
                        input.cursor.advance()?;
                    }
                }
            }
            if done.is_multiple_of(TERMS_BETWEEN) && read(&self.inputs) >= until {
                return Ok(false);
            }
        }
        if let Some(output) = self.output.take() {
            self.finish(writer, output)?;
        }
        Ok(true)
    }

    /// Merges the sources' lists of a term and writes the result.
    fn merge_lists(&mut self, term: u32) -> Result<(), Error> {
        let Some(output) = &mut self.output else {
            return Ok(());
        };
        let mut parts = Vec::new();
        let (mut bytes, mut long) = (0, false);
        for input in &mut self.inputs {
            if input.cursor.term == Some(term) {
                input.parts(&mut parts)?;
            }
        }
        for part in &parts {
            match part {
                SourceList::Short(list, _) => bytes += list.len() + 4,
                SourceList::Run(..) => long = true,
            }
        }
        let damaged = |_| Error::DataLoss(format!("the lists of term {term:08x} do not read"));
        self.buffer.clear();
        if !long && bytes <= output.run_bytes {
            let mut next = 0;
            for part in &parts {
                if let SourceList::Short(list, base) = part {
                    let last = append(list, *base, next, &mut self.buffer).map_err(damaged)?;
                    next = last.wrapping_add(1);
                }
            }
            return output.short(term, &self.buffer);
        }
        let mut runs = Vec::with_capacity(parts.len());
        for part in &parts {
            match part {
                SourceList::Short(list, base) => {
                    let first = first(list).map_err(damaged)?.saturating_add(*base);
                    let chunk = first >> index::CHUNK_BITS;
                    self.buffer.clear();
                    let from = chunk << index::CHUNK_BITS;
                    append(list, *base, from, &mut self.buffer).map_err(damaged)?;
                    runs.push(output.run(chunk, &self.buffer)?);
                }
                SourceList::Run(page, run, chunk) => {
                    let bytes = run.of(page.payload()).map_err(damaged)?;
                    runs.push(output.run(*chunk, bytes)?);
                }
            }
        }
        output.long(term, &runs)
    }

    fn finish(&mut self, writer: &Writer, output: IndexWriter) -> Result<(), Error> {
        let finished = output.finish()?;
        let mut header = Header {
            fences: finished.fences,
            runs_pages: finished.runs_pages,
            groups: Vec::new(),
        };
        for (input, source) in self.inputs.iter().zip(&self.headers) {
            for group in &source.groups {
                let mut group = group.clone();
                group.chunk += input.chunks;
                header.groups.push(group);
            }
        }
        put_header(writer, self.segment.number, &header)
    }
}

// === impl Source ===

impl Source {
    /// Pushes its list of the current term.
    fn parts(&mut self, parts: &mut Vec<SourceList>) -> Result<(), Error> {
        if let Some(list) = self.cursor.short() {
            parts.push(SourceList::Short(list.to_vec(), self.base()));
            return Ok(());
        }
        for run in self.cursor.long()? {
            let page = self.cursor.runs(run.page)?;
            if run.of(page.payload()).is_err() {
                return Err(self.cursor.lost(Kind::Runs, u64::from(run.page)));
            }
            let chunk = run.chunk.saturating_add(self.chunks);
            parts.push(SourceList::Run(page, run, chunk));
        }
        Ok(())
    }

    /// Copies its short list of a term that no other source has, which is the case for most terms.
    fn copy_short(
        &self,
        term: u32,
        buffer: &mut Vec<u8>,
        output: &mut IndexWriter,
    ) -> Result<bool, Error> {
        let Some(list) = self.cursor.short() else {
            return Ok(false);
        };
        if self.chunks == 0 {
            output.short(term, list)?;
            return Ok(true);
        }
        buffer.clear();
        let rest = append_first(list, self.base(), 0, buffer);
        rest.map_err(|_| self.cursor.lost(Kind::Terms, 0))?;
        // A longer varint for the first ordinal can make the list a few bytes longer than a short one may be.
        output.short(term, buffer)?;
        Ok(true)
    }

    fn base(&self) -> u32 {
        self.chunks << index::CHUNK_BITS
    }
}

/// Returns the first ordinal of a list.
fn first(list: &[u8]) -> Result<u32, Damaged> {
    crate::codec::Input::new(list).small()
}

/// Appends a list with `base - from` added to its first ordinal, and returns its last ordinal. The other bytes are copied.
fn append(list: &[u8], base: u32, from: u32, out: &mut Vec<u8>) -> Result<u32, Damaged> {
    let (first, rest) = append_first(list, base, from, out)?;
    if rest.is_empty() {
        return Ok(first);
    }
    last(rest, first.wrapping_add(1))
}

/// Like [`append`], but does not decode the list: returns the first ordinal and the rest of the list.
fn append_first<'a>(
    list: &'a [u8],
    base: u32,
    from: u32,
    out: &mut Vec<u8>,
) -> Result<(u32, &'a [u8]), Damaged> {
    let mut input = crate::codec::Input::new(list);
    let first = input.small()?.checked_add(base).ok_or(Damaged)?;
    put_varint(out, u64::from(first.checked_sub(from).ok_or(Damaged)?));
    out.extend_from_slice(input.rest());
    Ok((first, input.rest()))
}
