use super::series::{Line, Point, against_load, against_size, of_dependencies};
use super::*;
use crate::figures::Conditions;

fn results(command: &str) -> Result<Results> {
    let text = serde_json::json!({
        "format": 1, "command": command, "arguments": [], "seed": 7, "request_spans": 1_000, "processors": 2,
        "targets": [{ "name": "kv", "peer": false }, { "name": "a < b & c", "peer": false }], "figures": [], "remarks": [],
    });
    Ok(serde_json::from_value(text)?)
}

fn load() -> Result<Results> {
    let mut results = results("load")?;
    let at = |share| Conditions {
        spans: 1_000,
        share: Some(share),
        rate: None,
        span_ns: None,
    };
    for (share, time) in [(0.5, 3.0), (0.0, 1.0)] {
        results.add("kv", "all searches", at(share), "p50_ms", time);
        results.add("kv", "all searches", at(share), "p99_ms", time * 2.0);
    }
    results.add("kv", "writing", at(0.5), "offered_spans_per_s", 120_000.0);
    Ok(results)
}

fn growth() -> Result<Results> {
    let mut results = results("growth")?;
    for (spans, cost) in [(1_000_000, 4.0), (2_000_000, 5.0)] {
        let at = Conditions {
            spans,
            ..Conditions::default()
        };
        for target in ["kv", "a < b & c"] {
            results.add(target, "writing", at, "cpu_us_per_span", cost);
            results.add(target, "writing", at, "resident_bytes", cost * 1e8);
            results.add(target, "trace by id", at, "p50_ms", cost);
        }
        results.add("kv", "writing", at, "disk_bytes", cost * 1e8);
    }
    Ok(results)
}

fn dependencies() -> Result<Results> {
    let mut results = results("dependencies")?;
    for (spans, cost) in [(1_000_000, 4.0), (2_000_000, 5.0)] {
        let at = Conditions {
            spans,
            ..Conditions::default()
        };
        for target in ["kv", "a < b & c"] {
            results.add(target, "writing", at, "cpu_us_per_span", cost);
            results.add(target, "dependencies of a day", at, "p50_ms", cost);
        }
        results.add("kv", "writing", at, "settling_s", cost);
        results.add("kv", "writing", at, "kept_bytes", cost * 1e6);
    }
    Ok(results)
}

/// The line of `kv`, of one run.
fn line(points: [(f64, f64); 2]) -> Line {
    let points = points.map(|(x, y)| Point {
        x,
        y,
        low: y,
        high: y,
    });
    Line {
        name: "kv".to_owned(),
        points: points.into(),
    }
}

#[test]
fn several_runs_show_how_far_they_lie_apart() -> Result<()> {
    let mut results = load()?;
    let one_run = draw(&against_load(&results))?;
    for figure in load()?.figures {
        let value = figure.median * 2.0;
        results.add("kv", &figure.subject, figure.at, &figure.measure, value);
    }
    let panels = against_load(&results);
    let points = panels.first().and_then(|panel| panel.lines.first());
    let point = points.and_then(|line| line.points.first()).copied();
    let idle = Point {
        x: 0.0,
        y: 3.0,
        low: 2.0,
        high: 4.0,
    };
    assert_eq!(point, Some(idle));
    let lines = |picture: &str| {
        let lines = picture.lines().filter(|line| line.starts_with("<polyline"));
        lines.filter(|line| line.contains("#2F81F7")).count()
    };
    assert_eq!(lines(&draw(&panels)?), lines(&one_run) + 4);
    Ok(())
}

#[test]
fn times_are_against_the_rate_that_was_offered_and_idle_is_none() -> Result<()> {
    let panels = against_load(&load()?);
    let lines: Vec<_> = panels.iter().flat_map(|panel| &panel.lines).collect();
    let p99 = line([(0.0, 2.0), (120_000.0, 6.0)]);
    let p50 = line([(0.0, 1.0), (120_000.0, 3.0)]);
    assert_eq!(lines, [&p99, &p50]);
    Ok(())
}

#[test]
fn costs_are_a_span_of_those_that_are_there() -> Result<()> {
    let panels = against_size(&growth()?);
    let titles: Vec<_> = panels.iter().map(|panel| panel.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "server CPU, us a span written",
            "on disk, bytes a span",
            "resident memory, MB",
            "searches in kv, median, ms",
            "searches in a < b & c, median, ms",
        ]
    );
    let disk = panels.get(1).map(|panel| panel.lines.as_slice());
    assert_eq!(disk, Some([line([(1e6, 400.0), (2e6, 250.0)])].as_slice()));
    Ok(())
}

#[test]
fn what_keeping_calls_costs_is_drawn_of_those_that_keep_any() -> Result<()> {
    let panels = of_dependencies(&dependencies()?);
    let lines = panels
        .iter()
        .map(|panel| (panel.title.as_str(), panel.lines.len()));
    let expected = [
        ("server CPU, us a span, settling included", 2),
        ("settling, s a million spans", 1),
        ("kept, bytes a span", 1),
        ("searches in kv, median, ms", 1),
        ("searches in a < b & c, median, ms", 1),
    ];
    assert!(lines.eq(expected));
    let [_, settling, kept, ..] = &panels[..] else {
        anyhow::bail!("{} panels", panels.len())
    };
    assert_eq!(settling.lines, [line([(1e6, 4.0), (2e6, 2.5)])]);
    assert_eq!(kept.lines, [line([(1e6, 4.0), (2e6, 2.5)])]);
    Ok(())
}

#[test]
fn a_picture_is_the_same_every_time_and_sound_xml() -> Result<()> {
    for panels in [
        against_load(&load()?),
        against_size(&growth()?),
        of_dependencies(&dependencies()?),
    ] {
        let picture = draw(&panels)?;
        assert_eq!(picture, draw(&panels)?);
        assert!(picture.len() < 60_000, "{}", picture.len());
        let document = roxmltree::Document::parse(&picture)?;
        let has = |word: &str| {
            let mut texts = document.descendants().filter_map(|of| of.text());
            texts.any(|text| text.trim() == word)
        };
        for panel in &panels {
            assert!(has(&panel.title), "{}", panel.title);
            for line in &panel.lines {
                assert!(has(&line.name), "{}", line.name);
            }
        }
        let lines = document
            .descendants()
            .filter(|of| of.has_tag_name("polyline"));
        let drawn: usize = panels.iter().map(|panel| panel.lines.len()).sum();
        assert!(lines.count() >= drawn);
    }
    Ok(())
}

#[test]
fn results_without_figures_or_of_another_command_have_no_picture() -> Result<()> {
    assert!(draw(&against_load(&results("load")?)).is_err());
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("compare.json");
    results("compare")?.save(Some(&path))?;
    let options = Options {
        results: vec![path],
        out: folder.path().to_owned(),
    };
    let error = run(&options).err().map(|error| error.to_string());
    assert!(
        error.is_some_and(|error| error.contains("is of compare, of which there is no picture"))
    );
    Ok(())
}

#[test]
fn every_picture_is_written_and_several_targets_share_one() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let paths = [
        ("load", load()?),
        ("growth", growth()?),
        ("more", growth()?),
        ("dependencies", dependencies()?),
    ]
    .map(|(name, of)| {
        let path = folder.path().join(name);
        of.save(Some(&path)).map(|()| path)
    });
    let out = folder.path().join("plots");
    run(&Options {
        results: paths.into_iter().collect::<Result<_>>()?,
        out: out.clone(),
    })?;
    for name in [
        "latency-against-load.svg",
        "cost-against-size.svg",
        "dependencies-against-size.svg",
    ] {
        let picture = std::fs::read_to_string(out.join(name))?;
        assert!(picture.starts_with("<svg "), "{name}");
    }
    Ok(())
}
