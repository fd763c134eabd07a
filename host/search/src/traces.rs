//! Whole traces as messages: no message empty or over the limit, a trace's messages one after the other (W6, W7).

use std::collections::HashSet;

use larder_model::storage::{Error, Part, Piece, TraceId};
use larder_proto::TracesBytes;
use larder_proto::storage::v2::GetTracesRequest;

use super::emit::Emitter;
use super::full;
use super::judge::Fault;
use super::mend::{self, Mended};
use super::reading::Reading;
use super::session::{Session, too_large};

/// How many traces to read in one series of calls.
const TRACES_A_READING: usize = 64;

/// A stream of messages. Holds a page of pieces and one message.
pub(crate) struct Traces {
    session: Session,
    source: Source,
    reading: Option<Reading>,
    pieces: std::vec::IntoIter<Piece>,
    /// The place of the last piece's trace in the list that was asked for.
    place: usize,
    open: Option<Open>,
}

/// Where the ids come from.
pub(crate) enum Source {
    /// A list.
    Asked(std::vec::IntoIter<TraceId>),
    /// A search.
    Found(Box<Emitter>),
}

/// The message that pieces are being joined to.
struct Open {
    trace: TraceId,
    bytes: Vec<u8>,
}

/// The ids that are asked for, each once (G2).
pub(crate) fn asked(request: GetTracesRequest) -> Source {
    let mut seen = HashSet::new();
    let ids = request
        .query
        .into_iter()
        .map(|query| TraceId::from_query(&query.trace_id));
    let ids: Vec<_> = ids.filter(|id| seen.insert(*id)).collect();
    Source::Asked(ids.into_iter())
}

// === impl Traces ===

impl Traces {
    /// The traces that `source` names, in its order.
    pub(crate) fn new(session: Session, source: Source) -> Self {
        Self {
            session,
            source,
            reading: None,
            pieces: Vec::new().into_iter(),
            place: 0,
            open: None,
        }
    }

    /// The next message; `None` at the end. Does no work, and uses up no time, between calls.
    pub(crate) async fn next(&mut self) -> Result<Option<TracesBytes>, Error> {
        self.session.budget.run();
        let message = self.work().await;
        self.session.budget.pause();
        message
    }

    async fn work(&mut self) -> Result<Option<TracesBytes>, Error> {
        loop {
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
                Source::Asked(ids) => ids.take(TRACES_A_READING).collect(),
                Source::Found(emitter) => emitter.next(&mut self.session, TRACES_A_READING).await?,
            };
            self.place = 0;
            self.reading = (!ids.is_empty()).then(|| Reading::traces(ids, Part::Otlp));
            // A trace never goes on in the next series.
            let last = self.open.take().map(Open::into_message);
            if last.is_some() || self.reading.is_none() {
                return Ok(last);
            }
        }
    }

    /// Joins a piece to the open message; gives that message if it is full, or its trace has ended.
    fn join(&mut self, mut piece: Piece) -> Result<Option<TracesBytes>, Error> {
        let mut ids_valid = true;
        full::each_span(&piece, |full| {
            ids_valid &= mend::ids_valid(&full.span)?;
            Ok(())
        })
        .map_err(|fault| fault.into_error(&self.session, &piece))?;
        if !ids_valid {
            self.mend(&mut piece)?;
        }
        let place = self.reading.as_ref().and_then(|r| r.place(piece.trace_id));
        if place < Some(self.place) {
            return Err(self
                .session
                .breach("read gave traces in another order than they were asked for"));
        }
        self.place = place.unwrap_or(self.place);
        let limit = self.session.limits().max_message_bytes;
        if piece.bytes.len() > limit {
            return Err(too_large("a part of a trace", limit));
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

    /// Takes out of a piece what Jaeger's client cannot decode.
    #[cold]
    fn mend(&self, piece: &mut Piece) -> Result<(), Error> {
        let limit = self.session.limits().max_message_bytes;
        let mend = |mark| {
            mend::mend(&piece.bytes, mark)
                .map_err(|error| Fault::from(error).into_error(&self.session, piece))
        };
        let mut mended = mend(true)?;
        if mended.bytes.len() > limit {
            // Without marks it is never longer than what is stored.
            mended = mend(false)?;
        }
        let Mended {
            bytes,
            without_parent,
            without_link,
        } = mended;
        self.session.budget.mended(without_parent, without_link);
        piece.bytes = bytes;
        Ok(())
    }
}

impl Open {
    fn into_message(self) -> TracesBytes {
        TracesBytes(self.bytes.into())
    }
}
