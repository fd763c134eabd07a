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
    /// Returns `true` at the first value of the reference for which `test` does.
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

    /// Tests the first attribute of the key in each map of the level.
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
        match level {
            Level::Span => of(self.span.attributes()),
            Level::Resource => of(self.resource.attributes()),
            Level::Scope => of(self.scope.attributes()),
            Level::Event => self.any_event(bound, |event| of(event.attributes())),
            Level::Link => self.any_link(bound, |link| of(link.attributes())),
        }
    }

    fn any_of_field<E: From<wire::Error>>(
        &self,
        field: Field,
        bound: &Bound<'a>,
        mut test: impl FnMut(Value<'a>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        let span = &self.span;
        let start = i128::from(span.start_time_unix_nano);
        let end = i128::from(span.end_time_unix_nano);
        let value = match field {
            Field::SpanTraceId => Some(Value::id(span.trace_id)),
            Field::SpanId => Some(Value::id(span.span_id)),
            Field::SpanParentId => parent_id(span.parent_span_id),
            Field::SpanTraceState => present(span.trace_state),
            Field::SpanName => Some(text(span.listed_name())),
            Field::SpanKind => Some(text(kind_word(SpanKind::from_wire(span.kind)).as_bytes())),
            Field::SpanStatus => {
                let status = StatusCode::from_wire(span.status_code);
                Some(text(status_word(status).as_bytes()))
            }
            Field::SpanStatusMessage => present(span.status_message),
            Field::SpanStartTime => Some(Value::Int(start)),
            Field::SpanEndTime => Some(Value::Int(end)),
            Field::SpanDuration => Some(Value::Int(end - start)),
            Field::ResourceService => present(self.resource.service()?),
            Field::ResourceSchemaUrl => present(self.resource_schema_url),
            Field::ScopeName => present(self.scope.name),
            Field::ScopeVersion => present(self.scope.version),
            Field::ScopeSchemaUrl => present(self.scope_schema_url),
            Field::EventName => {
                return self.any_event(bound, |event| test(text(event.name)));
            }
            Field::EventTime => {
                return self
                    .any_event(bound, |event| test(Value::Int(event.time_unix_nano.into())));
            }
            Field::EventTimeSinceStart => {
                return self.any_event(bound, |event| {
                    test(Value::Int(i128::from(event.time_unix_nano) - start))
                });
            }
            Field::LinkTraceId => {
                return self.any_link(bound, |link| test(Value::id(link.trace_id)));
            }
            Field::LinkSpanId => {
                return self.any_link(bound, |link| test(Value::id(link.span_id)));
            }
            Field::LinkTraceState => {
                return self.any_link(bound, |link| {
                    present(link.trace_state).map_or(Ok(false), &mut test)
                });
            }
        };
        value.map_or(Ok(false), test)
    }

    /// Returns `true` if `test` does for the bound event, or, where none is bound, for one of the span's events.
    fn any_event<E: From<wire::Error>>(
        &self,
        bound: &Bound<'a>,
        mut test: impl FnMut(Event<'a>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        match bound.event {
            Some(event) => test(event),
            None => any(self.span.events(), test),
        }
    }

    /// Returns `true` if `test` does for the bound link, or, where none is bound, for one of the span's links.
    fn any_link<E: From<wire::Error>>(
        &self,
        bound: &Bound<'a>,
        mut test: impl FnMut(Link<'a>) -> Result<bool, E>,
    ) -> Result<bool, E> {
        match bound.link {
            Some(link) => test(link),
            None => any(self.span.links(), test),
        }
    }
}

/// The id of a parent; `None` if it is empty or eight zero bytes.
fn parent_id(id: &[u8]) -> Option<Value<'_>> {
    let is_there = id.iter().any(|byte| *byte != 0) || !matches!(id.len(), 0 | 8);
    is_there.then(|| Value::id(id))
}

fn text(bytes: &[u8]) -> Value<'_> {
    Value::Text(Cow::Borrowed(bytes))
}

/// A text; `None` if it is empty, as an empty one counts as absent.
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
