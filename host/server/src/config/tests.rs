#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod cassandra;
mod overrides;
mod refusals;
mod reload;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::io::Write as _;

use super::settings::is_section;
use super::*;

/// A file's text as the first source, if there is one.
fn load(
    yaml: Option<&str>,
    environment: &[(&str, &str)],
    flags: &[(&'static str, &str, &str)],
) -> Result<Config, Error> {
    let file = yaml.map(|yaml| {
        let mut file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        file.write_all(yaml.as_bytes()).unwrap();
        file
    });
    Config::load(&Sources {
        file: file.as_ref().map(|file| file.path().to_owned()),
        environment: environment
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)))
            .collect(),
        flags: flags
            .iter()
            .map(|(name, path, value)| Flag {
                name,
                path: (*path).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
    })
}

fn from_yaml(yaml: &str) -> Config {
    load(Some(yaml), &[], &[]).unwrap()
}

/// A configuration in which no setting has its default.
fn changed() -> Config {
    let yaml = "
grpc:
  endpoint: 0.0.0.0:4000
  writer_endpoint: localhost:4316
  max_request_bytes: 65MiB
  max_message_bytes: 1000000
  max_connection_age: 5m
  pagination: false
  tls: { cert: /tls/grpc.pem, key: /tls/grpc.key, client_ca: /tls/grpc-ca.pem }
admin:
  endpoint: '[::1]:4001'
  purge: true
  allow_anonymous: true
  tls: { cert: /tls/admin.pem, key: /tls/admin.key, client_ca: /tls/admin-ca.pem }
access: { tokens: /etc/larder/tokens.yaml }
plugin:
  use: ./my plugin.wasm
  settings: { max_traces: 1_000, version: 1.10, empty: '', on: yes, 5: true, a.b: 0x1F }
  grants:
    http: [api:443, '[::1]:8080']
    tcp: [Postgres.:5432]
    env: [PGPASSWORD, TOKEN=file:/run/secrets/token]
    clock: true
    max_connections: 4
    max_call_bytes: 1GiB
data_dir: /var/lib/larder
strict_environment: true
ingest: { word_terms: false, dictionary: false }
limits:
  memory: 2GiB
  call_timeout: 11s
  compile_timeout: 90s
  compile_memory: 3GiB
  query_timeout: 1500ms
  dependencies_timeout: 90s
  query_judged_spans: 5
  query_read_bytes: 1MiB
  queue_bytes: 2MiB
  queue_depth: 7
  log_bytes: 0
  spans_per_second: 1_000
  concurrent_queries: 13
  query_queue_bytes: 3MiB
  max_search_depth: 8
  max_span_bytes: 8MiB
  connections: 9
  request_timeout: 12s
  drain_timeout: 0s
kv:
  driver: memory
  durability: periodic
  sync_interval: 250ms
  quota: 1GiB
  min_free: 2GiB
  snapshot_dir: /snapshots
  cassandra:
    contact_points: [cassandra-0, '[::1]:9043']
    keyspace: traces_7
    datacenter: dc1
    replication: { dc1: 3, dc-2: 2 }
    create_schema: false
    username: larder
    password: hunter2
    password_file: /run/secrets/cassandra
    tls: { ca: /tls/nodes.pem, cert: /tls/cassandra.pem, key: /tls/cassandra.key, verify_hostname: true }
    timeout: 5s
    speculative_after: 30ms
    max_in_flight: 64
    host: larder-0
    address: larder-0.example
    cache: 1GiB
dependencies: { kept: false, settle_after: 5s }
tenancy:
  enabled: true
  header: X-Scope-OrgID
  tenants: [acme, 7, 'b.c_d-e']
  max_tenants: 9
  idle_timeout: 90s
  max_open: 20
  open_memory: 1GiB
  default: acme
  writer_default: 7
  resource_attribute: tenant.id
  overrides:
    b.c_d-e:
      plugin: { use: memory, settings: { max_traces: 5, 1.10: '' }, grants: { tcp: ['[::1]:1', db:2], clock: true } }
      limits: { memory: 64MiB, call_timeout: 90s, queue_depth: 6, concurrent_queries: null }
      kv: { quota: null }
    7: { plugin: { settings: { max_traces: null } } }
";
    from_yaml(yaml)
}

#[test]
fn without_any_source_the_defaults_of_the_architecture_hold() {
    let config = load(None, &[], &[]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!(config.grpc.endpoint.to_string(), "127.0.0.1:17271");
    assert_eq!(config.admin.endpoint.to_string(), "127.0.0.1:17270");
    assert_eq!(config.grpc.max_request_bytes, Size::mib(64));
    assert!(config.grpc.max_message_bytes.bytes() < 4_194_304);
    assert_eq!(config.limits.memory, Size::mib(1024));
    assert_eq!(config.limits.query_timeout, Duration::from_secs(4));
    assert!(!config.admin.purge);
    for yaml in [
        "",
        "# nothing\n",
        "---\n",
        "limits:\n  # memory: 1GiB\nplugin: { settings: }\n",
    ] {
        assert_eq!(from_yaml(yaml), Config::default(), "{yaml}");
    }
}

#[test]
fn a_file_sets_everything_and_plugin_settings_arrive_as_written() {
    let config = changed();
    assert_eq!(
        config.grpc.writer_endpoint.unwrap().to_string(),
        "localhost:4316"
    );
    assert_eq!(config.data_dir, PathBuf::from("/var/lib/larder"));
    assert_eq!(config.plugin.r#use, "./my plugin.wasm");
    let settings: Vec<(&str, &str)> = config
        .plugin
        .settings
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(
        settings,
        [
            ("5", "true"),
            ("a.b", "0x1F"),
            ("empty", ""),
            ("max_traces", "1_000"),
            ("on", "yes"),
            ("version", "1.10"),
        ]
    );
}

#[test]
fn the_table_has_each_setting_of_the_struct_once() {
    let mut config = Config::default();
    config.grpc.writer_endpoint = Some(Endpoint::loopback(1));
    let mut leaves = Vec::new();
    collect_leaves(&serde_json::to_value(&config).unwrap(), "", &mut leaves);
    let table: Vec<&str> = SETTINGS.iter().map(|setting| setting.path).collect();
    let distinct: BTreeSet<&str> = table.iter().copied().collect();
    assert_eq!(distinct.len(), table.len());
    assert_eq!(
        leaves.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        distinct
    );
}

fn collect_leaves(value: &serde_json::Value, path: &str, leaves: &mut Vec<String>) {
    match value.as_object() {
        Some(_) if path == PLUGIN_SETTINGS => {}
        Some(object) => {
            for (key, value) in object {
                let path = format!("{path}{}{key}", if path.is_empty() { "" } else { "." });
                collect_leaves(value, &path, leaves);
            }
        }
        None => leaves.push(path.to_owned()),
    }
}

#[test]
fn a_row_shows_and_sets_its_own_field_alone() {
    let (changed, defaults) = (changed(), Config::default());
    for setting in SETTINGS {
        let text = setting.show(&changed).unwrap();
        assert_ne!(
            Some(&text),
            setting.show(&defaults).as_ref(),
            "{}",
            setting.path
        );
        let mut config = Config::default();
        setting.read(&text, &mut config).unwrap();
        for other in SETTINGS {
            let from = if other.path == setting.path {
                &changed
            } else {
                &defaults
            };
            assert_eq!(
                other.show(&config),
                other.show(from),
                "{} after {}",
                other.path,
                setting.path
            );
        }
    }
}

#[test]
fn every_range_is_of_the_settings_type_and_holds_its_default() {
    for setting in SETTINGS {
        let default = setting.show(&Config::default());
        let (least, most) = setting.range.unzip();
        for text in [least, most, default.as_deref()].into_iter().flatten() {
            assert_eq!(
                setting.read(text, &mut Config::default()),
                Ok(()),
                "{}",
                setting.path
            );
        }
    }
}

#[test]
fn a_printed_configuration_reads_back_as_the_same() {
    for mut config in [Config::default(), changed()] {
        let yaml = config.to_yaml().unwrap();
        // The one thing that is left out.
        config.kv.cassandra.password = None;
        assert_eq!(from_yaml(&yaml), config, "{yaml}");
    }
    let yaml = Config::default().to_yaml().unwrap();
    for line in [
        "  endpoint: 127.0.0.1:17271",
        "  memory: 1GiB",
        "  query_timeout: 4s",
        "  use: kv",
    ] {
        assert!(
            yaml.lines().any(|told| told == line),
            "no {line} in\n{yaml}"
        );
    }
}

#[test]
fn every_setting_can_be_given_by_the_environment() {
    let changed = changed();
    for setting in SETTINGS {
        let text = setting.show(&changed).unwrap();
        let section = |path: &'static str| path.rsplit_once('.').map(|(section, _)| section);
        // A certificate is nothing without its key.
        let needed = SETTINGS.iter().filter(|other| {
            other.path.contains(".tls.") && section(other.path) == section(setting.path)
        });
        let given: Vec<(String, String)> = needed
            .chain([setting])
            .map(|setting| (setting.variable(), setting.show(&changed).unwrap()))
            .collect();
        let given: Vec<(&str, &str)> = given
            .iter()
            .map(|(name, text)| (&**name, &**text))
            .collect();
        let config = load(None, &given, &[]).unwrap();
        assert_eq!(setting.show(&config), Some(text), "{}", setting.path);
    }
    assert_eq!(
        Setting::at("limits.memory").unwrap().variable(),
        "LARDER_LIMITS_MEMORY"
    );
}

#[test]
fn the_environment_names_a_plugins_settings_in_lower_case() {
    let config = load(None, &[("LARDER_PLUGIN_SETTINGS_MAX_TRACES", "5")], &[]).unwrap();
    assert_eq!(config.plugin.settings["max_traces"], "5");
}

#[test]
fn flags_pass_the_environment_which_passes_the_file_which_passes_the_defaults() {
    let yaml = "limits: { memory: 2GiB, queue_depth: 2, log_bytes: 2B }";
    let environment = [
        ("LARDER_LIMITS_MEMORY", "3GiB"),
        ("LARDER_LIMITS_QUEUE_DEPTH", "3"),
    ];
    let flags = [("--memory", "limits.memory", "4GiB")];
    let limits = load(Some(yaml), &environment, &flags).unwrap().limits;
    assert_eq!(limits.memory, Size::mib(4096));
    assert_eq!(limits.queue_depth, 3);
    assert_eq!(limits.log_bytes, Size::from_bytes(2));
    assert_eq!(limits.max_search_depth, 100_000);
}

#[test]
fn the_environment_names_the_file_unless_a_flag_does() {
    let mut named = tempfile::NamedTempFile::new().unwrap();
    named.write_all(b"admin: { purge: true }").unwrap();
    let path = named.path().to_str().unwrap();
    assert!(
        load(None, &[("LARDER_CONFIG", path)], &[])
            .unwrap()
            .admin
            .purge
    );
    assert!(
        !load(None, &[("LARDER_CONFIG", "")], &[])
            .unwrap()
            .admin
            .purge
    );
    let flag_wins = load(
        Some("admin: { purge: false }"),
        &[("LARDER_CONFIG", path)],
        &[],
    );
    assert!(!flag_wins.unwrap().admin.purge);
}

#[test]
fn null_is_the_default_and_the_empty_text_leaves_the_writer_port_unset() {
    let file = "grpc: { writer_endpoint: localhost:4316 }";
    assert!(from_yaml(file).grpc.writer_endpoint.is_some());
    assert_eq!(
        from_yaml("grpc: { writer_endpoint: null }")
            .grpc
            .writer_endpoint,
        None
    );
    assert_eq!(from_yaml("limits: { memory: }"), Config::default());
    let emptied = load(Some(file), &[("LARDER_GRPC_WRITER_ENDPOINT", "")], &[]);
    assert_eq!(emptied.unwrap().grpc.writer_endpoint, None);
}

#[test]
fn variables_of_others_are_left_alone() {
    let foreign = [
        ("LARDERS", "x"),
        ("PATH", "/bin"),
        ("LARDER_LOG", "debug"),
        // What Kubernetes adds for a service named `larder`, and for one named `larder-grpc`.
        ("LARDER_SERVICE_HOST", "10.0.0.1"),
        ("LARDER_SERVICE_PORT", "17271"),
        ("LARDER_SERVICE_PORT_GRPC", "17271"),
        ("LARDER_PORT", "tcp://10.0.0.1:17271"),
        ("LARDER_PORT_17271_TCP", "tcp://10.0.0.1:17271"),
        ("LARDER_PORT_17271_TCP_PROTO", "tcp"),
        ("LARDER_GRPC_PORT_17271_TCP_ADDR", "10.0.0.1"),
    ];
    assert_eq!(load(None, &foreign, &[]).unwrap(), Config::default());
}

#[test]
fn sections_are_known_by_their_paths() {
    assert!(is_section("grpc") && is_section("plugin.settings"));
    assert!(!is_section("") && !is_section("limits.memory") && !is_section("gr"));
}

#[test]
fn the_markdown_table_has_a_row_for_each_setting_with_its_default() {
    let table = markdown();
    for setting in SETTINGS {
        let row = format!("| `{}` | ", setting.path);
        assert_eq!(table.matches(&row).count(), 1, "{row}");
    }
    assert!(table.contains(
        "| `limits.memory` | `1GiB` | Linear memory of one plugin instance (1MiB to 4GiB) |"
    ));
    assert!(table.contains("| `grpc.writer_endpoint` | unset | "));
    assert!(table.contains("| `plugin.settings.NAME` | "));
}

proptest::proptest! {
    #[test]
    fn whatever_a_plugins_settings_hold_is_printed_so_that_it_is_read_again(
        settings in proptest::collection::btree_map("[a-z.~ 0-9]{1,9}|null|<<", "\\PC*|[a-z:# \n\t0-9-]*|null|~|yes|1e3|0x1F", 0..4)
    ) {
        let mut config = Config::default();
        config.plugin.settings = settings;
        let yaml = config.to_yaml().unwrap();
        proptest::prop_assert_eq!(from_yaml(&yaml), config, "{}", yaml);
    }
}
