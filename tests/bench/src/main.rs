//! Loads one or more Jaeger remote storages with the same spans, times the same searches on each, side by side, and checks every answer
//! against what was written.
//!
//! `larder-bench --target kv=127.0.0.1:17271@PID --peer jaeger=127.0.0.1:27271@PID --spans 1000000`
//!
//! The first target is the one that ratios are made of. A PID is optional; without it, CPU and memory stay blank. A wrong answer of a
//! `--target` fails the run, once its tables are printed; one of a `--peer` gets a star and a line below. The storages have to be empty.
//!
//! - `generate --spans 1000000 --out FILE` writes the Exports once; `--replay FILE`, in all that follows, reads them, so that the client
//!   takes little of the processors that it shares with the server.
//! - `load --target kv=127.0.0.1:17271@PID --share 0.25,0.5,0.75` times searches alone and beside ingest at shares of its highest rate.
//!   Both go at their rate whatever is answered, and times count from when a call was due.
//! - `growth --target kv=127.0.0.1:17271@PID --data-dir kv=PATH --steps 1000000,10000000` measures after each step what spans cost.
//! - `dependencies --target kv=127.0.0.1:17271@PID --admin 127.0.0.1:17270 --replay FILE` writes spans, waits until the calls of all are
//!   kept, and times dependencies of windows of time. A file of `generate --spans 10000000 --hours 24` has a day of them.
//! - All four write every figure to `--json FILE`. `combine A.json B.json C.json --json ALL.json` puts runs together, each against an
//!   empty storage: minimum, median and maximum of each figure. (`--runs 3` only repeats what needs no empty storage.)
//! - `spans --target kv=127.0.0.1:17271@PID` times searches for spans, page by page, on what the main command has written.
//! - `patterns --target kv=127.0.0.1:17271@PID` times regular expressions on values that repeat more or less often, on what the main
//!   command has written from a file of `generate --repeats`.
//! - `--target two=HOST:PORT@PID,HOST:PORT@PID --store two=PID` measures several hosts over one store, and the CPU of the store apart;
//!   `--cold COMMAND` times each search after a restart as well. `delay --listen HOST:PORT --to HOST:PORT --milliseconds 20` is a proxy
//!   before the store that makes each of its round trips longer.
//! - `plot LOAD.json GROWTH.json DEPENDENCIES.json --out DIR` draws what `load`, `growth` and `dependencies` measured, as SVG.
//!
//! Three commands measure tenants, on a server with `tenancy.enabled`. `tenants` writes to and searches a thousand of them; `--tenants N`
//! in the main run spreads its Exports over some and searches the first.
//! What a noisy neighbour does to a quiet tenant is told by `quiet` and `noise` together. First the quiet one alone, which also
//! writes what later runs find: `larder-bench quiet --target larder=127.0.0.1:17271@PID`. Then, for each `KIND` of `flood`, `scan`
//! and `spin`, start `larder-bench noise --target larder=127.0.0.1:17271@PID --tenant KIND --kind KIND --seconds 30` in the
//! background, and while it makes its noise (a scan writes its spans first: run it once with `--seconds 0`, then with `--no-load`),
//! run `larder-bench quiet --target larder=127.0.0.1:17271@PID --no-load`. Compare its p99 to the p99 alone, row by row.
//! `spin` does something only where the tenant's plugin is the test guest `hostile`.

#![forbid(unsafe_code)]

mod admin;
mod beside;
mod calls;
mod combine;
mod compare;
mod delay;
mod dependencies;
mod disk;
mod figures;
mod findings;
mod growth;
mod held;
mod load;
mod noise;
mod numbers;
mod openloop;
mod patterns;
mod plot;
mod queries;
mod question;
mod quiet;
mod record;
mod replay;
mod report;
mod schedule;
mod searches;
mod source;
mod spans;
mod target;
mod tenant;
mod tenants;
mod timing;
mod truth;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Loads Jaeger remote storages with the same spans and times the same searches on each, every answer checked.
#[derive(Debug, Parser)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: compare::Options,
}

/// Commands other than the comparison.
#[derive(Debug, Subcommand)]
enum Command {
    Generate(record::Options),
    Combine(combine::Options),
    Load(beside::Options),
    Growth(growth::Options),
    Plot(plot::Options),
    Tenants(tenants::Options),
    Quiet(quiet::Options),
    /// Times searches for spans, page by page. Write the spans first, with the main command and the same number and seed.
    Spans(held::Options),
    Dependencies(dependencies::Options),
    /// Times regular expressions that nothing matches, and that ten traces match. Write the spans first: the main command with `--replay` of a
    /// file of `generate --repeats`, with the same number and seed.
    Patterns(held::Options),
    Noise(noise::Options),
    /// Passes TCP connections on, and holds each answer for a while: put it before a store to measure what its round trips cost.
    Delay(delay::Options),
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        match &arguments.command {
            None => compare::run(&arguments.options).await,
            Some(Command::Generate(options)) => record::run(options),
            Some(Command::Combine(options)) => combine::run(options),
            Some(Command::Load(options)) => beside::run(options).await,
            Some(Command::Growth(options)) => growth::run(options).await,
            Some(Command::Plot(options)) => plot::run(options),
            Some(Command::Tenants(options)) => tenants::run(options).await,
            Some(Command::Quiet(options)) => quiet::run(options).await,
            Some(Command::Spans(options)) => spans::run(options).await,
            Some(Command::Dependencies(options)) => dependencies::run(options).await,
            Some(Command::Patterns(options)) => patterns::run(options).await,
            Some(Command::Noise(options)) => noise::run(options).await,
            Some(Command::Delay(options)) => delay::run(options),
        }
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &str) -> Option<Arguments> {
        let words = std::iter::once("larder-bench").chain(words.split_whitespace());
        Arguments::try_parse_from(words).ok()
    }

    #[test]
    fn every_option_of_every_command_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn without_a_command_targets_are_compared() {
        let compared = |words| parse(words).is_some_and(|of| of.command.is_none());
        assert!(compared("--target kv=127.0.0.1:17271@1 --spans 1000000"));
        assert!(compared(
            "--target kv=h:1 --peer jaeger=h:2 --replay FILE --runs 3"
        ));
        assert!(!compared("--spans 1000000"), "no target");
        assert!(
            !compared("--target kv=h:1 --replay FILE --seed 3"),
            "the seed is the file's"
        );
    }

    #[test]
    fn a_command_has_options_of_its_own() {
        let generate = parse("generate --spans 10 --out FILE").and_then(|of| of.command);
        assert!(matches!(generate, Some(Command::Generate(_))));
        assert!(parse("generate --spans 10 --hours 24 --out FILE").is_some());
        let dependencies = "dependencies --target kv=h:1@1 --replay FILE";
        assert!(parse(&format!("{dependencies} --admin h:2")).is_some());
        assert!(parse(dependencies).is_none(), "nothing tells of settling");
        assert!(parse("generate --spans 10").is_none(), "no file");
    }
}
