//! `larder kv`.

mod copy;
mod restored;
mod retire;
mod stores;

use std::io::{Write as _, stdout};

use anyhow::Context as _;

use super::KvCommand;
use crate::config::{Config, KvDriver};
use crate::server;

pub(super) fn run(command: &KvCommand, config: &Config) -> anyhow::Result<()> {
    match command {
        KvCommand::Schema => {
            let text = schema(config)?;
            write!(stdout().lock(), "{text}").context("cannot print")
        }
        KvCommand::Copy(command) => copy::run(command),
        KvCommand::Retire(command) => retire::run(&command.host, config),
        KvCommand::Restored => restored::run(config),
    }
}

/// The statements that make the schema of the configured store.
fn schema(config: &Config) -> anyhow::Result<String> {
    match config.kv.driver {
        KvDriver::Cassandra => Ok(server::cassandra::schema(config)),
        KvDriver::Embedded | KvDriver::Memory => anyhow::bail!(
            "`kv.driver` is not `cassandra`: no other driver has a schema that somebody could make"
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_schema_is_that_of_the_configured_keyspace() {
        let mut config = Config::default();
        let refused = schema(&config).unwrap_err().to_string();
        assert!(refused.contains("`kv.driver`"), "{refused}");
        config.kv.driver = KvDriver::Cassandra;
        let printed = schema(&config).unwrap();
        assert!(printed.contains("\"larder\""), "{printed}");
        assert!(printed.lines().all(|line| line.ends_with(';')), "{printed}");
    }
}
