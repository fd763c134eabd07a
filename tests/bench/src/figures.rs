//! Results as JSON: one figure for each target, subject and measure, with the value of every run.
//!
//! The names are stable: other programs read them. A measure's name ends with its unit.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use larder_oracle::corpus::{Corpus, STEP};
use serde::{Deserialize, Serialize};

use crate::target::Target;

#[cfg(test)]
mod tests;

/// The version of the file format.
const FORMAT: u32 = 1;
/// The subject of measurements of writing; other subjects are names of searches.
pub(crate) const WRITING: &str = "writing";

/// All results of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    format: u32,
    /// `compare`, `growth`, `load` or `dependencies`.
    pub(crate) command: String,
    /// The command line after the program's name.
    arguments: Vec<String>,
    /// The inputs of the span generator.
    seed: u64,
    request_spans: u64,
    /// Processors of the machine, which the client shares.
    processors: usize,
    pub(crate) targets: Vec<TargetName>,
    pub(crate) figures: Vec<Figure>,
    /// Refusals and wrong answers.
    pub(crate) remarks: Vec<Remark>,
}

/// The name of a target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TargetName {
    pub(crate) name: String,
    /// Measured for comparison only.
    pub(crate) peer: bool,
}

/// The load under which a figure was measured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Conditions {
    /// The number of spans written before.
    pub(crate) spans: u64,
    /// Concurrent ingest as a share of the highest rate, if there was any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) share: Option<f64>,
    /// Concurrent ingest in spans a second, if it was not given as a share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<u64>,
    /// The time of each span in nanoseconds, if it is not the generator's usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) span_ns: Option<u64>,
}

/// A figure of one or more runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub(crate) target: String,
    /// `writing`, or a search's name.
    pub(crate) subject: String,
    /// The measured quantity with its unit: `p50_ms`.
    pub(crate) measure: String,
    pub(crate) at: Conditions,
    /// The value of each run.
    pub(crate) values: Vec<f64>,
    pub(crate) min: f64,
    pub(crate) median: f64,
    pub(crate) max: f64,
}

/// A refusal or a wrong answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Remark {
    pub(crate) target: String,
    pub(crate) subject: String,
    pub(crate) at: Conditions,
    pub(crate) kind: RemarkKind,
    pub(crate) text: String,
}

/// The subject of a remark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum RemarkKind {
    /// The target refused this.
    Refused,
    /// The answer did not match the written spans.
    Wrong,
}

impl Conditions {
    /// Returns those of a storage that holds the corpus, with no ingest.
    pub(crate) fn of(corpus: &Corpus) -> Self {
        Self {
            spans: corpus.identity().1,
            span_ns: Some(corpus.step()).filter(|step| *step != STEP),
            ..Self::default()
        }
    }
}

impl Results {
    /// Starts the results of a command that measures these targets.
    pub(crate) fn new(command: &str, corpus: &Corpus, targets: &[Target]) -> Self {
        let (seed, _, request_spans) = corpus.identity();
        let targets = targets.iter().map(|target| TargetName {
            name: target.name.clone(),
            peer: target.peer,
        });
        Self {
            format: FORMAT,
            command: command.to_owned(),
            arguments: std::env::args().skip(1).collect(),
            seed,
            request_spans,
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            targets: targets.collect(),
            figures: Vec::new(),
            remarks: Vec::new(),
        }
    }

    /// Adds a run's value to its figure.
    pub(crate) fn add(
        &mut self,
        target: &str,
        subject: &str,
        at: Conditions,
        measure: &str,
        value: f64,
    ) {
        // More digits than the precision of the measurement would only make the file larger.
        let value = (value * 1e4).round() / 1e4;
        let of_this = |of: &&mut Figure| {
            of.target == target && of.subject == subject && of.measure == measure && of.at == at
        };
        if let Some(figure) = self.figures.iter_mut().find(of_this) {
            figure.values.push(value);
            figure.summarise();
        } else {
            self.figures.push(Figure {
                target: target.to_owned(),
                subject: subject.to_owned(),
                measure: measure.to_owned(),
                at,
                values: vec![value],
                min: value,
                median: value,
                max: value,
            });
        }
    }

    /// Adds a remark, unless it already exists.
    pub(crate) fn remark(&mut self, remark: Remark) {
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// Returns the figure, if it was measured.
    pub(crate) fn figure(
        &self,
        target: &str,
        subject: &str,
        at: Conditions,
        measure: &str,
    ) -> Option<&Figure> {
        self.figures.iter().find(|of| {
            of.target == target && of.subject == subject && of.measure == measure && of.at == at
        })
    }

    /// Returns the remark on a target's subject, if there is one.
    pub(crate) fn remark_on(&self, target: &str, subject: &str, at: Conditions) -> Option<&Remark> {
        let mut remarks = self.remarks.iter();
        remarks.find(|of| of.target == target && of.subject == subject && of.at == at)
    }

    /// Returns the loads of all figures, in order.
    pub(crate) fn points(&self) -> Vec<Conditions> {
        let mut points = Vec::new();
        let of_figures = self.figures.iter().map(|of| of.at);
        for at in of_figures.chain(self.remarks.iter().map(|of| of.at)) {
            if !points.contains(&at) {
                points.push(at);
            }
        }
        points
    }

    /// Returns the loads of a target's figures, in order.
    pub(crate) fn points_of(&self, target: &str) -> Vec<Conditions> {
        let mut points = self.points();
        points.retain(|at| {
            let figures = self.figures.iter();
            let mut remarks = self.remarks.iter();
            figures
                .filter(|of| of.target == target)
                .any(|of| of.at == *at)
                || remarks.any(|of| of.target == target && of.at == *at)
        });
        points
    }

    /// Returns the names of the timed searches, in order.
    pub(crate) fn searches(&self) -> Vec<&str> {
        let mut searches = Vec::new();
        let of_figures = self.figures.iter().map(|of| of.subject.as_str());
        for subject in of_figures.chain(self.remarks.iter().map(|of| of.subject.as_str())) {
            if subject != WRITING && !searches.contains(&subject) {
                searches.push(subject);
            }
        }
        searches
    }

    /// Adds the values of another run of the same command.
    pub(crate) fn combine(&mut self, other: &Self) -> Result<()> {
        ensure!(
            self.command == other.command,
            "one file is of {} and another of {}: only runs of the same command go together",
            self.command,
            other.command
        );
        ensure!(
            (self.seed, self.request_spans) == (other.seed, other.request_spans),
            "the runs wrote different spans: take the same --seed and --request-spans for all"
        );
        for target in &other.targets {
            if !self.targets.contains(target) {
                self.targets.push(target.clone());
            }
        }
        for of in &other.figures {
            for value in &of.values {
                self.add(&of.target, &of.subject, of.at, &of.measure, *value);
            }
        }
        for remark in &other.remarks {
            self.remark(remark.clone());
        }
        Ok(())
    }

    /// Fails if a target that is not a peer answered wrongly.
    pub(crate) fn judge(&self) -> Result<()> {
        let judged = |name: &str| self.targets.iter().any(|of| of.name == name && !of.peer);
        let wrong = self
            .remarks
            .iter()
            .filter(|of| of.kind == RemarkKind::Wrong);
        let wrong: Vec<_> = wrong.filter(|of| judged(&of.target)).collect();
        if let Some(first) = wrong.first() {
            anyhow::bail!(
                "{} answers were wrong; the first: {}, {}: {} (the storage has to be empty before the run, or hold what an earlier run with the same spans wrote; one that is measured for comparison alone is a --peer)",
                wrong.len(),
                first.target,
                first.subject,
                first.text
            );
        }
        Ok(())
    }

    /// Writes the file, if a path is given.
    pub(crate) fn save(&self, path: Option<&Path>) -> Result<()> {
        let Some(path) = path else { return Ok(()) };
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Reads a file.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let name = path.display();
        let text = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
        let results: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{name} is no result of larder-bench"))?;
        ensure!(
            results.format == FORMAT,
            "{name} has the format {}, and this program reads {FORMAT}: measure again",
            results.format
        );
        Ok(results)
    }
}

impl Figure {
    fn summarise(&mut self) {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
        let last = sorted.len().saturating_sub(1);
        self.min = at(0);
        self.median = f64::midpoint(at(last / 2), at(last.div_ceil(2)));
        self.max = at(last);
    }
}
