//! Precedence: defaults, file, environment, flags. Errors name their place and the nearest valid word.

use larder_tests::{Exit, Home, Options, Plugin};

/// `larder config print`, without any external configuration.
fn print() -> Options {
    Options::bare()
        .without_port_flags()
        .arguments(["config", "print"])
}

/// Returns the printed value of a key, which must occur once.
fn value(exit: &Exit, key: &str) -> String {
    assert!(exit.status.success(), "{exit:?}");
    let mark = format!("{key}: ");
    let values: Vec<&str> = exit
        .stdout
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix(&mark))
        .collect();
    assert_eq!(values.len(), 1, "{key} in {}", exit.stdout);
    values[0].trim_matches(['"', '\'']).to_owned()
}

/// Returns the message of a configuration error, which ends the binary with code 1.
#[track_caller]
fn refused(options: Options) -> String {
    ends_with(1, options)
}

#[track_caller]
fn ends_with(code: i32, options: Options) -> String {
    let exit = options.run();
    assert_eq!(exit.status.code(), Some(code), "{exit:?}");
    assert_eq!(exit.stdout, "");
    exit.error()
}

fn assert_contains_all(told: &str, parts: &[&str]) {
    for part in parts {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
}

#[test]
fn without_anything_the_defaults_are_printed() {
    let printed = print().run();
    assert_eq!(value(&printed, "max_request_bytes"), "64MiB");
    assert_eq!(value(&printed, "call_timeout"), "10s");
    assert_eq!(value(&printed, "query_timeout"), "4s");
    assert_eq!(value(&printed, "use"), "kv");
    assert_eq!(value(&printed, "purge"), "false");
    assert_eq!(value(&printed, "data_dir"), "./larder-data");
    let endpoints = ["endpoint: 127.0.0.1:17271", "endpoint: 127.0.0.1:17270"];
    assert_contains_all(&printed.stdout, &endpoints);
}

#[test]
fn flags_pass_the_environment_which_passes_the_file_which_passes_the_defaults() {
    let file =
        "limits: { memory: 100MiB, call_timeout: 1s, query_timeout: 2s }\ndata_dir: /from/file\n";
    let printed = print()
        .config(file)
        .environment("LARDER_LIMITS_CALL_TIMEOUT", "3s")
        .environment("LARDER_DATA_DIR", "/from/environment")
        .arguments(["--data-dir", "/from/flag"])
        .setting("max_traces", "7")
        .run();
    assert_eq!(value(&printed, "memory"), "100MiB");
    assert_eq!(value(&printed, "query_timeout"), "2s");
    assert_eq!(value(&printed, "call_timeout"), "3s");
    assert_eq!(value(&printed, "data_dir"), "/from/flag");
    assert_eq!(value(&printed, "max_traces"), "7");
    assert_eq!(value(&printed, "max_request_bytes"), "64MiB");
}

#[test]
fn the_printed_configuration_is_a_file_with_the_same_values() {
    let first = print()
        .config("grpc: { writer_endpoint: 127.0.0.1:4316 }\nplugin: { use: memory, settings: { max_traces: 7 } }")
        .environment("LARDER_ADMIN_PURGE", "true")
        .run();
    assert_eq!(value(&first, "writer_endpoint"), "127.0.0.1:4316");
    let second = print().config(&first.stdout).run();
    assert_eq!(second.stdout, first.stdout);
    // A variable can name the file, too.
    let home = Home::new();
    let file = home.path().join("printed.yaml");
    std::fs::write(&file, &first.stdout).unwrap();
    let third = print().environment("LARDER_CONFIG", &file.display().to_string());
    assert_eq!(third.run().stdout, first.stdout);
}

/// A test of the host compares the documented table with the settings; this test checks that the binary prints the same.
#[test]
fn the_table_of_settings_is_printed_as_it_is_documented() {
    let table = Options::bare().without_port_flags();
    let table = table.arguments(["config", "table"]).run();
    assert!(table.status.success(), "{table:?}");
    assert!(table.stdout.contains("`limits.memory`"), "{table:?}");
    assert!(include_str!("../../../host/docs/configuration.md").contains(table.stdout.trim()));
}

#[test]
fn an_unknown_key_is_reported_with_its_place_and_the_nearest_key() {
    let told = refused(print().config("limits:\n  memroy: 1GiB\n"));
    assert_contains_all(
        &told,
        &[
            "limits.memroy",
            "larder.yaml:2:3",
            "did you mean `limits.memory`?",
        ],
    );
}

/// Orchestrators, images and shells set variables with our prefix too, such as `LARDER_VERSION`.
#[test]
fn a_variable_that_names_no_setting_is_warned_about_and_refused_where_asked() {
    let misspelt = || {
        print()
            .environment("LARDER_VERSION", "1")
            .environment("LARDER_GRPC_ENDPONT", "127.0.0.1:1")
    };
    let printed = misspelt().run();
    assert!(printed.stdout.contains("endpoint: 127.0.0.1:17271"));
    assert!(printed.status.success(), "{printed:?}");
    for told in [
        "unknown environment variable LARDER_VERSION (ignored; with `strict_environment`",
        "unknown environment variable LARDER_GRPC_ENDPONT, did you mean `LARDER_GRPC_ENDPOINT`?",
    ] {
        let lines = printed.stderr.lines();
        let warned = lines.filter(|line| line.contains("WARN") && line.contains(told));
        assert_eq!(warned.count(), 1, "{told}: {}", printed.stderr);
    }
    for strict in [
        misspelt().environment("LARDER_STRICT_ENVIRONMENT", "true"),
        misspelt().config("strict_environment: true"),
    ] {
        let told = refused(strict);
        assert_contains_all(&told, &["unknown environment variable LARDER_"]);
    }
    let larder = Options::new(Plugin::Memory)
        .environment("LARDER_VERSION", "1")
        .start();
    larder.line_of(&["\"WARN\"", "LARDER_VERSION"]);
}

#[test]
fn a_mistake_of_usage_ends_with_code_2() {
    let told = ends_with(2, print().arguments(["--grpc-endpont", "127.0.0.1:1"]));
    assert_contains_all(&told, &["--grpc-endpont", "--grpc-endpoint"]);
    let told = ends_with(2, print().arguments(["--plugin-setting", "x"]));
    assert_contains_all(&told, &["KEY=VALUE"]);
}

#[test]
fn a_bad_value_is_reported_with_its_place_and_the_expected_format() {
    let told = refused(print().config("limits: { memory: 4KiB }\n"));
    assert_contains_all(
        &told,
        &["limits.memory", "at least 1MiB", "4KiB", "larder.yaml:1:"],
    );
    let told = refused(print().environment("LARDER_LIMITS_CALL_TIMEOUT", "soon"));
    assert_contains_all(
        &told,
        &["limits.call_timeout", "LARDER_LIMITS_CALL_TIMEOUT", "soon"],
    );
    let told = refused(print().arguments(["--grpc-endpoint", "nowhere"]));
    assert_contains_all(
        &told,
        &["grpc.endpoint", "(flag --grpc-endpoint)", "nowhere"],
    );
    let told = refused(print().config("limits: [\n"));
    assert_contains_all(&told, &["larder.yaml:"]);
    let told = refused(print().arguments(["--config", "no/such/file.yaml"]));
    assert_contains_all(&told, &["no/such/file.yaml: No such file"]);
    let told = refused(Options::bare().environment("LARDER_LOG", "a=b=c"));
    assert_contains_all(&told, &["LARDER_LOG is no log filter"]);
}

/// A server starts with the same configuration, and refuses to start with an invalid one.
#[tokio::test]
async fn a_server_starts_from_a_file_alone_and_not_from_a_bad_one() {
    let file = "grpc: { endpoint: '127.0.0.1:0', writer_endpoint: '127.0.0.1:0' }\nadmin: { endpoint: '127.0.0.1:0', purge: true }\nplugin: { use: memory, settings: { max_traces: 1000 } }\n";
    let larder = Options::bare().without_port_flags().config(file).start();
    assert!(larder.client().await.services().await.unwrap().is_empty());
    assert_ne!(larder.writer(), larder.grpc());
    assert_eq!(larder.post("/purge").status, 200);

    let told = refused(Options::bare().config("plugin: { use: nonesuch }"));
    assert_contains_all(&told, &["nonesuch", "memory"]);
}
