//! `larder kv retire`.

use std::io::{self, Write, stdout};

use anyhow::Context as _;
use larder_cassandra::{CassandraDriver, Options};
use larder_store::{Driver, Error};

use crate::config::{Config, KvDriver};
use crate::server::cassandra::{Identity, options_as};

/// What a host leaves behind.
#[derive(Debug, Default)]
struct Left {
    /// Tenants with data of the host, and its bytes.
    tenants: Vec<(String, u64)>,
    /// Hosts that use the store.
    others: Vec<String>,
}

/// Tells the hosts that share the configured store that the host with this writer id does not come back, and prints what it leaves behind.
///
/// # Errors
/// The host is alive, or the store is not shared or cannot be reached.
pub(super) fn run(host: &str, config: &Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.kv.driver == KvDriver::Cassandra,
        "`kv.driver` is not `cassandra`: no other hosts share the store, so none can be retired"
    );
    let options = Options {
        create_schema: false,
        ..options_as(config, Identity::of_command("kv retire"))?
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let left = runtime.block_on(async {
        let driver = CassandraDriver::connect(options).await;
        let driver = driver.context("cannot open the store")?;
        let left = retire(&driver, host).await;
        let closed = driver.close().await;
        let left = left?;
        closed.context("cannot close the store")?;
        anyhow::Ok(left)
    })?;
    left.print(host, &mut stdout().lock())
        .context("cannot print")
}

async fn retire(driver: &dyn Driver, host: &str) -> anyhow::Result<Left> {
    let dismissed = driver.dismiss(host).await;
    dismissed.with_context(|| format!("the host `{host}` cannot be retired"))?;
    let mut left = Left::default();
    let mut tenants = driver.tenants().await.context("cannot list the tenants")?;
    tenants.sort();
    for tenant in tenants {
        let name = tenant.tenant;
        let found = stored_by(driver, host, &name).await;
        let found = found.with_context(|| format!("tenant `{name}`"))?;
        left.tenants.extend(found.map(|bytes| (name, bytes)));
    }
    let hosts = driver.hosts().await.context("cannot list the hosts")?;
    let others = hosts
        .into_iter()
        .filter(|it| !it.is_this && it.writer != host);
    left.others = others.map(|it| it.writer).collect();
    Ok(left)
}

/// The bytes that a tenant has of a host; `None` if it has never committed there.
async fn stored_by(driver: &dyn Driver, host: &str, tenant: &str) -> Result<Option<u64>, Error> {
    let namespace = driver.open(tenant).await?;
    let writers = namespace.writers().await?;
    let has_committed = writers.iter().any(|id| id == host);
    Ok(has_committed.then(|| namespace.writer_bytes(host)))
}

// === impl Left ===

impl Left {
    fn print(&self, host: &str, to: &mut impl Write) -> io::Result<()> {
        for (tenant, bytes) in &self.tenants {
            writeln!(to, "tenant      {tenant}, {bytes} bytes of `{host}`")?;
        }
        writeln!(
            to,
            "retired     `{host}`: the other hosts may adopt its id now"
        )?;
        let next = if self.tenants.is_empty() {
            "nothing is stored under it".to_owned()
        } else if self.others.is_empty() {
            "no host uses the store now. Once one does, it adopts the id: the data stays readable and expires as all does, and the id goes with the last of it".to_owned()
        } else {
            format!(
                "{} go on with its data: it stays readable and expires as all does, and the id goes with the last of it",
                self.others.join(", ")
            )
        };
        writeln!(to, "next        {next}")
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_store::MemoryDriver;

    use super::*;

    #[test]
    fn what_is_left_and_what_comes_next_is_printed() {
        let mut left = Left::default();
        let print = |left: &Left| {
            let mut text = Vec::new();
            left.print("h1", &mut text).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert!(print(&left).ends_with("next        nothing is stored under it\n"));
        left.tenants.push(("t".to_owned(), 70));
        let text = print(&left);
        assert!(
            text.starts_with("tenant      t, 70 bytes of `h1`\n"),
            "{text}"
        );
        assert!(text.contains("no host uses the store now"), "{text}");
        left.others = vec!["h2".to_owned(), "h3".to_owned()];
        assert!(print(&left).contains("h2, h3 go on"));
    }

    #[test]
    fn a_store_that_is_not_shared_has_no_host_to_retire() {
        let refused = run("h1", &Config::default()).unwrap_err().to_string();
        assert!(refused.contains("`kv.driver`"), "{refused}");
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let refused = runtime.block_on(retire(&MemoryDriver::new(), "h1"));
        let refused = format!("{:#}", refused.unwrap_err());
        assert!(refused.contains("no other host shares"), "{refused}");
    }
}
