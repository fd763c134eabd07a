//! The figures of searches beside ingest.

use std::time::Duration;

use super::mix::{Call, Mix};
use super::table::ALL;
use crate::figures::{At, Kind, Remark, Results, WRITING};
use crate::numbers::{milliseconds, percentile, whole};

/// So many characters of a remark are kept.
const LONGEST: usize = 300;

/// Results of one target, as they grow.
pub(super) struct Outcome {
    results: Results,
    target: String,
}

impl Outcome {
    pub(super) fn new(results: Results, target: String) -> Self {
        Self { results, target }
    }

    pub(super) fn into_results(self) -> Results {
        self.results
    }

    /// Adds a figure.
    pub(super) fn add(&mut self, at: At, subject: &str, measure: &str, value: f64) {
        self.results.add(&self.target, subject, at, measure, value);
    }

    /// Adds a wrong answer.
    pub(super) fn wrong(&mut self, at: At, subject: &str, text: &str) {
        self.remark(at, subject, Kind::Wrong, text);
    }

    /// Adds what the server did not take.
    pub(super) fn refused(&mut self, at: At, subject: &str, text: &str) {
        self.remark(at, subject, Kind::Refused, text);
    }

    fn remark(&mut self, at: At, subject: &str, kind: Kind, text: &str) {
        self.results.remark(Remark {
            target: self.target.clone(),
            subject: subject.to_owned(),
            at,
            kind,
            text: text.chars().take(LONGEST).collect(),
        });
    }

    /// Adds the searches of one run: each of them, and all together.
    pub(super) fn searched(&mut self, at: At, mix: &Mix, calls: Vec<Call>) {
        let names: Vec<&str> = mix.names().collect();
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); names.len()];
        let mut all = Vec::new();
        for (place, waited, wrong) in calls {
            if let (Some(name), Some(wrong)) = (names.get(place), wrong) {
                self.wrong(at, name, &wrong);
            }
            all.push(waited);
            if let Some(times) = times.get_mut(place) {
                times.push(waited);
            }
        }
        self.times(at, ALL, all);
        for (name, times) in names.into_iter().zip(times) {
            self.times(at, name, times);
        }
    }

    /// Adds what Exports waited.
    pub(super) fn exported(&mut self, at: At, waited: Vec<Duration>) {
        self.times(at, WRITING, waited);
    }

    fn times(&mut self, at: At, subject: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        for (measure, percent) in [("p50_ms", 50), ("p99_ms", 99), ("max_ms", 100)] {
            let time = milliseconds(percentile(&times, percent));
            self.add(at, subject, measure, time);
        }
        self.add(at, subject, "calls", whole(times.len() as u64));
    }
}
