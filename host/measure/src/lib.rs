//! What a storage plugin costs: processor time and memory a span, and searches, beside the bundled `memory`.
//!
//! [`measure()`] gives both plugins the same Exports of the benchmarks' generator in turns (`fill`), and then asks both the same searches
//! in turns (`searches`), so that what else the machine does is in both figures. An instance is called through [`Direct`], and searched by
//! the host's own search (`held`). Processor time is that of the process, while nobody but the plugin and the host for it works.
//! Architecture invariant: a wrong answer is an error, and has no figures.
//!
//! [`Direct`]: larder_runtime::plugin::Direct

#![forbid(unsafe_code)]

mod answer;
mod error;
mod fill;
mod held;
mod load;
mod numbers;
mod report;
mod searches;
mod spent;
mod table;

use std::path::Path;
use std::sync::Arc;

use larder_ingest::Ingest;
use larder_runtime::plugin::{self, Grants, Limits, PluginConfig, Runtime, Source};

use self::held::Held;
use self::load::Loaded;
use self::report::Pair;

pub use answer::Found;
pub use error::Error;
pub use report::{Both, Figure, Report, SearchFigures};

/// The plugin that others are measured beside.
const BESIDE: &str = "memory";

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Spans to write.
    pub spans: u64,
    /// The seed of the spans.
    pub seed: u64,
    /// The limits of the server, by which Exports are made fragments.
    pub ingest: larder_ingest::Limits,
    /// Whether fragments have terms of words, as the server's setting has it.
    pub word_terms: bool,
}

/// Measures a plugin. `engine` makes an engine that keeps what it compiles in a folder; `tell` has the report once the plugin is loaded.
///
/// # Errors
/// [`Error::Load`] for a plugin that does not fit the contract or refuses its settings, and [`Error::Call`] and [`Error::Answer`] for one
/// that does not do what it has to.
pub fn measure(
    engine: impl Fn(&Path) -> Result<Runtime, plugin::Error>,
    config: PluginConfig,
    options: &Options,
    tell: impl FnOnce(&Report),
) -> Result<Report, Error> {
    let tokio = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::setup("no thread to run the plugins on", &error))?;
    let beside = PluginConfig {
        source: Source::Bundled(BESIDE),
        // It keeps all that the plugin does, also where that is to be measured with little memory.
        settings: vec![("max_traces".to_owned(), options.spans.max(1).to_string())],
        limits: Limits {
            memory: config.limits.memory.max(Limits::default().memory),
            ..config.limits.clone()
        },
        grants: Grants::default(),
    };
    let work = async {
        let loaded = Pair {
            plugin: load::load(&engine, config).await?,
            memory: load::load(&engine, beside).await?,
        };
        let mut report = Report::new(loaded.by_ref(), options);
        tell(&report);
        run(&loaded, options, &mut report).await?;
        Ok(report)
    };
    tokio.block_on(Box::pin(work))
}

/// Opens, fills and searches both.
async fn run(loaded: &Pair<Loaded>, options: &Options, report: &mut Report) -> Result<(), Error> {
    report.add("first load", "s", loaded.by_ref().map(Loaded::first));
    report.add("cached load", "s", loaded.by_ref().map(Loaded::cached));
    let held = Pair {
        plugin: Held::open(&loaded.plugin.component).await?,
        memory: Held::open(&loaded.memory.component).await?,
    };
    let ended = fill_and_search(&held, options, report).await;
    let purged = held.plugin.purge().await;
    ended.and(purged)
}

async fn fill_and_search(
    held: &Pair<Arc<Held>>,
    options: &Options,
    report: &mut Report,
) -> Result<(), Error> {
    let empty = held.by_ref().map(Held::memory_used);
    report.add("memory, empty", "MB", empty.map(numbers::megabytes));
    let mut ingest = Ingest::new(options.ingest);
    ingest.set_word_terms(options.word_terms);
    let filled = fill::fill(held, options, ingest).await?;
    report.add_filled(held, empty, &filled);
    let dropped = Pair {
        plugin: held.plugin.dropped().await?,
        memory: held.memory.dropped().await?,
    };
    if report.note_dropped(dropped) {
        return Ok(());
    }
    for measured in searches::run(held, options, &filled).await? {
        report.add_search(measured);
    }
    let used = held.by_ref().map(Held::memory_used);
    report.add(
        "memory, after the searches",
        "MB",
        used.map(numbers::megabytes),
    );
    Ok(())
}
