//! The tables, as Markdown on standard output.

use std::io::Write;

use anyhow::Result;

use crate::load::Load;
use crate::numbers::{milliseconds, percentile, whole};
use crate::searches::{Row, Timing};
use crate::target::Target;

/// What writing cost, a row a target.
pub(crate) fn loads(loads: &[Load]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "| target | spans | bytes a span | spans/s | server CPU us a span | resident MB | resident bytes a span |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|")?;
    for load in loads {
        let spans = whole(load.spans);
        let cpu = load
            .cpu_seconds
            .map_or_else(String::new, |cpu| format!("{:.2}", cpu * 1e6 / spans));
        let resident = load.resident_bytes.map(whole);
        writeln!(
            out,
            "| {} | {} | {:.0} | {:.0} | {cpu} | {} | {} |",
            load.target,
            load.spans,
            whole(load.bytes) / spans,
            spans / load.wall.as_secs_f64(),
            resident.map_or_else(String::new, |bytes| format!("{:.0}", bytes / 1e6)),
            resident.map_or_else(String::new, |bytes| format!("{:.0}", bytes / spans)),
        )?;
    }
    writeln!(out)?;
    Ok(())
}

/// Median and 99th percentile of every search, a column a target; the last columns are the first target's ratios to the others.
pub(crate) fn searches(targets: &[Target], rows: &[Row]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    write!(out, "| search, p50 / p99 ms (bytes) |")?;
    for target in targets {
        write!(out, " {} |", target.name)?;
    }
    for (other, first) in targets
        .iter()
        .skip(1)
        .zip(std::iter::repeat(targets.first()))
    {
        write!(
            out,
            " {} / {} |",
            first.map_or("", |first| first.name.as_str()),
            other.name
        )?;
    }
    writeln!(out)?;
    writeln!(out, "|---|{}", "---|".repeat(targets.len() * 2 - 1))?;
    for row in rows {
        write!(out, "| {} |", row.name)?;
        for timing in &row.timings {
            match timing {
                Timing::Times(times, bytes) => write!(
                    out,
                    " {:.2} / {:.2} ({bytes}) |",
                    milliseconds(percentile(times, 50)),
                    milliseconds(percentile(times, 99))
                )?,
                Timing::Refused(reason) => write!(out, " {reason} |")?,
            }
        }
        for other in row.timings.iter().skip(1) {
            match (row.timings.first(), other) {
                (Some(Timing::Times(first, _)), Timing::Times(other, _)) => write!(
                    out,
                    " {:.2} |",
                    percentile(first, 50).as_secs_f64() / percentile(other, 50).as_secs_f64()
                )?,
                _ => write!(out, " |")?,
            }
        }
        writeln!(out)?;
    }
    Ok(())
}
