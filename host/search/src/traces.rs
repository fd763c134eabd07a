//! Whole traces as messages. No message is empty or over the limit, and the messages of a trace follow each other (W6, W7).

use std::collections::{HashSet, VecDeque};

use larder_model::storage::{Error, Part, Piece, TraceId};
use larder_proto::TracesBytes;
use larder_proto::storage::v2::GetTracesRequest;

use super::cut::{self, Fitted};
use super::emit::Emitter;
use super::full;
use super::judge::Fault;
use super::reading::Reading;
use super::sanitize;
use super::session::{Session, too_large};

/// Number of traces to read in one series of calls.
const TRACES_A_READING: usize = 64;

/// A stream of messages. Holds a page of pieces and one message, or those of one piece.
pub(crate) struct Traces {
    session: Session,
    source: Source,
    reading: Option<Reading>,
    pieces: std::vec::IntoIter<Piece>,
    /// The index of the last piece's trace in the requested list.
    index: usize,
    open: Option<Open>,
    /// Messages that are complete.
    ready: VecDeque<TracesBytes>,
}

/// Source of the trace ids.
pub(crate) enum Source {
    /// The ids of a request.
    Requested(std::vec::IntoIter<TraceId>),
    /// A search.
    Found(Box<Emitter>),
}

/// The message to which pieces are appended.
struct Open {
    trace: TraceId,
    bytes: Vec<u8>,
}

/// The requested ids, without duplicates (G2).
pub(crate) fn requested(request: GetTracesRequest) -> Source {
    let mut seen = HashSet::new();
    let ids = request
        .query
        .into_iter()
        .map(|query| TraceId::from_query(&query.trace_id));
    let ids: Vec<_> = ids.filter(|id| seen.insert(*id)).collect();
    Source::Requested(ids.into_iter())
}

// === impl Traces ===

impl Traces {
    /// Creates a stream of the traces of `source`, in its order.
    pub(crate) fn new(session: Session, source: Source) -> Self {
        Self {
            session,
            source,
            reading: None,
            pieces: Vec::new().into_iter(),
            index: 0,
            open: None,
            ready: VecDeque::new(),
        }
    }

    /// The next message; `None` at the end. Begins no work, and uses up no time, between calls.
    pub(crate) async fn next(&mut self) -> Result<Option<TracesBytes>, Error> {
        self.session.budget.run();
        let message = self.work().await;
        self.session.budget.pause();
        message
    }

    async fn work(&mut self) -> Result<Option<TracesBytes>, Error> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            while let Some(piece) = self.pieces.next() {
                if let Some(full) = self.join(piece)? {
                    return Ok(Some(full));
                }
            }
            let page = match self.reading.as_mut() {
                Some(reading) => reading.next(&mut self.session).await?,
                None => None,
            };
            if let Some(page) = page {
                self.pieces = page.into_iter();
                continue;
            }
            let ids = match &mut self.source {
                Source::Requested(ids) => ids.take(TRACES_A_READING).collect(),
                Source::Found(emitter) => emitter.next(&mut self.session, TRACES_A_READING).await?,
            };
            self.index = 0;
            self.reading = (!ids.is_empty()).then(|| Reading::traces(ids, Part::Otlp));
            // A trace never goes on in the next series.
            let last = self.open.take().map(Open::into_message);
            if last.is_some() || self.reading.is_none() {
                return Ok(last);
            }
        }
    }

    /// Appends a piece to the open message. Returns that message if it is full or its trace has ended.
    fn join(&mut self, mut piece: Piece) -> Result<Option<TracesBytes>, Error> {
        let mut is_sound = true;
        full::each_span(&piece, |full| {
            is_sound = is_sound && sanitize::is_span_sound(&full.span)?;
            Ok(())
        })
        .map_err(|fault| fault.into_error(&self.session, &piece))?;
        let is_sound = is_sound
            && sanitize::are_headers_sound(&piece.bytes)
                .map_err(|error| Fault::from(error).into_error(&self.session, &piece))?;
        if !is_sound || piece.dropped_spans > 0 {
            self.sanitize(&mut piece)?;
        }
        let index = self.reading.as_ref().and_then(|r| r.index(piece.trace_id));
        if index < Some(self.index) {
            return Err(self
                .session
                .breach("read gave traces in another order than they were asked for"));
        }
        self.index = index.unwrap_or(self.index);
        let limit = self.session.limits().max_message_bytes;
        if piece.bytes.len() > limit {
            self.cut(&piece, limit)?;
            return Ok(self.ready.pop_front());
        }
        if let Some(open) = &mut self.open
            && open.trace == piece.trace_id
            && open.bytes.len() + piece.bytes.len() <= limit
        {
            open.bytes.extend_from_slice(&piece.bytes);
            return Ok(None);
        }
        let next = Open {
            trace: piece.trace_id,
            bytes: piece.bytes,
        };
        Ok(self.open.replace(next).map(Open::into_message))
    }

    /// Closes the open message, and makes messages of a piece that is larger than one. The last of them is open then.
    #[cold]
    fn cut(&mut self, piece: &Piece, limit: usize) -> Result<(), Error> {
        let Fitted { messages, values } = cut::fit(&piece.bytes, limit)
            .map_err(|error| Fault::from(error).into_error(&self.session, piece))?;
        self.session.omission.cut_values(values);
        for bytes in messages {
            if bytes.len() > limit {
                return Err(too_large("a span", limit));
            }
            let trace = piece.trace_id;
            let open = self.open.replace(Open { trace, bytes });
            self.ready.extend(open.map(Open::into_message));
        }
        Ok(())
    }

    /// Removes or replaces what Jaeger's client cannot decode in a piece, and marks a trace of which only the beginning is kept.
    #[cold]
    fn sanitize(&self, piece: &mut Piece) -> Result<(), Error> {
        let limit = self.session.limits().max_message_bytes;
        let sanitized = sanitize::within(&piece.bytes, limit, piece.dropped_spans)
            .map_err(|error| Fault::from(error).into_error(&self.session, piece))?;
        self.session.budget.sanitized(&sanitized);
        piece.bytes = sanitized.bytes;
        Ok(())
    }
}

impl Open {
    fn into_message(self) -> TracesBytes {
        TracesBytes(self.bytes.into())
    }
}
