//! `larder config`.

use std::io::{Write as _, stdout};

use anyhow::Context as _;

use super::{ConfigCommand, check};
use crate::config::{Config, markdown};
use crate::server;

pub(super) fn run(command: ConfigCommand, config: &Config) -> anyhow::Result<()> {
    let text = match command {
        ConfigCommand::Print => config.to_yaml().context("cannot write the configuration")?,
        ConfigCommand::Table => markdown(),
        ConfigCommand::Check => checked(config)?,
    };
    write!(stdout().lock(), "{text}").context("cannot print")
}

/// Tries what a start tries, and lists it.
fn checked(config: &Config) -> anyhow::Result<String> {
    let scratch = check::scratch()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let tried = runtime.block_on(server::rehearse(config, scratch.path()));
    drop(runtime);
    check::remove(scratch);
    let lines = tried?.into_iter();
    let lines = lines.map(|(subject, state)| format!("{subject:<12}{state}\n"));
    Ok(lines.chain(["ok\n".to_owned()]).collect())
}
