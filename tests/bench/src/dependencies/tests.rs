use anyhow::ensure;
use larder_oracle::corpus::Corpus;

use super::table::{kept, times};
use super::windows::{BUCKET, HOUR, newest, searches};
use super::*;
use crate::admin::tests::{Answering, found};
use crate::figures::{Remark, RemarkKind};
use crate::question::Question;
use crate::source::all_of;

const AT: Conditions = Conditions {
    spans: 2_000_000,
    share: None,
    rate: None,
    span_ns: None,
};

/// The metrics of a server with so many buckets and traces that are not settled.
fn metrics(open: u32, late: u32) -> String {
    found(&format!(
        "larder_dependencies_open_buckets {open}\nlarder_dependencies_late_traces {late}\n\
         larder_dependencies_settling_seconds_total 2.5\nlarder_dependencies_kept_bytes 4096\n"
    ))
}

#[tokio::test]
async fn a_server_is_waited_for_until_no_bucket_is_open_and_no_trace_is_late() -> Result<()> {
    let answers = vec![metrics(7, 3), metrics(0, 1), metrics(1, 0), metrics(0, 0)];
    let admin = Answering::new(answers)?;
    let last = settled(&admin.address, Duration::ZERO, PAUSE.saturating_mul(30)).await?;
    let last = last.context("it keeps calls")?;
    assert_eq!((last.settling_seconds, last.bytes), (2.5, 4096.0));
    assert_eq!(admin.requests()?.len(), 4);
    Ok(())
}

#[tokio::test]
async fn a_server_that_keeps_no_calls_is_not_waited_for() -> Result<()> {
    let admin = Answering::new(vec![found("larder_storage_spans 5\n")])?;
    let kept = settled(&admin.address, Duration::ZERO, Duration::ZERO).await?;
    assert_eq!(kept, None);
    Ok(())
}

#[tokio::test]
async fn a_server_that_does_not_settle_in_time_is_told_of() -> Result<()> {
    let admin = Answering::new(vec![metrics(7, 3)])?;
    let kept = settled(&admin.address, Duration::ZERO, Duration::ZERO).await;
    let error = kept.err().context("it was waited for")?.to_string();
    assert!(
        error.contains("7 stretches of time and 3 late traces"),
        "{error}"
    );
    Ok(())
}

/// The windows of these spans, with their names.
fn windows(corpus: &Corpus) -> Result<Vec<(&'static str, u64, u64)>> {
    let windows = searches(corpus).into_iter().map(|search| {
        let Question::Dependencies(from, to) = search.question else {
            anyhow::bail!("{} is another search", search.name)
        };
        Ok((search.name, from, to))
    });
    windows.collect()
}

#[test]
fn windows_end_with_the_newest_span_or_within_buckets() -> Result<()> {
    let corpus = Corpus::new(7, 20_000, 1_000).with_step(48 * HOUR / 20_000);
    let newest = newest(&corpus);
    let (from, to) = corpus.window();
    assert!(from < newest && newest < to);
    let windows = windows(&corpus)?;
    let names = windows.iter().map(|(name, ..)| *name);
    assert!(names.eq(NAMES));
    let [hour, day, half, all] = windows[..] else {
        anyhow::bail!("{windows:?}")
    };
    assert_eq!((hour.1, hour.2), (newest - HOUR, newest));
    assert_eq!((day.1, day.2), (newest - 24 * HOUR, newest));
    assert_eq!((all.1, all.2), (from - 1, to));
    assert_eq!((half.1 % BUCKET, half.2 % BUCKET), (BUCKET / 2, BUCKET / 2));
    let half = (half.2 - half.1) / HOUR;
    assert!((22..=23).contains(&half), "{half} hours");
    Ok(())
}

/// Whether spans lie in many buckets or in one.
#[test]
fn each_window_has_calls_and_all_of_it_the_most() -> Result<()> {
    for step in [2_000_000, 10_000_000_000] {
        let corpus = Corpus::new(7, 20_000, 1_000).with_step(step);
        let searches = searches(&corpus);
        let questions = searches.iter().map(|search| search.question.clone());
        let found = Truth::of(questions, all_of(&corpus))?;
        let [_, _, half, all] = &found[..] else {
            anyhow::bail!("{} answers", found.len())
        };
        for (search, found) in searches.iter().zip(&found) {
            ensure!(found.len() > 0, "{} of {step}", search.name);
        }
        assert_ne!(half, all);
    }
    Ok(())
}

fn results() -> Result<Results> {
    let text = serde_json::json!({
        "format": 1, "command": "dependencies", "arguments": [], "seed": 7, "request_spans": 1_000, "processors": 2,
        "targets": [{ "name": "kv", "peer": false }, { "name": "old", "peer": false }], "figures": [], "remarks": [],
    });
    Ok(serde_json::from_value(text)?)
}

#[test]
fn the_first_table_has_what_keeping_costs_a_span_of_those_that_keep() -> Result<()> {
    let mut results = results()?;
    assert_eq!(kept(&results), None);
    results.add("old", WRITING, AT, "cpu_us_per_span", 5.0);
    for (measure, value) in [
        ("cpu_us_per_span", 5.25),
        ("settled_after_s", 65.6),
        ("settling_s", 0.5),
        ("kept_bytes", 3e6),
    ] {
        results.add("kv", WRITING, AT, measure, value);
    }
    let table = kept(&results).context("a table")?;
    let lines: Vec<_> = table.lines().skip(2).collect();
    assert_eq!(lines, ["| kv | 2000000 | 5.25 | 66 | 0.250 | 1.500 |"]);
    Ok(())
}

#[test]
fn the_second_table_has_times_and_marks_refusals_and_wrong_answers() -> Result<()> {
    let mut results = results()?;
    assert_eq!(times(&results), None);
    let [hour, day, ..] = NAMES;
    for (target, search) in [("kv", hour), ("kv", day), ("old", hour)] {
        for (measure, value) in [
            ("found", 240.0),
            ("p50_ms", 1.0),
            ("p99_ms", 2.0),
            ("max_ms", 3.0),
        ] {
            results.add(target, search, AT, measure, value);
        }
    }
    for (subject, kind, text) in [
        (hour, RemarkKind::Wrong, "1 of 240 missing"),
        (day, RemarkKind::Refused, "the query worked too long"),
    ] {
        results.remark(Remark {
            target: "old".to_owned(),
            subject: subject.to_owned(),
            at: AT,
            kind,
            text: text.to_owned(),
        });
    }
    let expected = "\
| target | spans | search | found | p50 ms | p99 ms | max ms |
|---|---|---|---|---|---|---|
| kv | 2000000 | dependencies of an hour | 240 | 1.00 | 2.00 | 3.00 |
| kv | 2000000 | dependencies of a day | 240 | 1.00 | 2.00 | 3.00 |
| old | 2000000 | dependencies of an hour | 240 \\* | 1.00 | 2.00 | 3.00 |
| old | 2000000 | dependencies of a day | the query worked too long |  |  |  |";
    assert_eq!(times(&results).as_deref(), Some(expected));
    Ok(())
}
