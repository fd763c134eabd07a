use anyhow::Context;

use super::*;
use crate::figures::Remark;

const AT: Conditions = Conditions {
    spans: 1_000,
    share: None,
    rate: None,
    span_ns: None,
};

/// Two targets, of which the second is a peer that answers `b` wrongly and refuses `c`.
fn results() -> Result<Results> {
    let text = serde_json::json!({
        "format": 1, "command": "compare", "arguments": [], "seed": 7, "request_spans": 1_000, "processors": 2,
        "targets": [{ "name": "kv", "peer": false }, { "name": "old", "peer": true }],
        "figures": [], "remarks": [],
    });
    let mut results: Results = serde_json::from_value(text)?;
    for (target, time) in [("kv", 1.0), ("old", 4.0)] {
        for search in ["a", "b", "c"] {
            if (target, search) != ("old", "c") {
                results.add(target, search, AT, "p50_ms", time);
                results.add(target, search, AT, "p99_ms", time * 2.0);
                results.add(target, search, AT, "answer_bytes", 10.0);
            }
        }
    }
    for (subject, kind, text) in [
        ("b", RemarkKind::Wrong, "2 too many"),
        ("c", RemarkKind::Refused, "refused"),
    ] {
        results.remark(Remark {
            target: "old".to_owned(),
            subject: subject.to_owned(),
            at: AT,
            kind,
            text: text.to_owned(),
        });
    }
    Ok(results)
}

#[test]
fn a_row_has_each_targets_times_and_the_first_ones_ratios() -> Result<()> {
    let expected = "\
| search, p50 / p99 ms (bytes) | kv | old | kv / old |
|---|---|---|---|
| a | 1.00 / 2.00 (10) | 4.00 / 8.00 (10) | 0.25 |
| b | 1.00 / 2.00 (10) | 4.00 / 8.00 \\* (10) | 0.25 |
| c | 1.00 / 2.00 (10) | refused |  |";
    assert_eq!(table(&results()?, AT), expected);
    Ok(())
}

#[test]
fn more_than_one_run_shows_minimum_and_maximum() -> Result<()> {
    let mut results = results()?;
    results.add("kv", "a", AT, "p50_ms", 3.0);
    let figure = results.figure("kv", "a", AT, "p50_ms").context("it")?;
    assert_eq!(spread(figure, 1.0, 1), "2.0 [1.0 to 3.0]");
    Ok(())
}

#[test]
fn growth_has_a_column_for_each_size() -> Result<()> {
    let mut results = results()?;
    let later = Conditions { spans: 9_000, ..AT };
    results.add("kv", "a", later, "p50_ms", 7.0);
    results.add("kv", "a", later, "p99_ms", 9.0);
    assert_eq!(results.points_of("old"), [AT]);
    let points = results.points_of("kv");
    let table = across(&results, "kv", &points, |at| at.spans.to_string());
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(
        lines.first(),
        Some(&"| kv, p50 / p99 ms (bytes) | 1000 | 9000 |")
    );
    assert_eq!(
        lines.get(2),
        Some(&"| a | 1.00 / 2.00 (10) | 7.00 / 9.00 |")
    );
    assert_eq!(lines.get(3), Some(&"| b | 1.00 / 2.00 (10) |  |"));
    Ok(())
}
