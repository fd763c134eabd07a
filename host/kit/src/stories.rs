//! Stories are played on a fresh instance each. One that fails is made as short as it can be.

use std::time::Instant;

use larder_plugin::TraceId;
use larder_plugin::testing::{Breach, Checker, Finding, answered};
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::Options;
use crate::generate;
use crate::report::{Case, Outcome};
use crate::sandboxed::Sandboxed;
use crate::story::{Fragment, Step, Story};
use crate::world::World;

/// Shorter stories that are tried after one has failed.
const TRIES: u32 = 1_000;
/// How long they are tried, in milliseconds.
const LONGEST: u32 = 60_000;

/// Plays one story that was kept.
pub(crate) fn replay(world: &World, story: &Story) -> Case {
    let begun = Instant::now();
    let outcome = match play(world, story) {
        Ok(()) => Outcome::Passed,
        Err(breach) => failed(breach, story.clone()),
    };
    Case {
        name: format!("the story of {} calls", story.steps.len()),
        outcome,
        duration: begun.elapsed(),
    }
}

/// Plays random stories until one fails.
pub(crate) fn random(world: &World, options: &Options) -> Case {
    let begun = Instant::now();
    let config = Config {
        cases: options.rounds,
        max_shrink_iters: TRIES,
        max_shrink_time: LONGEST,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed(options.seed));
    let mut runner = TestRunner::new_with_rng(config, rng);
    let progress = std::cell::RefCell::new(Progress::default());
    let played = runner.run(&generate::story(world.is_replicated()), |story| {
        let mut progress = progress.borrow_mut();
        let outcome = play(world, &story);
        if progress.rule.is_none() {
            progress.stories += 1;
            progress.calls += story.steps.len();
        }
        match outcome {
            Ok(()) => Ok(()),
            // While a story is made shorter, what breaks another rule is another story.
            Err(breach) if progress.rule.as_ref().is_some_and(|it| *it != breach.rule) => Ok(()),
            Err(breach) => {
                progress.rule = Some(breach.rule.to_string());
                Err(TestCaseError::fail(breach.text))
            }
        }
    });
    let Progress {
        stories,
        calls,
        rule,
    } = progress.into_inner();
    let (name, outcome) = match played {
        Ok(()) => (
            format!("{stories} random stories of {calls} calls"),
            Outcome::Passed,
        ),
        Err(TestError::Fail(reason, story)) => (
            format!(
                "random story {stories} of {} (--seed {}), shortened to {} calls",
                options.rounds,
                options.seed,
                story.steps.len()
            ),
            Outcome::Failed {
                rule: rule.unwrap_or_else(|| "kit.panic".to_owned()),
                text: reason.message().to_owned(),
                story: Some(story),
            },
        ),
        Err(TestError::Abort(reason)) => (
            "random stories".to_owned(),
            Outcome::Skipped(reason.message().to_owned()),
        ),
    };
    Case {
        name,
        outcome,
        duration: begun.elapsed(),
    }
}

/// What has been played.
#[derive(Default)]
struct Progress {
    stories: usize,
    calls: usize,
    /// The rule that the first failure broke.
    rule: Option<String>,
}

fn seed(seed: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(seed.to_le_bytes()) {
        *to = from;
    }
    bytes
}

fn failed(breach: Breach, story: Story) -> Outcome {
    Outcome::Failed {
        rule: breach.rule.into_owned(),
        text: breach.text,
        story: Some(story),
    }
}

fn play(world: &World, story: &Story) -> Result<(), Breach> {
    let mut checker = Checker::new(world.open()?);
    for step in &story.steps {
        call(world, &mut checker, step)?;
    }
    checker.check_all()
}

fn call(world: &World, checker: &mut Checker<Sandboxed<'_>>, step: &Step) -> Result<(), Breach> {
    match step {
        Step::Write(fragments) => {
            checker.write(fragments.iter().map(Fragment::builder))?;
        }
        Step::Find {
            search,
            limits,
            between,
        } => {
            let search = search.search();
            let matches = checker.stored().matching(&search).count();
            let mut limits = limits.iter().copied().cycle();
            let mut between = between.iter();
            let mut finding = Finding::begin(checker, &search)?;
            while finding.page(checker, limits.next().unwrap_or(1).max(1))? {
                if let Some(fragments) = between.next() {
                    checker.write(fragments.iter().map(Fragment::builder))?;
                }
            }
            let found = finding.end(checker)?;
            world.note(|notes| notes.found(found.len(), matches));
        }
        Step::Read { traces, max_bytes } => {
            let mut ids: Vec<TraceId> = Vec::new();
            for id in traces {
                let id = TraceId::from(*id);
                if !ids.contains(&id) {
                    ids.push(id);
                }
            }
            checker.check_traces(&ids, *max_bytes)?;
        }
        Step::Names => checker.check_operations()?,
        Step::Maintain(steps) => {
            let now = checker.now();
            for _ in 0..*steps {
                if !answered("maintain", checker.subject().maintain(now))? {
                    break;
                }
            }
        }
        Step::Reopen if world.is_replicated() => {
            checker.subject().reopen()?;
            checker.reopened();
        }
        Step::Reopen => {}
    }
    Ok(())
}
