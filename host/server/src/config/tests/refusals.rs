//! Invalid configurations and the texts of their errors.

use larder_model::TenantName;

use super::super::{Config, Error, Sources};
use super::{from_yaml, load};

/// The error's text, with the directory of the temporary file cut away.
fn refusal(result: Result<Config, Error>) -> String {
    let text = result.unwrap_err().to_string();
    let Some(end) = text.find(".yaml") else {
        return text;
    };
    let start = text[..end].rfind(['(', ' ']).map_or(0, |at| at + 1);
    format!("{}larder{}", &text[..start], &text[end..])
}

#[track_caller]
pub(super) fn check_refused(yaml: &str, expected: &str) {
    assert_eq!(refusal(load(Some(yaml), &[], &[])), expected);
}

#[track_caller]
fn check_variable_refused(name: &str, value: &str, expected: &str) {
    assert_eq!(refusal(load(None, &[(name, value)], &[])), expected);
}

#[test]
fn unknown_keys_are_refused_with_their_place_and_the_nearest() {
    check_refused(
        "limits:\n  memroy: 1GiB\n",
        "unknown config key `limits.memroy` (larder.yaml:2:3), did you mean `limits.memory`?",
    );
    check_refused(
        "limit: { memory: 1GiB }",
        "unknown config key `limit` (larder.yaml:1:1), did you mean `limits`?",
    );
    check_refused(
        "\nmemory: 1GiB",
        "unknown config key `memory` (larder.yaml:2:1), did you mean `limits.memory`?",
    );
    check_refused(
        "storage: { engine: x }",
        "unknown config key `storage` (larder.yaml:1:1)",
    );
    check_refused(
        "grpc: { proxy: [a, b] }",
        "unknown config key `grpc.proxy` (larder.yaml:1:9)",
    );
}

#[test]
fn bad_values_are_refused_with_the_place_and_what_is_expected() {
    for (yaml, expected) in [
        (
            "limits:\n  memory: 4KiB",
            "`limits.memory`: must be at least 1MiB, got 4KiB (larder.yaml:2:11)",
        ),
        (
            "limits: { memory: 8GiB }",
            "`limits.memory`: must be at most 4GiB, got 8GiB (larder.yaml:1:19)",
        ),
        (
            "limits: { memory: lots }",
            "`limits.memory`: expected a size such as 64MiB, got `lots` (larder.yaml:1:19)",
        ),
        (
            "limits: { call_timeout: 10 }",
            "`limits.call_timeout`: expected a time such as 10s or 168h, got `10` (larder.yaml:1:25)",
        ),
        (
            "limits: { memory: {} }",
            "`limits.memory`: expected a size such as 64MiB, got a mapping (larder.yaml:1:19)",
        ),
        (
            "limits: 5",
            "`limits`: expected a mapping of settings, got `5` (larder.yaml:1:9)",
        ),
        (
            "limits: [1]",
            "`limits`: expected a mapping of settings, got a list (larder.yaml:1:9)",
        ),
        (
            "plugin: { settings: { a: [1] } }",
            "`plugin.settings.a`: expected a text or a number, got a list (larder.yaml:1:26)",
        ),
        (
            "admin: { purge: yes }",
            "`admin.purge`: expected true or false, got `yes` (larder.yaml:1:17)",
        ),
        (
            "admin: { endpoint: 17270 }",
            "`admin.endpoint`: expected host:port, such as 127.0.0.1:17271, got `17270` (larder.yaml:1:20)",
        ),
        (
            "kv: { driver: rocksdb }",
            "`kv.driver`: expected embedded or memory or cassandra, got `rocksdb` (larder.yaml:1:15)",
        ),
        (
            "plugin: { grants: { tcp: [postgres] } }",
            "`plugin.grants.tcp`: expected a list of hosts with their ports, such as [postgres:5432], without schemes and wildcards, got `postgres` (larder.yaml:1:26)",
        ),
        (
            "plugin: { grants: { env: [A=secret] } }",
            "`plugin.grants.env`: expected a list of names of environment variables, such as [PGPASSWORD], or of names and files, such as ['PGPASSWORD=file:/run/secrets/pg'] (larder.yaml:1:26)",
        ),
        (
            "plugin: { use: '' }",
            "`plugin.use`: expected a text that is not empty, got `` (larder.yaml:1:16)",
        ),
    ] {
        check_refused(yaml, &format!("invalid config {expected}"));
    }
}

#[test]
fn invalid_yaml_is_refused_with_its_position() {
    for (yaml, expected) in [
        (
            "grpc:\n  endpoint: [",
            "larder.yaml:2:13: unclosed bracket '['",
        ),
        (
            "kv: {}\nkv: {}",
            "larder.yaml:2:1: the key `kv` stands twice in one mapping",
        ),
        (
            "kv: {}\n---\nkv: {}",
            "larder.yaml:3:1: expected one YAML document, found another",
        ),
        (
            "- grpc",
            "larder.yaml:1:1: expected a mapping of settings, such as `grpc: { endpoint: 127.0.0.1:17271 }`",
        ),
    ] {
        check_refused(yaml, expected);
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let sources = Sources {
        file: Some("/nonexistent/larder.yaml".into()),
        ..Sources::default()
    };
    let error = Config::load(&sources).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read the configuration file /nonexistent/larder.yaml"
    );
    assert!(std::error::Error::source(&error).is_some());
}

#[test]
fn unknown_variables_are_told_with_the_nearest_and_refused_where_asked() {
    for (name, nearest) in [
        ("LARDER_LIMITS_MEMROY", Some("LARDER_LIMITS_MEMORY")),
        ("LARDER_MEMORY", Some("LARDER_LIMITS_MEMORY")),
        ("LARDER_CONFIGS", Some("LARDER_CONFIG")),
        ("LARDER_GRPC_ENDPOIN", Some("LARDER_GRPC_ENDPOINT")),
        ("LARDER_SOMETHING_ELSE_ALTOGETHER", None),
        ("LARDER_PLUGIN_SETTINGS_", None),
        // Kubernetes' variable of this name holds a URL.
        ("LARDER_PORT", None),
    ] {
        let hint = nearest.map_or_else(String::new, |name| format!(", did you mean `{name}`?"));
        let told = format!("unknown environment variable {name}{hint}");
        let sources = Sources {
            environment: vec![(name.into(), "1".into())],
            ..Sources::default()
        };
        let unknown = sources.unknown_variables();
        let unknown: Vec<String> = unknown.iter().map(ToString::to_string).collect();
        assert_eq!(unknown, [told.as_str()]);
        assert_eq!(load(None, &[(name, "1")], &[]).unwrap(), Config::default());
        let strict = [(name, "1"), ("LARDER_STRICT_ENVIRONMENT", "true")];
        assert_eq!(refusal(load(None, &strict, &[])), told);
    }
}

#[test]
fn bad_values_of_variables_and_flags_are_refused_by_name() {
    check_variable_refused(
        "LARDER_LIMITS_MEMORY",
        "4KiB",
        "invalid config `limits.memory`: must be at least 1MiB, got 4KiB (environment variable LARDER_LIMITS_MEMORY)",
    );
    assert_eq!(
        refusal(load(
            None,
            &[],
            &[("--grpc-endpoint", "grpc.endpoint", "x")]
        )),
        "invalid config `grpc.endpoint`: expected host:port, such as 127.0.0.1:17271, got `x` (flag --grpc-endpoint)",
    );
}

#[test]
fn two_ports_at_one_place_are_refused() {
    assert_eq!(
        refusal(load(Some("admin: { endpoint: 127.0.0.1:17271 }"), &[], &[])),
        "invalid config `admin.endpoint`: 127.0.0.1:17271 is `grpc.endpoint` already (larder.yaml:1:20)",
    );
    let same = "grpc: { endpoint: localhost:1, writer_endpoint: localhost:1 }";
    assert!(refusal(load(Some(same), &[], &[])).contains("leave this unset"));
    let chosen_by_the_system = "grpc: { endpoint: localhost:0, writer_endpoint: localhost:0 }\nadmin: { endpoint: localhost:0 }";
    from_yaml(chosen_by_the_system);
}

#[test]
fn half_of_tls_is_refused() {
    for (yaml, expected) in [
        (
            "grpc: { tls: { cert: a.pem } }",
            "invalid config `grpc.tls.cert`: TLS needs `grpc.tls.key` as well; set both, or neither (larder.yaml:1:22)",
        ),
        (
            "admin: { tls: { key: a.pem } }",
            "invalid config `admin.tls.key`: TLS needs `admin.tls.cert` as well; set both, or neither (larder.yaml:1:22)",
        ),
        (
            "grpc: { tls: { client_ca: a.pem } }",
            "invalid config `grpc.tls.client_ca`: TLS needs `grpc.tls.cert` as well; set both, or neither (larder.yaml:1:27)",
        ),
    ] {
        check_refused(yaml, expected);
    }
}

#[test]
fn tenants_are_a_list_in_a_file_and_stand_between_commas_elsewhere() {
    let file = from_yaml("tenancy: { tenants: [b, 1.10, a] }").tenancy;
    let names = file.tenants.0.iter().map(TenantName::as_str);
    let names: Vec<&str> = names.collect();
    assert_eq!(names, ["1.10", "a", "b"]);
    let variable = [("LARDER_TENANCY_TENANTS", "b, a,1.10")];
    assert_eq!(load(None, &variable, &[]).unwrap().tenancy, file);
    let emptied = load(Some("tenancy: { tenants: [] }"), &[], &[]).unwrap();
    assert_eq!(emptied, Config::default());
}
