//! `larder config`.

use std::io::{Write as _, stdout};

use anyhow::Context as _;

use super::ConfigCommand;
use crate::config::{Config, markdown};

pub(super) fn run(command: ConfigCommand, config: &Config) -> anyhow::Result<()> {
    let text = match command {
        ConfigCommand::Print => config.to_yaml().context("cannot write the configuration")?,
        ConfigCommand::Table => markdown(),
    };
    write!(stdout().lock(), "{text}").context("cannot print")
}
