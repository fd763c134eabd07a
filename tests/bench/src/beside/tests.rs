use clap::Parser;

use super::table::{ALL, rates};
use super::*;
use crate::truth::Truth;

#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    options: Options,
}

fn options(words: &str) -> Result<Options> {
    let fixed = "load --target kv=localhost:1 --spans 2000 --seconds 2";
    let words = fixed.split(' ').chain(words.split_whitespace());
    Ok(Arguments::try_parse_from(words)?.options)
}

#[test]
fn a_share_is_of_the_highest_rate_and_a_rate_is_itself() -> Result<()> {
    let rates = |words: &str| -> Result<Vec<(f64, f64)>> {
        let steps = options(words)?.steps(Conditions::default(), 250_000.0)?;
        let rates = steps
            .iter()
            .map(|step| (step.spans_a_second, step.offered(1_000)));
        Ok(rates.collect())
    };
    assert_eq!(rates("")?, [(125_000.0, 125_000.0)]);
    assert_eq!(
        rates("--share 0.1,1")?,
        [(25_000.0, 25_000.0), (250_000.0, 250_000.0)]
    );
    assert_eq!(
        rates("--rate 300,7000")?,
        [(300.0, 1_000.0), (7_000.0, 7_000.0)]
    );
    for refused in ["--share 0", "--share 1.5", "--rate 5 --share 0.5"] {
        assert!(options(refused).is_err(), "{refused}");
    }
    assert!(
        options("--rate 0")?
            .steps(Conditions::default(), 1.0)
            .is_err()
    );
    Ok(())
}

#[test]
fn ingest_continues_where_the_first_writing_ended() -> Result<()> {
    let options = options("--rate 2000 --runs 2")?;
    let source = Source::new(&options.source, Some(2_000), 0)?;
    let steps = options.steps(Conditions::of(source.corpus()), 1.0)?;
    let all = Source::on_disk(&options.source, 10_000)?;
    let expected: Vec<_> = all.requests()?.skip(2).collect::<Result<_>>()?;
    assert_eq!(expected.len(), 8);
    let written = options.ingest(&source, &steps)?.rest()?;
    let bytes = |of: &[larder_oracle::corpus::Request]| -> Vec<_> {
        of.iter().map(|request| request.bytes.clone()).collect()
    };
    assert_eq!(bytes(&written), bytes(&expected));
    Ok(())
}

/// Later spans start after the searched window, so that no answer changes.
#[test]
fn spans_written_meanwhile_are_not_found() -> Result<()> {
    let options = options("")?;
    let source = Source::new(&options.source, Some(2_000), 0)?;
    let all = Source::on_disk(&options.source, 6_000)?;
    let searches = crate::searches::searches(&source.corpus().without_room());
    let windowed: Vec<_> = searches
        .iter()
        .filter(|search| search.question.has_window())
        .collect();
    assert!(windowed.len() > 20);
    let questions = || windowed.iter().map(|search| search.question.clone());
    let before = Truth::of(questions(), source.requests()?)?;
    let after = Truth::of(questions(), all.requests()?)?;
    for ((search, before), after) in windowed.iter().zip(before).zip(after) {
        assert_eq!(before.difference(&after, false), None, "{}", search.name);
    }
    Ok(())
}

#[test]
fn the_table_compares_each_rate_with_none() -> Result<()> {
    let text = serde_json::json!({
        "format": 1, "command": "load", "arguments": [], "seed": 7, "request_spans": 1_000, "processors": 2,
        "targets": [{ "name": "kv", "peer": false }], "figures": [], "remarks": [],
    });
    let mut results: Results = serde_json::from_value(text)?;
    let idle = idle(Conditions::default());
    let half = Conditions {
        share: Some(0.5),
        ..idle
    };
    for (at, p50, p99) in [(idle, 1.0, 2.0), (half, 1.5, 5.0)] {
        results.add("kv", ALL, at, "p50_ms", p50);
        results.add("kv", ALL, at, "p99_ms", p99);
    }
    results.add("kv", WRITING, half, "offered_spans_per_s", 100_000.0);
    results.add("kv", WRITING, half, "p50_ms", 4.0);
    results.add("kv", WRITING, half, "p99_ms", 9.0);
    let table = rates(&results, "kv");
    let lines: Vec<_> = table.lines().skip(2).collect();
    assert_eq!(
        lines,
        [
            "| none |  |  | 1.00 / 2.00 |  |  |",
            "| 50 % of the highest | 100000 | 4.00 / 9.00 | 1.50 / 5.00 | 2.50 | 3.00 |",
        ]
    );
    Ok(())
}
