//! The specification, read word by word: Q1 to Q16, F1 to F3, D1 to D4.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use larder_proto::storage::v2::{ServiceSummary, TraceSummary};
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};

use crate::data::{Question, ResourceSpec, ScopeSpec, SpanSpec};
use crate::naive_value::string_form;

/// A span with what is around it.
#[derive(Clone, Copy)]
struct Seen<'a> {
    resource: &'a ResourceSpec,
    scope: &'a ScopeSpec,
    span: &'a SpanSpec,
}

/// All that was written, by trace, in the order written.
pub(crate) struct Judge<'a> {
    traces: BTreeMap<u64, Vec<Seen<'a>>>,
}

// === impl Judge ===

impl<'a> Judge<'a> {
    pub(crate) fn new(exports: &'a [Vec<ResourceSpec>]) -> Self {
        let mut traces: BTreeMap<u64, Vec<Seen<'a>>> = BTreeMap::new();
        for resource in exports.iter().flatten() {
            for scope in &resource.scopes {
                for span in &scope.spans {
                    let seen = Seen {
                        resource,
                        scope,
                        span,
                    };
                    traces.entry(span.trace).or_default().push(seen);
                }
            }
        }
        Self { traces }
    }

    /// Newest matching span first, then by id; no more than the depth (Q1 to Q3).
    pub(crate) fn find(&self, question: &Question) -> Vec<u64> {
        let mut found: Vec<(Reverse<u64>, u64)> = Vec::new();
        for (number, spans) in &self.traces {
            let matching = spans.iter().filter(|seen| seen.matches(question));
            let newest = matching.map(|seen| seen.span.start).max();
            found.extend(newest.map(|newest| (Reverse(newest), *number)));
        }
        found.sort_unstable();
        let depth = usize::try_from(question.depth).unwrap();
        found.truncate(if depth == 0 { 100 } else { depth });
        found.into_iter().map(|(_, number)| number).collect()
    }

    /// In the order written (G3).
    pub(crate) fn span_ids(&self, number: u64) -> Vec<u64> {
        self.traces[&number]
            .iter()
            .map(|seen| seen.span.id)
            .collect()
    }

    /// F2, F3. Offset 0 is at `origin`.
    pub(crate) fn summary(&self, number: u64, id: &[u8], origin: u64) -> TraceSummary {
        let spans = &self.traces[&number];
        let roots = spans.iter().filter(|seen| seen.span.parent.is_none());
        // `min_by_key` gives the first of equal ones, which is the first seen.
        let root = roots.min_by_key(|seen| seen.span.start);
        let here = |id: u64| spans.iter().any(|seen| seen.span.id == id);
        let count = |count: usize| i32::try_from(count).unwrap();
        let errors = spans.iter().filter(|seen| seen.is_error()).count();
        let orphans = spans
            .iter()
            .filter(|seen| seen.span.parent.is_some_and(|id| !here(id)));
        let mut services: BTreeMap<&str, (i32, i32)> = BTreeMap::new();
        for seen in spans {
            let counts = services.entry(seen.service()).or_default();
            counts.0 += 1;
            counts.1 += i32::from(seen.is_error());
        }
        let at = |offset: i64| origin.wrapping_add_signed(offset);
        let min = spans.iter().map(|seen| seen.span.start.cast_signed()).min();
        let max = spans.iter().map(|seen| seen.span.end()).max();
        TraceSummary {
            trace_id: id.to_vec(),
            root_service_name: root.map_or("", Seen::service).to_owned(),
            root_operation_name: root.map_or("", |seen| seen.span.name).to_owned(),
            min_start_time_unix_nano: at(min.unwrap()),
            max_end_time_unix_nano: at(max.unwrap()),
            span_count: count(spans.len()),
            error_span_count: count(errors),
            orphan_span_count: count(orphans.count()),
            services: services
                .into_iter()
                .map(|(name, (spans, errors))| ServiceSummary {
                    name: name.to_owned(),
                    span_count: spans,
                    error_span_count: errors,
                })
                .collect(),
        }
    }

    /// D2 to D4, of the traces that lie in the window, ends included.
    pub(crate) fn dependencies(&self, from: u64, to: u64) -> Vec<((String, String), u64)> {
        let mut calls: BTreeMap<(String, String), u64> = BTreeMap::new();
        for spans in self.traces.values() {
            let early = spans.iter().any(|seen| seen.span.start < from);
            let late = spans.iter().any(|seen| seen.span.end() > to.cast_signed());
            if early || late {
                continue;
            }
            let mut first: HashMap<u64, &str> = HashMap::new();
            for seen in spans {
                first.entry(seen.span.id).or_insert(seen.service());
            }
            for seen in spans {
                let parent = seen.span.parent.and_then(|parent| first.get(&parent));
                if let Some(parent) = parent {
                    let link = ((*parent).to_owned(), seen.service().to_owned());
                    *calls.entry(link).or_default() += 1;
                }
            }
        }
        calls.into_iter().collect()
    }
}

// === impl Seen ===

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a AnyValue> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    found.value.as_ref()
}

fn has(attributes: &[KeyValue], key: &str, form: &str) -> bool {
    value(attributes, key).is_some_and(|value| string_form(value) == form)
}

impl<'a> Seen<'a> {
    /// Q4: a name that is no string is none.
    fn service(&self) -> &'a str {
        match value(&self.resource.attributes, "service.name").map(|value| &value.value) {
            Some(Some(Value::StringValue(name))) => name,
            _ => "",
        }
    }

    fn is_error(&self) -> bool {
        self.span.status == Some(2)
    }

    fn matches(&self, question: &Question) -> bool {
        let (from, to) = question.window;
        let unset_or = |bound: i64, holds: bool| bound == 0 || holds;
        // W3: no value and no arm ask for nothing; of equal keys the last one that asks for something counts.
        let mut asked: BTreeMap<&str, &AnyValue> = BTreeMap::new();
        for (key, value) in &question.attributes {
            if let Some(value) = value.as_ref().filter(|value| value.value.is_some()) {
                asked.insert(key, value);
            }
        }
        (question.service.is_empty() || question.service == self.service())
            && (question.operation.is_empty() || question.operation == self.span.name)
            && (from..=to).contains(&self.span.start)
            && unset_or(question.shortest, self.span.lasting >= question.shortest)
            && unset_or(question.longest, self.span.lasting <= question.longest)
            && asked.iter().all(|(key, value)| self.has(key, value))
    }

    /// Q9 to Q14.
    fn has(&self, key: &str, asked: &AnyValue) -> bool {
        let form = string_form(asked);
        match key {
            "error" => truth(asked).is_some_and(|truth| truth == self.is_error()),
            "span.status" => {
                let code = match self.span.status {
                    Some(1) => "OK",
                    Some(2) => "ERROR",
                    _ => "UNSET",
                };
                form.to_uppercase() == code
            }
            "span.kind" => {
                let kind = match self.span.kind {
                    1 => "INTERNAL",
                    2 => "SERVER",
                    3 => "CLIENT",
                    4 => "PRODUCER",
                    5 => "CONSUMER",
                    _ => "UNSPECIFIED",
                };
                form.to_uppercase() == kind
            }
            "scope.name" => form == self.scope.name,
            "scope.version" => form == self.scope.version,
            _ => match key.strip_prefix("resource.") {
                Some(key) => has(&self.resource.attributes, key, &form),
                None => self.has_anywhere(key, &form),
            },
        }
    }

    fn has_anywhere(&self, key: &str, form: &str) -> bool {
        let span = self.span;
        let own = [
            &span.attributes,
            &self.scope.attributes,
            &self.resource.attributes,
        ];
        let mut levels = own.into_iter().chain(&span.events).chain(&span.links);
        levels.any(|attributes| has(attributes, key, form))
    }
}

/// Q10: a bool, or a string as Go's `ParseBool` reads it.
fn truth(value: &AnyValue) -> Option<bool> {
    match value.value.as_ref()? {
        Value::BoolValue(truth) => Some(*truth),
        Value::StringValue(text) => match text.as_str() {
            "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
            "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
            _ => None,
        },
        _ => None,
    }
}
