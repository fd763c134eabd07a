//! The `larder` binary: parse the command line, start logging, load the configuration, and run the command.

#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod allocator;

use std::process::ExitCode;

use anyhow::Context as _;
use larder::cli::{self, Cli, Command, Signals};
use larder::config::{Config, KvDriver, Sources};
use larder::server::{Error, Server, StartingServer, kv_dir, raise_limit_of_open_files};
use larder_core::fair;
use larder_core::telemetry::Chain;
use larder_core::telemetry::logs::{self, Format};
use larder_runtime::plugin::{Instancing, Source};
use tokio_util::sync::CancellationToken;

/// The exit code of a command line that cannot be understood.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    allocator::limit_retained_memory();
    let format = if cli::is_for_a_server(std::env::args_os()) {
        Format::of_server()
    } else {
        Format::Plain
    };
    let cli = match cli::parse(std::env::args_os()) {
        Ok(cli) => cli,
        Err(usage) if format == Format::Json && usage.use_stderr() => {
            format.fail(usage.to_string().trim().trim_start_matches("error: "));
            return ExitCode::from(USAGE);
        }
        Err(usage) => usage.exit(),
    };
    match run(&cli, format) {
        Ok(code) => code,
        Err(error) => {
            format.fail(&Chain(error.as_ref()).to_string());
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli, format: Format) -> anyhow::Result<ExitCode> {
    if let Some(code) = cli.compile() {
        return Ok(code);
    }
    let command = cli.command();
    if let Command::Token(command) = &command {
        // It needs no configuration, and the token is all that stderr has.
        command.run()?;
        return Ok(ExitCode::SUCCESS);
    }
    logs::start(format)?;
    raise_limit_of_open_files();
    let sources = cli.sources(std::env::vars_os().collect());
    let config = Config::load(&sources)?;
    for unknown in sources.unknown_variables() {
        tracing::warn!("{unknown} (ignored; with `strict_environment` a start is refused)");
    }
    match command {
        Command::Serve => {
            if let Some(lowered) = config.lowered_span_limit() {
                tracing::warn!("{lowered}");
            }
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(fair::threads())
                .enable_all()
                .build()
                .context("cannot start the runtime")?;
            let ended = runtime.block_on(serve(config, sources, format));
            // Tasks that are left were cut off by the drain, and must not delay the exit.
            runtime.shutdown_background();
            return ended;
        }
        Command::Check => {
            if !cli::check(&config)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Snapshot(command) => command.run(&config)?,
        Command::Restore(command) => command.run(&config)?,
        Command::Repair(command) => {
            if !cli::repair(&config, command.apply)? {
                return Ok(ExitCode::FAILURE);
            }
        }
        Command::Config(command) => command.run(&config)?,
        Command::Kv(command) => command.run(&config)?,
        Command::Plugin(command) => command.run(cli, &config)?,
        // It has run above.
        Command::Token(_) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Starts and serves until a signal, then drains. A second signal ends the process at once, with the exit code that shells use for it.
async fn serve(config: Config, sources: Sources, format: Format) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::catch().context("cannot catch signals")?;
    let starting = tokio::select! {
        bound = StartingServer::bind(config.clone(), sources) => bound?,
        code = signals.next() => return Ok(ExitCode::from(code)),
    };

    let shutdown = CancellationToken::new();
    let mut serving = Box::pin(open_and_run(starting, &config, format, shutdown.clone()));
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

/// Opens the server, announces it, and runs it until `shutdown`, which may also come while it is opened.
async fn open_and_run(
    starting: StartingServer,
    config: &Config,
    format: Format,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let Some(server) = starting.open(&shutdown).await? else {
        return Ok(());
    };
    announce(&server, config, format);
    server.run(shutdown).await
}

/// Prints the plugin, the data directory and the addresses on stderr.
fn announce(server: &Server, config: &Config, format: Format) {
    let plugin = server.plugin();
    let from = match plugin.source.parse() {
        Ok(Source::Bundled(_)) => "bundled",
        Ok(Source::File(_)) | Err(_) => &plugin.source,
    };
    let data = match (plugin.instancing, config.kv.driver) {
        (Instancing::Exclusive, _) | (Instancing::Replicated, KvDriver::Memory) => {
            "data in memory only".to_owned()
        }
        (Instancing::Replicated, KvDriver::Embedded) => {
            format!("data in {}", kv_dir(config).display())
        }
        (Instancing::Replicated, KvDriver::Cassandra) => {
            let keyspace = config.kv.cassandra.keyspace.as_str();
            format!("data in Cassandra, keyspace {keyspace}")
        }
    };
    let (name, version) = (&plugin.name, &plugin.version);
    format.announce(&format!("Plugin {name} {version} ({from}), {data}"));
    format.announce(&format!("Serving Jaeger storage on {}", server.grpc_addr()));
    if let Some(writer) = server.writer_addr() {
        format.announce(&format!("Serving OTLP traces on {writer}"));
    }
    format.announce(&format!("Serving admin HTTP on {}", server.admin_addr()));
}
