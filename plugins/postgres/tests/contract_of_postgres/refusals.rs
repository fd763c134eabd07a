//! What the server refuses, and what the plugin refuses of a server.

use larder_plugin::testing::{batch, fragment, logged};
use larder_plugin::{Error, Plugin as _, Search, SpanKind};

use super::common::{Store, admin};
use super::{found, refusal};

#[test]
fn what_the_server_refuses_is_told_when_the_plugin_is_opened() {
    let store = Store::new();
    let told = refusal(
        &store
            .clone()
            .with("user", "nobody")
            .with("database", "larder"),
    );
    assert!(
        told.contains("PGPASSWORD") && told.contains("28P01"),
        "{told}"
    );
    let told = refusal(&store.clone().with("database", "none"));
    assert!(told.contains("CREATE DATABASE"), "{told}");
    for method in ["md5", "plain"] {
        let told = refusal(
            &store
                .clone()
                .with("user", method)
                .with("database", "larder"),
        );
        assert!(told.contains("scram-sha-256"), "{told}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_waited_for() {
    let store = Store::new().with("port", "1");
    let mut plugin = store.writer();
    let log = logged();
    assert!(
        log.iter()
            .any(|it| it.1.contains("no connection to PostgreSQL")),
        "{log:?}"
    );
    let error = plugin.services().unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable(text) if text.contains("tried again")),
        "{error:?}"
    );
}

#[test]
fn newer_tables_are_refused_in_words() {
    let store = Store::new().with("schema", "newer");
    store.writer().write(1, vec![batch([fragment(1)])]).unwrap();
    admin("UPDATE newer.tenants SET version = 7");
    let told = refusal(&store);
    assert!(
        told.contains("version 7") && told.contains("newer plugin"),
        "{told}"
    );
    admin("UPDATE newer.tenants SET version = 1; UPDATE newer.version SET number = 9");
    let told = refusal(&store);
    assert!(told.contains("version 9"), "{told}");
    admin("UPDATE newer.version SET number = 1");
    assert_eq!(found(&mut store.writer(), &Search::all(), 10), [(1, 0)]);
}

#[test]
fn a_role_that_may_create_nothing_is_told_what_to_do_and_uses_what_others_made() {
    let mut store = Store::new()
        .with("user", "poor")
        .with("database", "larder")
        .with("schema", "poor");
    store.tenant = "default".to_owned();
    let mut plugin = store.writer();
    let one = || vec![batch([fragment(1).operation("a", "b", SpanKind::Client)])];
    let error = plugin.write(1, one()).unwrap_err();
    assert!(
        matches!(&error, Error::Other(text) if text.contains("A role without CREATE")),
        "{error:?}"
    );
    // As README.md has it.
    let readme = include_str!("../../README.md");
    let (_, sql) = readme
        .split_once("<!-- a role without CREATE -->\n```sql\n")
        .unwrap();
    let (sql, _) = sql.split_once("```").unwrap();
    admin(&sql.replace("larder", "poor"));
    plugin.write(1, one()).unwrap();
    assert_eq!(plugin.services(), Ok(vec!["a".to_owned()]));
    plugin.purge().unwrap();
    assert_eq!(found(&mut plugin, &Search::all(), 10), []);
    plugin.write(1, one()).unwrap();
    assert_eq!(found(&mut plugin, &Search::all(), 10), [(1, 0)]);
}

#[cfg(feature = "tls")]
#[test]
fn with_tls_the_server_has_to_prove_its_name_or_only_speak_it() {
    let folder = std::env::var("LARDER_TEST_POSTGRES_FOLDER").unwrap();
    let authority = |name: &str| std::fs::read_to_string(format!("{folder}/{name}.pem")).unwrap();
    let verified = |name: &str| {
        Store::new()
            .with("sslmode", "verify-full")
            .with("sslrootcert", &authority(name))
    };
    for (store, is_verified) in [
        (verified("ca"), true),
        (Store::new().with("sslmode", "require"), false),
    ] {
        let mut plugin = store.writer();
        plugin.write(1, vec![batch([fragment(1)])]).unwrap();
        let (mut reader, again) = (store.reader(), found(&mut plugin, &Search::all(), 1));
        assert_eq!(
            (found(&mut reader, &Search::all(), 1), again),
            (vec![(1, 0)], vec![(1, 0)])
        );
        // The password may be sent as it is to a server that is known, and to no other.
        for method in ["md5", "plain"] {
            let other = store.clone().with("user", method).with("schema", method);
            let other = other.with("database", "larder");
            if is_verified {
                let services = other.writer().services();
                assert_eq!(services, Ok(Vec::new()), "{method}");
            } else {
                let told = refusal(&other);
                assert!(told.contains("verify-full"), "{method}: {told}");
            }
        }
    }
    let told = refusal(&verified("other"));
    assert!(told.contains("certificate"), "{told}");
}
