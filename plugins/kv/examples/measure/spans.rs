//! The spans of the benchmarks, as the fragments that the host makes of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ptr;

use larder_oracle::corpus::Corpus;
use larder_oracle::otlp::{SpanRef, spans_of};
use larder_oracle::{service, string_form};
use larder_plugin::terms::{self, Level, StatusCode};
use larder_plugin::testing::{FragmentBuilder, fragment};
use larder_plugin::{SpanKind, Term};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use prost::Message as _;
use prost::encoding::encode_varint;

/// Returns a fragment with its id for each trace of request number `index`.
pub(crate) fn fragments(corpus: &Corpus, index: u64) -> BTreeMap<u128, FragmentBuilder> {
    let (request, _) = corpus.message(index);
    let mut traces: BTreeMap<u128, Vec<SpanRef<'_>>> = BTreeMap::new();
    for one in spans_of(&request.resource_spans) {
        let id = u128::from_be_bytes(one.span.trace_id[..].try_into().unwrap());
        traces.entry(id).or_default().push(one);
    }
    let fragments = traces.iter();
    fragments
        .map(|(id, spans)| (*id, fragment_of(*id, spans)))
        .collect()
}

fn fragment_of(id: u128, spans: &[SpanRef<'_>]) -> FragmentBuilder {
    let starts = spans.iter().map(|one| one.span.start_time_unix_nano);
    let durations = spans.iter().map(|one| duration(*one));
    let mut all_terms = BTreeSet::new();
    for one in spans {
        add_terms(&mut all_terms, *one);
    }
    let mut built = fragment(id)
        .starts(starts.clone().min().unwrap(), starts.max().unwrap())
        .durations(durations.clone().min().unwrap(), durations.max().unwrap())
        .spans(u32::try_from(spans.len()).unwrap())
        .terms(all_terms)
        .digest(digest(spans))
        .otlp(otlp(spans));
    for one in spans {
        built = built.operation(service(*one), &one.span.name, kind(*one));
    }
    built
}

fn duration(one: SpanRef<'_>) -> u64 {
    one.span.end_time_unix_nano - one.span.start_time_unix_nano
}

fn kind(one: SpanRef<'_>) -> SpanKind {
    match one.span.kind {
        1 => SpanKind::Internal,
        2 => SpanKind::Server,
        3 => SpanKind::Client,
        4 => SpanKind::Producer,
        5 => SpanKind::Consumer,
        _ => SpanKind::Unspecified,
    }
}

fn add_terms(to: &mut BTreeSet<Term>, one: SpanRef<'_>) {
    let (service, name) = (service(one), &one.span.name);
    let scope = one.scope.scope.as_ref().unwrap();
    let failed = one.span.status.is_some();
    let status = if failed {
        StatusCode::Error
    } else {
        StatusCode::Unset
    };
    to.extend([
        terms::service(service),
        terms::span_name(name),
        terms::service_and_span_name(service, name),
        terms::kind(kind(one)),
        terms::status(status),
        terms::scope_name(&scope.name),
        terms::scope_version(&scope.version),
    ]);
    if failed {
        to.insert(terms::service_with_error(service));
    }
    let mut add = |level, attributes: &[KeyValue]| {
        for KeyValue { key, value, .. } in attributes {
            let form = string_form(value.as_ref().unwrap());
            to.insert(terms::attribute_present_with_words(level, key));
            to.insert(terms::attribute(level, key, &form));
            to.extend(words(&form).map(|word| terms::attribute_word(level, key, &word)));
        }
    };
    add(Level::Span, &one.span.attributes);
    add(Level::Scope, &scope.attributes);
    add(
        Level::Resource,
        &one.resource.resource.as_ref().unwrap().attributes,
    );
    for event in &one.span.events {
        add(Level::Event, &event.attributes);
    }
    for link in &one.span.links {
        add(Level::Link, &link.attributes);
    }
}

/// Returns the words of a value that have terms. Its texts are short and ASCII, and numbers and bools are single words.
fn words(text: &str) -> impl Iterator<Item = String> {
    let is_part = |one: char| one.is_ascii_alphanumeric();
    let is_word = text.chars().all(is_part);
    let words = text.split(move |one| !is_part(one));
    let has_term = move |word: &&str| {
        let is_number = word.bytes().all(|byte| byte.is_ascii_digit());
        !is_word && word.len() > 1 && (word.len() > 2 || !is_number)
    };
    words.filter(has_term).map(str::to_ascii_lowercase)
}

/// Encodes the spans. Adjacent spans share their resource and scope where these are equal.
fn otlp(spans: &[SpanRef<'_>]) -> Vec<u8> {
    let mut resource_spans: Vec<ResourceSpans> = Vec::new();
    let mut before: Option<SpanRef<'_>> = None;
    for one in spans {
        let mut alone = one.alone();
        let shared = before.filter(|before| ptr::eq(before.resource, one.resource));
        match (shared, resource_spans.last_mut()) {
            (Some(before), Some(open)) if ptr::eq(before.scope, one.scope) => {
                let scope = open.scope_spans.last_mut().unwrap();
                scope.spans.push(one.span.clone());
            }
            (Some(_), Some(open)) => open.scope_spans.append(&mut alone.scope_spans),
            _ => resource_spans.push(alone),
        }
        before = Some(*one);
    }
    TracesData { resource_spans }.encode_to_vec()
}

/// Encodes a digest with the layout of `larder_model::digest`.
fn digest(spans: &[SpanRef<'_>]) -> Vec<u8> {
    let mut strings: HashMap<&str, u64> = HashMap::new();
    let (mut names, mut rest) = (Vec::new(), Vec::new());
    let mut before = 0;
    for one in spans {
        let span = one.span;
        let (parent, start) = (&span.parent_span_id, span.start_time_unix_nano);
        let failed = u8::from(span.status.is_some());
        rest.push(u8::from(!parent.is_empty()) << 5 | failed << 4 | kind(*one) as u8);
        rest.extend_from_slice(&span.span_id);
        rest.extend_from_slice(parent);
        let delta = start.wrapping_sub(before).cast_signed();
        encode_varint((delta << 1 ^ delta >> 63).cast_unsigned(), &mut rest);
        encode_varint(duration(*one), &mut rest);
        for string in [service(*one), &span.name] {
            let next = strings.len() as u64;
            let number = *strings.entry(string).or_insert_with(|| {
                encode_varint(string.len() as u64, &mut names);
                names.extend_from_slice(string.as_bytes());
                next
            });
            encode_varint(number, &mut rest);
        }
        before = start;
    }
    let mut out = vec![1];
    encode_varint(strings.len() as u64, &mut out);
    out.extend(names);
    encode_varint(spans.len() as u64, &mut out);
    out.extend(rest);
    out
}
