//! Commands that end by themselves, and mistakes.

use super::support::{Running, run, run_in};

#[track_caller]
fn check_refused(arguments: &[&str], environment: &[(&str, &str)], code: i32, hint: &str) {
    let exit = run(arguments, environment);
    assert_eq!(exit.code, Some(code), "{}", exit.stderr);
    assert!(exit.stderr.contains(hint), "no {hint} in\n{}", exit.stderr);
    assert!(exit.stderr.starts_with("error: "), "{}", exit.stderr);
    assert_eq!(exit.stdout, "");
}

#[test]
fn the_printed_configuration_has_every_source_and_is_accepted_as_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("larder.yaml");
    std::fs::write(&file, "limits: { memory: 2GiB, queue_depth: 5 }").unwrap();
    let printed = run_in(
        directory.path(),
        &[
            "config",
            "print",
            "--config",
            "larder.yaml",
            "--plugin-setting",
            "max_traces=7",
        ],
        &[("LARDER_LIMITS_QUEUE_DEPTH", "6")],
    );
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    for line in [
        "  memory: 2GiB",
        "  queue_depth: 6",
        "    max_traces: \"7\"",
        "  endpoint: 127.0.0.1:17271",
    ] {
        assert!(
            printed.stdout.lines().any(|told| told == line),
            "no {line} in\n{}",
            printed.stdout
        );
    }
    std::fs::write(&file, &printed.stdout).unwrap();
    let again = run_in(
        directory.path(),
        &["config", "print"],
        &[("LARDER_CONFIG", "larder.yaml")],
    );
    assert_eq!(again.stdout, printed.stdout);
}

#[test]
fn the_table_of_settings_is_printed() {
    let table = run(&["config", "table"], &[]);
    assert_eq!(table.code, Some(0));
    assert_eq!(table.stdout, larder::config::markdown());
}

#[test]
fn mistakes_in_the_configuration_end_it_with_code_1_and_the_place() {
    let variable = [("LARDER_LIMITS_MEMROY", "1GiB")];
    check_refused(
        &[],
        &variable,
        1,
        "LARDER_LIMITS_MEMROY, did you mean `LARDER_LIMITS_MEMORY`?",
    );
    check_refused(&["--grpc-endpoint", "x"], &[], 1, "(flag --grpc-endpoint)");
    check_refused(
        &["--config", "none.yaml"],
        &[],
        1,
        "none.yaml: No such file",
    );
    check_refused(
        &[],
        &[("LARDER_LOG", "a=b=c")],
        1,
        "LARDER_LOG is no log filter",
    );
    check_refused(&["--plugin", "memroy"], &[], 1, "`memroy`");
}

#[test]
fn mistakes_of_usage_end_it_with_code_2() {
    check_refused(&["--grpc-endpont", "x"], &[], 2, "--grpc-endpoint");
    check_refused(&["--plugin-setting", "x"], &[], 2, "KEY=VALUE");
}

#[test]
fn a_file_that_is_no_plugin_is_told_so() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("x.wasm"), "hello").unwrap();
    let exit = run_in(directory.path(), &["plugin", "inspect", "x.wasm"], &[]);
    assert_eq!(exit.code, Some(1));
    assert!(
        exit.stderr.contains("`x.wasm` is no wasm component"),
        "{}",
        exit.stderr
    );
    check_refused(&["plugin", "inspect", "none.wasm"], &[], 1, "none.wasm");
}

#[test]
fn a_plugin_that_fits_is_described() {
    let exit = run(&["plugin", "inspect", "memory"], &[]);
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(
        exit.stdout.starts_with("plugin      memory "),
        "{}",
        exit.stdout
    );
    assert!(
        exit.stdout.contains("instancing  exclusive"),
        "{}",
        exit.stdout
    );
}

#[test]
fn a_setting_that_the_plugin_does_not_know_is_its_to_refuse() {
    let exit = run(
        &[
            "plugin",
            "inspect",
            "memory",
            "--plugin-setting",
            "max_trces=1",
        ],
        &[],
    );
    assert_eq!(exit.code, Some(1));
    assert!(exit.stderr.contains("max_trces"), "{}", exit.stderr);
}

#[test]
fn a_stopped_server_s_store_is_checked() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let data = data.to_str().unwrap();
    check_refused(
        &["check", "--data-dir", data],
        &[],
        1,
        "there is no store in",
    );

    let server = Running::start(&["--data-dir", data]);
    check_refused(
        &["check", "--data-dir", data],
        &[],
        1,
        "in use by another process",
    );
    server.signal("TERM");
    server.wait();
    let exit = run(&["check", "--data-dir", data], &[]);
    assert_eq!(exit.code, Some(0), "{}", exit.stderr);
    assert!(exit.stdout.contains("damaged     0\n"), "{}", exit.stdout);
    assert!(!exit.stdout.contains("values      0\n"), "{}", exit.stdout);
}
