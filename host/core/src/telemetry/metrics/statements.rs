//! The statements of a kv driver whose store is elsewhere. The driver counts; what it told last is written at each scrape.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;

use super::instruments::float;
use crate::telemetry::descriptions::{
    KV_CALLS, KV_DURATION, KV_ERRORS, KV_RETRIES, KV_SPECULATIVE,
};
use crate::telemetry::{STATEMENT_BOUNDS, StatementStatistics};

const MICROS_PER_SECOND: f64 = 1e6;
const NO_EXEMPLAR: Option<&Exemplar<NoLabelSet, f64>> = None;

/// Takes a counter out of a statement's statistics.
type CounterOf = fn(&StatementStatistics) -> u64;

/// The statements. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct StatementCollector(Arc<Mutex<Vec<StatementStatistics>>>);

// === impl StatementCollector ===

impl StatementCollector {
    pub(super) fn set(&self, now: Vec<StatementStatistics>) {
        *self.0.lock() = now;
    }
}

impl Collector for StatementCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let statements = self.0.lock();
        if statements.is_empty() {
            return Ok(());
        }
        let counters: [(_, CounterOf); 4] = [
            (KV_CALLS, |it| it.calls),
            (KV_ERRORS, |it| it.errors),
            (KV_RETRIES, |it| it.retries),
            (KV_SPECULATIVE, |it| it.speculative),
        ];
        for (described, value) in counters {
            let ((name, unit), help) = (described.name_and_unit(), described.help());
            let kind = MetricType::Counter;
            let mut family = encoder.encode_descriptor(name, &help, unit.as_ref(), kind)?;
            for it in statements.iter() {
                let labels = [("statement", it.name)];
                let mut counter = family.encode_family(&labels)?;
                counter.encode_counter(&value(it), NO_EXEMPLAR)?;
            }
        }
        let ((name, unit), help) = (KV_DURATION.name_and_unit(), KV_DURATION.help());
        let kind = MetricType::Histogram;
        let mut family = encoder.encode_descriptor(name, &help, unit.as_ref(), kind)?;
        for it in statements.iter().filter(|it| it.calls > 0) {
            let labels = [("statement", it.name)];
            let mut histogram = family.encode_family(&labels)?;
            let buckets = buckets(it);
            histogram.encode_histogram::<NoLabelSet>(it.seconds, it.calls, &buckets, None)?;
        }
        Ok(())
    }
}

/// Upper bounds in seconds, and calls up to each that are above the one before.
fn buckets(statement: &StatementStatistics) -> Vec<(f64, u64)> {
    let bounds = STATEMENT_BOUNDS.map(|micros| float(micros) / MICROS_PER_SECOND);
    let bounds = bounds.into_iter().chain([f64::INFINITY]);
    bounds.zip(statement.buckets).collect()
}
