//! Parses Jaeger's query: a predicate, a maximum number of traces, and a page of the answer.
//!
//! A window of start times combines with the legacy fields or with a filter (V15).

use larder_model::storage::{Error, ErrorKind};
use larder_proto::storage::v2::{KeyValue, SpanQueryParameters, TraceQueryParameters};

use super::paging::{Page, SpanPosition, TracePosition};
use super::plan::Plan;
use super::predicate::{Leaf, Predicate, Range};
use super::spans::{Finder, SpanOrder};
use super::time::{instant, length};
use super::{Limits, filter, legacy};

/// A parsed query.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Query {
    /// The predicate that one span of a matching trace satisfies.
    pub(crate) predicate: Predicate,
    /// Maximum number of traces.
    pub(crate) depth: usize,
    /// True if the query asks for more traces than the limit allows.
    pub(crate) is_clamped: bool,
    /// The page of the answer; `None` for an answer without pages.
    pub(crate) page: Option<Page<TracePosition>>,
}

impl Query {
    /// The last trace of the page before; none for the first page.
    pub(crate) fn after(&self) -> Option<TracePosition> {
        self.page.and_then(|page| page.after)
    }
}

/// Parses the parameters of a query.
///
/// # Errors
/// `InvalidArgument` for a malformed time or duration, `InvalidFilter` for a filter that is not well formed or is combined with a field it
/// replaces, and the errors of [`Page::of`].
pub(crate) fn query(mut parameters: TraceQueryParameters, limits: &Limits) -> Result<Query, Error> {
    let page = Page::of(&parameters, limits)?;
    let invalid = |text| Error::new(ErrorKind::InvalidFilter, text);
    let filter = parameters.filter.take().map(filter::predicate);
    let filter = filter.transpose().map_err(invalid)?;
    if filter.is_some() {
        refuse_other_fields(&parameters).map_err(invalid)?;
    }
    let (depth, is_clamped) = match page {
        Some(page) => (page.size, page.is_clamped()),
        None => depth(parameters.search_depth, limits),
    };
    let mut parts = Vec::new();
    // Parts that are cheap to judge come first.
    if let Some(starts) = range(
        instant("start_time_min", parameters.start_time_min.as_ref())?,
        instant("start_time_max", parameters.start_time_max.as_ref())?,
    ) {
        parts.push(Leaf::Start(starts).into());
    }
    if let Some(durations) = range(
        length("duration_min", parameters.duration_min.as_ref())?,
        length("duration_max", parameters.duration_max.as_ref())?,
    ) {
        parts.push(Leaf::Duration(durations).into());
    }
    parts.extend(legacy::fields(parameters));
    match filter {
        // One conjunction, so that the plan sees all parts together.
        Some(Predicate::And(more)) => parts.extend(more),
        Some(filter) => parts.push(filter),
        None => {}
    }
    Ok(Query {
        predicate: Predicate::And(parts),
        depth,
        is_clamped,
        page,
    })
}

/// A parsed search for spans.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SpanQuery {
    /// The predicate that a span satisfies.
    pub(crate) predicate: Predicate,
    pub(crate) order: SpanOrder,
    pub(crate) page: Page<SpanPosition>,
}

/// Parses the parameters of a search for spans.
///
/// # Errors
/// `InvalidArgument` without both bounds of the window, or for a malformed one; `InvalidFilter` for a filter that is not well formed;
/// `InvalidOrdering` for an order that is not; `InvalidPagination` for a page that there is not.
pub(crate) fn span_query(
    mut parameters: SpanQueryParameters,
    limits: &Limits,
) -> Result<SpanQuery, Error> {
    let invalid = |text: &str| Error::new(ErrorKind::InvalidArgument, text);
    let min = instant("start_time_min", parameters.start_time_min.as_ref())?;
    let max = instant("start_time_max", parameters.start_time_max.as_ref())?;
    let (Some(min), Some(max)) = (min, max) else {
        return Err(invalid("start_time_min and start_time_max are required"));
    };
    if min > max {
        return Err(invalid("start_time_min must be before start_time_max"));
    }
    let order = SpanOrder::of(&parameters.order_by)?;
    let page = Page::of_spans(&parameters, order.words().as_bytes(), limits)?;
    let mut parts = vec![Leaf::Start(Range { min, max }).into()];
    let filter = parameters.filter.take().map(filter::predicate).transpose();
    match filter.map_err(|text| Error::new(ErrorKind::InvalidFilter, text))? {
        // One conjunction, so that the plan sees all parts together.
        Some(Predicate::And(more)) => parts.extend(more),
        Some(filter) => parts.push(filter),
        None => {}
    }
    Ok(SpanQuery {
        predicate: Predicate::And(parts),
        order,
        page,
    })
}

impl SpanQuery {
    /// The page, and the finder of its spans by this plan, and of one more, which tells whether there is a next page.
    pub(crate) fn into_finder(self, plan: Option<Plan>) -> (Page<SpanPosition>, Finder) {
        let size = self.page.size.saturating_add(1);
        let after = self.page.after.as_ref();
        let finder = Finder::new(self.predicate, plan, self.order, after, size);
        (self.page, finder)
    }
}

/// Checks that no field is set that a filter replaces (`host/docs/rules.md`, "What stands beside a filter").
fn refuse_other_fields(parameters: &TraceQueryParameters) -> Result<(), String> {
    let is_zero = |duration: &Option<prost_types::Duration>| {
        duration.is_none_or(|duration| (duration.seconds, duration.nanos) == (0, 0))
    };
    let has_value = |attribute: &KeyValue| {
        let value = attribute.value.as_ref();
        value.is_some_and(|value| value.value.is_some())
    };
    let set = [
        ("service_name", !parameters.service_name.is_empty()),
        ("operation_name", !parameters.operation_name.is_empty()),
        ("duration_min", !is_zero(&parameters.duration_min)),
        ("duration_max", !is_zero(&parameters.duration_max)),
        ("attributes", parameters.attributes.iter().any(has_value)),
    ];
    let set: Vec<_> = set
        .iter()
        .filter(|field| field.1)
        .map(|field| field.0)
        .collect();
    if set.is_empty() {
        return Ok(());
    }
    Err(format!(
        "invalid query filter: it cannot be combined with [{}]; express those predicates in the filter instead",
        set.join(" ")
    ))
}

/// The number of traces: zero and less mean the default; more than the maximum is clamped (Q1), and the flag is set.
fn depth(asked: i32, limits: &Limits) -> (usize, bool) {
    let depth = match u32::try_from(asked) {
        Ok(asked) if asked > 0 => asked,
        _ => limits.default_depth,
    };
    let most = limits.max_depth;
    let clamped = usize::try_from(depth.min(most)).unwrap_or(usize::MAX);
    (clamped, depth > most)
}

fn range(min: Option<i128>, max: Option<i128>) -> Option<Range> {
    (min.is_some() || max.is_some()).then(|| Range {
        min: min.unwrap_or(Range::ALL.min),
        max: max.unwrap_or(Range::ALL.max),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_proto::expression::v1::Call;
    use prost_types::Duration;

    use super::*;
    use crate::testing::limits;

    #[test]
    fn the_depth_has_a_default_and_is_clamped() {
        for (asked, depth, is_clamped) in [
            (0, 100, false),
            (-1, 100, false),
            (1, 1, false),
            (1000, 1000, false),
            (i32::MAX, 1000, true),
        ] {
            let parameters = TraceQueryParameters {
                search_depth: asked,
                ..TraceQueryParameters::default()
            };
            let query = query(parameters, &limits()).unwrap();
            assert_eq!((query.depth, query.is_clamped), (depth, is_clamped));
        }
    }

    #[test]
    fn a_filter_that_is_not_well_formed_is_refused_as_such() {
        let parameters = TraceQueryParameters {
            filter: Some(Call::default()),
            ..TraceQueryParameters::default()
        };
        let error = query(parameters, &limits()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidFilter);
        assert_eq!(error.message(), "unknown filter operator \"\"");
    }

    #[test]
    fn a_malformed_time_is_refused_by_its_name() {
        let parameters = TraceQueryParameters {
            duration_max: Some(Duration {
                seconds: 1,
                nanos: -1,
            }),
            ..TraceQueryParameters::default()
        };
        let error = query(parameters, &limits()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("duration_max"), "{error}");
    }
}
