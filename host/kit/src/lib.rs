//! The conformance kit: takes a plugin through what a host asks of it while it serves, and compares each answer with that of a plain list.
//!
//! [`test()`] opens a fresh instance for each case: fixed ones (`cases`), and random stories (`stories`), which are made as short as they can
//! be once one fails. The list, and what it checks, is that of the SDK, which tests plugins in Rust natively. Here the plugin runs in
//! the sandbox, and every answer passes the rules of the server first (`sandboxed`). Architecture invariant: the kit knows the contract and
//! nothing of any plugin.

#![forbid(unsafe_code)]

mod cases;
mod convert;
mod faults;
mod generate;
mod notes;
mod report;
mod rules;
mod sandboxed;
mod stories;
mod story;
mod world;

use std::time::{Duration, Instant};

use larder_runtime::plugin::{Error, PluginConfig, Runtime};

use self::world::World;

pub use report::{Case, Outcome, Report};
pub use rules::{RULES, rule};
pub use story::{BadStory, Story};

/// What is tested, besides the fixed cases.
#[derive(Clone, Debug)]
pub struct Options {
    /// Random stories to play.
    pub rounds: u32,
    /// The seed of the random stories.
    pub seed: u64,
    /// A story to play in place of all else.
    pub story: Option<Story>,
    /// Stop at the first case that fails.
    pub fail_fast: bool,
}

/// What happens while a plugin is tested.
#[derive(Clone, Copy, Debug)]
pub enum Event<'a> {
    /// It has been loaded, and nothing tried yet.
    Loaded(&'a Report),
    /// A case has ended.
    Ended(&'a Case),
}

/// Tests a plugin, and tells of it while it does.
///
/// # Errors
/// Those of a plugin that cannot be loaded: it does not fit the contract.
pub fn test(
    runtime: &Runtime,
    config: PluginConfig,
    options: &Options,
    mut tell: impl FnMut(Event<'_>),
) -> Result<Report, Error> {
    let begun = Instant::now();
    let world = World::load(runtime, config)?;
    let loaded = begun.elapsed();
    let mut report = Report::new(&world.component().status(), loaded);
    tell(Event::Loaded(&report));
    let mut cases: Vec<Box<dyn FnOnce() -> Case>> = Vec::new();
    if let Some(story) = &options.story {
        cases.push(Box::new(|| stories::replay(&world, story)));
    } else {
        let fixed = cases::ALL.iter();
        cases.extend(fixed.map(|it| Box::new(|| timed(it.name, || (it.run)(&world))) as _));
        cases.push(Box::new(|| stories::random(&world, options)));
    }
    for case in cases {
        let case = case();
        world.tidy();
        tell(Event::Ended(&case));
        report.cases.push(case);
        if options.fail_fast && !report.has_passed() {
            break;
        }
    }
    report.notes = world.notes();
    report.duration = begun.elapsed();
    Ok(report)
}

// === impl Event ===

impl Event<'_> {
    /// The lines of a report for people.
    pub fn to_human(&self) -> String {
        match self {
            Self::Loaded(report) => report.head(),
            Self::Ended(case) => case.to_human(),
        }
    }
}

/// Runs a case.
fn timed(
    name: &str,
    run: impl FnOnce() -> Result<cases::Passed, larder_plugin::testing::Breach>,
) -> Case {
    let begun = Instant::now();
    let outcome = match run() {
        Ok(cases::Passed::All) => Outcome::Passed,
        Ok(cases::Passed::Skipped(why)) => Outcome::Skipped(why),
        Err(breach) => Outcome::Failed {
            rule: breach.rule.into_owned(),
            text: breach.text,
            story: None,
        },
    };
    Case {
        name: name.to_owned(),
        outcome,
        duration: begun.elapsed(),
    }
}

/// Seconds with one digit after the point.
fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}
