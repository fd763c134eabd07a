//! The tables, as Markdown on standard output.

use std::fmt::Write as _;
use std::io::Write;

use anyhow::Result;

use crate::beside;
use crate::dependencies;
use crate::figures::{Conditions, Figure, RemarkKind, Results, WRITING};
use crate::numbers::whole;

#[cfg(test)]
mod tests;

/// Prints all tables of some results.
pub(crate) fn all(results: &Results) -> Result<()> {
    loads(results)?;
    match results.command.as_str() {
        "load" => beside::tables(results)?,
        "growth" => growth(results)?,
        "dependencies" => dependencies::tables(results)?,
        _ => {
            for at in results.points() {
                searches(results, at)?;
            }
        }
    }
    wrong(results)
}

/// Prints every search after each step, one table for each target.
fn growth(results: &Results) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for target in &results.targets {
        let points = results.points_of(&target.name);
        let table = across(results, &target.name, &points, |at| {
            format!("{} spans", at.spans)
        });
        writeln!(out, "{table}\n")?;
    }
    Ok(())
}

/// Prints every search of one target, one column for each load.
pub(crate) fn across(
    results: &Results,
    target: &str,
    points: &[Conditions],
    word: fn(Conditions) -> String,
) -> String {
    let searches = results.searches();
    let is_sized = |at: &Conditions| {
        let size = |search| results.figure(target, search, *at, "answer_bytes");
        searches.iter().any(|search| size(search).is_some())
    };
    let is_sized = points.iter().any(is_sized);
    let bytes = if is_sized { " (bytes)" } else { "" };
    let mut head = vec![format!("{target}, p50 / p99 ms{bytes}")];
    head.extend(points.iter().map(|at| word(*at)));
    let mut lines = vec![row(&head), format!("|{}", "---|".repeat(head.len()))];
    for search in searches {
        let mut cells = vec![search.to_owned()];
        cells.extend(points.iter().map(|at| cell(results, target, search, *at)));
        lines.push(row(&cells));
    }
    lines.join("\n")
}

/// Formats median and 99th percentile, marked if an answer was wrong, or the refusal.
pub(crate) fn times(results: &Results, target: &str, subject: &str, at: Conditions) -> String {
    let remark = results.remark_on(target, subject, at);
    let figure = |measure| results.figure(target, subject, at, measure);
    match (figure("p50_ms"), figure("p99_ms")) {
        (Some(p50), Some(p99)) => {
            let wrong = remark.is_some_and(|of| of.kind == RemarkKind::Wrong);
            let star = if wrong { " \\*" } else { "" };
            format!("{} / {}{star}", spread(p50, 1.0, 2), spread(p99, 1.0, 2))
        }
        _ => remark.map_or_else(String::new, |of| of.text.clone()),
    }
}

/// Prints the cost of writing, one row for each target and number of spans; nothing if nothing was written.
pub(crate) fn loads(results: &Results) -> Result<()> {
    let mut figures = results.figures.iter();
    if !figures.any(|of| of.measure == "spans_per_s") {
        return Ok(());
    }
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| target | spans | bytes a span | spans/s | server CPU us a span | store CPU us a span | client CPU us a span | resident MB | resident bytes a span | disk bytes a span |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|---|---|")?;
    for at in results.points() {
        for target in &results.targets {
            let figure = |measure| results.figure(&target.name, WRITING, at, measure);
            let cell = |measure, divisor: f64, digits| {
                figure(measure).map_or_else(String::new, |of| spread(of, divisor, digits))
            };
            if figure("spans_per_s").is_none() {
                continue;
            }
            writeln!(
                out,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                target.name,
                at.spans,
                cell("export_bytes_per_span", 1.0, 0),
                cell("spans_per_s", 1.0, 0),
                cell("cpu_us_per_span", 1.0, 2),
                cell("store_cpu_us_per_span", 1.0, 2),
                cell("client_cpu_us_per_span", 1.0, 2),
                cell("resident_bytes", 1e6, 0),
                cell("resident_bytes", whole(at.spans), 0),
                cell("disk_bytes", whole(at.spans), 0),
            )?;
        }
    }
    writeln!(out)?;
    Ok(())
}

/// Prints median and 99th percentile of every search, one column per target; the last columns are the first target's ratios to the others.
pub(crate) fn searches(results: &Results, at: Conditions) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", table(results, at))?;
    Ok(())
}

fn table(results: &Results, at: Conditions) -> String {
    let names: Vec<&str> = results.targets.iter().map(|of| of.name.as_str()).collect();
    let first = names.first().copied().unwrap_or_default();
    let others = names.iter().skip(1);
    let mut head = vec!["search, p50 / p99 ms (bytes)".to_owned()];
    head.extend(names.iter().map(|name| (*name).to_owned()));
    head.extend(others.clone().map(|other| format!("{first} / {other}")));
    let mut lines = vec![row(&head), format!("|{}", "---|".repeat(head.len()))];
    for search in results.searches() {
        let p50 = |name| results.figure(name, search, at, "p50_ms");
        let mut cells = vec![search.to_owned()];
        cells.extend(names.iter().map(|name| cell(results, name, search, at)));
        cells.extend(others.clone().map(|other| match (p50(first), p50(other)) {
            (Some(first), Some(other)) => format!("{:.2}", first.median / other.median),
            _ => String::new(),
        }));
        lines.push(row(&cells));
    }
    lines.join("\n")
}

/// Formats a row of a table.
pub(crate) fn row(cells: &[String]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// Formats a target's latency of a search, with the bytes of an answer, or the refusal.
fn cell(results: &Results, target: &str, search: &str, at: Conditions) -> String {
    let mut times = times(results, target, search, at);
    if let Some(cold) = results.figure(target, search, at, "cold_ms") {
        let cold = spread(cold, 1.0, 2);
        let _ = write!(times, "; cold {cold}");
    }
    match results.figure(target, search, at, "answer_bytes") {
        Some(bytes) => format!("{times} ({:.0})", bytes.median),
        None => times,
    }
}

/// Prints the wrong answers, which the table marks with a star.
pub(crate) fn wrong(results: &Results) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let wrong = results
        .remarks
        .iter()
        .filter(|of| of.kind == RemarkKind::Wrong);
    for (place, remark) in wrong.enumerate() {
        if place == 0 {
            writeln!(out, "\n\\* is not what the spans that were written have:\n")?;
        }
        let (target, subject, text) = (&remark.target, &remark.subject, &remark.text);
        writeln!(out, "- {target}, {subject}: {text}")?;
    }
    Ok(())
}

/// Formats the median, with minimum and maximum of more than one run.
pub(crate) fn spread(figure: &Figure, divisor: f64, digits: usize) -> String {
    let [min, median, max] =
        [figure.min, figure.median, figure.max].map(|of| format!("{:.digits$}", of / divisor));
    match figure.values.len() {
        1 => median,
        _ => format!("{median} [{min} to {max}]"),
    }
}
