//! The `larder` binary: parse the command line, start logging, load the configuration, and run the command.

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
    allocator::limit_retained_memory();
    match run(&Cli::parse()) {
        Ok(code) => code,
        Err(error) => {
            print_line(&format!("error: {}", Chain(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    if let Some(code) = cli.compile() {
        return Ok(code);
    }
    let command = cli.command();
    if let Command::Token(command) = &command {
        // It needs no configuration, and the token is all that stderr has.
        command.run()?;
        return Ok(ExitCode::SUCCESS);
    }
    logs::start()?;
    let sources = cli.sources(std::env::vars_os().collect());
    let config = Config::load(&sources)?;
    for unknown in sources.unknown_variables() {
        tracing::warn!("{unknown} (ignored; with `strict_environment` a start is refused)");
    }
    match command {
        Command::Serve => {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(fair::threads())
                .enable_all()
                .build()
                .context("cannot start the runtime")?;
            let ended = runtime.block_on(serve(config, sources));
            // Tasks that are left were cut off by the drain, and must not delay the exit.
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
        // It has run above.
        Command::Token(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves until a signal, then drains. A second signal ends the process at once, with the exit code that shells use for it.
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

/// Prints the plugin, the data directory and the addresses on stderr.
fn announce(server: &Server, config: &Config) {
    let plugin = server.plugin();
    let from = match plugin.source.parse() {
        Ok(Source::Bundled(_)) => "bundled",
        Ok(Source::File(_)) | Err(_) => &plugin.source,
    };
    let data = match (plugin.instancing, config.kv.driver) {
        (Instancing::Exclusive, KvDriver::Embedded | KvDriver::Memory)
        | (Instancing::Replicated, KvDriver::Memory) => "data in memory only".to_owned(),
        (Instancing::Replicated, KvDriver::Embedded) => {
            format!("data in {}", kv_dir(config).display())
        }
    };
    let (name, version) = (&plugin.name, &plugin.version);
    print_line(&format!("Plugin {name} {version} ({from}), {data}"));
    print_line(&format!("Serving Jaeger storage on {}", server.grpc_addr()));
    if let Some(writer) = server.writer_addr() {
        print_line(&format!("Serving OTLP traces on {writer}"));
    }
    print_line(&format!("Serving admin HTTP on {}", server.admin_addr()));
}

/// Prints a line on stderr. Errors are ignored, as there is nowhere to report them.
fn print_line(line: &str) {
    drop(writeln!(io::stderr().lock(), "{line}"));
}
