//! Passwords, rights and TLS, on a Cassandra that `SECURE=1 tests/cassandra.sh` has started: it asks for all of them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{contact_point, keyspace};
use larder_cassandra::{CassandraDriver, Options, Tls};
use larder_store::{Driver as _, Error};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

/// The role that Cassandra makes by itself, and its password.
const DBA: &str = "cassandra";

/// A connection of a DBA, who may do everything.
async fn dba() -> Session {
    let ca = common::options("").tls.and_then(|tls| tls.ca);
    let ca = ca.expect("LARDER_TEST_CASSANDRA_CA: SECURE=1 tests/cassandra.sh sets it");
    let mut roots = rustls::RootCertStore::empty();
    for cert in CertificateDer::pem_file_iter(ca).unwrap() {
        roots.add(cert.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let builder = SessionBuilder::new()
        .known_node(contact_point())
        .user(DBA, DBA)
        .tls_context(Some(Arc::new(tls)));
    builder.build().await.unwrap()
}

async fn run(dba: &Session, statement: &str) {
    let done = dba.query_unpaged(statement, ()).await;
    done.unwrap_or_else(|error| panic!("{statement}: {error}"));
}

/// The options of a host that logs in as this role.
fn options(role: &str, password: &str) -> Options {
    Options {
        username: Some(role.to_owned()),
        password: Some(password.to_owned()),
        keyspace: format!("{}_secure", keyspace()),
        // A right may be granted any moment, so a host tries for so long.
        timeout: Duration::from_secs(5),
        ..common::options(role)
    }
}

/// The words with which a host is not let in, and whether it is to try again.
async fn refused(options: Options) -> (String, bool) {
    match CassandraDriver::connect(options).await {
        Err(error) => (error.to_string(), error.may_pass()),
        Ok(_) => panic!("was not refused"),
    }
}

#[track_caller]
fn assert_told(words: &str, told: &[&str]) {
    for told in told {
        assert!(words.contains(told), "{words}");
    }
}

#[tokio::test]
async fn a_host_is_let_in_by_its_password_its_rights_and_tls_alone() {
    let dba = dba().await;
    let role = format!("larder_{}", std::process::id());
    let login = format!("CREATE ROLE {role} WITH LOGIN = true AND PASSWORD = 'secret'");
    run(&dba, &login).await;
    let keyspace = options(&role, "secret").keyspace;
    let point = contact_point();

    let (words, again) = refused(options(&role, "wrong")).await;
    assert_told(&words, &["does not accept the password", &role, &point]);
    assert!(!again, "{words}");
    let nobody = Options {
        username: None,
        password: None,
        ..options(&role, "")
    };
    let (words, again) = refused(nobody).await;
    assert_told(&words, &["set `username` and `password`"]);
    assert!(!again, "{words}");
    let plain = Options {
        tls: None,
        ..options(&role, "secret")
    };
    let (words, _) = refused(plain).await;
    assert_told(&words, &[&point, "does `tls` fit"]);
    // An authority that has not signed the node's certificate.
    let mut other = options(&role, "secret");
    let ca = other.tls.as_ref().and_then(|tls| tls.ca.clone()).unwrap();
    other.tls = Some(Tls {
        ca: Some(ca.with_file_name("other.pem")),
        verify_hostname: true,
        ..Tls::default()
    });
    let (words, _) = refused(other).await;
    assert_told(&words, &[&point, "certificate"]);

    // A host that may not make the schema says what a DBA has to run.
    let (words, again) = refused(options(&role, "secret")).await;
    let create = format!("CREATE KEYSPACE IF NOT EXISTS \"{keyspace}\"");
    assert_told(&words, &[&role, "may not make the schema", &create]);
    assert!(!again, "{words}");
    let schema = larder_cassandra::schema(&options(&role, ""));
    for statement in schema.split(";\n").filter(|it| !it.trim().is_empty()) {
        run(&dba, statement.trim_end_matches([';', '\n'])).await;
    }
    let checks = || Options {
        create_schema: false,
        ..options(&role, "secret")
    };
    let (words, _) = refused(checks()).await;
    let grant = format!("GRANT SELECT, MODIFY ON KEYSPACE \"{keyspace}\"");
    assert_told(&words, &["lacks a right", &role, &grant]);
    let select = format!("GRANT SELECT ON KEYSPACE \"{keyspace}\" TO {role}");
    run(&dba, &select).await;
    let (words, _) = refused(checks()).await;
    assert_told(&words, &["lacks a right", "MODIFY", &grant]);

    run(&dba, &format!("{grant} TO {role}")).await;
    let driver = CassandraDriver::connect(checks()).await.unwrap();
    let kv = driver.open("secure").await.unwrap();
    let claim = kv.claim(&role).await.unwrap();
    let object = larder_store::Object {
        key: larder_store::Key {
            partition: "p".to_owned(),
            sort: b"o".to_vec(),
        },
        value: b"1".to_vec(),
    };
    kv.put(&claim, vec![object]).await.unwrap();
    driver.close().await.unwrap();

    // The right is taken away while it runs.
    let driver = CassandraDriver::connect(checks()).await.unwrap();
    let kv = driver.open("secure").await.unwrap();
    let revoke = format!("REVOKE MODIFY ON KEYSPACE \"{keyspace}\" FROM {role}");
    run(&dba, &revoke).await;
    // Cassandra keeps rights for a moment.
    let mut turns = tokio::time::interval(Duration::from_millis(50));
    let words = loop {
        match kv.claim(&role).await {
            Ok(_) => turns.tick().await,
            Err(Error::Unavailable(words)) => break words,
            Err(error) => panic!("{error}"),
        };
    };
    assert_told(&words, &["lacks a right", &grant]);
    assert!(
        driver
            .reach()
            .writes
            .is_some_and(|why| why.contains(&grant))
    );
    run(&dba, &format!("DROP KEYSPACE \"{keyspace}\"")).await;
    run(&dba, &format!("DROP ROLE {role}")).await;
}
