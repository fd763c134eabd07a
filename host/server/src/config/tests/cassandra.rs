//! The settings of the driver `cassandra`.

use super::super::value::Value as _;
use super::refusals::check_refused;
use super::*;

/// A file with these settings of the driver, which is used.
fn file(settings: &str) -> String {
    format!("kv: {{ driver: cassandra, cassandra: {{ {settings} }} }}")
}

fn read(settings: &str) -> Cassandra {
    from_yaml(&file(settings)).kv.cassandra
}

#[track_caller]
fn check(settings: &str, expected: &str) {
    let error = load(Some(&file(settings)), &[], &[]).unwrap_err();
    let error = error.to_string();
    assert!(error.contains(expected), "{error}");
}

#[test]
fn contact_points_have_the_usual_port_unless_they_name_one() {
    let nodes = read("contact_points: [cassandra-0, 10.0.0.2:9043, '[::1]']");
    assert_eq!(
        nodes.contact_points.show(),
        "cassandra-0:9042,10.0.0.2:9043,[::1]:9042"
    );
    let variables = [
        ("LARDER_KV_DRIVER", "cassandra"),
        ("LARDER_KV_CASSANDRA_CONTACT_POINTS", "a, b:1"),
    ];
    let config = load(None, &variables, &[]).unwrap();
    assert_eq!(config.kv.cassandra.contact_points.show(), "a:9042,b:1");
    for wrong in ["[':9042']", "['a:0']", "['a b']", "['http://a']", "[a, '']"] {
        check(
            &format!("contact_points: {wrong}"),
            "`kv.cassandra.contact_points`: expected a list of nodes",
        );
    }
}

#[test]
fn copies_are_a_number_or_one_for_each_datacentre() {
    let copies = |settings: &str| read(&format!("contact_points: [a], {settings}")).replication;
    let three = 3.try_into().unwrap();
    assert_eq!(copies(""), None);
    assert_eq!(
        copies("datacenter: dc1, replication: 3"),
        Some(Replication::Copies(three))
    );
    let by_datacenter = copies("replication: { dc1: 3, us-east: 2 }").unwrap();
    assert_eq!(by_datacenter.show(), "dc1:3,us-east:2");
    assert_eq!(Replication::read("us-east: 2, dc1: 3"), Some(by_datacenter));
    for wrong in [
        "0",
        "some",
        "{ dc1: 0 }",
        "{ dc1: }",
        "{ dc1: { a: 1 } }",
        "{ 'a,b': 1 }",
        "{}",
        "[3]",
        "'dc1:3,dc1:2'",
    ] {
        check(
            &format!("contact_points: [a], replication: {wrong}"),
            "`kv.cassandra.replication`: expected a number of copies",
        );
    }
}

#[test]
fn settings_that_do_not_go_together_are_refused() {
    for (settings, expected) in [
        (
            "keyspace: x",
            "`kv.cassandra.contact_points`: `kv.driver` is `cassandra`: name at least one node",
        ),
        (
            "contact_points: [a], username: u",
            "`kv.cassandra.username`: a role has a password",
        ),
        (
            "contact_points: [a], password: p",
            "`kv.cassandra.password`: a password is that of a role",
        ),
        (
            "contact_points: [a], password_file: p",
            "`kv.cassandra.password_file`: a password is that of a role",
        ),
        (
            "contact_points: [a], username: u, password: p, password_file: p",
            "`kv.cassandra.password_file`: `kv.cassandra.password` is set too",
        ),
        (
            "contact_points: [a], replication: 3",
            "`kv.cassandra.replication`: a number is that of `kv.cassandra.datacenter`",
        ),
        (
            "contact_points: [a], datacenter: dc2, replication: { dc1: 3 }",
            "`kv.cassandra.replication`: there are no copies in `dc2`",
        ),
        (
            "contact_points: [a], timeout: 1s, speculative_after: 1s",
            "`kv.cassandra.speculative_after`: must be less than `kv.cassandra.timeout`",
        ),
        (
            "contact_points: [a], tls: { cert: c, key: k }",
            "`kv.cassandra.tls.cert`: TLS needs `kv.cassandra.tls.ca` as well",
        ),
        (
            "contact_points: [a], tls: { key: k }",
            "`kv.cassandra.tls.key`: TLS needs `kv.cassandra.tls.ca` as well",
        ),
        (
            "contact_points: [a], tls: { verify_hostname: true }",
            "`kv.cassandra.tls.verify_hostname`: TLS needs `kv.cassandra.tls.ca` as well",
        ),
        (
            "contact_points: [a], tls: { ca: a, cert: c }",
            "`kv.cassandra.tls.cert`: TLS needs `kv.cassandra.tls.key` as well",
        ),
        (
            "contact_points: [a], tls: { ca: a, key: k }",
            "`kv.cassandra.tls.key`: TLS needs `kv.cassandra.tls.cert` as well",
        ),
    ] {
        check(settings, expected);
    }
    read("contact_points: [a], username: u, password: p, tls: { ca: a }");
    read("contact_points: [a], username: u, password_file: p, tls: { ca: a, cert: c, key: k }");
}

/// As `kv.durability` is with `kv.driver: memory`.
#[test]
fn with_another_driver_they_have_no_effect_but_their_names_and_types() {
    let unused = "kv: { cassandra: { username: u, tls: { key: k } } }";
    assert_eq!(from_yaml(unused).kv.driver, KvDriver::Embedded);
    check_refused(
        "kv: { cassandra: { keyspce: x } }",
        "unknown config key `kv.cassandra.keyspce` (larder.yaml:1:20), did you mean `kv.cassandra.keyspace`?",
    );
    check_refused(
        "kv: { cassandra: { keyspace: Larder } }",
        "invalid config `kv.cassandra.keyspace`: expected a keyspace: up to 48 lower-case letters, digits and `_`, with a letter first, got `Larder` (larder.yaml:1:30)",
    );
    check_refused(
        "kv: { cassandra: { host: a/b } }",
        "invalid config `kv.cassandra.host`: expected a host's name: letters, digits, `-`, `_` and `.`, with a letter or a digit first, got `a/b` (larder.yaml:1:26)",
    );
}

#[test]
fn a_password_is_read_from_every_source_and_shown_nowhere() {
    let variable = [("LARDER_KV_CASSANDRA_PASSWORD", "hunter2")];
    for config in [
        load(None, &variable, &[]).unwrap(),
        from_yaml("kv: { cassandra: { password: hunter2 } }"),
    ] {
        let password = config.kv.cassandra.password.as_ref();
        assert_eq!(password.unwrap().reveal(), "hunter2");
        assert!(!config.to_yaml().unwrap().contains("hunter2"));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}
