//! Settings of single tenants.

use super::super::settings::overridable;
use super::super::{Config, Grants, SETTINGS, Scope, Size};
use super::refusals::check_refused;
use super::{from_yaml, load};

/// The configuration of a tenant that has overrides.
fn of(config: &Config, tenant: &str) -> Config {
    let mut overrides = config.tenancy.overrides.iter();
    let (_, own) = overrides.find(|(name, _)| name.as_str() == tenant).unwrap();
    own.over(&config.of_all())
}

fn settings(config: &Config) -> Vec<(&str, &str)> {
    let settings = config.plugin.settings.iter();
    settings.map(|(name, text)| (&**name, &**text)).collect()
}

#[test]
fn an_override_changes_what_it_names_and_nothing_else() {
    let config = from_yaml(
        "
kv: { quota: 1GiB }
limits: { memory: 512MiB, spans_per_second: 10 }
tenancy:
  overrides:
    a.b:
      limits: { memory: 64MiB }
      kv: { quota: null }
    c: { limits: { spans_per_second: 20 } }
    nothing:
",
    );
    let own = of(&config, "a.b");
    assert_eq!(own.limits.memory, Size::mib(64));
    assert_eq!(own.kv.quota, None, "null is the default again: no quota");
    assert_eq!(own.limits.spans_per_second, Some(10));
    let mut undone = own;
    undone.limits.memory = Size::mib(512);
    undone.kv.quota = Some(Size::mib(1024));
    assert_eq!(undone, config.of_all());
    assert_eq!(of(&config, "c").limits.spans_per_second, Some(20));
    assert_eq!(config.tenancy.overrides.iter().count(), 2);
}

#[test]
fn settings_are_added_to_those_of_the_same_plugin_and_replace_those_of_another() {
    let config = from_yaml(
        "
plugin: { use: kv, settings: { retention: 24h, max_bytes: 5GiB } }
tenancy:
  overrides:
    same: { plugin: { use: kv, settings: { retention: 1h } } }
    less: { plugin: { settings: { retention: null } } }
    other: { plugin: { use: memory, settings: { max_traces: 7 } } }
",
    );
    let same = of(&config, "same");
    assert_eq!(
        settings(&same),
        [("max_bytes", "5GiB"), ("retention", "1h")]
    );
    assert_eq!(settings(&of(&config, "less")), [("max_bytes", "5GiB")]);
    let other = of(&config, "other");
    assert_eq!(other.plugin.r#use, "memory");
    assert_eq!(settings(&other), [("max_traces", "7")]);
}

#[test]
fn grants_are_kept_by_the_same_plugin_and_not_handed_on_to_another_one() {
    let config = from_yaml(
        "
plugin:
  use: ./postgres.wasm
  grants: { tcp: [postgres:5432], env: [PGPASSWORD], clock: true, max_connections: 3 }
tenancy:
  overrides:
    same: { plugin: { grants: { env: [PGPASSWORD=file:/run/secrets/same] } } }
    other: { plugin: { use: ./other.wasm } }
    own: { plugin: { use: ./other.wasm, grants: { http: ['[::1]:80', api:443] } } }
",
    );
    let same = of(&config, "same").plugin.grants;
    let common = config.plugin.grants.clone();
    assert_eq!(
        same.env.0[0].to_string(),
        "PGPASSWORD=file:/run/secrets/same"
    );
    assert_eq!((same.tcp, same.clock), (common.tcp, common.clock));
    assert_eq!(of(&config, "other").plugin.grants, Grants::default());
    let own = of(&config, "own").plugin.grants;
    let http: Vec<String> = own.http.0.iter().map(ToString::to_string).collect();
    assert_eq!(http, ["[::1]:80", "api:443"]);
    let but_http = Grants {
        http: own.http.clone(),
        ..Grants::default()
    };
    assert_eq!(own, but_http);
}

/// The column of the table: a tenant that gets another setting of its own needs the code that applies it.
#[test]
fn these_settings_can_be_overridden_and_no_others() {
    let expected = [
        "plugin.use",
        "plugin.grants.http",
        "plugin.grants.tcp",
        "plugin.grants.env",
        "plugin.grants.clock",
        "plugin.grants.max_connections",
        "plugin.grants.max_call_bytes",
        "limits.memory",
        "limits.call_timeout",
        "limits.queue_bytes",
        "limits.queue_depth",
        "limits.log_bytes",
        "limits.spans_per_second",
        "limits.concurrent_queries",
        "limits.query_queue_bytes",
        "kv.quota",
    ];
    assert_eq!(overridable().collect::<Vec<_>>(), expected);
}

#[test]
fn an_override_is_taken_if_the_table_says_so_and_refused_otherwise() {
    let changed = super::changed();
    for setting in SETTINGS {
        let text = setting.show(&changed).unwrap();
        let (section, key) = setting.path.rsplit_once('.').unwrap_or(("", setting.path));
        let mut yaml = format!("{key}: {text:?}");
        for name in section.split('.').rev().filter(|name| !name.is_empty()) {
            yaml = format!("{name}: {{ {yaml} }}");
        }
        let yaml = format!("tenancy: {{ overrides: {{ acme: {{ {yaml} }} }} }}");
        match setting.scope {
            Scope::Tenant => {
                let own = of(&from_yaml(&yaml), "acme");
                assert_eq!(setting.show(&own), Some(text), "{yaml}");
            }
            Scope::Server => {
                let refused = load(Some(&yaml), &[], &[]).unwrap_err().to_string();
                assert!(refused.contains("this is of the whole server"), "{refused}");
            }
        }
    }
}

#[test]
fn a_wrong_override_is_refused_as_the_servers_setting_would_be() {
    for (yaml, expected) in [
        (
            "tenancy: { overrides: { acme: { limits: { memroy: 1GiB } } } }",
            "unknown config key `tenancy.overrides.acme.limits.memroy` (larder.yaml:1:43), did you mean `tenancy.overrides.acme.limits.memory`?",
        ),
        (
            "tenancy: { overrides: { acme: { quota: 1GiB } } }",
            "unknown config key `tenancy.overrides.acme.quota` (larder.yaml:1:33), did you mean `tenancy.overrides.acme.kv.quota`?",
        ),
        (
            "tenancy: { overrides: { acme: { limits: { memory: 4KiB } } } }",
            "invalid config `tenancy.overrides.acme.limits.memory`: must be at least 1MiB, got 4KiB (larder.yaml:1:51)",
        ),
        (
            "tenancy: { overrides: { acme: { limits: { concurrent_queries: 257 } } } }",
            "invalid config `tenancy.overrides.acme.limits.concurrent_queries`: must be at most 256, got 257 (larder.yaml:1:63)",
        ),
        (
            "tenancy: { overrides: { acme: { limits: { spans_per_second: some } } } }",
            "invalid config `tenancy.overrides.acme.limits.spans_per_second`: expected a whole number, got `some` (larder.yaml:1:61)",
        ),
        (
            "tenancy: { overrides: { a/b: { kv: { quota: 1GiB } } } }",
            "invalid config `tenancy.overrides.a/b`: expected a tenant's name: 1 to 63 of ASCII letters, digits, `-`, `_` and `.`, with a letter or a digit first, got `a/b` (larder.yaml:1:25)",
        ),
        (
            "tenancy: { overrides: { acme: 5 } }",
            "invalid config `tenancy.overrides.acme`: expected a mapping of settings, got `5` (larder.yaml:1:31)",
        ),
        (
            "tenancy: { overrides: [acme] }",
            "invalid config `tenancy.overrides`: expected a mapping of settings, got a list (larder.yaml:1:23)",
        ),
        (
            "tenancy: { overrides: { acme: { limits: 7 } } }",
            "invalid config `tenancy.overrides.acme.limits`: expected a mapping of settings, got `7` (larder.yaml:1:41)",
        ),
        (
            "tenancy: { override: { acme: { limits: 7 } } }",
            "unknown config key `tenancy.override` (larder.yaml:1:12), did you mean `tenancy.overrides`?",
        ),
        (
            "tenancy: { tenants: [a], overrides: { acme: { kv: { quota: 1GiB } } } }",
            "invalid config `tenancy.overrides.acme`: `acme` is not in `tenancy.tenants` (larder.yaml:1:53)",
        ),
    ] {
        check_refused(yaml, expected);
    }
}

#[test]
fn server_wide_settings_cannot_be_overridden() {
    let own: Vec<String> = overridable().map(|path| format!("`{path}`")).collect();
    let own = own.join(", ");
    check_refused(
        "tenancy: { overrides: { acme: { grpc: { pagination: true } } } }",
        &format!(
            "invalid config `tenancy.overrides.acme.grpc.pagination`: this is of the whole server; a tenant may have {own} and `plugin.settings` of its own (larder.yaml:1:41)"
        ),
    );
}

#[test]
fn an_override_is_printed_as_the_file_would_have_it() {
    let config = from_yaml(
        "tenancy: { overrides: { a.b: { limits: { queue_depth: 7, memory: 1024KiB }, kv: { quota: }, plugin: { settings: { x: 007 } } } } }",
    );
    let yaml = config.to_yaml().unwrap();
    let (_, printed) = yaml.split_once("  overrides:\n").unwrap();
    let expected = r#"    a.b:
      kv:
        quota: null
      limits:
        memory: 1024KiB
        queue_depth: 7
      plugin:
        settings:
          x: "007"
"#;
    assert_eq!(printed, expected);
    assert_eq!(from_yaml(&yaml), config);
}
