//! The spans that a search finds, one page of them, in the order asked for (`FindSpans`, RFC 0016).
//!
//! `order` is the order and its keys, `best` keeps the first spans of it, `finder` walks the storage for them, and `message` joins them
//! into messages.

mod best;
mod finder;
mod message;
mod order;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use hashbrown::{HashMap, HashSet};
use larder_model::storage::{Error, Part, Piece};
use larder_proto::otlp;
use larder_proto::storage::v2::FindSpansResponse;

use super::cut::{self, Fitted};
use super::judge::{Fault, Met};
use super::paging::{Page, SpanPosition};
use super::parts::{Parts, encode_one};
use super::plan::plan_in;
use super::query::SpanQuery;
use super::reading::Reading;
use super::sanitize;
use super::session::{Session, too_large};

pub(crate) use finder::Finder;
use message::{Alone, MessageBuilder};
pub(crate) use order::SpanOrder;

/// The number of spans that are read together at first, and the most. It grows while they are small, and falls where they are large.
const FIRST_AT_ONCE: usize = 32;
const MOST_AT_ONCE: usize = 4096;

/// Bytes of the spans read together, each piece's headers once, below which more are read the next time.
const FEW_BYTES: usize = 4 << 20;
/// Bytes above which fewer are read at once, unless it is one. What has been read is given up.
const MOST_BYTES: usize = 16 << 20;

/// Bytes of a message that are left free for its token.
const TOKEN_BYTES: usize = 256;

/// A stream of messages. Holds the keys of one page, the spans that are read together, and one message.
pub(crate) struct Spans {
    session: Session,
    /// The most bytes of the spans in a message.
    limit: usize,
    /// `None` once the keys of the page are known.
    finder: Option<Finder>,
    page: Page<SpanPosition>,
    /// The spans of the page that have not been read.
    positions: VecDeque<SpanPosition>,
    /// The token of the next page, which is in the last message.
    token: Option<String>,
    at_once: usize,
    /// Spans that have been read and are in no message.
    read: VecDeque<Alone>,
    message: MessageBuilder,
}

/// Spans of one piece.
#[derive(Default)]
struct Taken {
    /// Each wanted span by its number: one, or several where one is cut for its size.
    spans: Vec<(usize, Vec<Alone>)>,
    /// Bytes of the headers that they share.
    header_bytes: usize,
}

// === impl Spans ===

impl Spans {
    /// Plans a query, and creates a stream of the spans that match it. Makes no call yet.
    ///
    /// # Errors
    /// Over the budget.
    pub(crate) async fn plan(mut session: Session, query: SpanQuery) -> Result<Self, Error> {
        let plan = plan_in(&mut session, &query.predicate).await?;
        let limit = session.limits().max_message_bytes;
        let limit = limit.saturating_sub(TOKEN_BYTES);
        let (page, finder) = query.into_finder(plan);
        Ok(Self {
            session,
            limit,
            finder: Some(finder),
            page,
            positions: VecDeque::new(),
            token: None,
            at_once: FIRST_AT_ONCE,
            read: VecDeque::new(),
            message: MessageBuilder::new(limit),
        })
    }

    /// The next message; `None` at the end. Begins no work, and uses up no time, between calls.
    pub(crate) async fn next(&mut self) -> Result<Option<FindSpansResponse>, Error> {
        self.session.budget.run();
        let message = self.work().await;
        self.session.budget.pause();
        message
    }

    async fn work(&mut self) -> Result<Option<FindSpansResponse>, Error> {
        if let Some(finder) = self.finder.take() {
            self.find(finder).await?;
        }
        loop {
            while let Some(span) = self.read.pop_front() {
                if let Err(span) = self.message.push(span) {
                    self.read.push_front(span);
                    return Ok(Some(FindSpansResponse {
                        spans: Some(self.message.finish()),
                        next_page_token: String::new(),
                    }));
                }
            }
            if self.positions.is_empty() {
                break;
            }
            self.read_some().await?;
        }
        let token = self.token.take();
        if self.message.is_empty() && token.is_none() {
            return Ok(None);
        }
        Ok(Some(FindSpansResponse {
            spans: Some(self.message.finish()),
            next_page_token: token.unwrap_or_default(),
        }))
    }

    /// Finds the keys of the page, and whether there is a next one.
    async fn find(&mut self, finder: Finder) -> Result<(), Error> {
        let mut found = finder.find(&mut self.session).await?;
        if found.len() > self.page.size {
            found.truncate(self.page.size);
            let last = found.last().copied();
            self.token = last.and_then(|last| self.page.token(last));
            if self.token.is_none() && self.page.is_clamped() {
                let setting = "limits.max_search_depth";
                self.session.omission.omit("search_depth", None, setting);
            }
        }
        self.positions = found.into();
        Ok(())
    }

    /// Reads the next spans of the page. Those that retention has dropped since they were found are left out.
    async fn read_some(&mut self) -> Result<(), Error> {
        let count = self.at_once.min(self.positions.len());
        let wanted: Vec<_> = self.positions.drain(..count).collect();
        let mut of_fragment: HashMap<u64, Vec<usize>> = HashMap::new();
        for (number, position) in wanted.iter().enumerate() {
            of_fragment
                .entry(position.fragment)
                .or_default()
                .push(number);
        }
        let fragments = wanted.iter().map(|it| (it.fragment, it.trace));
        let mut reading = Reading::fragments(fragments, Part::Otlp);
        let mut read: Vec<Vec<Alone>> = vec![Vec::new(); wanted.len()];
        let mut bytes = 0;
        while let Some(pieces) = reading.next(&mut self.session).await? {
            for piece in pieces {
                let numbers = of_fragment.remove(&piece.fragment).unwrap_or_default();
                let of_piece = numbers
                    .into_iter()
                    .filter_map(|number| Some((number, wanted.get(number)?)));
                let taken = self.take(&piece, of_piece)?;
                bytes += taken.header_bytes;
                for (number, spans) in taken.spans {
                    bytes += spans.iter().map(|span| span.span.len()).sum::<usize>();
                    if let Some(read) = read.get_mut(number) {
                        *read = spans;
                    }
                }
                self.session.yield_if_due().await;
            }
            if bytes > MOST_BYTES && count > 1 {
                self.at_once = count / 2;
                for position in wanted.into_iter().rev() {
                    self.positions.push_front(position);
                }
                return Ok(());
            }
        }
        self.read.extend(read.into_iter().flatten());
        if bytes < FEW_BYTES {
            self.at_once = (self.at_once * 2).min(MOST_AT_ONCE);
        }
        Ok(())
    }

    /// Takes the wanted spans out of a piece.
    fn take<'w>(
        &self,
        piece: &Piece,
        wanted: impl Iterator<Item = (usize, &'w SpanPosition)>,
    ) -> Result<Taken, Error> {
        let fault = |error| Fault::from(error).into_error(&self.session, piece);
        let parts = Parts::read(&piece.bytes).map_err(fault)?;
        let are_headers_sound = sanitize::are_headers_sound(&piece.bytes).map_err(fault)?;
        let mut taken = Taken::default();
        let (mut resources, mut scopes) = (HashSet::new(), HashSet::new());
        for (number, position) in wanted {
            let place = usize::try_from(position.place).unwrap_or(usize::MAX);
            let span = parts
                .spans
                .get(place)
                .ok_or_else(|| self.other_spans(piece))?;
            let view = otlp::Span::parse(span.raw).map_err(fault)?;
            if view.trace_id != position.trace.to_bytes() {
                return Err(Fault::Foreign.into_error(&self.session, piece));
            }
            let met = Met::of(position.place, &view);
            let duration = i128::from(met.end) - i128::from(met.start);
            if (met.start, duration, met.id) != (position.start, position.duration, position.span) {
                return Err(self.other_spans(piece));
            }
            let is_sound = are_headers_sound && sanitize::is_span_sound(&view).map_err(fault)?;
            let alone = Alone::of(&parts, *span);
            if resources.insert(span.resource) {
                taken.header_bytes += alone.resource.len();
            }
            if scopes.insert(span.scope) {
                taken.header_bytes += alone.scope.len();
            }
            let spans = if is_sound && alone.len() <= self.limit {
                vec![alone]
            } else {
                self.fit(&alone, is_sound, piece)?
            };
            taken.spans.push((number, spans));
        }
        Ok(taken)
    }

    /// Removes or replaces what Jaeger's client cannot decode in a span, and cuts one that does not fit a message (W9).
    #[cold]
    fn fit(&self, alone: &Alone, is_sound: bool, piece: &Piece) -> Result<Vec<Alone>, Error> {
        let fault = |error| Fault::from(error).into_error(&self.session, piece);
        let limit = self.limit;
        let mut bytes = encode_one([&alone.resource, &alone.scope, &alone.span]);
        if !is_sound {
            let sanitized = sanitize::within(&bytes, limit, 0).map_err(fault)?;
            self.session.budget.sanitized(&sanitized);
            bytes = sanitized.bytes;
        }
        let messages = if bytes.len() > limit {
            let Fitted { messages, values } = cut::fit(&bytes, limit).map_err(fault)?;
            self.session.omission.cut_values(values);
            messages
        } else {
            vec![bytes]
        };
        let mut spans = Vec::new();
        for bytes in messages {
            if bytes.len() > limit {
                return Err(too_large("a span", limit));
            }
            let parts = Parts::read(&bytes).map_err(fault)?;
            spans.extend(parts.spans.iter().map(|span| Alone::of(&parts, *span)));
        }
        Ok(spans)
    }

    fn other_spans(&self, piece: &Piece) -> Error {
        let (fragment, trace) = (piece.fragment, piece.trace_id);
        self.session.breach(&format!(
            "the spans of fragment {fragment} of trace {trace} are not those of its digest"
        ))
    }
}
