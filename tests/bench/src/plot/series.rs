//! The figures to draw, as lines of points.

use crate::beside::ALL;
use crate::dependencies;
use crate::figures::{Conditions, Figure, Results, WRITING};
use crate::numbers::whole;

/// The searches whose latencies are drawn against size: each is answered in another way.
const SEARCHES: [&str; 5] = [
    "service, newest 20",
    "service and status code 500",
    "all services, no match",
    "trace by id",
    "filter: span attribute",
];

/// A panel's title, the measure that it draws, and what that is divided by.
type Cost = (&'static str, &'static str, fn(Conditions) -> f64);

/// A panel of a chart.
pub(super) struct Panel {
    pub(super) title: String,
    /// The label of the horizontal axis.
    pub(super) across: &'static str,
    pub(super) lines: Vec<Line>,
}

/// A line with its name.
#[derive(Debug, PartialEq)]
pub(super) struct Line {
    pub(super) name: String,
    /// Points from left to right.
    pub(super) points: Vec<Point>,
}

/// The median of several runs, and their range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

impl Point {
    /// Scales a figure by `unit`.
    fn new(x: f64, figure: &Figure, unit: f64) -> Self {
        Self {
            x,
            y: figure.median / unit,
            low: figure.min / unit,
            high: figure.max / unit,
        }
    }
}

/// Draws latencies of all searches against the concurrent rate of ingest: the 99th percentile and the median.
pub(super) fn against_load(results: &Results) -> Vec<Panel> {
    let panels = [("p99_ms", "99th percentile"), ("p50_ms", "median")];
    let panels = panels.map(|(measure, word)| Panel {
        title: format!("searches beside ingest, {word}, ms"),
        across: "ingest, spans/s",
        lines: per_target(results, |target, at| {
            let rate = results.figure(target, WRITING, at, "offered_spans_per_s");
            let rate = match rate {
                Some(rate) => rate.median,
                None if at.share == Some(0.0) => 0.0,
                None => return None,
            };
            let time = results.figure(target, ALL, at, measure)?;
            Some(Point::new(rate, time, 1.0))
        }),
    });
    panels.into()
}

/// Draws the cost of a span, and latencies of searches, against the number of spans.
pub(super) fn against_size(results: &Results) -> Vec<Panel> {
    let costs: [Cost; 3] = [
        ("server CPU, us a span written", "cpu_us_per_span", |_| 1.0),
        ("on disk, bytes a span", "disk_bytes", |at| whole(at.spans)),
        ("resident memory, MB", "resident_bytes", |_| 1e6),
    ];
    costs_and_times(results, &costs, &SEARCHES)
}

/// Draws what keeping calls costs, and latencies of dependencies, against the number of spans.
pub(super) fn of_dependencies(results: &Results) -> Vec<Panel> {
    let costs: [Cost; 4] = [
        (
            "server CPU, us a span, settling included",
            "cpu_us_per_span",
            |_| 1.0,
        ),
        ("settling, s a million spans", "settling_s", |at| {
            whole(at.spans) / 1e6
        }),
        ("kept, bytes a span", "kept_bytes", |at| whole(at.spans)),
        ("resident memory, MB", "resident_bytes", |_| 1e6),
    ];
    costs_and_times(results, &costs, &dependencies::NAMES)
}

/// Draws measures of writing, and the latencies of searches on each target, against the number of spans.
fn costs_and_times(results: &Results, costs: &[Cost], searches: &[&str]) -> Vec<Panel> {
    let costs = costs.iter().map(|(title, measure, unit)| Panel {
        title: (*title).to_owned(),
        across: "spans",
        lines: per_target(results, |target, at| {
            let figure = results.figure(target, WRITING, at, measure)?;
            Some(Point::new(whole(at.spans), figure, unit(at)))
        }),
    });
    let mut panels: Vec<Panel> = costs.collect();
    for target in &results.targets {
        let lines = searches.iter().filter_map(|search| {
            let points = points(results, |at| {
                let time = results.figure(&target.name, search, at, "p50_ms")?;
                Some(Point::new(whole(at.spans), time, 1.0))
            });
            (!points.is_empty()).then(|| Line {
                name: (*search).to_owned(),
                points,
            })
        });
        panels.push(Panel {
            title: format!("searches in {}, median, ms", target.name),
            across: "spans",
            lines: lines.collect(),
        });
    }
    panels.retain(|panel| !panel.lines.is_empty());
    panels
}

/// Makes a line for each target that has points.
fn per_target(results: &Results, point: impl Fn(&str, Conditions) -> Option<Point>) -> Vec<Line> {
    let lines = results.targets.iter().map(|target| Line {
        name: target.name.clone(),
        points: points(results, |at| point(&target.name, at)),
    });
    lines.filter(|line| !line.points.is_empty()).collect()
}

fn points(results: &Results, point: impl Fn(Conditions) -> Option<Point>) -> Vec<Point> {
    let mut points: Vec<_> = results.points().into_iter().filter_map(point).collect();
    points.sort_by(|one: &Point, next| one.x.total_cmp(&next.x));
    points
}
