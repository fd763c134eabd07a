//! What came of it: a table for people, and JSON.

use std::fmt::Write as _;
use std::sync::Arc;

use larder_core::text::printable;
use larder_runtime::plugin::Instancing;
use serde::Serialize;

use crate::Options;
use crate::answer::Found;
use crate::fill::Filled;
use crate::held::Held;
use crate::load::Loaded;
use crate::numbers::{float, megabytes, micros, shown, whole};
use crate::spent::Spent;
use crate::table::table;

/// Of the plugin that is measured, and of `memory` beside it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pair<T> {
    pub(crate) plugin: T,
    pub(crate) memory: T,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The name that the plugin gives itself.
    pub plugin: String,
    /// The version that it gives itself.
    pub version: String,
    /// Where it was loaded from.
    pub source: String,
    /// The version of the contract that it was built for.
    pub contract: &'static str,
    /// Where its data lives.
    pub instancing: Instancing,
    /// The version of the bundled `memory`.
    pub memory_version: String,
    /// Spans that were to be written.
    pub spans: u64,
    /// Their seed.
    pub seed: u64,
    /// Spans that both plugins hold: fewer, if the plugin refused more.
    pub held_spans: u64,
    /// The traces of these spans.
    pub held_traces: u64,
    /// What the plugin said when it refused more.
    pub refused: Option<String>,
    /// What loading, writing and holding the spans costs.
    pub figures: Vec<Figure>,
    /// What searches cost.
    pub searches: Vec<SearchFigures>,
    /// What is to be known of the figures.
    pub notes: Vec<String>,
}

/// What was measured of both plugins.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it is.
    pub name: &'static str,
    /// In which unit.
    pub unit: &'static str,
    /// The figures.
    #[serde(flatten)]
    pub both: Both,
}

/// What a search costs.
#[derive(Clone, Debug, Serialize)]
pub struct SearchFigures {
    /// What is asked.
    pub name: String,
    /// What both plugins have found.
    pub found: Found,
    /// Milliseconds of processor time.
    pub cpu_ms: Both,
    /// Milliseconds.
    pub wall_ms: Both,
}

/// A figure of both plugins.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Both {
    /// The plugin's.
    pub plugin: f64,
    /// That of `memory`.
    pub memory: f64,
    /// What the plugin's is of that of `memory`; for a search, the median of the rounds. `None` where `memory` has none.
    pub ratio: Option<f64>,
}

// === impl Pair ===

impl<T> Pair<T> {
    pub(crate) fn by_ref(&self) -> Pair<&T> {
        Pair {
            plugin: &self.plugin,
            memory: &self.memory,
        }
    }

    pub(crate) fn map<U>(self, change: impl Fn(T) -> U) -> Pair<U> {
        Pair {
            plugin: change(self.plugin),
            memory: change(self.memory),
        }
    }
}

// === impl Report ===

impl Report {
    pub(crate) fn new(loaded: Pair<&Loaded>, options: &Options) -> Self {
        let status = loaded.plugin.component.status();
        Self {
            plugin: status.name,
            version: status.version,
            source: status.source,
            contract: status.contract.as_str(),
            instancing: status.instancing,
            memory_version: loaded.memory.component.version().to_owned(),
            spans: options.spans,
            seed: options.seed,
            held_spans: 0,
            held_traces: 0,
            refused: None,
            figures: Vec::new(),
            searches: Vec::new(),
            notes: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, name: &'static str, unit: &'static str, figures: Pair<f64>) {
        let both = Both::new(figures, figures.plugin / figures.memory);
        self.figures.push(Figure { name, unit, both });
    }

    pub(crate) fn add_filled(&mut self, held: &Pair<Arc<Held>>, empty: Pair<u64>, filled: &Filled) {
        self.held_spans = filled.spans;
        self.held_traces = filled.traces.len() as u64;
        self.refused.clone_from(&filled.full);
        let spans = float(filled.spans);
        let full = held.by_ref().map(Held::memory_used);
        let grown = Pair {
            plugin: full.plugin.saturating_sub(empty.plugin),
            memory: full.memory.saturating_sub(empty.memory),
        };
        self.add("memory, full", "MB", full.map(megabytes));
        self.add(
            "memory, grown by",
            "bytes a span",
            grown.map(|bytes| float(bytes) / spans),
        );
        let stored = held.by_ref().map(Held::stored_bytes);
        if stored.plugin > 0 {
            let stored = stored.map(|bytes| float(bytes) / spans);
            self.add("stored in kv", "bytes a span", stored);
        }
        let cpu = |spent: Spent| micros(spent.cpu) / spans;
        self.add("writes", "us of CPU a span", filled.writes.map(cpu));
        self.add("upkeep", "us of CPU a span", filled.upkeep.map(cpu));
        let rate = |spent: Spent| spans / spent.wall.as_secs_f64();
        self.add("writes", "spans a second", filled.writes.map(rate));
    }

    /// Notes what was dropped. True if that is anything, so that not both hold all that was written.
    pub(crate) fn note_dropped(&mut self, traces: Pair<u64>) -> bool {
        let names = [
            (traces.plugin, "it", "give it settings that keep all"),
            (traces.memory, "`memory`", "raise `limits.memory`"),
        ];
        for (traces, who, what) in names {
            if traces > 0 {
                self.notes.push(format!(
                    "{who} has dropped {traces} traces of what was written, so no searches are measured: {what}, or take fewer --spans"
                ));
            }
        }
        traces.plugin + traces.memory > 0
    }

    pub(crate) fn add_search(&mut self, search: SearchFigures) {
        self.searches.push(search);
    }

    /// The first line for people.
    pub fn head(&self) -> String {
        format!(
            "{} {}, {}, for larder:storage@{}, beside the bundled memory {}\n",
            self.plugin, self.version, self.instancing, self.contract, self.memory_version
        )
    }

    /// The table for people, and what is to be known of it.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} spans of {} traces (--seed {})\n",
            whole(self.held_spans),
            whole(self.held_traces),
            self.seed
        );
        if let Some(why) = &self.refused {
            let _ = writeln!(
                text,
                "It holds {} of {} spans, and refused more: {}",
                whole(self.held_spans),
                whole(self.spans),
                printable(why)
            );
        }
        text.push('\n');
        text.push_str(&self.figure_table());
        if !self.searches.is_empty() {
            text.push('\n');
            text.push_str(&self.search_table());
        }
        for note in &self.notes {
            let _ = writeln!(text, "note: {note}");
        }
        text
    }

    fn figure_table(&self) -> String {
        let mut rows = vec![vec![
            String::new(),
            self.plugin.clone(),
            "memory".to_owned(),
            "ratio".to_owned(),
        ]];
        rows.extend(self.figures.iter().map(|figure| {
            let mut row = vec![format!("{}, {}", figure.name, figure.unit)];
            row.extend(figure.both.cells());
            row
        }));
        table(&rows, 1)
    }

    fn search_table(&self) -> String {
        let mut rows = vec![vec![
            "search".to_owned(),
            "found".to_owned(),
            format!("{}, CPU ms", self.plugin),
            "memory".to_owned(),
            "ratio".to_owned(),
            format!("{}, ms", self.plugin),
            "memory".to_owned(),
            "ratio".to_owned(),
        ]];
        rows.extend(self.searches.iter().map(|search| {
            let mut row = vec![search.name.clone(), search.found.to_string()];
            row.extend(search.cpu_ms.cells());
            row.extend(search.wall_ms.cells());
            row
        }));
        table(&rows, 2)
    }

    /// The report as JSON.
    ///
    /// # Errors
    /// None that can happen: it has no keys but texts.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }
}

// === impl Both ===

impl Both {
    pub(crate) fn new(figures: Pair<f64>, ratio: f64) -> Self {
        Self {
            plugin: figures.plugin,
            memory: figures.memory,
            ratio: Some(ratio).filter(|it| it.is_finite()),
        }
    }

    fn cells(self) -> [String; 3] {
        let ratio = self.ratio.map_or_else(|| "-".to_owned(), shown);
        [shown(self.plugin), shown(self.memory), ratio]
    }
}
