//! `larder check` of a store in Cassandra.

use std::io::{Write as _, stdout};
use std::sync::Arc;

use anyhow::Context as _;
use larder_cassandra::{CassandraDriver, Options};
use larder_store::{Driver, Error, HostStatus, OverlayDriver};

use crate::config::Config;
use crate::server::cassandra::{Identity, options_as};

/// Reads the store through the plugin, as one more host, and prints what is missing or inconsistent; values themselves are checked by
/// Cassandra. True if nothing is. No data is changed: what the plugin would write stays in memory.
///
/// # Errors
/// Another host uses the store, it cannot be reached, it has no schema, or the plugin refuses it, fails, or breaks the contract.
pub(super) fn check(config: &Config) -> anyhow::Result<bool> {
    let options = Options {
        create_schema: false,
        ..options_as(config, Identity::of_command("check"))?
    };
    let scratch = super::scratch()?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let driver: Arc<dyn Driver> = runtime.block_on(open(options))?;
    let mut to = stdout().lock();
    let overlay: Arc<dyn Driver> = Arc::new(OverlayDriver::new(Arc::clone(&driver)));
    let checked = super::check_plugin(config, &overlay, scratch.path(), &mut to);
    let others = runtime.block_on(driver.hosts());
    let closed = runtime.block_on(driver.close());
    super::remove(scratch);
    let is_whole = checked?;
    closed.context("cannot close the store")?;
    let others = others.context("the check has ended, but not whether a host came meanwhile")?;
    if let Some(names) = others_in_words(&others) {
        // What it has written and dropped may have been taken for damage, or may have hidden some.
        let line = format!("doubtful    a host came while this went on: {names}. Check again");
        writeln!(to, "{line}").context("cannot print")?;
        return Ok(false);
    }
    Ok(is_whole)
}

/// Connects, if no other host does.
pub(in crate::cli) async fn open(options: Options) -> anyhow::Result<Arc<CassandraDriver>> {
    let driver = CassandraDriver::connect(options).await;
    let driver = Arc::new(driver.context("cannot open the store")?);
    dismiss_commands(&*driver).await?;
    let hosts = driver.hosts().await.context("cannot list its hosts")?;
    if let Some(names) = others_in_words(&hosts) {
        driver.close().await.context("cannot close the store")?;
        anyhow::bail!(
            "hosts use the store, and it has to stay as it is: {names}. Stop them first; one that was killed is listed for up to a minute"
        );
    }
    Ok(driver)
}

/// Says good-bye in the place of commands that were killed, so that one can be run again at once. No host ever follows them: each has an id
/// of its own.
async fn dismiss_commands(driver: &dyn Driver) -> anyhow::Result<()> {
    let hosts = driver.hosts().await.context("cannot list its hosts")?;
    let is_command = |it: &&HostStatus| !it.is_this && Identity::is_of_command(&it.address);
    for command in hosts.iter().filter(is_command) {
        match driver.dismiss(&command.writer).await {
            // One that is alive is a host as any other.
            Ok(()) | Err(Error::Held(_)) => {}
            Err(error) => return Err(error).context("cannot dismiss a command that was killed"),
        }
    }
    Ok(())
}

/// The hosts but for this one; `None` if there are no others.
pub(in crate::cli) fn others_in_words(hosts: &[HostStatus]) -> Option<String> {
    let others = hosts.iter().filter(|host| !host.is_this);
    let others = others.map(|host| format!("`{}` at {}", host.writer, host.address));
    let others: Vec<String> = others.collect();
    (!others.is_empty()).then(|| others.join(", "))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn only_other_hosts_are_in_the_way() {
        let host = |writer: &str, is_this| HostStatus {
            writer: writer.to_owned(),
            address: format!("{writer}.example"),
            version: "1".to_owned(),
            silent: Duration::from_secs(1),
            is_this,
        };
        assert_eq!(others_in_words(&[host("check", true)]), None);
        let hosts = [host("a", false), host("check", true), host("b", false)];
        assert_eq!(
            others_in_words(&hosts).as_deref(),
            Some("`a` at a.example, `b` at b.example")
        );
    }
}
