//! A simple model of ingest, on owned messages.

use std::collections::BTreeSet;

use larder_model::dictionary::Source;
use larder_model::digest::Parent;
use larder_model::storage::{SpanKind, StatusCode, Term, TraceId};
use larder_model::string_form;
use larder_model::terms::{self, AttributeKey, Level, Magnitude, NumberKey, TextField, WordKey};
use larder_model::words::words;
use larder_proto::otlp::{AnyValue, is_utf8, pdata};
use larder_proto::testing::mirror::{self, Value};
use larder_proto::wire::Fields;
use opentelemetry_proto::tonic::trace::v1 as otlp;
use prost::Message;

use crate::{Limits, Reason};

/// Whether a value is listed, by source, key and string form.
pub(super) type IsListed<'a> = &'a dyn Fn(Source, &[u8], &[u8]) -> bool;

/// What decides on the terms of attributes.
#[derive(Clone, Copy)]
pub(super) struct AttributeRules<'a> {
    /// Texts have the terms of their words.
    pub(super) word_terms: bool,
    /// `None` without a dictionary.
    pub(super) is_listed: Option<IsListed<'a>>,
}

/// A span with its headers, as sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    pub(super) resource_header: Vec<u8>,
    pub(super) scope_header: Vec<u8>,
    pub(super) span: Vec<u8>,
    /// True if it is in the old field, and its resource has others in the new one.
    pub(super) is_superseded: bool,
}

/// Splits a message into its header and the contents of its repeated fields 2, and `old` if there is such a field.
fn split(message: &[u8], old: Option<u32>) -> (Vec<u8>, Vec<&[u8]>, Vec<&[u8]>) {
    let (mut header, mut content, mut old_content) = (Vec::new(), Vec::new(), Vec::new());
    for field in Fields::new(message) {
        let field = field.unwrap();
        match field.number {
            2 => content.push(field.bytes().unwrap()),
            number if Some(number) == old => old_content.push(field.bytes().unwrap()),
            _ => header.extend_from_slice(field.raw),
        }
    }
    (header, content, old_content)
}

/// Every span of well-formed traces, in the order in which they are read.
pub(super) fn spans(traces: &[u8]) -> Vec<Sent> {
    let mut sent = Vec::new();
    for field in Fields::new(traces) {
        let field = field.unwrap();
        if field.number != 1 {
            continue;
        }
        let raw = field.bytes().unwrap();
        let (resource_header, scopes, old) = split(raw, Some(pdata::OLD_SCOPE_SPANS));
        let is_superseded = !scopes.is_empty();
        let old = old.into_iter().map(|scope| (scope, is_superseded));
        for (scope, is_superseded) in old.chain(scopes.into_iter().map(|scope| (scope, false))) {
            let (scope_header, spans, _) = split(scope, None);
            sent.extend(spans.into_iter().map(|span| Sent {
                resource_header: resource_header.clone(),
                scope_header: scope_header.clone(),
                span: span.to_vec(),
                is_superseded,
            }));
        }
    }
    sent
}

/// Number of the first of these fields whose length is neither 0 nor the given one.
fn invalid_length(message: &[u8], lengths: &[(u32, usize)]) -> Option<u32> {
    let fields = Fields::new(message).map(Result::unwrap);
    let mut invalid = fields.filter(|field| {
        let known = lengths.iter().find(|(number, _)| *number == field.number);
        known.is_some_and(|(_, length)| ![0, *length].contains(&field.bytes().unwrap().len()))
    });
    invalid.next().map(|field| field.number)
}

/// The messages that may hold a group.
#[derive(Clone, Copy)]
enum Kind {
    ResourceSpans,
    Resource,
    EntityRef,
    ScopeSpans,
    Scope,
    Span,
    Event,
    Link,
    Status,
    KeyValue,
    AnyValue,
    ArrayValue,
    KeyValueList,
}

/// Returns `true` if the message, or a message inside it, holds a group.
fn has_group(message: &[u8], at: Kind) -> bool {
    Fields::new(message).any(|field| {
        let field = field.unwrap();
        let inner = match (at, field.number) {
            (Kind::ResourceSpans, 1) => Kind::Resource,
            (Kind::ScopeSpans, 1) => Kind::Scope,
            (Kind::Resource, 3) => Kind::EntityRef,
            (Kind::Span, 11) => Kind::Event,
            (Kind::Span, 13) => Kind::Link,
            (Kind::Span, 15) => Kind::Status,
            (Kind::Resource | Kind::KeyValueList, 1)
            | (Kind::Scope | Kind::Event, 3)
            | (Kind::Span, 9)
            | (Kind::Link, 4) => Kind::KeyValue,
            (Kind::KeyValue, 2) | (Kind::ArrayValue, 1) => Kind::AnyValue,
            (Kind::AnyValue, 5) => Kind::ArrayValue,
            (Kind::AnyValue, 6) => Kind::KeyValueList,
            _ => return field.is_group(),
        };
        has_group(field.bytes().unwrap(), inner)
    })
}

impl Sent {
    pub(super) fn decode(&self) -> mirror::Span {
        mirror::Span::decode(&self.span[..]).unwrap()
    }

    pub(super) fn trace_id(&self) -> TraceId {
        TraceId::from_span(&self.decode().trace_id).unwrap()
    }

    fn resource(&self) -> mirror::Resource {
        let header = mirror::ResourceSpans::decode(&self.resource_header[..]).unwrap();
        header.resource.unwrap_or_default()
    }

    fn scope(&self) -> mirror::Scope {
        let header = mirror::ScopeSpans::decode(&self.scope_header[..]).unwrap();
        header.scope.unwrap_or_default()
    }

    pub(super) fn service(&self) -> Vec<u8> {
        let first = self
            .resource()
            .attributes
            .into_iter()
            .find(|attribute| attribute.key == b"service.name");
        let Some(first) = first else {
            return b"missing-service-name".to_vec();
        };
        match first.value.and_then(|value| value.value) {
            Some(Value::String(service)) if service.is_empty() => b"empty-service-name".to_vec(),
            Some(Value::String(service)) => service,
            _ => b"service-name-wrong-type".to_vec(),
        }
    }

    pub(super) fn name(&self) -> Vec<u8> {
        match self.decode().name {
            name if name.is_empty() => b"empty-span-name".to_vec(),
            name => name,
        }
    }

    /// The length of a `TracesData` with this span alone.
    pub(super) fn length_alone(&self) -> usize {
        let message = |length: usize| 1 + prost::length_delimiter_len(length) + length;
        let scope_spans = message(self.span.len()) + self.scope_header.len();
        message(message(scope_spans) + self.resource_header.len())
    }

    pub(super) fn refusal(&self, limits: &Limits) -> Option<Reason> {
        if self.is_superseded {
            return Some(Reason::Superseded);
        }
        let span = self.decode();
        if TraceId::from_span(&span.trace_id).is_none() {
            return Some(Reason::TraceId);
        }
        if span.span_id.len() != 8 || span.span_id == [0; 8] {
            return Some(Reason::SpanId);
        }
        match invalid_length(&self.span, &[(1, 16), (2, 8), (4, 8)]) {
            Some(1) => return Some(Reason::TraceId),
            Some(2) => return Some(Reason::SpanId),
            Some(_) => return Some(Reason::ParentSpanId),
            None => {}
        }
        let links = Fields::new(&self.span).map(Result::unwrap);
        let mut links = links.filter(|field| field.number == 13);
        if links.any(|link| invalid_length(link.bytes().unwrap(), &[(1, 16), (2, 8)]).is_some()) {
            return Some(Reason::LinkId);
        }
        // prost refuses a well-formed message only for its strings.
        if otlp::Span::decode(&self.span[..]).is_err()
            || otlp::ResourceSpans::decode(&self.resource_header[..]).is_err()
            || otlp::ScopeSpans::decode(&self.scope_header[..]).is_err()
        {
            return Some(Reason::Utf8);
        }
        if has_group(&self.span, Kind::Span)
            || has_group(&self.resource_header, Kind::ResourceSpans)
            || has_group(&self.scope_header, Kind::ScopeSpans)
        {
            return Some(Reason::Undecodable);
        }
        (self.length_alone() > limits.max_span_bytes).then_some(Reason::TooLarge)
    }

    pub(super) fn kind(&self) -> SpanKind {
        SpanKind::from_wire(u64::from(self.decode().kind.cast_unsigned()))
    }

    pub(super) fn status(&self) -> StatusCode {
        let code = self.decode().status.unwrap_or_default().code;
        StatusCode::from_wire(u64::from(code.cast_unsigned()))
    }

    pub(super) fn parent(&self) -> Parent {
        match &self.decode().parent_span_id[..] {
            [] => Parent::None,
            id => id.try_into().map_or(Parent::InvalidId, Parent::Id),
        }
    }

    /// The terms of the span.
    pub(super) fn terms(&self, rules: AttributeRules<'_>) -> BTreeSet<Term> {
        let (span, scope, service) = (self.decode(), self.scope(), self.service());
        let mut terms = BTreeSet::from([
            terms::service(&service),
            terms::span_name(&self.name()),
            terms::service_and_span_name(&service, &self.name()),
            terms::kind(self.kind()),
            terms::scope_name(&scope.name),
            terms::scope_version(&scope.version),
        ]);
        if self.status() == StatusCode::Error {
            terms.insert(terms::service_with_error(&service));
        }
        match rules.is_listed {
            None => {
                terms.insert(terms::status(self.status()));
            }
            Some(is_listed) => terms.extend(self.terms_of_listed_texts(is_listed)),
        }
        let mut add = |level, attributes: &[mirror::KeyValue]| {
            for attribute in attributes {
                terms.extend(attribute_terms(level, attribute, rules));
            }
        };
        add(Level::Span, &span.attributes);
        add(Level::Resource, &self.resource().attributes);
        add(Level::Scope, &scope.attributes);
        for event in &span.events {
            add(Level::Event, &event.attributes);
        }
        for link in &span.links {
            add(Level::Link, &link.attributes);
        }
        terms.extend(
            span.events
                .iter()
                .map(|event| terms::event_name(&event.name)),
        );
        terms.extend(
            span.links
                .iter()
                .map(|link| terms::link_trace_id(&link.trace_id)),
        );
        terms
    }

    /// The terms that a span has in a fragment with a dictionary, besides those of its attributes.
    fn terms_of_listed_texts(&self, is_listed: IsListed<'_>) -> Vec<Term> {
        let span = self.decode();
        let unlisted = |field: TextField, text: &[u8]| {
            let is_listed = is_listed(field.into(), b"", text);
            (!is_listed).then(|| terms::unlisted_text(field))
        };
        let mut terms = vec![
            terms::with_dictionary(),
            terms::status_with_listed_texts(self.status()),
        ];
        terms.extend(unlisted(TextField::SpanName, &self.name()));
        for event in &span.events {
            terms.extend(unlisted(TextField::EventName, &event.name));
        }
        let message = span.status.unwrap_or_default().message;
        if !message.is_empty() {
            let unlisted = unlisted(TextField::StatusMessage, &message);
            terms.push(unlisted.unwrap_or_else(|| terms::listed_status_message(&message)));
        }
        terms
    }
}

fn attribute_terms(
    level: Level,
    attribute: &mirror::KeyValue,
    rules: AttributeRules<'_>,
) -> Vec<Term> {
    assert!(is_utf8(&attribute.key));
    let key = AttributeKey::new(&attribute.key);
    let number = NumberKey::new(&attribute.key);
    let value = attribute.value.clone().unwrap_or_default();
    let magnitude = match value.value {
        Some(Value::Array(_) | Value::KvList(_)) => {
            return vec![match (rules.is_listed, rules.word_terms) {
                (Some(_), _) => terms::present_unlisted_without_words(level, &attribute.key),
                (None, true) => terms::present_with_words(level, &attribute.key),
                (None, false) => key.present(level),
            }];
        }
        Some(Value::Int(int)) => Some(Magnitude::of_int(int.into())),
        Some(Value::Double(double)) => Magnitude::of_double(double),
        Some(_) | None => None,
    };
    let mut form = Vec::new();
    if value.value.is_some() {
        let encoded = value.encode_to_vec();
        if let Some(value) = AnyValue::parse(&encoded).unwrap() {
            string_form::write(&value, &mut form);
        }
    }
    let is_listed = rules
        .is_listed
        .map(|it| it(level.into(), &attribute.key, &form));
    let mut terms = vec![key.with_value(level, &form)];
    if is_listed == Some(true) {
        terms.push(match magnitude {
            Some(_) => number.listed(level),
            None => terms::present_listed(level, &attribute.key),
        });
        return terms;
    }
    if rules.word_terms
        && let Some(Value::String(text)) = &value.value
    {
        let text = str::from_utf8(text).unwrap();
        terms.extend(terms_of_words(level, &attribute.key, text));
    }
    if let Some(magnitude) = magnitude {
        terms.push(number.present(level));
        terms.push(number.with_magnitude(level, magnitude));
        return terms;
    }
    terms.push(match (is_listed, rules.word_terms) {
        (None, true) => terms::present_with_words(level, &attribute.key),
        (None, false) => key.present(level),
        (Some(_), true) => terms::present_unlisted(level, &attribute.key),
        (Some(_), false) => terms::present_unlisted_without_words(level, &attribute.key),
    });
    terms
}

/// The terms of the words of a text, step by step as `wit/terms.md` has it.
fn terms_of_words(level: Level, key: &[u8], text: &str) -> Vec<Term> {
    let all: Vec<&str> = words(text).collect();
    let lower = text.to_ascii_lowercase();
    let mut capitalised = lower.clone();
    if lower.starts_with(|first: char| first.is_ascii_lowercase()) {
        capitalised.replace_range(..1, &lower[..1].to_ascii_uppercase());
    }
    let usual = [&lower, &text.to_ascii_uppercase(), &capitalised];
    if all == [text] && usual.iter().any(|usual| *usual == text) {
        return Vec::new();
    }

    let mut ends = (0..=text.len().min(4096)).rev();
    let beginning = ends.find_map(|end| text.get(..end)).unwrap();
    let mut distinct: Vec<String> = Vec::new();
    for word in words(beginning) {
        let mut word = word.to_ascii_lowercase();
        if word.len() > 4 && word.chars().all(|one| one.is_ascii_digit()) {
            word = word[word.len() - 4..].to_owned();
        }
        let is_common = match word.len() {
            1 => true,
            2 => word.chars().all(|one| one.is_ascii_digit()),
            _ => false,
        };
        if !is_common && !distinct.contains(&word) {
            distinct.push(word);
        }
    }
    let (long, listed): (Vec<_>, Vec<_>) = distinct.into_iter().partition(|word| word.len() > 64);
    let has_unlisted = text.len() > 4096 || !long.is_empty() || listed.len() > 64;
    let key_hash = WordKey::new(key);
    let listed = listed.iter().take(64);
    let mut terms: Vec<_> = listed
        .map(|word| key_hash.with_word(level, word.as_bytes()))
        .collect();
    terms.extend(has_unlisted.then(|| terms::unlisted_words(level, key)));
    terms
}
