//! `larder plugin`.

mod bench;
mod inspect;
mod new;
mod test;

use std::io::{Write as _, stdout};
use std::path::PathBuf;

use anyhow::Context as _;
use larder_runtime::plugin::{
    self, ContractVersion, Limits, PluginConfig, Runtime, RuntimeConfig, Source,
};

pub(super) use self::bench::bench;
pub use self::bench::{BenchCommand, BenchFormat};
pub(super) use self::inspect::inspect;
pub(super) use self::new::new;
pub use self::new::{Language, NewCommand};
pub(super) use self::test::test;
pub use self::test::{TestCommand, TestFormat};

use crate::config::{Config, Grants};
use crate::server;

/// Prints the page of rules, or the section of one.
pub(super) fn rules(name: Option<&str>) -> anyhow::Result<()> {
    let text = match name {
        None => larder_kit::RULES,
        Some(name) => larder_kit::rule(name).with_context(|| {
            format!("there is no rule `{name}`: `larder plugin rules` prints all of them")
        })?,
    };
    print(text)
}

/// Prints the contract.
pub(super) fn wit(version: ContractVersion) -> anyhow::Result<()> {
    print(version.text())
}

fn print(text: &str) -> anyhow::Result<()> {
    let text = text.trim_end();
    writeln!(stdout().lock(), "{text}").context("cannot print")
}

/// What a plugin that is named on the command line is given there.
pub(super) struct Given {
    pub(super) settings: Vec<(String, String)>,
    pub(super) grants: Grants,
}

/// The configuration of a plugin that is named on the command line, within the limits of the server's.
fn plugin_config(plugin: &str, given: Given, config: &Config) -> anyhow::Result<PluginConfig> {
    Ok(PluginConfig {
        source: plugin.parse::<Source>()?,
        settings: given.settings,
        limits: Limits {
            memory: config.limits.memory.bytes(),
            call_timeout: config.limits.call_timeout,
            ..Limits::default()
        },
        grants: (&given.grants).into(),
    })
}

/// An engine that keeps what it has compiled where the server does; without a server's data here, in the user's cache.
fn engine(config: &Config) -> anyhow::Result<Runtime> {
    let is_there = config.data_dir.is_dir();
    let cache_dir = if is_there {
        Some(server::cache_dir(config))
    } else {
        user_cache()
    };
    Ok(engine_in(config, cache_dir)?)
}

/// An engine that keeps what it has compiled in this folder, and compiles as the server does.
fn engine_in(config: &Config, cache_dir: Option<PathBuf>) -> Result<Runtime, plugin::Error> {
    Runtime::new(&RuntimeConfig {
        compiler: Some(server::compiler(config)),
        cache_dir,
        ..RuntimeConfig::default()
    })
}

/// As the XDG Base Directory Specification has it.
fn user_cache() -> Option<PathBuf> {
    let absolute = |name| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|it| it.is_absolute())
    };
    let cache = absolute("XDG_CACHE_HOME");
    let cache = cache.or_else(|| Some(absolute("HOME")?.join(".cache")));
    Some(cache?.join("larder").join("compiled"))
}
