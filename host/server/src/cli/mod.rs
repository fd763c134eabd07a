//! The command line.
//!
//! A flag sets a setting of the configuration. `config` reads and checks its value; this module knows only its name.

mod check;
mod config;
mod kv;
mod plugin;
mod repair;
mod signals;
mod snapshot;
mod token;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory, FromArgMatches as _, Parser, Subcommand};
use larder_edge::access::Right;
use larder_model::TenantName;
use larder_runtime::plugin::{CompileJob, ContractVersion};

pub use self::plugin::{BenchCommand, BenchFormat, Language, NewCommand, TestCommand, TestFormat};
use crate::config::{Config, Flag, PLUGIN_SETTINGS, Sources};

pub use check::check;
pub use repair::repair;
pub use signals::Signals;
pub use snapshot::{RestoreCommand, SnapshotCommand};

/// The parsed command line.
#[derive(Clone, Debug, Parser)]
#[command(
    name = "larder",
    version,
    about = "A trace store for Jaeger whose storage engine is a sandboxed wasm plugin",
    after_help = "Settings come from defaults, then the YAML file, then LARDER_... in the environment, then flags.\n\
                  `larder config table` lists them all; LARDER_LOG is the log filter (info unless set)."
)]
pub struct Cli {
    /// The command; `serve` by default.
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

/// The commands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Subcommand)]
pub enum Command {
    /// Serve Jaeger (the default)
    #[default]
    Serve,
    /// Read all that is stored on disk, also through the plugin, and print what cannot be read back; not beside a running server
    Check,
    /// Ask the running server for a copy of its store, as it stands at one moment
    Snapshot(SnapshotCommand),
    /// Copy a snapshot into an empty data folder
    Restore(RestoreCommand),
    /// Print what a repair of damaged data on disk would lose and mend, or do it; not beside a running server
    Repair(RepairCommand),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Look at the store that the configuration names
    #[command(subcommand)]
    Kv(KvCommand),
    /// Look at plugins
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Make a bearer token: the token goes to stderr, and its entry for the file that `access.tokens` names to stdout
    Token(TokenCommand),
}

/// Arguments of `larder repair`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Args)]
pub struct RepairCommand {
    /// Repair, and move what is damaged to the folder `kv-damaged` beside the store; without it nothing is changed
    #[arg(long)]
    pub apply: bool,
}

/// Arguments of `larder token`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct TokenCommand {
    /// Its name in logs [default: `token-` and the start of its hash]
    #[arg(long)]
    name: Option<String>,
    /// A tenant that it is for; may be repeated [default: all of them]
    #[arg(long = "tenant", value_name = "TENANT")]
    tenants: Vec<TenantName>,
    /// A right that it has; may be repeated
    #[arg(long = "right", value_name = "RIGHT", default_values = ["read"])]
    rights: Vec<Right>,
    /// Append the entry to this file instead of printing it; a file that it would spoil is not changed
    #[arg(long, value_name = "FILE")]
    append: Option<PathBuf>,
}

/// Commands of `larder config`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
pub enum ConfigCommand {
    /// Print the configuration that all sources give together, as a YAML file that gives the same
    Print,
    /// Print every setting with its default and meaning, as a Markdown table
    Table,
    /// Try all that a start tries, such as plugins, tokens, certificates and the store; open no port and leave nothing on disk
    Check,
}

/// Commands of `larder kv`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum KvCommand {
    /// Print the CQL that makes the keyspace and its tables, for a DBA; nothing is connected to
    Schema,
    /// Copy all tenants from one store into another, of any driver; cut off and run again, it goes on where it was
    Copy(CopyCommand),
    /// Tell the hosts that share the store that one of them does not come back, so that they look after its data
    Retire(RetireCommand),
    /// Once Cassandra's tables have been restored from snapshots that were made while hosts wrote, and before a host starts: keep what was
    /// reclaimed while they were made
    Restored,
}

/// Arguments of `larder kv copy`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CopyCommand {
    /// The store to read: a data folder that no process uses, such as a snapshot, or a configuration file that names a store. It is not
    /// changed
    #[arg(long, value_name = "FOLDER|FILE")]
    pub from: PathBuf,
    /// The configuration file that names the store to write
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
    /// Print what would be copied, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Arguments of `larder kv retire`.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct RetireCommand {
    /// The id of the host that does not come back: its `kv.cassandra.host`
    #[arg(value_name = "HOST")]
    pub host: String,
}

/// Commands of `larder plugin`.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum PluginCommand {
    /// Load a plugin, start it with the --plugin-setting given, and describe it; or say what does not fit
    Inspect {
        /// A bundled plugin's name, or a component's file
        #[arg(value_name = "NAME|FILE.wasm")]
        plugin: String,
    },
    /// Begin a plugin: a folder with one that works, the contract, and the commands that build it
    New(NewCommand),
    /// Test a plugin against the contract: fixed cases, and random stories beside a plain list
    Test(TestCommand),
    /// Measure a plugin beside the bundled `memory`: processor time and memory a span, and searches
    Bench(BenchCommand),
    /// Print the rules of the contract, as messages and metrics name them
    Rules {
        /// Only this one
        #[arg(value_name = "RULE")]
        rule: Option<String>,
    },
    /// Print the contract, for the tools of a plugin's language
    Wit {
        /// Its version
        #[arg(long, value_name = "VERSION", default_value = "0.2.0")]
        contract: ContractVersion,
    },
    /// Compile a plugin's file within limits; the server starts this process
    #[command(hide = true)]
    Compile(CompileJob),
}

#[derive(Clone, Debug, Default, Args)]
struct Options {
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        help = "Read settings from this YAML file [env: LARDER_CONFIG]"
    )]
    config: Option<PathBuf>,
    /// Store with this plugin: a bundled one (kv, memory), or a component's file
    #[arg(long, global = true, value_name = "NAME|FILE.wasm")]
    plugin: Option<String>,
    /// Give the plugin a setting of its own; may be repeated
    #[arg(long, global = true, value_name = "KEY=VALUE", value_parser = key_and_value)]
    plugin_setting: Vec<(String, String)>,
    /// Grant the plugin `tcp=HOST:PORT`, `http=HOST:PORT`, `env=NAME` or `clock`; may be repeated
    #[arg(long, global = true, value_name = "GRANT", value_parser = grant)]
    plugin_grant: Vec<(&'static str, String)>,
    /// Serve Jaeger and OTLP here [default: 127.0.0.1:17271]
    #[arg(long, global = true, value_name = "HOST:PORT")]
    grpc_endpoint: Option<String>,
    /// Serve OTLP writes here as well
    #[arg(long, global = true, value_name = "HOST:PORT")]
    writer_endpoint: Option<String>,
    /// Serve operators over HTTP here [default: 127.0.0.1:17270]
    #[arg(long, global = true, value_name = "HOST:PORT")]
    admin_endpoint: Option<String>,
    /// Keep what outlives the process here [default: ./larder-data]
    #[arg(long, global = true, value_name = "DIR")]
    data_dir: Option<String>,
    /// Let `POST /purge` forget everything that is stored
    #[arg(long, global = true)]
    enable_purge: bool,
}

/// Parses a command line. The error is a message for the user, or the help that they asked for.
pub fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Cli, clap::Error> {
    let mut command = definition();
    let matches = command.try_get_matches_from_mut(arguments)?;
    Cli::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
}

/// The command line, in which the help of a command other than `serve` has the command's own options alone. The settings are options of
/// every command, and would hide them.
fn definition() -> clap::Command {
    fn with_own_help(command: clap::Command) -> clap::Command {
        let names = command.get_subcommands().map(clap::Command::get_name);
        let names: Vec<String> = names.map(str::to_owned).collect();
        let hidden = |option: clap::Arg| {
            let is_global = option.is_global_set();
            option.hide(is_global)
        };
        let command = command.mut_args(hidden).after_help(
            "`larder --help` lists the options for settings, which may be given here too.",
        );
        let nested = |command: clap::Command, name| command.mut_subcommand(name, with_own_help);
        names.into_iter().fold(command, nested)
    }
    let mut command = <Cli as CommandFactory>::command();
    // Hands the options down to the commands.
    command.build();
    let names = command.get_subcommands().map(clap::Command::get_name);
    let names = names.filter(|name| !matches!(*name, "serve" | "help"));
    let names: Vec<String> = names.map(str::to_owned).collect();
    let nested = |command: clap::Command, name| command.mut_subcommand(name, with_own_help);
    names.into_iter().fold(command, nested)
}

/// True for a command line that starts a server, even one that cannot be parsed.
pub fn is_for_a_server(arguments: impl Iterator<Item = OsString>) -> bool {
    let arguments: Vec<OsString> = arguments.collect();
    if let Ok(cli) = parse(arguments.iter().cloned()) {
        return cli.command() == Command::Serve;
    }
    let known = <Cli as CommandFactory>::command();
    let mut commands = known.get_subcommands().map(clap::Command::get_name);
    commands.all(|name| name == "serve" || arguments.iter().skip(1).all(|it| it != name))
}

// === impl Cli ===

impl Cli {
    /// The command.
    pub fn command(&self) -> Command {
        self.command.clone().unwrap_or_default()
    }

    /// Runs the command that needs no configuration; `None` for any other command.
    pub fn compile(&self) -> Option<ExitCode> {
        match &self.command {
            Some(Command::Plugin(PluginCommand::Compile(job))) => Some(job.run()),
            Some(
                Command::Serve
                | Command::Check
                | Command::Snapshot(_)
                | Command::Restore(_)
                | Command::Repair(_)
                | Command::Config(_)
                | Command::Kv(_)
                | Command::Plugin(
                    PluginCommand::Inspect { .. }
                    | PluginCommand::New(_)
                    | PluginCommand::Test(_)
                    | PluginCommand::Bench(_)
                    | PluginCommand::Rules { .. }
                    | PluginCommand::Wit { .. },
                )
                | Command::Token(_),
            )
            | None => None,
        }
    }

    /// The configuration from file, environment and flags.
    pub fn config(
        &self,
        environment: Vec<(OsString, OsString)>,
    ) -> Result<Config, crate::config::Error> {
        Config::load(&self.sources(environment))
    }

    /// The sources of the configuration. A reload reads them again.
    pub fn sources(&self, environment: Vec<(OsString, OsString)>) -> Sources {
        Sources {
            file: self.options.config.clone(),
            environment,
            flags: self.options.flags(),
        }
    }
}

// === impl Command ===

impl ConfigCommand {
    /// Runs the command. Its output goes to stdout.
    pub fn run(self, config: &Config) -> anyhow::Result<()> {
        config::run(self, config)
    }
}

impl KvCommand {
    /// Runs the command. Its output goes to stdout.
    pub fn run(&self, config: &Config) -> anyhow::Result<()> {
        kv::run(self, config)
    }
}

impl PluginCommand {
    /// Runs the command. Its output goes to stdout.
    pub fn run(&self, cli: &Cli, config: &Config) -> anyhow::Result<()> {
        match self {
            // The configuration's plugin settings are for the configured plugin, so they are left out here.
            Self::Inspect { plugin } => plugin::inspect(plugin, cli.options.of_plugin()?, config),
            Self::New(command) => plugin::new(command),
            Self::Test(command) => plugin::test(command, cli.options.of_plugin()?, config),
            Self::Bench(command) => plugin::bench(command, cli.options.of_plugin()?, config),
            Self::Rules { rule } => plugin::rules(rule.as_deref()),
            Self::Wit { contract } => plugin::wit(*contract),
            // `Cli::compile` runs this before a configuration is loaded.
            Self::Compile(_) => Ok(()),
        }
    }
}

impl TokenCommand {
    /// Runs the command. The entry goes to stdout or to a file, the token to stderr.
    pub fn run(&self) -> anyhow::Result<()> {
        token::run(self)
    }
}

// === impl Options ===

impl Options {
    fn flags(&self) -> Vec<Flag> {
        let given = [
            ("--plugin", "plugin.use", &self.plugin),
            ("--grpc-endpoint", "grpc.endpoint", &self.grpc_endpoint),
            (
                "--writer-endpoint",
                "grpc.writer_endpoint",
                &self.writer_endpoint,
            ),
            ("--admin-endpoint", "admin.endpoint", &self.admin_endpoint),
            ("--data-dir", "data_dir", &self.data_dir),
        ];
        let given = given.into_iter().filter_map(|(name, path, value)| {
            let value = value.clone()?;
            let path = path.to_owned();
            Some(Flag { name, path, value })
        });
        let purge = self.enable_purge.then(|| Flag {
            name: "--enable-purge",
            path: "admin.purge".to_owned(),
            value: "true".to_owned(),
        });
        let settings = self.plugin_setting.iter().map(|(key, value)| Flag {
            name: "--plugin-setting",
            path: format!("{PLUGIN_SETTINGS}.{key}"),
            value: value.clone(),
        });
        let all = given.chain(purge).chain(settings);
        all.chain(self.grants()).collect()
    }

    /// The settings that `--plugin-grant` gives. Those of one kind are one list.
    fn grants(&self) -> Vec<Flag> {
        let mut lists: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (kind, what) in &self.plugin_grant {
            lists.entry(kind).or_default().push(what);
        }
        let flags = lists.into_iter().map(|(kind, list)| Flag {
            name: "--plugin-grant",
            path: format!("plugin.grants.{kind}"),
            value: list.join(","),
        });
        flags.collect()
    }

    /// What a plugin that is named on the command line has of its own: its settings, and its grants. What a file gives another plugin
    /// is not meant for it.
    fn of_plugin(&self) -> anyhow::Result<plugin::Given> {
        let alone = Config::load(&Sources {
            flags: self.grants(),
            ..Sources::default()
        })?;
        Ok(plugin::Given {
            settings: self.plugin_setting.clone(),
            grants: alone.plugin.grants,
        })
    }
}

/// The kind of a grant, and what is granted.
fn grant(text: &str) -> Result<(&'static str, String), String> {
    let (kind, what) = match text.split_once('=') {
        Some((kind, what)) => (kind, Some(what)),
        None => (text, None),
    };
    let kind = match (kind, what) {
        ("clock", None | Some("true")) => "clock",
        ("env", Some(_)) => "env",
        ("http", Some(_)) => "http",
        ("tcp", Some(_)) => "tcp",
        _ => return Err("expected tcp=HOST:PORT, http=HOST:PORT, env=NAME or clock".to_owned()),
    };
    Ok((kind, what.unwrap_or("true").to_owned()))
}

fn key_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE, such as max_traces=100000".to_owned()),
    }
}

#[cfg(test)]
mod tests;
