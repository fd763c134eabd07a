//! Pages of an answer (Jaeger's RFC 0014): a token holds the position from which the next page continues.
//!
//! Nothing is kept here between pages, so a token outlives a restart. A token is bound to what its query asks for, and not to the size
//! of its page. [`fingerprint`] says when two queries are the same, [`position`] where a page ends, and [`token`] how that is written.

use std::fmt;

use larder_model::storage::{Error, ErrorKind};
use larder_proto::storage::v2::{Pagination, SpanQueryParameters, TraceQueryParameters};

use super::Limits;

mod fingerprint;
mod position;
#[cfg(test)]
mod tests;
mod token;

pub(crate) use position::{Position, SpanPosition, TracePosition};

/// Maximum number of results on a page, which is Jaeger's; a greater `page_size` is clamped.
pub(crate) const MAX_PAGE: u32 = 10_000;

/// One page of an answer, whose results have positions `P`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page<P> {
    /// Maximum number of results on the page.
    pub(crate) size: usize,
    /// The last result of the page before; none for the first page.
    pub(crate) after: Option<P>,
    fingerprint: u64,
    /// True if the page ends with a token where more results follow (`grpc.pagination`).
    gives_tokens: bool,
    /// True if `limits.max_depth` makes the page smaller than asked for, and no token leads to the rest.
    is_clamped: bool,
}

/// Refuses a query for pages: whole traces come in messages that have no room for a token.
///
/// # Errors
/// `InvalidPagination` if the query asks for pages.
pub(crate) fn refuse(parameters: &TraceQueryParameters) -> Result<(), Error> {
    if parameters.pagination.is_none() {
        return Ok(());
    }
    Err(invalid(
        "FindTraces cannot be paginated: its response has no field to carry a continuation token; \
         page FindTraceIDs, and get the traces of each page",
    ))
}

fn invalid(why: impl fmt::Display) -> Error {
    Error::new(
        ErrorKind::InvalidPagination,
        format!("invalid pagination: {why}"),
    )
}

// === impl Page ===

impl Page<TracePosition> {
    /// The page of traces that the query asks for; `None` if it asks for none.
    ///
    /// # Errors
    /// `InvalidPagination` for no size, a `search_depth` beside it, or a token of something else; `UnsupportedPagination` for a token
    /// while tokens are off; `InvalidArgument` for a malformed time or duration.
    pub(crate) fn of(
        parameters: &TraceQueryParameters,
        limits: &Limits,
    ) -> Result<Option<Self>, Error> {
        let Some(pagination) = &parameters.pagination else {
            return Ok(None);
        };
        if parameters.search_depth != 0 {
            return Err(invalid("it cannot be combined with search depth"));
        }
        let fingerprint = fingerprint::of_traces(parameters)?;
        Self::asked(pagination, fingerprint, limits).map(Some)
    }
}

impl Page<SpanPosition> {
    /// The page of spans that the query asks for, in this effective ordering; without a `Pagination` the first page, of the default
    /// size. `ordering` is the same for orderings that are equal, however they are spelled.
    ///
    /// # Errors
    /// As [`Page::of`].
    pub(crate) fn of_spans(
        query: &SpanQueryParameters,
        ordering: &[u8],
        limits: &Limits,
    ) -> Result<Self, Error> {
        let fingerprint = fingerprint::of_spans(query, ordering)?;
        match &query.pagination {
            Some(pagination) => Self::asked(pagination, fingerprint, limits),
            None => Ok(Self::new(limits.default_depth, None, fingerprint, limits)),
        }
    }
}

impl<P: Position> Page<P> {
    /// The page that a `Pagination` beside a query of this fingerprint asks for.
    fn asked(pagination: &Pagination, fingerprint: u64, limits: &Limits) -> Result<Self, Error> {
        let Pagination {
            page_size,
            page_token,
        } = pagination;
        if *page_size == 0 {
            return Err(invalid(
                "page size is required whenever pagination is present",
            ));
        }
        let after = if page_token.is_empty() {
            None
        } else if limits.pagination {
            Some(token::read(page_token, fingerprint).map_err(invalid)?)
        } else {
            return Err(Error::new(
                ErrorKind::UnsupportedPagination,
                "this storage backend cannot resume a paginated search: set grpc.pagination: true",
            ));
        };
        Ok(Self::new(*page_size, after, fingerprint, limits))
    }

    /// A page of at most [`MAX_PAGE`] and at most `limits.max_depth` results. The lower of the two wins: the first is the bound that
    /// Jaeger sets, below which the operator may set a bound too.
    fn new(size: u32, after: Option<P>, fingerprint: u64, limits: &Limits) -> Self {
        let wanted = size.min(MAX_PAGE);
        let size = wanted.min(limits.max_depth);
        Self {
            size: usize::try_from(size).unwrap_or(usize::MAX),
            after,
            fingerprint,
            gives_tokens: limits.pagination,
            is_clamped: size < wanted && !limits.pagination,
        }
    }

    /// The token of the page that follows `last`; `None` while tokens are off.
    pub(crate) fn token(&self, last: P) -> Option<String> {
        self.gives_tokens
            .then(|| token::write(last, self.fingerprint))
    }

    /// Returns `true` if `limits.max_search_depth` makes the page smaller than asked for, and no token leads to the rest.
    pub(crate) fn is_clamped(&self) -> bool {
        self.is_clamped
    }
}
