//! A series of `read` calls for one list of traces or fragments, checked page by page.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Error, Part, Piece, Pieces, TraceId, Wanted};

use super::beside::Ahead;
use super::session::Session;

/// Approximate bytes of pieces per page: few calls into the guest, and bounded memory.
const DIGEST_PAGE_BYTES: u32 = 4 << 20;
const OTLP_PAGE_BYTES: u32 = 2 << 20;

/// The rule that a plugin breaks whose sighting has a match that starts later than the sighting says.
pub(crate) const OLDER_THAN_ITS_MATCH: &str = "a sighting is older than a match that it stands for";

/// Reads the wanted pieces page by page.
pub(crate) struct Reading {
    wanted: Arc<Wanted>,
    part: Part,
    asked: Asked,
    seen: HashSet<u64>,
    resume: Option<Vec<u8>>,
    /// The next page.
    ahead: Option<Ahead<Pieces>>,
    ended: bool,
}

enum Asked {
    /// The position of each trace in the list.
    Traces(HashMap<TraceId, usize>),
    /// The trace that each fragment was sighted for.
    Fragments(HashMap<u64, TraceId>),
}

impl Reading {
    /// Reads whole traces. Each id may be given only once.
    pub(crate) fn traces(ids: Vec<TraceId>, part: Part) -> Self {
        let indices = ids.iter().enumerate().map(|(index, id)| (*id, index));
        let asked = Asked::Traces(indices.collect());
        Self::new(Wanted::Traces(ids), part, asked)
    }

    /// Reads fragments, each with the trace it was sighted for.
    pub(crate) fn fragments(sighted: impl IntoIterator<Item = (u64, TraceId)>, part: Part) -> Self {
        let asked: HashMap<_, _> = sighted.into_iter().collect();
        let mut fragments: Vec<_> = asked.keys().copied().collect();
        fragments.sort_unstable();
        Self::new(Wanted::Fragments(fragments), part, Asked::Fragments(asked))
    }

    fn new(wanted: Wanted, part: Part, asked: Asked) -> Self {
        let ended = match &asked {
            Asked::Traces(traces) => traces.is_empty(),
            Asked::Fragments(fragments) => fragments.is_empty(),
        };
        Self {
            wanted: Arc::new(wanted),
            part,
            asked,
            seen: HashSet::new(),
            resume: None,
            ahead: None,
            ended,
        }
    }

    /// The position of a trace in the list of ids.
    pub(crate) fn index(&self, trace: TraceId) -> Option<usize> {
        match &self.asked {
            Asked::Traces(indices) => indices.get(&trace).copied(),
            Asked::Fragments(_) => None,
        }
    }

    /// The next page; `None` at the end. Each fragment comes once, and only wanted ones come.
    pub(crate) async fn next(
        &mut self,
        session: &mut Session,
    ) -> Result<Option<Vec<Piece>>, Error> {
        if self.ended {
            return Ok(None);
        }
        let (resume, ahead) = (self.resume.as_deref(), self.ahead.take());
        let page = session
            .read(&self.wanted, self.part, resume, self.max_bytes(), ahead)
            .await?;
        if let Some(rule) = self.broken_rule(&page.pieces, page.resume.as_deref()) {
            return Err(session.breach(&rule));
        }
        self.ended = page.resume.is_none();
        self.resume = page.resume;
        if self.ended
            && let Asked::Fragments(traces) = &self.asked
        {
            let mut missing = traces.iter().filter(|(it, _)| !self.seen.contains(*it));
            if let Some((fragment, trace)) = missing.next() {
                let count = traces.len() - self.seen.len();
                session.not_read_back(count, (*fragment, *trace));
            }
        }
        Ok(Some(page.pieces))
    }

    /// Asks for the next page while the present one is used, if there is one and a processor is idle. Returns `true` if it is asked for.
    pub(crate) fn read_ahead(&mut self, session: &Session) -> bool {
        if !self.ended && self.ahead.is_none() {
            let (resume, max_bytes) = (self.resume.as_deref(), self.max_bytes());
            self.ahead = session.read_ahead(&self.wanted, self.part, resume, max_bytes);
        }
        self.ahead.is_some()
    }

    fn max_bytes(&self) -> u32 {
        match self.part {
            Part::Digest => DIGEST_PAGE_BYTES,
            Part::Otlp => OTLP_PAGE_BYTES,
        }
    }

    fn broken_rule(&mut self, pieces: &[Piece], resume: Option<&[u8]>) -> Option<String> {
        if resume.is_some() && pieces.is_empty() {
            return Some("read gave an empty page that is not the last".to_owned());
        }
        if resume.is_some() && resume == self.resume.as_deref() {
            return Some("read gave the resume it was called with".to_owned());
        }
        self.seen.reserve(pieces.len());
        pieces.iter().find_map(|piece| {
            let asked = match &self.asked {
                Asked::Traces(indices) => indices.contains_key(&piece.trace_id),
                Asked::Fragments(traces) => traces.get(&piece.fragment) == Some(&piece.trace_id),
            };
            if !asked {
                Some(format!(
                    "read gave fragment {} of trace {}, which was not asked for",
                    piece.fragment, piece.trace_id
                ))
            } else if !self.seen.insert(piece.fragment) {
                Some(format!("read gave fragment {} twice", piece.fragment))
            } else {
                None
            }
        })
    }
}
