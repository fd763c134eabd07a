//! Calls that give pages, from the first to the last.

use std::collections::BTreeSet;

use super::subject::{Breach, Called, Subject};
use crate::{Error, Part, Piece, Search, Sighting, TraceId, Wanted};

/// More pages than any test reads: a plugin that never ends fails instead of hanging.
const MAX_PAGES: usize = 100_000;
/// A page may have so many times `max-bytes` besides its largest piece, as for the server.
const PAGE_FACTOR: usize = 2;
/// Longer lists and texts are cut in messages.
const SHOWN: usize = 8;
const SHOWN_CHARS: usize = 80;

/// The answer of a call that may not fail.
///
/// # Errors
/// A breach of `FUNCTION.error` for an error that the plugin raised.
pub fn answered<T>(function: &str, called: Called<T>) -> Result<T, Breach> {
    called?.map_err(|error| {
        let text = format!("`{function}` raised {}", raised(&error));
        Breach::new(format!("{function}.error"), text)
    })
}

/// The kind of an error in the contract's words, and its text.
pub fn raised(error: &Error) -> String {
    let (kind, text) = match error {
        Error::InvalidArgument(text) => ("invalid-argument", text),
        Error::ResourceExhausted(text) => ("resource-exhausted", text),
        Error::Unavailable(text) => ("unavailable", text),
        Error::DataLoss(text) => ("data-loss", text),
        Error::Other(text) => ("other", text),
    };
    format!("{kind}: {text}")
}

/// Returns all pieces, page by page, and checks each page.
///
/// # Errors
/// The rule that a page breaks.
pub fn read_all<S: Subject>(
    subject: &mut S,
    wanted: &Wanted,
    part: Part,
    max_bytes: u32,
) -> Result<Vec<Piece>, Breach> {
    let mut all = Vec::new();
    let mut seen = BTreeSet::new();
    let mut pages = Pages::new("read");
    loop {
        let page = subject.read(wanted, part, pages.resume(), max_bytes);
        let page = answered("read", page)?;
        let bytes = page.pieces.iter().map(|piece| piece.bytes.len());
        let (sum, largest) = (bytes.clone().sum::<usize>(), bytes.max().unwrap_or(0));
        let number = pages.number;
        if sum - largest > PAGE_FACTOR * max_bytes as usize {
            let text =
                format!("page {number} has {sum} bytes, where about {max_bytes} were asked for");
            return Err(Breach::new("read.size", text));
        }
        for piece in &page.pieces {
            if !seen.insert(piece.fragment) {
                let text = format!("page {number} has the handle {} again", piece.fragment);
                return Err(Breach::new("read.twice", text));
            }
        }
        let is_empty = page.pieces.is_empty();
        all.extend(page.pieces);
        if page.resume.is_some() && is_empty {
            let text = format!("page {number} has no piece, and yet a resume");
            return Err(Breach::new("read.progress", text));
        }
        if !pages.go_on(page.resume)? {
            return Ok(all);
        }
    }
}

/// Returns all sightings of a search, page by page. What they have to be is not checked: see [`Finding`](super::Finding).
///
/// # Errors
/// The rule that a page breaks.
pub fn find_all<S: Subject>(
    subject: &mut S,
    search: &Search,
    limit: u32,
) -> Result<Vec<Sighting>, Breach> {
    let mut all = Vec::new();
    let mut pages = Pages::new("find");
    loop {
        let page = answered("find", subject.find(search, pages.resume(), limit))?;
        all.extend(page.found);
        if !pages.go_on(page.resume)? {
            return Ok(all);
        }
    }
}

/// The place in a series of pages.
#[derive(Debug)]
pub(super) struct Pages {
    function: &'static str,
    /// Of the page that is asked for, from 1.
    pub(super) number: usize,
    resume: Option<Vec<u8>>,
    /// All that were given so far.
    resumes: BTreeSet<Vec<u8>>,
}

// === impl Pages ===

impl Pages {
    pub(super) fn new(function: &'static str) -> Self {
        Self {
            function,
            number: 1,
            resume: None,
            resumes: BTreeSet::new(),
        }
    }

    pub(super) fn resume(&self) -> Option<&[u8]> {
        self.resume.as_deref()
    }

    /// Goes on after a page with this resume. Returns false after the last one.
    pub(super) fn go_on(&mut self, resume: Option<Vec<u8>>) -> Result<bool, Breach> {
        let Some(next) = resume else {
            return Ok(false);
        };
        let Self {
            function, number, ..
        } = *self;
        if !self.resumes.insert(next.clone()) {
            let text =
                format!("page {number} of `{function}` gives a resume that an earlier page gave");
            return Err(Breach::new("resume.progress", text));
        }
        if number >= MAX_PAGES {
            let text = format!("`{function}` has given {MAX_PAGES} pages and no end");
            return Err(Breach::new(format!("{function}.end"), text));
        }
        self.resume = Some(next);
        self.number += 1;
        Ok(true)
    }
}

/// A trace in messages.
pub(super) fn this(id: TraceId) -> String {
    format!("trace {:x}", u128::from(id))
}

/// Traces in messages.
pub(super) fn these(ids: &[TraceId]) -> String {
    let ids = ids.iter().map(|it| format!("{:x}", u128::from(*it)));
    format!("the traces {}", listed(ids))
}

/// A list in messages, cut where it is long.
pub(super) fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    let more = items.len().saturating_sub(SHOWN);
    let mut texts: Vec<String> = items
        .take(SHOWN)
        .map(|it| {
            let cut = it.char_indices().nth(SHOWN_CHARS);
            cut.map_or_else(|| it.clone(), |(end, _)| format!("{}…", &it[..end]))
        })
        .collect();
    if more > 0 {
        texts.push(format!("and {more} more"));
    }
    format!("[{}]", texts.join(", "))
}
