//! The tables of searches beside ingest.

use std::io::Write;

use anyhow::Result;

use crate::figures::{At, Results, WRITING};
use crate::report::{row, spread};

/// The subject of all searches together.
pub(super) const ALL: &str = "all searches";

/// Prints both tables: all searches at each rate, and each search.
pub(super) fn print(results: &Results, idle: At) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for target in &results.targets {
        writeln!(out, "{}\n", rates(results, &target.name, idle))?;
        writeln!(out, "{}", searches(results, &target.name))?;
    }
    Ok(())
}

/// The points at which searches ran.
fn points(results: &Results) -> impl Iterator<Item = At> {
    let points = results.points().into_iter();
    points.filter(|at| at.share.is_some() || at.rate.is_some())
}

/// All searches at each rate of ingest, and how far their 99th percentile is from that without any.
pub(super) fn rates(results: &Results, target: &str, idle: At) -> String {
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
    let p99 = |at| results.figure(target, ALL, at, "p99_ms");
    for at in points(results) {
        let offered = results.figure(target, WRITING, at, "offered_spans_per_s");
        let compared = match (p99(at), p99(idle)) {
            (Some(beside), Some(alone)) if at != idle => [
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

/// Each search, a column for each rate.
fn searches(results: &Results, target: &str) -> String {
    let points: Vec<At> = points(results).collect();
    let mut head = vec![format!("{target}, p50 / p99 ms")];
    head.extend(points.iter().map(|at| word(*at)));
    let mut lines = vec![row(&head), format!("|{}", "---|".repeat(head.len()))];
    for search in results.searches() {
        let mut cells = vec![search.to_owned()];
        cells.extend(points.iter().map(|at| times(results, target, search, *at)));
        lines.push(row(&cells));
    }
    lines.join("\n")
}

fn times(results: &Results, target: &str, subject: &str, at: At) -> String {
    let figure = |measure| results.figure(target, subject, at, measure);
    match (figure("p50_ms"), figure("p99_ms")) {
        (Some(p50), Some(p99)) => format!("{} / {}", spread(p50, 1.0, 2), spread(p99, 1.0, 2)),
        _ => String::new(),
    }
}

/// A rate of ingest in a word.
fn word(at: At) -> String {
    match (at.share, at.rate) {
        (_, Some(rate)) => format!("{rate} spans/s"),
        (Some(share), None) if share > 0.0 => format!("{:.0} % of the highest", share * 100.0),
        _ => "none".to_owned(),
    }
}
