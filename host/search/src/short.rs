//! A span in its short form: the facts that a digest decides, without the span itself.

use std::borrow::Cow;
use std::time::Instant;

use larder_model::digest::{Parent, Span};
use larder_model::storage::{StatusCode, TraceId};

use super::budget::OutOfTime;
use super::filter::{Field, kind_word, status_word};
use super::predicate::{Collection, Leaf, Predicate, Subject, Verdict};
use super::value::{Reference, Value};

/// A span of a digest, with the id of its trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Short<'a> {
    pub(crate) trace_id: TraceId,
    pub(crate) span: Span<&'a str>,
    /// The time by which judging has to end.
    pub(crate) deadline: Instant,
}

/// Returns `true` if a digest decides the leaf.
pub(crate) fn is_in_digest(leaf: &Leaf) -> bool {
    match leaf {
        Leaf::Service(_)
        | Leaf::SpanName(_)
        | Leaf::Kind(_)
        | Leaf::Status(_)
        | Leaf::Start(_)
        | Leaf::Duration(_)
        // A digest keeps of a parent id with an invalid length only that there is one.
        | Leaf::Exists(Reference::Field(Field::SpanParentId)) => true,
        Leaf::ScopeName(_) | Leaf::ScopeVersion(_) | Leaf::Attribute { .. } => false,
        Leaf::Exists(reference)
        | Leaf::In(reference, _)
        | Leaf::Regex(reference, _)
        | Leaf::Words(reference, _) => is_kept(reference),
        Leaf::Compare(comparison) => {
            is_kept(&comparison.left) && comparison.right.reference().is_none_or(is_kept)
        }
    }
}

fn is_kept(reference: &Reference) -> bool {
    match reference {
        Reference::Error => true,
        Reference::Attribute { .. } => false,
        Reference::Field(field) => match field {
            Field::SpanTraceId
            | Field::SpanId
            | Field::SpanName
            | Field::SpanKind
            | Field::SpanStatus
            | Field::SpanStartTime
            | Field::SpanEndTime
            | Field::SpanDuration
            | Field::ResourceService => true,
            Field::SpanParentId
            | Field::SpanTraceState
            | Field::SpanStatusMessage
            | Field::ResourceSchemaUrl
            | Field::ScopeName
            | Field::ScopeVersion
            | Field::ScopeSchemaUrl
            | Field::EventName
            | Field::EventTime
            | Field::EventTimeSinceStart
            | Field::LinkTraceId
            | Field::LinkSpanId
            | Field::LinkTraceState => false,
        },
    }
}

impl Short<'_> {
    /// The value of a reference; `None` if the span has none, or if a digest does not keep it.
    fn value(&self, reference: &Reference) -> Option<Value<'_>> {
        match reference {
            Reference::Error => Some(Value::Bool(self.span.status == StatusCode::Error)),
            Reference::Field(field) => self.field(*field),
            Reference::Attribute { .. } => None,
        }
    }

    fn field(&self, field: Field) -> Option<Value<'_>> {
        let span = &self.span;
        let text = |text: &'static str| Value::Text(Cow::Borrowed(text.as_bytes()));
        Some(match field {
            Field::SpanTraceId => Value::id(&self.trace_id.to_bytes()),
            Field::SpanId => Value::id(&span.span_id),
            Field::SpanName => Value::Text(Cow::Borrowed(span.name.as_bytes())),
            Field::SpanKind => text(kind_word(span.kind)),
            Field::SpanStatus => text(status_word(span.status)),
            Field::SpanStartTime => Value::Int(span.start.into()),
            Field::SpanEndTime => Value::Int(span.end.into()),
            Field::SpanDuration => Value::Int(i128::from(span.end) - i128::from(span.start)),
            Field::ResourceService => {
                return (!span.service.is_empty())
                    .then_some(Value::Text(Cow::Borrowed(span.service.as_bytes())));
            }
            Field::SpanParentId
            | Field::SpanTraceState
            | Field::SpanStatusMessage
            | Field::ResourceSchemaUrl
            | Field::ScopeName
            | Field::ScopeVersion
            | Field::ScopeSchemaUrl
            | Field::EventName
            | Field::EventTime
            | Field::EventTimeSinceStart
            | Field::LinkTraceId
            | Field::LinkSpanId
            | Field::LinkTraceState => return None,
        })
    }
}

impl Subject for Short<'_> {
    type Bound = ();
    type Error = OutOfTime;

    fn leaf(&self, leaf: &Leaf, (): &()) -> Result<Verdict, OutOfTime> {
        if !is_in_digest(leaf) {
            return Ok(Verdict::Unknown);
        }
        let span = &self.span;
        let holds = match leaf {
            Leaf::Service(service) => span.service == service,
            Leaf::SpanName(name) => span.name == name,
            Leaf::Kind(kind) => span.kind == *kind,
            Leaf::Status(status) => span.status == *status,
            Leaf::Start(range) => range.contains(span.start.into()),
            Leaf::Duration(range) => range.contains(i128::from(span.end) - i128::from(span.start)),
            Leaf::ScopeName(_) | Leaf::ScopeVersion(_) | Leaf::Attribute { .. } => false,
            Leaf::Exists(Reference::Field(Field::SpanParentId)) => !matches!(
                span.parent,
                Parent::None | Parent::Id([0, 0, 0, 0, 0, 0, 0, 0])
            ),
            Leaf::Exists(reference) => self.value(reference).is_some(),
            Leaf::Compare(comparison) => {
                let left = self.value(&comparison.left);
                let right = comparison
                    .right
                    .reference()
                    .and_then(|right| self.value(right));
                left.is_some_and(|left| comparison.holds(&left, right.as_slice()))
            }
            Leaf::In(reference, members) => self
                .value(reference)
                .is_some_and(|value| members.contains(&value)),
            Leaf::Regex(reference, pattern) => match self.value(reference) {
                Some(value) => value.matches(pattern, self.deadline)?,
                None => false,
            },
            Leaf::Words(reference, query) => match self.value(reference) {
                Some(value) => value.has_words(query, self.deadline)?,
                None => false,
            },
        };
        Ok(holds.into())
    }

    fn some(&self, _: Collection, _: &Predicate, (): &()) -> Result<Verdict, OutOfTime> {
        Ok(Verdict::Unknown)
    }
}
