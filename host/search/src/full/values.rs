//! The values that a filter's references have on a span (V2, V4, V5, V11, V14).

use std::borrow::Cow;

use larder_model::storage::{SpanKind, StatusCode};
use larder_model::terms::Level;
use larder_proto::otlp::{AnyValue, Attributes, Event, Link};
use larder_proto::wire;

use super::{Bound, Full, any};
use crate::filter::{Field, kind_word, status_word};
use crate::value::{Reference, Value};

impl<'a> Full<'a> {
    /// Whether `test` holds for a value of the reference; asks no more values than needed.
    pub(super) fn any<E: From<wire::Error>>(
        &self,
        reference: &Reference,
        bound: &Bound<'a>,
        mut test: impl FnMut(Value<'a>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        match reference {
            Reference::Error => {
                let status = StatusCode::from_wire(self.span.status_code);
                test(Value::Bool(status == StatusCode::Error))
            }
            Reference::Field(field) => self.any_of_field(*field, bound, test),
            Reference::Attribute { levels, key } => {
                for level in levels.iter() {
                    if self.any_at(level, key.as_bytes(), bound, &mut test)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
        }
    }

    /// All values of the reference.
    pub(super) fn values(
        &self,
        reference: &Reference,
        bound: &Bound<'a>,
    ) -> Result<Vec<Value<'a>>, wire::Error> {
        let mut values = Vec::new();
        self.any(reference, bound, |value| {
            values.push(value);
            Ok::<_, wire::Error>(false)
        })?;
        Ok(values)
    }

    /// The first attribute of the key, of each map that there is at the level.
    fn any_at<E: From<wire::Error>>(
        &self,
        level: Level,
        key: &[u8],
        bound: &Bound<'a>,
        test: &mut impl FnMut(Value<'a>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let mut of = |attributes| match first(attributes, key)? {
            Some(value) => test(value),
            None => Ok(false),
        };
        match (level, bound) {
            (Level::Span, _) => of(self.span.attributes()),
            (Level::Resource, _) => of(self.resource.attributes()),
            (Level::Scope, _) => of(self.scope.attributes()),
            (
                Level::Event,
                Bound {
                    event: Some(event), ..
                },
            ) => of(event.attributes()),
            (Level::Event, _) => any(self.span.events(), |event| of(event.attributes())),
            (
                Level::Link,
                Bound {
                    link: Some(link), ..
                },
            ) => of(link.attributes()),
            (Level::Link, _) => any(self.span.links(), |link| of(link.attributes())),
        }
    }

    fn any_of_field<E: From<wire::Error>>(
        &self,
        field: Field,
        bound: &Bound<'a>,
        mut test: impl FnMut(Value<'a>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let value = match field {
            Field::EventName | Field::EventTime | Field::EventTimeSinceStart => {
                let mut of = |event| test(self.of_event(field, &event));
                return match bound.event {
                    Some(event) => of(event),
                    None => any(self.span.events(), of),
                };
            }
            Field::LinkTraceId | Field::LinkSpanId | Field::LinkTraceState => {
                let mut of = |link| of_link(field, &link).map_or(Ok(false), &mut test);
                return match bound.link {
                    Some(link) => of(link),
                    None => any(self.span.links(), of),
                };
            }
            field => self.of_span(field)?,
        };
        value.map_or(Ok(false), test)
    }

    /// `None` where the field is absent.
    fn of_span(&self, field: Field) -> Result<Option<Value<'a>>, wire::Error> {
        let span = &self.span;
        let duration = i128::from(span.end_time_unix_nano) - i128::from(span.start_time_unix_nano);
        Ok(match field {
            Field::SpanTraceId => Some(Value::id(span.trace_id)),
            Field::SpanId => Some(Value::id(span.span_id)),
            Field::SpanParentId => {
                let is_there = span.parent_span_id.iter().any(|byte| *byte != 0)
                    || !matches!(span.parent_span_id.len(), 0 | 8);
                is_there.then(|| Value::id(span.parent_span_id))
            }
            Field::SpanTraceState => present(span.trace_state),
            Field::SpanName => Some(text(span.name)),
            Field::SpanKind => Some(text(kind_word(SpanKind::from_wire(span.kind)).as_bytes())),
            Field::SpanStatus => {
                let status = StatusCode::from_wire(span.status_code);
                Some(text(status_word(status).as_bytes()))
            }
            Field::SpanStatusMessage => present(span.status_message),
            Field::SpanStartTime => Some(Value::Int(span.start_time_unix_nano.into())),
            Field::SpanEndTime => Some(Value::Int(span.end_time_unix_nano.into())),
            Field::SpanDuration => Some(Value::Int(duration)),
            Field::ResourceService => present(self.resource.service()?),
            Field::ResourceSchemaUrl => present(self.resource_schema_url),
            Field::ScopeName => present(self.scope.name),
            Field::ScopeVersion => present(self.scope.version),
            Field::ScopeSchemaUrl => present(self.scope_schema_url),
            Field::EventName
            | Field::EventTime
            | Field::EventTimeSinceStart
            | Field::LinkTraceId
            | Field::LinkSpanId
            | Field::LinkTraceState => None,
        })
    }

    fn of_event(&self, field: Field, event: &Event<'a>) -> Value<'a> {
        let time = i128::from(event.time_unix_nano);
        match field {
            Field::EventTime => Value::Int(time),
            Field::EventTimeSinceStart => {
                Value::Int(time - i128::from(self.span.start_time_unix_nano))
            }
            _ => text(event.name),
        }
    }
}

fn of_link<'a>(field: Field, link: &Link<'a>) -> Option<Value<'a>> {
    match field {
        Field::LinkTraceId => Some(Value::id(link.trace_id)),
        Field::LinkSpanId => Some(Value::id(link.span_id)),
        _ => present(link.trace_state),
    }
}

fn text(bytes: &[u8]) -> Value<'_> {
    Value::Text(Cow::Borrowed(bytes))
}

/// Text that is absent where it is empty.
fn present(bytes: &[u8]) -> Option<Value<'_>> {
    (!bytes.is_empty()).then(|| text(bytes))
}

fn first<'a>(attributes: Attributes<'a>, key: &[u8]) -> Result<Option<Value<'a>>, wire::Error> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.key == key {
            return Ok(Some(match attribute.value {
                Some(AnyValue::String(value)) => text(value),
                Some(AnyValue::Bool(value)) => Value::Bool(value),
                Some(AnyValue::Int(value)) => Value::Int(value.into()),
                Some(AnyValue::Double(value)) => Value::Double(value),
                Some(AnyValue::Bytes(_) | AnyValue::Array(_) | AnyValue::KvList(_)) | None => {
                    Value::Opaque
                }
            }));
        }
    }
    Ok(None)
}
