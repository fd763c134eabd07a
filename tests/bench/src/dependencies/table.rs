//! The tables of dependencies.

use std::io::Write;

use anyhow::Result;

use crate::figures::{Conditions, RemarkKind, Results, WRITING};
use crate::numbers::whole;
use crate::report::{row, spread};

/// The head of the table of times.
const TIMES: [&str; 7] = [
    "target", "spans", "search", "found", "p50 ms", "p99 ms", "max ms",
];

/// Prints both tables: what is kept of the spans, and how long the answers take.
pub(crate) fn tables(results: &Results) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for table in [kept(results), times(results)].into_iter().flatten() {
        writeln!(out, "{table}\n")?;
    }
    Ok(())
}

/// Tabulates what keeping calls costs; `None` if no target keeps any.
pub(super) fn kept(results: &Results) -> Option<String> {
    table(
        results,
        &[
            "target",
            "spans",
            "server CPU us a span, settling included",
            "settled s after the last write",
            "settling s a million spans",
            "bytes kept a span",
        ],
        |target, at| {
            results.figure(target, WRITING, at, "kept_bytes")?;
            let cell = |measure, divisor, digits| {
                let figure = results.figure(target, WRITING, at, measure);
                figure.map_or_else(String::new, |of| spread(of, divisor, digits))
            };
            Some(vec![vec![
                target.to_owned(),
                at.spans.to_string(),
                cell("cpu_us_per_span", 1.0, 2),
                cell("settled_after_s", 1.0, 0),
                cell("settling_s", whole(at.spans) / 1e6, 3),
                cell("kept_bytes", whole(at.spans), 3),
            ]])
        },
    )
}

/// Tabulates how long the answers take; `None` if none was asked for.
pub(super) fn times(results: &Results) -> Option<String> {
    let searches = results.searches();
    table(results, &TIMES, |target, at| {
        let rows = searches.iter().filter_map(|search| {
            let remark = results.remark_on(target, search, at);
            let cell = |measure, digits| {
                let figure = results.figure(target, search, at, measure)?;
                Some(spread(figure, 1.0, digits))
            };
            let mut cells = vec![
                target.to_owned(),
                at.spans.to_string(),
                (*search).to_owned(),
            ];
            if let Some(found) = cell("found", 0) {
                let is_wrong = remark.is_some_and(|of| of.kind == RemarkKind::Wrong);
                let star = if is_wrong { " \\*" } else { "" };
                cells.push(format!("{found}{star}"));
                let times = ["p50_ms", "p99_ms", "max_ms"].map(|measure| cell(measure, 2));
                cells.extend(times.map(Option::unwrap_or_default));
            } else {
                cells.push(remark?.text.clone());
                cells.resize(TIMES.len(), String::new());
            }
            Some(cells)
        });
        Some(rows.collect())
    })
}

/// Makes a table of the rows of each target and load; `None` if there are none.
fn table(
    results: &Results,
    head: &[&str],
    rows: impl Fn(&str, Conditions) -> Option<Vec<Vec<String>>>,
) -> Option<String> {
    let head: Vec<String> = head.iter().map(|word| (*word).to_owned()).collect();
    let mut lines = vec![row(&head), format!("|{}", "---|".repeat(head.len()))];
    for at in results.points() {
        for target in &results.targets {
            let rows = rows(&target.name, at).unwrap_or_default();
            lines.extend(rows.iter().map(|cells| row(cells)));
        }
    }
    (lines.len() > 2).then(|| lines.join("\n"))
}
