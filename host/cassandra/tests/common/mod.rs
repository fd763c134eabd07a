//! The cluster of the tests, and a keyspace of this process.

#![allow(dead_code, reason = "each test program uses a part")]

use std::path::Path;
use std::time::Duration;

use larder_cassandra::{CassandraDriver, Options, Tls};
use larder_store::{Error, Quotas};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tokio::sync::OnceCell;

const PREFIX: &str = "larder_test_";

/// The first node of the cluster. The driver speaks TLS to it if `LARDER_TEST_CASSANDRA_CA` names the file of its authorities.
pub(crate) fn contact_point() -> String {
    let nodes = std::env::var("LARDER_TEST_CASSANDRA");
    let nodes = nodes.expect("addresses of Cassandra nodes, host:port");
    nodes.split(',').next().unwrap().to_owned()
}

/// The keyspace of this process.
pub(crate) fn keyspace() -> String {
    format!("{PREFIX}{}", std::process::id())
}

pub(crate) fn options(host: &str) -> Options {
    Options {
        contact_points: vec![contact_point()],
        keyspace: keyspace(),
        datacenter: None,
        replication: [("datacenter1".to_owned(), 1)].into(),
        create_schema: true,
        username: None,
        password: None,
        tls: std::env::var_os("LARDER_TEST_CASSANDRA_CA").map(|ca| Tls {
            ca: Some(ca.into()),
            verify_hostname: true,
            ..Tls::default()
        }),
        timeout: Duration::from_secs(20),
        speculative_after: Some(Duration::from_millis(200)),
        max_in_flight: 64,
        host: host.to_owned(),
        address: format!("the address of {host}"),
        cache_bytes: 8 << 20,
        quotas: Quotas::default(),
        linger: Duration::from_mins(5),
        version: "1.2.3".to_owned(),
    }
}

/// Connects, after the keyspace of this process was made anew.
pub(crate) async fn connect(options: Options) -> Result<CassandraDriver, Error> {
    static MADE: OnceCell<()> = OnceCell::const_new();
    MADE.get_or_init(|| async {
        drop_leftovers().await;
        let driver = CassandraDriver::connect(self::options("maker"))
            .await
            .unwrap();
        larder_store::Driver::close(&driver).await.unwrap();
    })
    .await;
    CassandraDriver::connect(options).await
}

pub(crate) async fn session() -> Session {
    let builder = SessionBuilder::new().known_node(contact_point());
    builder.build().await.unwrap()
}

/// Drops the keyspaces of test programs that have ended, and that of an earlier one with this process's number. A test program cannot
/// tell when its last test is over, so the next one does it.
async fn drop_leftovers() {
    let session = session().await;
    let found = "SELECT keyspace_name FROM system_schema.keyspaces";
    let found = session.query_unpaged(found, ()).await.unwrap();
    let found = found.into_rows_result().unwrap();
    let names: Vec<String> = found
        .rows::<(String,)>()
        .unwrap()
        .map(|row| row.unwrap().0)
        .collect();
    for name in names {
        let Some(process) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let number = process.split('_').next().unwrap_or_default();
        let is_this = number == std::process::id().to_string();
        if is_this || !Path::new(&format!("/proc/{number}")).exists() {
            let dropped = format!("DROP KEYSPACE IF EXISTS \"{name}\"");
            session.query_unpaged(dropped, ()).await.unwrap();
        }
    }
}
