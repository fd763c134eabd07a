//! The facts of a span as it was sent, with its resource and scope, read only as far as a query asks.

use std::time::Instant;

use larder_model::storage::{Piece, SpanKind, StatusCode};
use larder_model::string_form;
use larder_model::terms::Level;
use larder_proto::otlp::{AnyValue, Attributes, Event, Link, Resource, Scope, Span, TracesData};
use larder_proto::wire;

use super::judge::Fault;
use super::predicate::{Collection, Leaf, Levels, Predicate, Subject, Verdict};

mod values;

/// A span with its resource and scope.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Full<'a> {
    pub(crate) resource: Resource<'a>,
    pub(crate) scope: Scope<'a>,
    pub(crate) span: Span<'a>,
    /// The schema URLs of the `ResourceSpans` and of the `ScopeSpans`.
    pub(crate) resource_schema_url: &'a [u8],
    pub(crate) scope_schema_url: &'a [u8],
}

/// A span to judge, and the time by which judging has to end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged<'a> {
    pub(crate) full: &'a Full<'a>,
    pub(crate) deadline: Instant,
}

/// The event and the link that the enclosing `some` leaves are at.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bound<'a> {
    event: Option<Event<'a>>,
    link: Option<Link<'a>>,
}

/// Calls `visit` for each span of an OTLP piece, in the order sent. Returns the number of spans.
///
/// # Errors
/// The error of `visit`; a piece that cannot be read, has no spans, or has a span of another trace.
pub(crate) fn each_span<'a>(
    piece: &'a Piece,
    mut visit: impl FnMut(&Full<'a>) -> Result<(), Fault>,
) -> Result<u64, Fault> {
    let trace_id = piece.trace_id.to_bytes();
    let mut spans = 0;
    for resource_spans in TracesData::new(&piece.bytes).resource_spans() {
        let resource_spans = resource_spans?;
        for scope_spans in resource_spans.scope_spans() {
            let scope_spans = scope_spans?;
            for span in scope_spans.spans() {
                let span = span?;
                if span.trace_id != trace_id {
                    return Err(Fault::Foreign);
                }
                spans += 1;
                visit(&Full {
                    resource: resource_spans.resource,
                    scope: scope_spans.scope,
                    span,
                    resource_schema_url: resource_spans.schema_url,
                    scope_schema_url: scope_spans.schema_url,
                })?;
            }
        }
    }
    if spans == 0 {
        return Err(Fault::Unreadable("it has no span".to_owned()));
    }
    Ok(spans)
}

// === impl Judged ===

impl<'a> Subject for Judged<'a> {
    type Bound = Bound<'a>;
    type Error = Fault;

    fn leaf(&self, leaf: &Leaf, bound: &Bound<'a>) -> Result<Verdict, Fault> {
        let full = self.full;
        let span = &full.span;
        Ok(Verdict::from(match leaf {
            Leaf::Service(service) => full.resource.service()? == service.as_bytes(),
            Leaf::SpanName(name) => span.listed_name() == name.as_bytes(),
            Leaf::Kind(kind) => SpanKind::from_wire(span.kind) == *kind,
            Leaf::Status(status) => StatusCode::from_wire(span.status_code) == *status,
            Leaf::Start(range) => range.contains(span.start_time_unix_nano.into()),
            Leaf::Duration(range) => range.contains(
                i128::from(span.end_time_unix_nano) - i128::from(span.start_time_unix_nano),
            ),
            Leaf::ScopeName(name) => full.scope.name == name.as_bytes(),
            Leaf::ScopeVersion(version) => full.scope.version == version.as_bytes(),
            Leaf::Attribute { levels, key, form } => {
                full.has_attribute(*levels, key.as_bytes(), form.as_bytes())?
            }
            Leaf::Exists(reference) => full.any(reference, bound, |_| Ok::<_, Fault>(true))?,
            Leaf::Compare(comparison) => {
                let right = match comparison.right.reference() {
                    Some(right) => full.values(right, bound)?,
                    None => Vec::new(),
                };
                full.any(&comparison.left, bound, |left| {
                    Ok::<_, Fault>(comparison.holds(&left, &right))
                })?
            }
            Leaf::In(reference, members) => full.any(reference, bound, |value| {
                Ok::<_, Fault>(members.contains(&value))
            })?,
            Leaf::Regex(reference, pattern) => full.any(reference, bound, |value| {
                Ok::<_, Fault>(value.matches(pattern, self.deadline)?)
            })?,
            Leaf::Words(reference, query) => full.any(reference, bound, |value| {
                Ok::<_, Fault>(value.has_words(query, self.deadline)?)
            })?,
        }))
    }

    fn some(
        &self,
        collection: Collection,
        predicate: &Predicate,
        bound: &Bound<'a>,
    ) -> Result<Verdict, Fault> {
        let mut verdict = Verdict::No;
        let mut each = |bound: Bound<'a>| {
            verdict = verdict.max(predicate.judge(self, &bound)?);
            Ok::<_, Fault>(verdict == Verdict::Yes)
        };
        match collection {
            Collection::Events => any(self.full.span.events(), |event| {
                each(Bound {
                    event: Some(event),
                    ..*bound
                })
            })?,
            Collection::Links => any(self.full.span.links(), |link| {
                each(Bound {
                    link: Some(link),
                    ..*bound
                })
            })?,
        };
        Ok(verdict)
    }
}

// === impl Full ===

impl Full<'_> {
    fn has_attribute(&self, levels: Levels, key: &[u8], form: &[u8]) -> Result<bool, wire::Error> {
        for level in levels.iter() {
            let found = match level {
                Level::Span => has(self.span.attributes(), key, form)?,
                Level::Resource => has(self.resource.attributes(), key, form)?,
                Level::Scope => has(self.scope.attributes(), key, form)?,
                Level::Event => any(self.span.events(), |event| {
                    has(event.attributes(), key, form)
                })?,
                Level::Link => any(self.span.links(), |link| has(link.attributes(), key, form))?,
            };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Returns `true` if the first attribute of this key has this string form. Jaeger also looks only at the first.
fn has(attributes: Attributes<'_>, key: &[u8], form: &[u8]) -> Result<bool, wire::Error> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.key == key {
            return Ok(has_form(attribute.value.as_ref(), form));
        }
    }
    Ok(false)
}

fn has_form(value: Option<&AnyValue<'_>>, form: &[u8]) -> bool {
    match value {
        None => form.is_empty(),
        Some(AnyValue::String(text)) => *text == form,
        Some(value) => {
            let mut own = Vec::new();
            string_form::write(value, &mut own);
            own == form
        }
    }
}

fn any<T, E: From<wire::Error>>(
    items: impl Iterator<Item = Result<T, wire::Error>>,
    mut test: impl FnMut(T) -> Result<bool, E>,
) -> Result<bool, E> {
    for item in items {
        if test(item?)? {
            return Ok(true);
        }
    }
    Ok(false)
}
