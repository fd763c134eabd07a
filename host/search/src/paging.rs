//! Pagination (Jaeger's RFC 0014): a token holds the position from which the next page continues.
//!
//! A token is base64url without padding of an encoded message: a version, a fingerprint of the query, and the last trace of the
//! page before with the start of its newest match. Nothing is kept here between pages.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use larder_model::storage::{Error, ErrorKind, TraceId};
use larder_proto::storage::v2::TraceQueryParameters;
use prost::Message;
use xxhash_rust::xxh3::xxh3_64;

use super::Limits;

const VERSION: u32 = 1;

/// Maximum bytes of a token.
const MAX_TOKEN: usize = 128;

/// Position of a trace in an answer: newest match first, then by id (Q2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    /// The start of its newest match.
    pub(crate) start: u64,
    pub(crate) trace: TraceId,
}

/// One page of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// Maximum number of traces on the page.
    pub(crate) size: usize,
    /// The last trace of the page before; none for the first page.
    pub(crate) after: Option<Position>,
    fingerprint: u64,
}

#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(fixed64, tag = "2")]
    fingerprint: u64,
    #[prost(fixed64, tag = "3")]
    start: u64,
    #[prost(bytes = "vec", tag = "4")]
    trace_id: Vec<u8>,
}

/// Refuses a query for pages: whole traces come in messages that have no room for a token.
///
/// # Errors
/// `InvalidPagination` if the query asks for pages.
pub(crate) fn refuse(parameters: &TraceQueryParameters) -> Result<(), Error> {
    if parameters.pagination.is_none() {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::InvalidPagination,
        "invalid pagination: FindTraces has no pages; page FindTraceIDs, and get the traces of each page",
    ))
}

// === impl Position ===

impl Position {
    /// Returns `true` if a trace with this newest match comes after the position.
    pub(crate) fn is_before(self, start: u64, trace: TraceId) -> bool {
        start < self.start || start == self.start && trace > self.trace
    }
}

// === impl Page ===

impl Page {
    /// The page that the query asks for; `None` if it asks for none.
    ///
    /// # Errors
    /// `Unsupported` while paging is off; `InvalidPagination` for no size, a `search_depth` beside it, or a token of something else.
    pub(crate) fn of(
        parameters: &TraceQueryParameters,
        limits: &Limits,
    ) -> Result<Option<Self>, Error> {
        let Some(asked) = &parameters.pagination else {
            return Ok(None);
        };
        let invalid = |why: &str| {
            Err(Error::new(
                ErrorKind::InvalidPagination,
                format!("invalid pagination: {why}"),
            ))
        };
        if !limits.pagination {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "pages of answers are off: set grpc.pagination: true",
            ));
        }
        if parameters.search_depth != 0 {
            return invalid("search_depth bounds an answer that has no pages; leave it out");
        }
        if asked.page_size == 0 {
            return invalid("page_size has to be at least 1");
        }
        let fingerprint = fingerprint(parameters);
        let after = if asked.page_token.is_empty() {
            None
        } else {
            match read(&asked.page_token) {
                Some((of, position)) if of == fingerprint => Some(position),
                Some(_) => return invalid("page_token belongs to another query"),
                None => return invalid("page_token is none that this server gave"),
            }
        };
        Ok(Some(Self {
            size: usize::try_from(asked.page_size.min(limits.max_depth)).unwrap_or(usize::MAX),
            after,
            fingerprint,
        }))
    }

    /// The token of the page that follows `last`.
    pub(crate) fn token(&self, last: Position) -> String {
        let token = Token {
            version: VERSION,
            fingerprint: self.fingerprint,
            start: last.start,
            trace_id: last.trace.to_bytes().to_vec(),
        };
        URL_SAFE_NO_PAD.encode(token.encode_to_vec())
    }
}

/// Decodes a token: the fingerprint of its query, and a position.
fn read(token: &str) -> Option<(u64, Position)> {
    if token.len() > MAX_TOKEN {
        return None;
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let token = Token::decode(bytes.as_slice()).ok()?;
    let position = Position {
        start: token.start,
        trace: TraceId::from_span(&token.trace_id)?,
    };
    (token.version == VERSION).then_some((token.fingerprint, position))
}

/// Hash of a query without its pagination: equal for all pages of one query.
fn fingerprint(parameters: &TraceQueryParameters) -> u64 {
    let query = TraceQueryParameters {
        pagination: None,
        ..parameters.clone()
    };
    xxh3_64(&query.encode_to_vec())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_proto::storage::v2::Pagination;

    use super::*;
    use crate::testing::limits;

    fn query(service: &str, page_size: u32, page_token: &str) -> TraceQueryParameters {
        TraceQueryParameters {
            service_name: service.to_owned(),
            pagination: Some(Pagination {
                page_size,
                page_token: page_token.to_owned(),
            }),
            ..TraceQueryParameters::default()
        }
    }

    fn refusal(query: &TraceQueryParameters) -> String {
        let error = Page::of(query, &limits()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidPagination);
        error.message().to_owned()
    }

    #[test]
    fn a_token_gives_back_its_position_to_its_own_query() {
        let first = Page::of(&query("s", 7, ""), &limits()).unwrap().unwrap();
        assert_eq!((first.size, first.after), (7, None));
        let last = Position {
            start: u64::MAX,
            trace: TraceId::from_span(&[7; 16]).unwrap(),
        };
        let token = first.token(last);
        let next = Page::of(&query("s", 3, &token), &limits())
            .unwrap()
            .unwrap();
        assert_eq!((next.size, next.after), (3, Some(last)));
        assert!(refusal(&query("t", 3, &token)).contains("another query"));
    }

    #[test]
    fn invalid_pages_are_refused() {
        for token in ["x", "AAAA", "====", &"A".repeat(4000), "CAIRAAAAAAAAAAA"] {
            assert!(refusal(&query("s", 1, token)).contains("none that this server gave"));
        }
        assert!(refusal(&query("s", 0, "")).contains("page_size"));
        let deep = TraceQueryParameters {
            search_depth: 5,
            ..query("s", 1, "")
        };
        assert!(refusal(&deep).contains("search_depth"));
    }

    #[test]
    fn pages_are_off_unless_they_are_turned_on() {
        let limits = Limits {
            pagination: false,
            ..limits()
        };
        let error = Page::of(&query("s", 1, ""), &limits).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.message().contains("grpc.pagination"), "{error}");
        assert_eq!(
            Page::of(&TraceQueryParameters::default(), &limits).unwrap(),
            None
        );
    }
}
