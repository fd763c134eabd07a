//! The tables of searches beside ingest.

use std::io::Write;

use anyhow::Result;

use crate::figures::{Conditions, Results, WRITING};
use crate::report::{across, row, spread, times};

/// The subject of all searches together.
pub(crate) const ALL: &str = "all searches";

/// Prints both tables: all searches at each rate, and each search.
pub(crate) fn tables(results: &Results) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for target in &results.targets {
        let points = points(results, &target.name);
        writeln!(out, "{}\n", rates(results, &target.name))?;
        writeln!(out, "{}\n", across(results, &target.name, &points, word))?;
    }
    Ok(())
}

/// Returns the conditions under which searches ran.
fn points(results: &Results, target: &str) -> Vec<Conditions> {
    let mut points = results.points_of(target);
    points.retain(|at| at.share.is_some() || at.rate.is_some());
    points
}

/// Tabulates all searches at each rate of ingest, with the ratio of their 99th percentile to that without ingest.
pub(super) fn rates(results: &Results, target: &str) -> String {
    let head = [
        &format!("{target}, ingest"),
        "spans/s",
        "Export p50 / p99 ms",
        "search p50 / p99 ms",
        "p99 to idle",
        "p99 above idle, ms",
    ];
    let mut lines = vec![
        row(&head.map(str::to_owned)),
        format!("|{}", "---|".repeat(head.len())),
    ];
    let points = points(results, target);
    let p99 = |at| results.figure(target, ALL, at, "p99_ms");
    let idle = points.iter().find(|at| at.share == Some(0.0)).copied();
    let alone = idle.and_then(p99);
    for at in points {
        let offered = results.figure(target, WRITING, at, "offered_spans_per_s");
        let compared = match (p99(at), alone) {
            (Some(beside), Some(alone)) if Some(at) != idle => [
                format!("{:.2}", beside.median / alone.median),
                format!("{:.2}", beside.median - alone.median),
            ],
            _ => [String::new(), String::new()],
        };
        let [ratio, difference] = compared;
        lines.push(row(&[
            word(at),
            offered.map_or_else(String::new, |of| spread(of, 1.0, 0)),
            times(results, target, WRITING, at),
            times(results, target, ALL, at),
            ratio,
            difference,
        ]));
    }
    lines.join("\n")
}

/// Formats a rate of ingest.
fn word(at: Conditions) -> String {
    match (at.share, at.rate) {
        (_, Some(rate)) => format!("{rate} spans/s"),
        (Some(share), None) if share > 0.0 => format!("{:.0} % of the highest", share * 100.0),
        _ => "none".to_owned(),
    }
}
