//! `larder plugin test`: what is right passes, and each mistake is caught by its name.

use std::collections::BTreeSet;

use larder_tests::{Exit, Home, Options, Plugin};
use serde_json::Value;

/// Each mistake of the guest, and the rule that it breaks.
const MISTAKES: &[(&str, &str)] = &[
    ("open takes any setting", "open.setting"),
    ("open fails", "open.error"),
    ("open fails on what is there", "open.again"),
    ("write fails", "write.error"),
    ("write fails on what is there", "write.again"),
    (
        "write refuses what does not fit by another error",
        "write.full",
    ),
    ("write traps", "call.trap"),
    ("write never ends", "call.deadline"),
    ("write takes memory for ever", "call.memory"),
    ("write forgets", "read.all"),
    ("write stores batch by batch", "write.whole"),
    ("write says nothing of errors", "write.lost"),
    ("refresh fails", "refresh.error"),
    ("refresh does not look", "read.all"),
    ("find fails on later pages", "find.error"),
    ("find gives more than asked for", "find.limit"),
    ("find leaves one out", "find.covered"),
    ("find tells of a start that is too early", "find.newest"),
    ("find passes its floor", "find.floor"),
    ("find raises its floor", "find.floor"),
    ("find sights another trace", "find.handle"),
    ("find gives handles of nothing", "find.handle"),
    ("find takes any resume", "find.resume"),
    ("find gives its resume again", "resume.progress"),
    ("find gives a long resume", "resume.size"),
    ("find never ends", "find.end"),
    ("check fails", "check.error"),
    ("check tells of damage", "check.sound"),
    ("check tells of too much", "check.damaged"),
    ("check tells of it at length", "check.line"),
    ("check goes on without a value", "check.progress"),
    ("check never ends", "check.end"),
    ("read fails for nothing", "read.error"),
    ("read fails on later pages", "read.error"),
    ("read gives what was not asked for", "read.wanted"),
    ("read gives a piece twice", "read.twice"),
    ("read gives empty pieces", "read.empty"),
    ("read gives more than asked for", "read.size"),
    ("read gives an empty page and a resume", "read.progress"),
    ("read never ends", "read.end"),
    ("read turns the order", "read.order"),
    ("read leaves one out", "read.all"),
    ("read cuts bytes off", "read.bytes"),
    ("read gives the other part", "read.bytes"),
    ("read has other handles for digests", "read.handle"),
    ("read by handle gives other bytes", "read.fragments"),
    ("read tells of dropped spans", "read.dropped"),
    ("read takes any resume", "read.resume"),
    ("services fails", "services.error"),
    ("services gives one twice", "services.unique"),
    ("services gives an empty one", "services.empty"),
    ("services leaves one out", "services.all"),
    ("services gives one that was not written", "services.all"),
    (
        "operations fails for an unknown service",
        "operations.error",
    ),
    (
        "operations gives those of another service",
        "operations.service",
    ),
    ("operations gives one twice", "operations.unique"),
    ("operations leaves one out", "operations.all"),
    ("operations changes names", "operations.all"),
    ("maintain fails", "maintain.error"),
    ("maintain never ends", "maintain.end"),
    ("statistics counts wrongly", "statistics.true"),
    ("retire fails", "retire.error"),
    ("retire gives its id away", "retire.stored"),
    ("open fails to repair", "repair.open"),
    ("repair fails", "repair.error"),
    ("repair tells of damage", "repair.sound"),
    ("repair tells of too much", "repair.lines"),
    ("repair tells of it at length", "repair.line"),
    ("repair goes on without a value", "repair.progress"),
    ("repair never ends", "repair.end"),
    ("repair does nothing", "repair.left"),
    ("repair says nothing of what is lost", "repair.lost"),
];

/// The rules that are broken otherwise: of a file that does not fit, of a plugin with a grant (`tests/grants/purges.rs`), of a series of
/// pages while the server serves (`lies.rs`), and by the kit itself.
const OTHER_RULES: [&str; 6] = [
    "kit.panic",
    "kit.store",
    "load.fits",
    "pages",
    "purge.error",
    "purge.left",
];

fn test(plugin: Plugin, arguments: &[&str]) -> Options {
    let file = plugin.argument().into_os_string().into_string().unwrap();
    let options = Options::bare().without_port_flags();
    let fixed = ["plugin", "test", &file, "--rounds", "30"];
    options.arguments(fixed.iter().chain(arguments).copied())
}

fn report(exit: &Exit) -> Value {
    serde_json::from_str(&exit.stdout).unwrap_or_else(|error| panic!("{error}: {exit:?}"))
}

/// The rules that were broken, in the order of the cases.
fn broken(report: &Value) -> Vec<&str> {
    let cases = report["cases"].as_array().unwrap().iter();
    cases
        .filter_map(|it| it["detail"]["rule"].as_str())
        .collect()
}

#[test]
fn each_mistake_is_caught_by_its_name() {
    let mut wrong = Vec::new();
    for (mistake, rule) in MISTAKES {
        let exit = test(Plugin::Mistaken, &["--fail-fast", "--format", "json"])
            .setting("mistake", mistake)
            .config("limits: { call_timeout: 2s }")
            .run();
        let report = report(&exit);
        if broken(&report) != [*rule] || exit.status.code() != Some(1) {
            wrong.push(format!("{mistake}: {rule} expected, {:?}", broken(&report)));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_rule_has_a_mistake_and_every_mistake_a_rule() {
    let exit = Options::bare()
        .without_port_flags()
        .arguments(["plugin", "rules"])
        .run();
    assert!(exit.status.success(), "{exit:?}");
    let lines = exit.stdout.lines();
    let rules: BTreeSet<&str> = lines.filter_map(|it| it.strip_prefix("### ")).collect();
    let broken = MISTAKES.iter().map(|(_, rule)| *rule).chain(OTHER_RULES);
    assert_eq!(rules, broken.collect());
    for rule in ["find.covered", "purge.left"] {
        let exit = Options::bare()
            .without_port_flags()
            .arguments(["plugin", "rules", rule])
            .run();
        assert!(exit.status.success() && exit.stdout.len() > 10, "{exit:?}");
    }
}

#[test]
fn plugins_that_are_right_pass() {
    for plugin in [
        Plugin::Kv,
        Plugin::Memory,
        Plugin::Minimal,
        Plugin::Minimal0_1,
        Plugin::C0_1,
    ] {
        let exit = test(plugin, &[]).run();
        assert!(exit.status.success(), "{plugin:?}: {exit:?}");
        assert!(exit.stdout.contains("passed: 20 cases"), "{exit:?}");
    }
}

#[test]
fn a_story_that_fails_is_short_and_can_be_played_again() {
    let home = Home::new();
    let wrong = |arguments: &[&str]| {
        let options = test(Plugin::Mistaken, arguments);
        options
            .setting("mistake", "read turns the order")
            .run_in(&home)
    };
    let exit = wrong(&["--format", "junit"]);
    assert!(
        exit.stdout.contains("<failure type=\"read.order\""),
        "{exit:?}"
    );
    let kept = home.path().join("mistaken.story.json");
    let story: Value = serde_json::from_slice(&std::fs::read(&kept).unwrap()).unwrap();
    let steps = story["steps"].as_array().unwrap();
    // Two fragments of a trace; what is stored is checked at the end.
    assert_eq!(steps.len(), 1, "{story}");
    assert_eq!(steps[0]["write"].as_array().unwrap().len(), 2, "{story}");
    let again = wrong(&["--story", kept.to_str().unwrap()]);
    assert_eq!(again.status.code(), Some(1));
    assert!(again.stdout.contains("> read.order: "), "{again:?}");
}

#[test]
fn machines_are_told_of_a_plugin_that_does_not_fit() {
    let home = Home::new();
    let file = home.path().join("core.wasm");
    std::fs::write(&file, b"\0asm\x01\0\0\0").unwrap();
    let told = |format: &str| {
        let exit = Options::bare()
            .without_port_flags()
            .arguments(["plugin".into(), "test".into(), file.clone()])
            .arguments(["--format", format])
            .run_in(&home);
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.error().contains("it is a core module"), "{exit:?}");
        exit
    };
    let report = report(&told("json"));
    assert_eq!(report["source"], file.to_str().unwrap());
    assert_eq!(report["version"], Value::Null);
    assert_eq!(broken(&report), ["load.fits"]);
    let text = report["cases"][0]["detail"]["text"].as_str().unwrap();
    assert!(text.contains("it is a core module"), "{text}");
    let junit = told("junit").stdout;
    assert!(junit.contains("tests=\"1\" failures=\"1\""), "{junit}");
    assert!(junit.contains("<failure type=\"load.fits\""), "{junit}");
    assert!(told("human").stdout.is_empty());
    // A file that is not there is no plugin that does not fit.
    let exit = Options::bare()
        .without_port_flags()
        .arguments(["plugin", "test", "./none.wasm", "--format", "json"])
        .run_in(&home);
    assert!(exit.stdout.is_empty(), "{exit:?}");
}
