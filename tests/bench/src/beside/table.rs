//! The tables of searches beside ingest.

use std::io::Write;

use anyhow::Result;

use crate::figures::{At, Results, WRITING};
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

/// The points at which searches ran.
fn points(results: &Results, target: &str) -> Vec<At> {
    let mut points = results.points_of(target);
    points.retain(|at| at.share.is_some() || at.rate.is_some());
    points
}

/// All searches at each rate of ingest, and how far their 99th percentile is from that without any.
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

/// A rate of ingest in a word.
fn word(at: At) -> String {
    match (at.share, at.rate) {
        (_, Some(rate)) => format!("{rate} spans/s"),
        (Some(share), None) if share > 0.0 => format!("{:.0} % of the highest", share * 100.0),
        _ => "none".to_owned(),
    }
}
