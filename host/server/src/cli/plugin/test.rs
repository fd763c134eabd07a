//! `larder plugin test`.

use std::fs;
use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use larder_kit::{Options, Report, Story};

use super::Given;
use crate::config::Config;

/// Options of `larder plugin test`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TestCommand {
    /// A bundled plugin's name, or a component's file
    #[arg(value_name = "NAME|FILE.wasm")]
    pub plugin: String,
    /// How many random stories to play
    #[arg(long, value_name = "NUMBER", default_value_t = 500)]
    pub rounds: u32,
    /// The seed of the random stories: the same one makes the same stories
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    pub seed: u64,
    /// Play only this story, which an earlier test has kept
    #[arg(long, value_name = "FILE")]
    pub story: Option<PathBuf>,
    /// Stop at the first case that fails
    #[arg(long)]
    pub fail_fast: bool,
    /// How to print what came of it
    #[arg(long, value_enum, default_value_t)]
    pub format: TestFormat,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TestFormat {
    /// Lines for people
    #[default]
    Human,
    /// One JSON object
    Json,
    /// The XML of `JUnit`, for CI servers
    Junit,
}

/// Tests a plugin against the contract. Fails if a rule is broken.
pub(in super::super) fn test(
    command: &TestCommand,
    given: Given,
    config: &Config,
) -> anyhow::Result<()> {
    let story = command.story.as_ref().map(|path| {
        let text = fs::read_to_string(path);
        let text = text.with_context(|| format!("cannot read {}", path.display()))?;
        Story::from_json(&text).with_context(|| path.display().to_string())
    });
    let options = Options {
        rounds: command.rounds,
        seed: command.seed,
        story: story.transpose()?,
        fail_fast: command.fail_fast,
    };
    let is_human = command.format == TestFormat::Human;
    let mut lines = Lines(Ok(()));
    let plugin = super::plugin_config(&command.plugin, given, config)?;
    let source = plugin.source.clone();
    let tested = larder_kit::test(&super::engine(config)?, plugin, &options, |event| {
        if is_human {
            lines.print(&event.to_human());
        }
    });
    let report = match tested {
        Ok(report) => report,
        Err(error) => {
            // Machines are told on stdout, as of any failure; the error says the same to people.
            if let Some(unfit) = Report::unfit(&source, &error).filter(|_| !is_human) {
                lines.end(&unfit, command.format)?;
            }
            return Err(error.into());
        }
    };
    lines.end(&report, command.format)?;
    let kept = keep(&report, command)?;
    if report.has_passed() {
        return Ok(());
    }
    match kept {
        Some(path) => bail!(
            "{} breaks the contract; the calls that show it are in {}: play them again with --story",
            report.plugin,
            path.display()
        ),
        None => bail!("{} breaks the contract", report.plugin),
    }
}

/// Writes the story of a failure into the working directory. `None` if there is none, or if it was kept before.
fn keep(report: &Report, command: &TestCommand) -> anyhow::Result<Option<PathBuf>> {
    let Some(story) = report.story().filter(|_| command.story.is_none()) else {
        return Ok(None);
    };
    // A plugin may call itself anything.
    let name = report
        .plugin
        .replace(|c: char| !c.is_ascii_alphanumeric() && c != '-', "_");
    let path = PathBuf::from(format!("{name}.story.json"));
    fs::write(&path, story.to_json()?)
        .with_context(|| format!("cannot keep the story in {}", path.display()))?;
    Ok(Some(path))
}

/// Prints until it fails, as when nobody reads any more.
struct Lines(std::io::Result<()>);

impl Lines {
    /// Prints what comes after the cases. Fails if that, or anything before, could not be printed.
    fn end(mut self, report: &Report, format: TestFormat) -> anyhow::Result<()> {
        match format {
            TestFormat::Human => self.print(&report.foot()),
            TestFormat::Json => self.print(&format!("{}\n", report.to_json()?)),
            TestFormat::Junit => self.print(&report.to_junit()),
        }
        self.0.context("cannot print")
    }

    fn print(&mut self, text: &str) {
        if self.0.is_ok() {
            let mut to = stdout().lock();
            self.0 = to.write_all(text.as_bytes()).and_then(|()| to.flush());
        }
    }
}
