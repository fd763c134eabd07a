//! The instruments, and how they are registered.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::Mutex;
use prometheus_client::encoding::{EncodeGaugeValue, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Metric, Registry};

use crate::telemetry::descriptions::MetricDescription;

/// Upper bounds of durations in seconds: OpenTelemetry's for `rpc.server.call.duration`, and three lower ones, as an Export is
/// faster than its lowest.
const SECONDS: [f64; 17] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0,
    7.5, 10.0,
];

/// A gauge of whole numbers.
pub(super) type IntGauge = Gauge<u64, AtomicU64>;

/// A gauge that is left out while its value is not known. Clones share the value.
#[derive(Clone, Debug)]
pub(super) struct OptionalGauge<T>(Arc<Mutex<Option<T>>>);

// === impl OptionalGauge ===

impl<T> OptionalGauge<T> {
    /// Sets the value, or leaves the gauge out.
    pub(super) fn set(&self, value: Option<T>) {
        *self.0.lock() = value;
    }
}

impl<T> Default for OptionalGauge<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }
}

impl<T: EncodeGaugeValue + Copy> EncodeMetric for OptionalGauge<T> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let value = *self.0.lock();
        value.map_or(Ok(()), |value| encoder.encode_gauge(&value))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Gauge
    }

    fn is_empty(&self) -> bool {
        self.0.lock().is_none()
    }
}

/// Registers a metric under its description and returns it.
pub(super) fn register<M: Metric + Clone>(
    on: &mut Registry,
    described: MetricDescription,
    metric: M,
) -> M {
    match described.name_and_unit() {
        (name, Some(unit)) => {
            on.register_with_unit(name, described.meaning, unit, metric.clone());
        }
        (name, None) => on.register(name, described.meaning, metric.clone()),
    }
    metric
}

/// A histogram of durations.
pub(super) fn seconds() -> Histogram {
    Histogram::new(SECONDS)
}

/// A histogram of numbers, each bucket four times the one before.
pub(super) fn powers_of_four(from: f64, buckets: u16) -> Histogram {
    Histogram::new(exponential_buckets(from, 4.0, buckets))
}

/// A number as a double.
#[expect(
    clippy::cast_precision_loss,
    reason = "samples are doubles: numbers beyond 2^53 may lose their last bits"
)]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}
