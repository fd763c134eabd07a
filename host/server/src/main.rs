//! The server binary: parse, log, configure, bind, announce, serve, drain.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator;

use std::io::{self, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use larder::cli::{self, Cli, Command, Signals};
use larder::config::{Config, KvDriver, Sources};
use larder::server::{Server, kv_dir};
use larder_core::fair;
use larder_core::telemetry::{Chain, logs};
use larder_runtime::plugin::{Instancing, Source};
use tokio_util::sync::CancellationToken;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    allocator::bound();
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            let told = format!("error: {}", Chain(error.as_ref()));
            say(&told);
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    if let Some(code) = cli.compile() {
        return Ok(code);
    }
    logs::start()?;
    let sources = cli.sources(std::env::vars_os().collect());
    let config = Config::load(&sources)?;
    match cli.command() {
        Command::Serve => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(fair::threads())
                .enable_all()
                .build()
                .context("cannot start the runtime")?;
            let ended = runtime.block_on(serve(config, sources));
            // What still runs was given up: it must not hold the process.
            runtime.shutdown_background();
            return ended;
        }
        Command::Check => {
            if !cli::check(&config)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Config(command) => command.run(&config)?,
        Command::Plugin(command) => command.run(cli, &config)?,
        Command::Token(command) => command.run()?,
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves until a signal, then drains; a second signal ends the process at once, with the code that shells give it.
async fn serve(config: Config, sources: Sources) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let bound = tokio::select! {
        bound = Server::bind(config.clone(), sources) => bound,
        code = signals.next() => return Ok(ExitCode::from(code)),
    };
    let server = bound?;
    announce(&server, &config);

    let shutdown = CancellationToken::new();
    let mut serving = Box::pin(server.run(shutdown.clone()));
    tokio::select! {
        ended = &mut serving => return Ok(ended.map(|()| ExitCode::SUCCESS)?),
        _ = signals.next() => shutdown.cancel(),
    }
    tokio::select! {
        ended = serving => ended?,
        code = signals.next() => {
            tracing::warn!("ended at once by a second signal; writes that were not acknowledged may be lost");
            return Ok(ExitCode::from(code));
        }
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// Says on stderr, in plain lines, what stores and where everything is.
fn announce(server: &Server, config: &Config) {
    let plugin = server.plugin();
    let from = match plugin.source.parse() {
        Ok(Source::Bundled(_)) => "bundled",
        Ok(Source::File(_)) | Err(_) => &plugin.source,
    };
    let data = match (plugin.instancing, config.kv.driver) {
        (Instancing::Exclusive, KvDriver::Fjall | KvDriver::Memory)
        | (Instancing::Replicated, KvDriver::Memory) => "data in memory only".to_owned(),
        (Instancing::Replicated, KvDriver::Fjall) => {
            format!("data in {}", kv_dir(config).display())
        }
    };
    let (name, version) = (&plugin.name, &plugin.version);
    say(&format!("Plugin {name} {version} ({from}), {data}"));
    say(&format!("Serving Jaeger storage on {}", server.grpc_addr()));
    if let Some(writer) = server.writer_addr() {
        say(&format!("Serving OTLP traces on {writer}"));
    }
    say(&format!("Serving admin HTTP on {}", server.admin_addr()));
}

/// A line on stderr; where that is closed, nobody listens.
fn say(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}
