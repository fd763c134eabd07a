//! The ids of the traces that a search finds, with the start and end of each whole trace (Q16).

use larder_model::digest;
use larder_model::storage::{Error, Piece};
use larder_proto::storage::v2::{FindTraceIDsResponse, FoundTraceId};
use prost::Message as _;

use super::emit::{Emitter, TRACES_AT_A_TIME};
use super::gather::Gatherer;
use super::judge::Fault;
use super::omission::MESSAGE;
use super::session::{Session, too_large};
use super::time::timestamp;

/// Finds the ids. The answer is one message: where it is full, the next page goes on, or without tokens the rest is left out.
pub(crate) async fn find(
    session: &mut Session,
    emitter: &mut Emitter,
) -> Result<FindTraceIDsResponse, Error> {
    let limit = session.limits().max_message_bytes;
    let mut answer = Vec::new();
    let mut bytes = 0;
    let mut last = None;
    loop {
        let ids = emitter.next(session, TRACES_AT_A_TIME).await?;
        if ids.is_empty() {
            return Ok(FindTraceIDsResponse {
                trace_ids: answer,
                next_page_token: emitter.next_page(session).await?.unwrap_or_default(),
            });
        }
        let mut gatherer = Gatherer::new();
        gatherer.extend(ids);
        while let Some(gathered) = gatherer.next(session).await? {
            gatherer.read_ahead(session);
            for (trace, pieces) in gathered.traces() {
                let mut range = None;
                for (_, piece) in pieces {
                    widen(&mut range, piece).map_err(|fault| fault.into_error(session, piece))?;
                }
                let found = FoundTraceId {
                    trace_id: trace.to_bytes().to_vec(),
                    start: range.map(|(start, _)| timestamp(start)),
                    end: range.map(|(_, end)| timestamp(end)),
                };
                bytes += found.encoded_len() + 8;
                if bytes > limit {
                    let Some(last) = last else {
                        return Err(too_large("a trace id", limit));
                    };
                    let next_page = emitter.page_after(last);
                    if next_page.is_none() {
                        session.omission.omit("trace_ids", None, MESSAGE);
                    }
                    return Ok(FindTraceIDsResponse {
                        trace_ids: answer,
                        next_page_token: next_page.unwrap_or_default(),
                    });
                }
                last = Some(trace);
                answer.push(found);
            }
        }
    }
}

/// Widens a range from the earliest start to the latest end by the spans of a piece.
fn widen(range: &mut Option<(u64, u64)>, piece: &Piece) -> Result<(), Fault> {
    for span in digest::decode(&piece.bytes)?.spans() {
        let span = span?;
        let (start, end) = range.get_or_insert((span.start, span.range_end()));
        *start = span.start.min(*start);
        *end = span.range_end().max(*end);
    }
    Ok(())
}
