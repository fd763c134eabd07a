//! `larder plugin bench`: what it prints of a plugin that is right, and that a wrong answer has no figures.

use larder_tests::{Exit, Options, Plugin};
use serde_json::Value;

const SPANS: u64 = 3_000;

fn bench(plugin: Plugin, arguments: &[&str]) -> Options {
    bench_of(plugin, SPANS, arguments)
}

fn bench_of(plugin: Plugin, spans: u64, arguments: &[&str]) -> Options {
    let file = plugin.argument().into_os_string().into_string().unwrap();
    let spans = spans.to_string();
    let options = Options::bare().without_port_flags();
    let fixed = ["plugin", "bench", &file, "--spans", &spans];
    options.arguments(fixed.iter().chain(arguments).copied())
}

fn report(exit: &Exit) -> Value {
    serde_json::from_str(&exit.stdout).unwrap_or_else(|error| panic!("{error}: {exit:?}"))
}

/// What was measured, with its figures.
fn figures(report: &Value) -> Vec<(String, f64, f64)> {
    let number = |it: &Value| it.as_f64().unwrap_or_else(|| panic!("{report:#}"));
    let figures = report["figures"].as_array().unwrap().iter().map(|it| {
        let name = format!("{}, {}", it["name"], it["unit"]).replace('"', "");
        (name, number(&it["plugin"]), number(&it["memory"]))
    });
    let searches = report["searches"].as_array().unwrap().iter();
    let searches = searches.flat_map(|it| {
        ["cpu_ms", "wall_ms"].map(|unit| {
            let (name, both) = (it["name"].as_str().unwrap(), &it[unit]);
            let name = format!("{name}, {unit}");
            (name, number(&both["plugin"]), number(&both["memory"]))
        })
    });
    figures.chain(searches).collect()
}

#[test]
fn a_plugin_is_measured_beside_memory() {
    let exit = bench(Plugin::Minimal, &["--format", "json"]).run();
    assert!(exit.status.success(), "{exit:?}");
    let report = report(&exit);
    assert_eq!(report["held_spans"], SPANS);
    assert_eq!(report["refused"], Value::Null);
    let figures = figures(&report);
    for name in [
        "first load, s",
        "cached load, s",
        "memory, empty, MB",
        "memory, full, MB",
        "memory, grown by, bytes a span",
        "writes, us of CPU a span",
        "writes, spans a second",
        "newest 20 of a service, cpu_ms",
        "a rare attribute, cpu_ms",
        "an attribute that none has, wall_ms",
        "one trace by its id, cpu_ms",
        "services, and operations of one, wall_ms",
    ] {
        let measured = figures.iter().find(|(it, ..)| it == name);
        let (_, plugin, memory) = measured.unwrap_or_else(|| panic!("{name}: {report:#}"));
        assert!(*plugin > 0.0 && *memory > 0.0, "{name}: {report:#}");
    }
    let found = |place: usize| &report["searches"][place]["found"];
    assert_eq!(found(0)["traces"], 20, "{report:#}");
    // The first trace of all has the rare attribute, and is the only one among so few.
    assert_eq!(found(1)["traces"], 1, "{report:#}");
    assert_eq!(found(2)["traces"], 0, "{report:#}");
    assert_eq!(found(3)["traces"], 1, "{report:#}");
    assert_eq!(found(4)["traces"], report["held_traces"], "{report:#}");
    assert_eq!(found(5)["services"], 60, "{report:#}");
}

#[test]
fn people_get_two_tables() {
    let exit = bench(Plugin::Kv, &[]).run();
    assert!(exit.status.success(), "{exit:?}");
    let lines: Vec<&str> = exit.stdout.lines().collect();
    assert!(lines[0].starts_with("kv "), "{exit:?}");
    assert!(lines[1].starts_with("3,000 spans of "), "{exit:?}");
    // Each with its columns: those of searches have processor time and time.
    let row = |start: &str| {
        let row = lines.iter().find(|line| line.starts_with(start));
        row.unwrap_or_else(|| panic!("{start}: {exit:?}"))
            .split('|')
            .count()
            - 2
    };
    assert_eq!(row("| writes, us of CPU a span "), 4);
    assert_eq!(row("| stored in kv, bytes a span "), 4);
    assert_eq!(row("| one trace by its id "), 8);
}

#[test]
fn the_seed_makes_the_spans() {
    let traces = |seed: &str| {
        let exit = bench(Plugin::Memory, &["--seed", seed, "--format", "json"]).run();
        report(&exit)["held_traces"].as_u64().unwrap()
    };
    assert_eq!(traces("7"), traces("7"));
    assert_ne!(traces("7"), traces("8"));
}

#[test]
fn a_wrong_answer_has_no_figures() {
    for (mistake, said) in [
        (
            "find leaves one out",
            "answers the search \"a rare attribute\" wrongly: it finds 0 spans of 0 traces",
        ),
        ("write forgets", "answers the search"),
        (
            "services leaves one out",
            "services, and operations of one\" wrongly: it finds 59 services",
        ),
        (
            "operations changes names",
            "12 operations, as many as `memory`, but not the same",
        ),
        ("read gives a piece twice", "read.twice"),
        ("read leaves one out", "cannot be measured"),
        ("write fails", "`write` raised other: as the test wants it"),
        ("write traps", "`write` breaks the rule call.trap"),
        ("maintain fails", "`maintain` raised other"),
    ] {
        let exit = bench(Plugin::Mistaken, &["--format", "json"])
            .setting("mistake", mistake)
            .run();
        assert_eq!(exit.status.code(), Some(1), "{mistake}: {exit:?}");
        assert!(exit.stdout.is_empty(), "{mistake}: {exit:?}");
        let error = exit.error();
        assert!(error.contains("`mistaken`"), "{mistake}: {error}");
        assert!(error.contains(said), "{mistake}: {error}");
        assert!(error.contains("larder plugin test"), "{mistake}: {error}");
    }
}

#[test]
fn a_plugin_that_is_full_is_told_with_what_it_holds() {
    let full = |arguments: &[&str]| {
        bench_of(Plugin::Minimal, 30_000, arguments)
            .config("limits: { memory: 16MiB }")
            .run()
    };
    let exit = full(&["--format", "json"]);
    assert!(exit.status.success(), "{exit:?}");
    let report = report(&exit);
    let held = report["held_spans"].as_u64().unwrap();
    assert!(0 < held && held < 30_000, "{report:#}");
    assert_eq!(held % 1_000, 0, "whole Exports");
    assert!(report["refused"].is_string(), "{report:#}");
    assert_eq!(report["searches"].as_array().unwrap().len(), 6);
    let exit = full(&[]);
    assert!(
        exit.stdout.contains("of 30,000 spans, and refused more: "),
        "{exit:?}"
    );
}

#[test]
fn searches_of_a_plugin_that_drops_are_not_measured() {
    let exit = bench(Plugin::Memory, &["--format", "json"])
        .setting("max_traces", "100")
        .run();
    assert!(exit.status.success(), "{exit:?}");
    let report = report(&exit);
    assert_eq!(report["searches"], Value::Array(Vec::new()));
    let notes = report["notes"].to_string();
    assert!(notes.contains("it has dropped"), "{report:#}");
}

#[test]
fn what_cannot_be_loaded_is_told_as_by_a_test() {
    let told = |command: &str, arguments: &[&str]| {
        let exit = Options::bare()
            .without_port_flags()
            .arguments(["plugin", command].iter().chain(arguments).copied())
            .run();
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        exit.error()
    };
    for arguments in [
        &["none"][..],
        &["./none.wasm"],
        &["memory", "--plugin-setting", "a=b"],
    ] {
        let error = told("bench", arguments);
        if arguments.len() == 1 {
            assert_eq!(error, told("test", arguments));
        } else {
            assert!(error.contains("refused to open"), "{error}");
        }
    }
}
