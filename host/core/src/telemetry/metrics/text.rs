//! The older of the two text formats, and the part of a text that a caller may see.

use super::tenants::OTHER;
use crate::telemetry::descriptions::{self, MetricKind};

/// All metrics in the older Prometheus text format (`text/plain; version=0.0.4`), from those in `OpenMetrics`. There a counter has the
/// same name in comments and samples, and there are no units and no end mark.
pub(super) fn plain(open_metrics: &str) -> String {
    let mut plain = String::new();
    for line in open_metrics.lines() {
        if line.starts_with("# UNIT ") || line == "# EOF" {
            continue;
        }
        match line.strip_prefix("# ").and_then(with_plain_name) {
            Some(comment) => plain.push_str(&comment),
            None => plain.push_str(line),
        }
        plain.push('\n');
    }
    plain
}

/// A text without the samples of tenants that the caller may not see, which would tell their names. Sums over tenants stay.
pub fn only_tenants(text: &str, sees: impl Fn(&str) -> bool) -> String {
    let is_seen = |line: &&str| tenant_of(line).is_none_or(|it| it == OTHER || sees(it));
    text.split_inclusive('\n').filter(is_seen).collect()
}

/// The value of a sample's label `tenant`. A quote inside another label's value is escaped, so what is found is no part of one.
fn tenant_of(line: &str) -> Option<&str> {
    if line.starts_with('#') {
        return None;
    }
    let find = |start: &str| line.split_once(start);
    let (_, value) = find("{tenant=\"").or_else(|| find(",tenant=\""))?;
    value.split('"').next()
}

/// A `HELP name text` or `TYPE name kind` in the form of version 0.0.4, if it differs.
fn with_plain_name(comment: &str) -> Option<String> {
    let (keyword, rest) = comment.split_once(' ')?;
    let (name, text) = rest.split_once(' ')?;
    let metric = descriptions::METRICS
        .iter()
        .find(|metric| metric.name == name)?;
    match (metric.kind, keyword) {
        (MetricKind::Counter, _) => Some(format!("# {keyword} {name}_total {text}")),
        (MetricKind::Info, "TYPE") => Some(format!("# TYPE {name}_info gauge")),
        (MetricKind::Info, _) => Some(format!("# {keyword} {name}_info {text}")),
        (MetricKind::Gauge | MetricKind::Histogram, _) => None,
    }
}
