//! Differences of configurations, and the part that a running server applies.

use super::*;

fn with(change: impl FnOnce(&mut Config)) -> Config {
    let mut config = Config::default();
    change(&mut config);
    config
}

#[test]
fn equal_configurations_differ_in_nothing() {
    assert_eq!(changed().changes(&changed()), Changes::default());
}

/// `changed` has no default left, so each setting is found, and in one list only.
#[test]
fn every_changed_setting_is_named_once() {
    let changes = Config::default().changes(&changed());
    let mut named = changes.of_plugins.clone();
    named.extend(changes.of_requests);
    named.extend(changes.at_start);
    named.sort();
    let settings = changed().plugin.settings.into_keys();
    let own = settings.map(|name| format!("{PLUGIN_SETTINGS}.{name}"));
    let paths = SETTINGS.iter().map(|setting| setting.path.to_owned());
    let overrides = changed().tenancy.overrides;
    let overrides = overrides
        .iter()
        .map(|(name, _)| format!("{OVERRIDES}.{name}"));
    let mut all: Vec<String> = paths.chain(own).chain(overrides).collect();
    all.sort();
    assert_eq!(named, all);
}

/// The same settings as in `host/docs/operations.md`.
#[test]
fn settings_that_need_a_restart_are_listed() {
    let changes = Config::default().changes(&changed());
    let is_taken = |path: &String| {
        let limits = path.starts_with("limits.");
        let tenancy = path.starts_with("tenancy.") && path != "tenancy.enabled";
        let at_start = [
            "limits.compile_memory",
            "limits.compile_timeout",
            "limits.max_span_bytes",
        ];
        let at_start = at_start.contains(&path.as_str());
        let others = [
            "kv.quota",
            "kv.min_free",
            "kv.snapshot_dir",
            "admin.purge",
            "grpc.max_connection_age",
            "ingest.dictionary",
            "ingest.word_terms",
        ];
        let others = others.contains(&path.as_str());
        (limits || tenancy || others || path.starts_with("plugin.")) && !at_start
    };
    assert!(!changes.at_start.iter().any(is_taken), "{changes:?}");
    let taken: Vec<_> = changes
        .of_plugins
        .iter()
        .chain(&changes.of_requests)
        .collect();
    assert!(taken.into_iter().all(is_taken), "{changes:?}");
}

#[test]
fn applied_settings_are_no_longer_changes() {
    let now = Config::default();
    let next = changed();
    let changes = now.changes(&next);
    let taken = now.with_requests_of(&next).with_plugins_of(&next);
    let left = taken.changes(&next);
    assert_eq!(left.at_start, changes.at_start);
    assert!(left.of_plugins.is_empty(), "{left:?}");
    assert!(left.of_requests.is_empty(), "{left:?}");
    let mut grpc = now.grpc.clone();
    grpc.max_connection_age = next.grpc.max_connection_age;
    assert_eq!(taken.grpc, grpc);
    assert_eq!(taken.plugin, next.plugin);
}

#[test]
fn a_plugin_setting_that_goes_is_a_change() {
    let now = with(|config| {
        let settings = &mut config.plugin.settings;
        settings.insert("retention".to_owned(), "1h".to_owned());
    });
    let next = Config::default();
    let changes = now.changes(&next);
    assert_eq!(changes.of_plugins, ["plugin.settings.retention"]);
    assert_eq!(now.with_plugins_of(&next), next);
}

#[test]
fn a_setting_that_is_unset_again_is_unset() {
    let now = with(|config| config.tenancy.default = "acme".parse().ok());
    let next = Config::default();
    assert_eq!(now.with_requests_of(&next).tenancy.default, None);
}
