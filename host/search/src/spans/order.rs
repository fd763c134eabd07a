//! The order of spans that a search asks for (RFC 0016), and the keys by which it sorts them.

use larder_model::storage::{Error, ErrorKind};
use larder_proto::expression::v1::expression::Term;
use larder_proto::storage::v2::SpanSortOrder;

use crate::filter::quote;
use crate::paging::SpanPosition;

/// The order of the spans of an answer: by each term in turn, then by the place where a span is stored.
///
/// It always has the start, the trace id and the span id, so only spans that are equal in all of them are ordered by their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SpanOrder(Vec<(SortField, Direction)>);

/// A field that spans can be sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SortField {
    StartTime,
    Duration,
    TraceId,
    SpanId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Ascending,
    Descending,
}

/// Bytes that sort as the order does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SortKey([u8; SORT_KEY_LEN]);

/// The start, the duration, the trace id, the span id, the fragment, and the place in it.
const SORT_KEY_LEN: usize = 8 + 16 + 16 + 8 + 8 + 4;

/// The level of the fields that spans can be sorted by.
const LEVEL: &str = "span";

// === impl SpanOrder ===

impl SpanOrder {
    /// The newest first, then by trace id and span id.
    const DEFAULT: [(SortField, Direction); 3] = [
        (SortField::StartTime, Direction::Descending),
        (SortField::TraceId, Direction::Ascending),
        (SortField::SpanId, Direction::Ascending),
    ];

    /// The order that the terms ask for, completed by those of the default order whose field they do not have.
    ///
    /// # Errors
    /// `InvalidOrdering` for the first term that is not well formed, in Jaeger's words.
    pub(crate) fn of(terms: &[SpanSortOrder]) -> Result<Self, Error> {
        let mut order = Vec::new();
        for (number, term) in terms.iter().enumerate() {
            let invalid = |why: &str| {
                Error::new(
                    ErrorKind::InvalidOrdering,
                    format!("invalid span ordering: {why}"),
                )
            };
            let expression = term.expression.as_ref();
            let Some(expression) = expression.and_then(|expression| expression.term.as_ref())
            else {
                return Err(invalid(&format!(
                    "cannot decode order_by[{number}]: it has no expression; name a field of the span"
                )));
            };
            let field = match expression {
                Term::Field(field) if field.level == LEVEL => field,
                _ => {
                    return Err(invalid(&format!(
                        "order_by[{number}] must reference a built-in span field"
                    )));
                }
            };
            let name = quote(&field.name);
            let Some(field) = SortField::named(&field.name) else {
                return Err(invalid(&format!(
                    "order_by[{number}] field {name} is unsupported"
                )));
            };
            if order.iter().any(|(earlier, _)| *earlier == field) {
                return Err(invalid(&format!("order_by[{number}] repeats field {name}")));
            }
            let Some(direction) = Direction::named(&term.direction) else {
                return Err(invalid(&format!(
                    "order_by[{number}] direction {} is unsupported",
                    quote(&term.direction)
                )));
            };
            order.push((field, direction));
        }
        for term in Self::DEFAULT {
            if order.iter().all(|(field, _)| *field != term.0) {
                order.push(term);
            }
        }
        Ok(Self(order))
    }

    /// The first term.
    pub(crate) fn first(&self) -> (SortField, Direction) {
        let [default, ..] = Self::DEFAULT;
        self.0.first().copied().unwrap_or(default)
    }

    /// Returns `true` if of two spans that are equal in the first term the later one comes first.
    pub(crate) fn is_newest_first_among_equals(&self) -> bool {
        self.0.get(1) == Some(&(SortField::StartTime, Direction::Descending))
    }

    /// The terms, in words, as a page token binds to them: equal for every spelling of one order.
    pub(crate) fn words(&self) -> String {
        let term = |(field, direction): &(SortField, Direction)| {
            format!("{} {}", field.word(), direction.word())
        };
        self.0.iter().map(term).collect::<Vec<_>>().join(", ")
    }

    /// The key of a span.
    pub(crate) fn key(&self, span: &SpanPosition) -> SortKey {
        let mut key = SortKey([0; SORT_KEY_LEN]);
        let mut end = 0;
        for (field, direction) in &self.0 {
            let start = end;
            end = match field {
                SortField::StartTime => key.write(start, &span.start.to_be_bytes()),
                SortField::Duration => {
                    // The sign's bit is flipped, so that negative ones sort first.
                    let sortable = span.duration ^ i128::MIN;
                    key.write(start, &sortable.to_be_bytes())
                }
                SortField::TraceId => key.write(start, &span.trace.to_bytes()),
                SortField::SpanId => key.write(start, &span.span),
            };
            if *direction == Direction::Descending {
                for byte in key.0.get_mut(start..end).unwrap_or_default() {
                    *byte = !*byte;
                }
            }
        }
        end = key.write(end, &span.fragment.to_be_bytes());
        key.write(end, &span.place.to_be_bytes());
        key
    }
}

// === impl SortKey ===

impl SortKey {
    /// Writes the bytes from this place on. Returns where they end.
    fn write(&mut self, start: usize, bytes: &[u8]) -> usize {
        let end = start + bytes.len();
        if let Some(at) = self.0.get_mut(start..end) {
            at.copy_from_slice(bytes);
        }
        end
    }
}

// === impl SortField ===

impl SortField {
    const ALL: [Self; 4] = [Self::StartTime, Self::Duration, Self::TraceId, Self::SpanId];

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|field| field.word() == name)
    }

    /// The name of the field.
    fn word(self) -> &'static str {
        match self {
            Self::StartTime => "startTime",
            Self::Duration => "duration",
            Self::TraceId => "traceID",
            Self::SpanId => "spanID",
        }
    }
}

// === impl Direction ===

impl Direction {
    fn named(name: &str) -> Option<Self> {
        match name {
            "" | "asc" => Some(Self::Ascending),
            "desc" => Some(Self::Descending),
            _ => None,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_model::storage::TraceId;
    use larder_proto::expression::v1 as proto;

    use super::*;

    fn by(level: &str, name: &str, direction: &str) -> SpanSortOrder {
        let field = proto::FieldReference {
            name: name.to_owned(),
            level: level.to_owned(),
        };
        SpanSortOrder {
            expression: Some(proto::Expression {
                term: Some(Term::Field(field)),
            }),
            direction: direction.to_owned(),
        }
    }

    fn words(terms: &[(&str, &str)]) -> String {
        let terms: Vec<_> = terms
            .iter()
            .map(|(name, direction)| by("span", name, direction))
            .collect();
        SpanOrder::of(&terms).unwrap().words()
    }

    #[test]
    fn what_is_not_given_follows_in_the_default_order() {
        let default = "startTime desc, traceID asc, spanID asc";
        assert_eq!(words(&[]), default);
        assert_eq!(words(&[("startTime", "desc")]), default);
        assert_eq!(
            words(&[("startTime", "desc"), ("traceID", "asc"), ("spanID", "")]),
            default
        );
        assert_eq!(
            words(&[("startTime", "")]),
            "startTime asc, traceID asc, spanID asc"
        );
        assert_eq!(
            words(&[("duration", "desc"), ("spanID", "desc")]),
            "duration desc, spanID desc, startTime desc, traceID asc"
        );
    }

    #[test]
    fn a_term_that_is_not_well_formed_is_refused_in_jaegers_words() {
        let start = by("span", "startTime", "desc");
        let attribute = proto::AttributeReference {
            key: "a".to_owned(),
            level: "span".to_owned(),
        };
        let attribute = SpanSortOrder {
            expression: Some(proto::Expression {
                term: Some(Term::Attr(attribute)),
            }),
            direction: "up".to_owned(),
        };
        for (term, text) in [
            (
                SpanSortOrder::default(),
                "cannot decode order_by[1]: it has no expression; name a field of the span",
            ),
            (
                attribute,
                "order_by[1] must reference a built-in span field",
            ),
            (
                by("resource", "service", ""),
                "order_by[1] must reference a built-in span field",
            ),
            (
                by("", "startTime", ""),
                "order_by[1] must reference a built-in span field",
            ),
            (
                by("span", "name", "ASC"),
                "order_by[1] field \"name\" is unsupported",
            ),
            (
                by("span", "startTime", "ASC"),
                "order_by[1] repeats field \"startTime\"",
            ),
            (
                by("span", "duration", "ASC"),
                "order_by[1] direction \"ASC\" is unsupported",
            ),
            (
                by("span", "duration", " desc"),
                "order_by[1] direction \" desc\" is unsupported",
            ),
        ] {
            let error = SpanOrder::of(&[start.clone(), term]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidOrdering);
            assert_eq!(error.message(), format!("invalid span ordering: {text}"));
        }
    }

    #[test]
    fn keys_sort_as_the_order_says() {
        let at = |start, duration, trace: u128, span: u64, place| SpanPosition {
            start,
            duration,
            trace: TraceId::from_span(&trace.to_be_bytes()).unwrap(),
            span: span.to_be_bytes(),
            fragment: 7,
            place,
        };
        let sorted = |terms: &[SpanSortOrder], spans: &[SpanPosition]| {
            let order = SpanOrder::of(terms).unwrap();
            spans.is_sorted_by_key(|span| order.key(span))
        };
        let by_duration = [
            at(1, -(1 << 64), 1, 1, 0),
            at(9, -1, 1, 1, 0),
            at(9, 0, 1, 1, 0),
            at(8, 0, 1, 1, 0),
            at(8, 1 << 63, 1, 1, 0),
            at(8, 1 << 63, 2, 1, 0),
            at(8, 1 << 63, 2, 2, 0),
            at(8, 1 << 63, 2, 2, 1),
        ];
        assert!(sorted(&[by("span", "duration", "asc")], &by_duration));
        let newest_first = [
            at(u64::MAX, 3, 5, 5, 1),
            at(2, 9, 1, 9, 0),
            at(2, 1, 2, 1, 0),
            at(2, 1, 2, 3, 0),
            at(0, 1, 1, 1, 0),
        ];
        assert!(sorted(&[], &newest_first));
        let spans_down = [
            at(1, 1, 9, u64::MAX, 0),
            at(2, 1, 1, 4, 0),
            at(1, 1, 1, 4, 0),
        ];
        assert!(sorted(&[by("span", "spanID", "desc")], &spans_down));
    }
}
