//! Answers as comparable lists of items, and the differences between an actual and an expected one.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use larder_oracle::otlp::{hex, spans_of};
use larder_proto::storage::v2 as proto;
use opentelemetry_proto::tonic::trace::v1::TracesData;
use prost::Message;

use crate::question::Question;

#[cfg(test)]
mod tests;

/// The items of an answer: traces, names or pairs of services, each with its details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Findings {
    /// True if the order is defined.
    ordered: bool,
    /// (Trace id, service, operation or pair; spans, summary, calls or nothing).
    items: Vec<(String, String)>,
}

impl Findings {
    /// Takes items in a defined order.
    pub(crate) fn newest_first(items: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            ordered: true,
            items: items.into_iter().collect(),
        }
    }

    /// Takes items in any order.
    pub(crate) fn any_order(items: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            ordered: false,
            items: items.into_iter().collect(),
        }
    }

    /// Decodes a server's answer. A trace whose spans are not consecutive in the stream, which Jaeger forbids, appears twice.
    pub(crate) fn read(question: &Question, answer: &[Bytes]) -> Result<Self> {
        let (mut items, mut traces) = (Vec::new(), Vec::new());
        for message in answer {
            let message = message.clone();
            match question {
                Question::Traces(_) | Question::Trace(_) => add_spans(message, &mut traces),
                other => add(other, message, &mut items),
            }
            .context("the answer cannot be decoded")?;
        }
        items.extend(traces.iter().map(|(id, count)| (hex(id), spans(*count))));
        Ok(Self {
            ordered: true,
            items,
        })
    }

    /// Returns the number of items.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// Fails if Larder's answer to the question differs from this one.
    pub(crate) fn check(&self, question: &Question, answer: &[Bytes]) -> Result<()> {
        match self.difference(&Self::read(question, answer)?, false) {
            None => Ok(()),
            Some(difference) => bail!(
                "{difference}; if an earlier run wrote the same, take another --seed (or --no-load, for quiet)"
            ),
        }
    }

    /// Describes briefly how `came` differs from this answer; `None` if it is equal. A `peer` may answer in any order, as Jaeger's API
    /// defines none.
    pub(crate) fn difference(&self, came: &Self, peer: bool) -> Option<String> {
        let expected: BTreeMap<&str, &str> = self.by_name();
        let found: BTreeMap<&str, &str> = came.by_name();
        let missing = expected.keys().filter(|name| !found.contains_key(*name));
        let foreign = found.keys().filter(|name| !expected.contains_key(*name));
        let other = expected.iter().filter_map(|(name, about)| {
            let came = found.get(name).filter(|came| *came != about)?;
            Some(format!("{name} with {came}, not {about}"))
        });
        let mut parts = Vec::new();
        let mut tell = |what: &str, names: Vec<String>| {
            if let Some(first) = names.first() {
                parts.push(format!("{} {what} ({first})", names.len()));
            }
        };
        tell(
            &format!("of {} missing", expected.len()),
            missing.map(|name| (*name).to_owned()).collect(),
        );
        tell("too many", foreign.map(|name| (*name).to_owned()).collect());
        tell("wrong", other.collect());
        if came.len() > found.len() {
            parts.push(format!("{} twice", came.len() - found.len()));
        }
        if parts.is_empty() && self.ordered && !peer && self.items != came.items {
            parts.push("in another order".to_owned());
        }
        (!parts.is_empty()).then(|| parts.join(", "))
    }

    fn by_name(&self) -> BTreeMap<&str, &str> {
        let items = self.items.iter();
        items
            .map(|(name, about)| (name.as_str(), about.as_str()))
            .collect()
    }
}

/// Adds the items of one message of an answer without spans.
fn add(question: &Question, message: Bytes, items: &mut Vec<(String, String)>) -> Result<()> {
    let nothing = |name: String| (name, String::new());
    match question {
        Question::Traces(_) | Question::Trace(_) => {}
        Question::Ids(_) => {
            let answer = proto::FindTraceIDsResponse::decode(message)?;
            items.extend(answer.trace_ids.iter().map(|of| nothing(hex(&of.trace_id))));
        }
        Question::Summaries(_) => {
            let answer = proto::FindTraceSummariesResponse::decode(message)?;
            let summaries = answer.summaries.iter();
            items.extend(summaries.map(|of| (hex(&of.trace_id), summary(of))));
        }
        Question::Services => {
            let answer = proto::GetServicesResponse::decode(message)?;
            items.extend(answer.services.into_iter().map(nothing));
        }
        Question::Operations(_) => {
            let answer = proto::GetOperationsResponse::decode(message)?;
            let operations = answer.operations.iter();
            items.extend(operations.map(|of| nothing(operation(&of.name, &of.span_kind))));
        }
        Question::Dependencies(..) => {
            let answer = proto::GetDependenciesResponse::decode(message)?;
            let called = answer.dependencies.iter();
            items.extend(called.map(|of| (pair(&of.parent, &of.child), calls(of.call_count))));
        }
    }
    Ok(())
}

/// Counts the spans of one message by trace, in order; a trace may continue from the previous message.
fn add_spans(message: Bytes, traces: &mut Vec<(Vec<u8>, u64)>) -> Result<()> {
    let data = TracesData::decode(message)?;
    for one in spans_of(&data.resource_spans) {
        match traces.last_mut() {
            Some((last, count)) if *last == one.span.trace_id => *count += 1,
            _ => traces.push((one.span.trace_id.clone(), 1)),
        }
    }
    Ok(())
}

/// Formats a number of spans.
pub(crate) fn spans(count: u64) -> String {
    format!("{count} spans")
}

/// Formats a number of calls.
pub(crate) fn calls(count: u64) -> String {
    format!("{count} calls")
}

/// Formats a summary without its id.
pub(crate) fn summary(of: &proto::TraceSummary) -> String {
    let services: Vec<String> = of
        .services
        .iter()
        .map(|of| format!("{} {}/{}", of.name, of.error_span_count, of.span_count))
        .collect();
    format!(
        "root {:?} {:?}, {} to {}, {} spans, {} failed, {} orphans, {}",
        of.root_service_name,
        of.root_operation_name,
        of.min_start_time_unix_nano,
        of.max_end_time_unix_nano,
        of.span_count,
        of.error_span_count,
        of.orphan_span_count,
        services.join(" ")
    )
}

/// Formats an operation with its kind.
pub(crate) fn operation(name: &str, kind: &str) -> String {
    format!("{name} [{kind}]")
}

/// Formats a call between two services.
pub(crate) fn pair(parent: &str, child: &str) -> String {
    format!("{parent} -> {child}")
}
