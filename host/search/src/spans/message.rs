//! Messages of spans of any traces: neighbours share their resource and their scope where these are equal, byte for byte.

use larder_proto::TracesBytes;

use crate::parts::{Header, Parts, Span};
use crate::sanitize::push_field;

/// The most bytes of a field besides its content: a key of one byte, and a length of less than 32 bits.
const FIELD: usize = 6;

/// An encoded span with the headers of its resource and its scope: every other field of its `ResourceSpans` and its `ScopeSpans`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Alone {
    pub(crate) resource: Header,
    pub(crate) scope: Header,
    pub(crate) span: Vec<u8>,
}

/// Joins spans in the order given.
pub(crate) struct MessageBuilder {
    limit: usize,
    resources: Vec<OfResource>,
    /// Upper bound of the bytes of the message.
    bytes: usize,
}

struct OfResource {
    header: Header,
    scopes: Vec<OfScope>,
}

struct OfScope {
    header: Header,
    /// Fields with a span each.
    spans: Vec<u8>,
}

// === impl Alone ===

impl Alone {
    /// A span of a piece, whose headers it shares.
    pub(crate) fn of(parts: &Parts<'_>, span: Span<'_>) -> Self {
        let shared =
            |headers: &[Header], number: usize| headers.get(number).cloned().unwrap_or_default();
        Self {
            resource: shared(&parts.resources, span.resource),
            scope: shared(&parts.scopes, span.scope),
            span: span.raw.to_vec(),
        }
    }

    /// Upper bound of the bytes of a message with nothing else.
    pub(crate) fn len(&self) -> usize {
        self.resource.len() + self.scope.len() + self.span.len() + 3 * FIELD
    }
}

// === impl MessageBuilder ===

impl MessageBuilder {
    /// Begins a message of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            resources: Vec::new(),
            bytes: 0,
        }
    }

    /// Returns `true` if the message has no spans.
    pub(crate) fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Appends a span.
    ///
    /// # Errors
    /// The span, if it does not fit beside the others.
    pub(crate) fn push(&mut self, span: Alone) -> Result<(), Alone> {
        let Alone {
            resource,
            scope,
            span: raw,
        } = &span;
        let open = self
            .resources
            .last_mut()
            .filter(|last| last.header == *resource);
        let is_same_scope = open.as_ref().is_some_and(|open| {
            let last = open.scopes.last();
            last.is_some_and(|last| last.header == *scope)
        });
        let len = match (&open, is_same_scope) {
            (Some(_), true) => FIELD + raw.len(),
            (Some(_), false) => 2 * FIELD + scope.len() + raw.len(),
            (None, _) => span.len(),
        };
        if self.bytes > 0 && self.bytes + len > self.limit {
            return Err(span);
        }
        self.bytes += len;
        let mut spans = Vec::new();
        push_field(2, raw, &mut spans);
        let Alone {
            resource, scope, ..
        } = span;
        match open {
            Some(open) => match open.scopes.last_mut().filter(|_| is_same_scope) {
                Some(last) => last.spans.append(&mut spans),
                None => open.scopes.push(OfScope {
                    header: scope,
                    spans,
                }),
            },
            None => self.resources.push(OfResource {
                header: resource,
                scopes: vec![OfScope {
                    header: scope,
                    spans,
                }],
            }),
        }
        Ok(())
    }

    /// The message, and an empty one begins.
    pub(crate) fn finish(&mut self) -> TracesBytes {
        self.bytes = 0;
        let mut traces = Vec::new();
        for of_resource in self.resources.drain(..) {
            let mut resource_spans = of_resource.header.to_vec();
            for of_scope in of_resource.scopes {
                let mut scope_spans = of_scope.header.to_vec();
                scope_spans.extend(of_scope.spans);
                push_field(2, &scope_spans, &mut resource_spans);
            }
            push_field(1, &resource_spans, &mut traces);
        }
        TracesBytes(traces.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_proto::TracesBytes;

    use super::*;

    fn alone(resource: &str, scope: &str, span: &str) -> Alone {
        let field = |number, content: &str| {
            let mut bytes = Vec::new();
            push_field(number, content.as_bytes(), &mut bytes);
            bytes
        };
        Alone {
            resource: field(3, resource).into(),
            scope: field(3, scope).into(),
            span: field(5, span),
        }
    }

    fn parts(message: &TracesBytes) -> (usize, usize, Vec<Alone>) {
        let parts = Parts::read(&message.0).unwrap();
        let spans = parts.spans.iter();
        let spans = spans.map(|span| Alone::of(&parts, *span));
        (parts.resources.len(), parts.scopes.len(), spans.collect())
    }

    #[test]
    fn equal_neighbours_share_their_headers_and_nothing_is_moved() {
        let spans = [
            alone("a", "x", "1"),
            alone("a", "x", "2"),
            alone("a", "y", "3"),
            alone("b", "y", "4"),
            alone("a", "y", "5"),
        ];
        let mut builder = MessageBuilder::new(1000);
        for span in spans.clone() {
            builder.push(span).unwrap();
        }
        let (resources, scopes, found) = parts(&builder.finish());
        assert_eq!((resources, scopes), (3, 4));
        assert_eq!(found, spans);
        assert!(builder.is_empty());
    }

    #[test]
    fn a_message_is_never_over_its_limit_unless_one_span_is() {
        let text = "x".repeat(30);
        let mut builder = MessageBuilder::new(200);
        let mut messages = Vec::new();
        let spans: Vec<_> = (0..20)
            .map(|number| alone(if number % 3 == 0 { "a" } else { &text }, "s", &text))
            .collect();
        for span in spans.clone() {
            if let Err(span) = builder.push(span) {
                messages.push(builder.finish());
                builder.push(span).unwrap();
            }
        }
        messages.push(builder.finish());
        assert!(messages.iter().all(|message| message.0.len() <= 200));
        let found: Vec<_> = messages
            .iter()
            .flat_map(|message| parts(message).2)
            .collect();
        assert_eq!(found, spans);
        builder.push(alone("a", "s", &"x".repeat(500))).unwrap();
        assert!(builder.finish().0.len() > 500);
    }
}
