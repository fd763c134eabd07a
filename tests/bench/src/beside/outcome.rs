//! The figures of searches beside ingest.

use std::time::Duration;

use super::mix::{CallResult, Mix};
use super::table::ALL;
use crate::figures::{Conditions, Remark, RemarkKind, Results, WRITING};
use crate::numbers::{milliseconds, percentile, whole};

/// The most characters of a remark.
const LONGEST: usize = 300;

/// Collects the results of one target.
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
    pub(super) fn add(&mut self, at: Conditions, subject: &str, measure: &str, value: f64) {
        self.results.add(&self.target, subject, at, measure, value);
    }

    /// Adds a wrong answer.
    pub(super) fn wrong(&mut self, at: Conditions, subject: &str, text: &str) {
        self.remark(at, subject, RemarkKind::Wrong, text);
    }

    /// Adds a refusal.
    pub(super) fn refused(&mut self, at: Conditions, subject: &str, text: &str) {
        self.remark(at, subject, RemarkKind::Refused, text);
    }

    fn remark(&mut self, at: Conditions, subject: &str, kind: RemarkKind, text: &str) {
        self.results.remark(Remark {
            target: self.target.clone(),
            subject: subject.to_owned(),
            at,
            kind,
            text: text.chars().take(LONGEST).collect(),
        });
    }

    /// Adds the searches of one run: each of them, and all together.
    pub(super) fn searched(&mut self, at: Conditions, mix: &Mix, calls: Vec<CallResult>) {
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

    /// Adds the latencies of Exports.
    pub(super) fn exported(&mut self, at: Conditions, waited: Vec<Duration>) {
        self.times(at, WRITING, waited);
    }

    fn times(&mut self, at: Conditions, subject: &str, mut times: Vec<Duration>) {
        times.sort_unstable();
        for (measure, percent) in [("p50_ms", 50), ("p99_ms", 99), ("max_ms", 100)] {
            let time = milliseconds(percentile(&times, percent));
            self.add(at, subject, measure, time);
        }
        self.add(at, subject, "calls", whole(times.len() as u64));
    }
}
