//! Summaries of the traces that a search finds, over all spans of each trace, from digests where these tell it (F1 to F3).

use std::cmp::Reverse;
use std::collections::VecDeque;

use hashbrown::HashMap;
use larder_model::digest::{self, Parent};
use larder_model::storage::{Error, Piece, StatusCode, TraceId};
use larder_proto::storage::v2::{FindTraceSummariesResponse, ServiceSummary, TraceSummary};
use prost::Message as _;

use super::cut::shorten_texts;
use super::emit::{Emitter, TRACES_AT_A_TIME};
use super::gather::{Gathered, Gatherer};
use super::judge::Fault;
use super::session::{Session, too_large};
use super::written::{Copies, Written, has_twins, likeness};

/// A stream of messages, each with as many summaries as fit.
pub(crate) struct Summaries {
    session: Session,
    emitter: Emitter,
    /// Traces whose digests are still to be read.
    gatherer: Gatherer,
    summarizer: Summarizer,
    /// Summaries of one batch of traces, as names can be large.
    ready: VecDeque<TraceSummary>,
}

/// Makes summaries; reuses its tables from one trace to the next.
#[derive(Default)]
struct Summarizer {
    /// The id and the likeness of each span.
    ids: Vec<(u64, u64)>,
    parents: Vec<u64>,
}

/// A summary in the making.
#[derive(Default)]
struct Totals<'a> {
    spans: u64,
    errors: u64,
    orphans: u64,
    range: Option<(u64, u64)>,
    root: Option<Root<'a>>,
    /// True if the root depends on the order in which its pieces were written.
    is_tie: bool,
    services: HashMap<&'a str, (u64, u64)>,
}

/// A span without a parent.
#[derive(Clone, Copy)]
struct Root<'a> {
    start: u64,
    service: &'a str,
    name: &'a str,
    /// The number of its piece.
    piece: usize,
}

// === impl Summaries ===

impl Summaries {
    /// Creates summaries of the traces that `emitter` finds, in its order.
    pub(crate) fn new(session: Session, emitter: Emitter) -> Self {
        Self {
            session,
            emitter,
            gatherer: Gatherer::new(),
            summarizer: Summarizer::default(),
            ready: VecDeque::new(),
        }
    }

    /// The next message; `None` at the end. Begins no work, and uses up no time, between calls.
    pub(crate) async fn next(&mut self) -> Result<Option<FindTraceSummariesResponse>, Error> {
        self.session.budget.run();
        let message = self.work().await;
        self.session.budget.pause();
        message
    }

    async fn work(&mut self) -> Result<Option<FindTraceSummariesResponse>, Error> {
        if self.ready.is_empty() && !self.search().await? {
            return Ok(None);
        }
        let mut message = self.message()?;
        // The token is in the last message, so look ahead for more summaries.
        if self.ready.is_empty() && !self.search().await? {
            let token = self.emitter.next_page(&mut self.session).await?;
            message.next_page_token = token.unwrap_or_default();
        }
        Ok(Some(message))
    }

    /// Makes more summaries ready. Returns `false` at the end.
    async fn search(&mut self) -> Result<bool, Error> {
        while self.ready.is_empty() {
            if let Some(gathered) = self.gatherer.next(&mut self.session).await? {
                self.gatherer.read_ahead(&self.session);
                self.summarize(&gathered).await?;
                continue;
            }
            let ids = self
                .emitter
                .next(&mut self.session, TRACES_AT_A_TIME)
                .await?;
            if ids.is_empty() {
                return Ok(false);
            }
            self.gatherer.extend(ids);
        }
        Ok(true)
    }

    async fn summarize(&mut self, gathered: &Gathered) -> Result<(), Error> {
        for (trace, pieces) in gathered.traces() {
            let (mut summary, is_open) =
                self.summarizer
                    .summary(&self.session, trace, pieces, None)?;
            if is_open {
                // Of roots that start together the first that was written counts, and a copy does not.
                let Written { pieces, copies } =
                    Written::read(&mut self.session, trace, pieces).await?;
                let copies = Some(&copies);
                (summary, _) = self
                    .summarizer
                    .summary(&self.session, trace, &pieces, copies)?;
            }
            self.ready.push_back(summary);
        }
        Ok(())
    }

    /// A message with as many of the ready summaries as fit.
    fn message(&mut self) -> Result<FindTraceSummariesResponse, Error> {
        let limit = self.session.limits().max_message_bytes;
        let mut message = FindTraceSummariesResponse::default();
        let mut bytes = 0;
        while let Some(mut summary) = self.ready.pop_front() {
            let cut = fit(&mut summary, limit);
            self.session.omission.cut_values(cut);
            bytes += summary.encoded_len() + FIELD;
            if bytes <= limit {
                message.summaries.push(summary);
            } else if message.summaries.is_empty() {
                return Err(too_large("the summary of a trace", limit));
            } else {
                self.ready.push_front(summary);
                break;
            }
        }
        Ok(message)
    }
}

// === impl Summarizer ===

impl Summarizer {
    /// The summary of a trace, and whether the digests do not tell it: its root depends on the order of the pieces, or spans may be copies.
    /// `copies` says which are, and that the pieces are in the order in which they were written.
    fn summary(
        &mut self,
        session: &Session,
        trace: TraceId,
        pieces: &[(usize, Piece)],
        copies: Option<&Copies>,
    ) -> Result<(TraceSummary, bool), Error> {
        let mut totals = Totals::default();
        self.ids.clear();
        self.parents.clear();
        for (number, (_, piece)) in pieces.iter().enumerate() {
            self.add(&mut totals, (number, piece), copies)
                .map_err(|fault| fault.into_error(session, piece))?;
        }
        let has_twins = has_twins(&mut self.ids);
        let is_here = |parent: &u64| self.ids.binary_search_by_key(parent, |(id, _)| *id).is_ok();
        totals.orphans += self
            .parents
            .iter()
            .filter(|parent| !is_here(parent))
            .count() as u64;
        let is_open = totals.is_tie || has_twins;
        Ok((totals.into_summary(trace), is_open))
    }

    fn add<'a>(
        &mut self,
        totals: &mut Totals<'a>,
        (number, piece): (usize, &'a Piece),
        copies: Option<&Copies>,
    ) -> Result<(), Fault> {
        for (place, span) in (0..).zip(digest::decode(&piece.bytes)?.spans()) {
            let span = span?;
            if copies.is_some_and(|copies| copies.contains(piece.fragment, place)) {
                continue;
            }
            let is_error = u64::from(span.status == StatusCode::Error);
            totals.spans += 1;
            totals.errors += is_error;
            let (start, end) = totals.range.get_or_insert((span.start, span.range_end()));
            *start = span.start.min(*start);
            *end = span.range_end().max(*end);
            let (spans, errors) = totals.services.entry(span.service).or_default();
            *spans += 1;
            *errors += is_error;
            let id = u64::from_be_bytes(span.span_id);
            self.ids.push((id, likeness(&span)));
            match parent(span.parent) {
                Parent::None => totals.root(Root {
                    start: span.start,
                    service: span.service,
                    name: span.name,
                    piece: number,
                }),
                Parent::Id(id) => self.parents.push(u64::from_be_bytes(id)),
                Parent::InvalidId => totals.orphans += 1,
            }
        }
        Ok(())
    }
}

/// The most bytes of a summary's field besides its content: a tag, and a length of at most five bytes.
const FIELD: usize = 6;

/// Makes a summary fit a message: cuts its longest names, and leaves out the services with the fewest spans. Returns the number of both.
fn fit(summary: &mut TraceSummary, limit: usize) -> usize {
    let total = summary.encoded_len() + FIELD;
    if total <= limit {
        return 0;
    }
    let root = [
        &mut summary.root_service_name,
        &mut summary.root_operation_name,
    ];
    let services = summary.services.iter_mut().map(|service| &mut service.name);
    let cut = shorten_texts(root.into_iter().chain(services), total, limit);
    let mut rest = summary.encoded_len() + FIELD;
    let before = summary.services.len();
    summary
        .services
        .sort_by_key(|service| Reverse(service.span_count));
    while rest > limit
        && let Some(service) = summary.services.pop()
    {
        rest -= service.encoded_len() + 2;
    }
    summary
        .services
        .sort_by(|one, other| one.name.cmp(&other.name));
    cut + before - summary.services.len()
}

/// A parent id of zeros alone is none, as for Jaeger.
pub(crate) fn parent(parent: Parent) -> Parent {
    match parent {
        Parent::Id([0, 0, 0, 0, 0, 0, 0, 0]) => Parent::None,
        other => other,
    }
}

// === impl Totals ===

impl<'a> Totals<'a> {
    /// Keeps the earliest root, and the first seen of those that start together (F2).
    fn root(&mut self, root: Root<'a>) {
        match &self.root {
            Some(first) if first.start < root.start => {}
            Some(first) if first.start == root.start => {
                let is_same = (first.service, first.name) == (root.service, root.name);
                self.is_tie |= first.piece != root.piece && !is_same;
            }
            _ => {
                self.root = Some(root);
                self.is_tie = false;
            }
        }
    }

    fn into_summary(self, trace: TraceId) -> TraceSummary {
        let (start, end) = self.range.unwrap_or_default();
        let (service, name) = self.root.map_or(("", ""), |root| (root.service, root.name));
        let mut services: Vec<_> = self.services.into_iter().collect();
        services.sort_unstable();
        TraceSummary {
            trace_id: trace.to_bytes().to_vec(),
            root_service_name: service.to_owned(),
            root_operation_name: name.to_owned(),
            min_start_time_unix_nano: start,
            max_end_time_unix_nano: end,
            span_count: count(self.spans),
            error_span_count: count(self.errors),
            orphan_span_count: count(self.orphans),
            services: services
                .into_iter()
                .map(|(name, (spans, errors))| ServiceSummary {
                    name: name.to_owned(),
                    span_count: count(spans),
                    error_span_count: count(errors),
                })
                .collect(),
        }
    }
}

/// Converts a count for the wire; a greater one than `i32::MAX` becomes `i32::MAX`.
fn count(count: u64) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
