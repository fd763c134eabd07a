//! `larder kv restored`.

use std::io::{self, Write, stdout};

use anyhow::Context as _;
use larder_cassandra::{CassandraDriver, Options};
use larder_store::{Driver as _, TenantUsage};

use crate::cli::check::cassandra::open;
use crate::config::{Config, KvDriver};
use crate::server::cassandra::{Identity, options_as};

/// Readies a store whose tables have been restored from snapshots that were made while hosts wrote, and prints what was done.
///
/// # Errors
/// A host uses the store, it is not in Cassandra, or it cannot be reached.
pub(super) fn run(config: &Config) -> anyhow::Result<()> {
    anyhow::ensure!(
        config.kv.driver == KvDriver::Cassandra,
        "`kv.driver` is not `cassandra`: no other store is restored table by table; `larder restore` copies a snapshot of `embedded`"
    );
    let options = Options {
        create_schema: false,
        ..options_as(config, Identity::of_command("kv restored"))?
    };
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    let tenants = runtime.block_on(async {
        let driver = open(options).await?;
        let tenants = restored(&driver).await;
        let closed = driver.close().await;
        let tenants = tenants?;
        closed.context("cannot close the store")?;
        anyhow::Ok(tenants)
    })?;
    print(&tenants, &mut stdout().lock()).context("cannot print")
}

async fn restored(driver: &CassandraDriver) -> anyhow::Result<Vec<(String, u64)>> {
    let tenants = driver.tenants().await.context("cannot list the tenants")?;
    let mut done = Vec::new();
    for TenantUsage { tenant, .. } in tenants {
        let taken = driver.restored(&tenant).await;
        let taken = taken.with_context(|| format!("tenant `{tenant}`"))?;
        done.push((tenant, taken));
    }
    done.sort();
    Ok(done)
}

fn print(tenants: &[(String, u64)], to: &mut impl Write) -> io::Result<()> {
    for (tenant, taken) in tenants {
        writeln!(
            to,
            "tenant      {tenant}: {taken} partitions are not deleted now; its hosts reclaim anew what nothing refers to"
        )?;
    }
    writeln!(to, "tenants     {}", tenants.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn each_tenant_is_told() {
        let mut text = Vec::new();
        print(&[("acme".to_owned(), 3)], &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        assert!(text.starts_with("tenant      acme: 3 partitions"), "{text}");
        assert!(text.ends_with("tenants     1\n"), "{text}");
    }

    #[test]
    fn only_a_store_in_cassandra_is_restored_by_tables() {
        let refused = run(&Config::default()).unwrap_err().to_string();
        assert!(refused.contains("`kv.driver`"), "{refused}");
        assert!(refused.contains("`larder restore`"), "{refused}");
    }
}
