//! The check of an answer: exactly the traces that were written, each with all its spans.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, TracesData};
use prost::Message;

#[cfg(test)]
mod tests;

/// Traces by id, with how many spans each has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Traces(BTreeMap<Vec<u8>, u64>);

impl Traces {
    /// Counts spans that were written or came back.
    pub(crate) fn add(&mut self, resource_spans: &[ResourceSpans]) {
        let scopes = resource_spans.iter().flat_map(|of| &of.scope_spans);
        for span in scopes.flat_map(|scope| &scope.spans) {
            *self.0.entry(span.trace_id.clone()).or_default() += 1;
        }
    }

    /// Those of the traces whose ids are named.
    pub(crate) fn only(&self, ids: &[Vec<u8>]) -> Self {
        let named = ids.iter().filter_map(|id| self.0.get_key_value(id));
        Self(named.map(|(id, spans)| (id.clone(), *spans)).collect())
    }

    /// The ids, in rising order.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.0.keys()
    }

    /// How many traces there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Fails unless the messages of `FindTraces` or `GetTraces` are these traces and no others.
    pub(crate) fn check(&self, answer: &[Bytes]) -> Result<()> {
        let mut came = Self::default();
        for message in answer {
            let data =
                TracesData::decode(message.clone()).context("the answer is no TracesData")?;
            came.add(&data.resource_spans);
        }
        for (id, spans) in &came.0 {
            match self.0.get(id) {
                None => bail!(
                    "trace {} came back and is none of the {} that have to",
                    hex(id),
                    self.len()
                ),
                Some(written) if written != spans => bail!(
                    "trace {} came back with {spans} spans and was written with {written}; if an earlier run wrote the same, take another --seed (or --no-load, for quiet)",
                    hex(id)
                ),
                Some(_) => {}
            }
        }
        if let Some(id) = self.0.keys().find(|id| !came.0.contains_key(*id)) {
            bail!(
                "{} of {} traces came back; {} is missing",
                came.len(),
                self.len(),
                hex(id)
            );
        }
        Ok(())
    }
}

fn hex(id: &[u8]) -> String {
    let digits = id.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(u32::from(digit), 16))
        .collect()
}
