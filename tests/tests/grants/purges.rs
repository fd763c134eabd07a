//! `larder plugin test` of plugins that keep something outside: one that purges it passes, and others are caught by name.

use larder_tests::{Exit, Options, Plugin};
use serde_json::Value;

use super::peer::Peer;

/// Tests a plugin that may reach this peer, with these settings.
fn test(plugin: Plugin, peer: &Peer, settings: &[(&str, &str)]) -> Exit {
    let file = plugin.argument().into_os_string().into_string().unwrap();
    let fixed = [
        "plugin", "test", &file, "--rounds", "10", "--format", "json",
    ];
    let options = Options::bare()
        .without_port_flags()
        .arguments(fixed)
        .grant(&format!("tcp={}", peer.address));
    let settings = settings.iter();
    settings
        .fold(options, |it, (name, value)| it.setting(name, value))
        .run()
}

/// The rules that were broken, each with what the report says.
fn broken(exit: &Exit) -> Vec<(String, String)> {
    let report: Value = serde_json::from_str(&exit.stdout).unwrap_or_else(|_| panic!("{exit:?}"));
    let cases = report["cases"].as_array().unwrap().iter();
    let broken = cases.filter_map(|it| {
        let part = |name: &str| it["detail"][name].as_str().map(str::to_owned);
        Some((part("rule")?, part("text")?))
    });
    broken.collect()
}

#[test]
fn a_purge_of_what_is_outside_passes() {
    let peer = Peer::keeping();
    let address = peer.address.to_string();
    let exit = test(Plugin::Mistaken, &peer, &[("outside", &address)]);
    assert!(exit.status.success(), "{exit:?}");
    let tried = "a purge deletes what is kept outside, and nothing of another tenant";
    let report: Value = serde_json::from_str(&exit.stdout).unwrap();
    let mut cases = report["cases"].as_array().unwrap().iter();
    let case = cases.find(|it| it["name"] == tried).expect(tried);
    assert_eq!(case["outcome"], "passed", "{case}");
}

#[test]
fn a_purge_that_leaves_something_is_caught() {
    let peer = Peer::keeping();
    let address = peer.address.to_string();
    let mistake = ("mistake", "purge deletes nothing");
    let exit = test(Plugin::Mistaken, &peer, &[("outside", &address), mistake]);
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    let broken = broken(&exit);
    assert!(
        matches!(&*broken, [(rule, text)] if rule == "purge.left" && text.contains("after `purge`")),
        "{broken:?}"
    );
}

#[test]
fn a_purge_that_fails_is_caught() {
    let peer = Peer::keeping();
    let exit = test(Plugin::Mistaken, &peer, &[("mistake", "purge fails")]);
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    let broken = broken(&exit);
    assert!(
        matches!(&*broken, [(rule, text)] if rule == "purge.error" && text.contains("as the test wants it")),
        "{broken:?}"
    );
}

/// It may keep something outside, and nobody could delete that.
#[test]
fn a_plugin_with_a_grant_and_no_purge_is_caught() {
    let peer = Peer::keeping();
    let exit = test(Plugin::C0_1, &peer, &[]);
    let broken = broken(&exit);
    let rules: Vec<&str> = broken.iter().map(|(rule, _)| &**rule).collect();
    assert_eq!(rules, ["purge.error"], "{broken:?}");
}
