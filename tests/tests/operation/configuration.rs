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

/// The names of tenants have letters that a variable cannot have.
#[test]
fn a_variable_for_an_override_is_told_that_only_the_file_has_them() {
    let with = |name: &str| print().environment(name, "5");
    for name in [
        "LARDER_TENANCY_OVERRIDES",
        "LARDER_TENANCY_OVERRIDES_ACME_LIMITS_MEMORY",
    ] {
        let told = format!(
            "environment variable {name}: overrides can only be set in the file, as `tenancy.overrides.TENANT.SETTING`"
        );
        let warned = with(name).run();
        assert!(warned.status.success(), "{warned:?}");
        assert!(warned.stderr.contains(&told), "{warned:?}");
        assert!(!warned.stderr.contains("did you mean"), "{warned:?}");
        let strict = with(name).environment("LARDER_STRICT_ENVIRONMENT", "true");
        assert_eq!(refused(strict), told);
    }
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

/// `larder config check` in a folder, with the flags of a server on free ports.
fn check(home: &Home, text: &str) -> Exit {
    let command = Options::bare().arguments(["config", "check"]);
    command.config(text).run_in(home)
}

/// Returns every file and folder below, with its size and the time of its last change.
fn tree(folder: &std::path::Path) -> Vec<(std::path::PathBuf, u64, std::time::SystemTime)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, metadata) = (entry.path(), entry.metadata().unwrap());
        found.push((path.clone(), metadata.len(), metadata.modified().unwrap()));
        if metadata.is_dir() {
            found.extend(tree(&path));
        }
    }
    found.sort();
    found
}

#[tokio::test]
async fn a_check_of_the_configuration_refuses_what_a_start_refuses_with_its_text() {
    let folder = Home::new();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let tokens = file("tokens.yaml", "- larder_secret");
    let text = file("text.wasm", "this is no wasm");
    let foreign = Home::new();
    std::fs::write(foreign.path().join("data"), "a file").unwrap();
    for (wrong, told) in [
        ("limits: { memroy: 1GiB }".to_owned(), "limits.memroy"),
        ("plugin: { settings: { retention: soon } }".to_owned(), "retention"),
        ("plugin: { use: ./none.wasm }".to_owned(), "./none.wasm"),
        (format!("plugin: {{ use: {text} }}"), "component"),
        ("access: { tokens: ./none.yaml }".to_owned(), "./none.yaml"),
        (format!("access: {{ tokens: {tokens} }}"), "larder token"),
        ("grpc: { tls: { cert: ./none.pem, key: ./none.key } }".to_owned(), "./none.pem"),
        ("grpc: { writer_endpoint: 'no.such.host.invalid:1' }".to_owned(), "no.such.host.invalid"),
        (
            "tenancy: { enabled: true, overrides: { acme: { plugin: { settings: { retention: soon } } } } }".to_owned(),
            "acme",
        ),
    ] {
        let home = Home::new();
        let checked = check(&home, &wrong);
        assert_eq!(checked.status.code(), Some(1), "{wrong}: {checked:?}");
        assert_eq!(checked.stdout, "", "{wrong}");
        assert!(checked.error().contains(told), "{wrong}: {checked:?}");
        let start = Options::bare().config(&wrong).run_in(&home);
        assert_eq!(start.error(), checked.error(), "{wrong}");
    }
    let exposed = Options::bare().without_port_flags();
    let exposed = exposed.arguments(["config", "check", "--admin-endpoint", "0.0.0.0:17270"]);
    assert!(exposed.run().error().contains("admin.allow_anonymous"));
    let no_folder = Options::bare().own_cache();
    let no_folder = no_folder.arguments(["config", "check"]).run_in(&foreign);
    assert_eq!(no_folder.status.code(), Some(1), "{no_folder:?}");
    assert!(
        no_folder.error().contains("data directory"),
        "{no_folder:?}"
    );
}

/// Root has the right to write anywhere, and yet nobody can make a folder there, or one of that name.
#[test]
fn a_check_of_the_configuration_refuses_a_data_folder_that_cannot_be_made() {
    let home = Home::new();
    let long = home.path().join("long").join("x".repeat(300));
    for dir in ["/proc/nope", "/proc/nope/deeper", long.to_str().unwrap()] {
        let wrong = || Options::bare().config(&format!("data_dir: {dir}"));
        let checked = wrong().arguments(["config", "check"]).run();
        assert_eq!(checked.status.code(), Some(1), "{checked:?}");
        assert_eq!(checked.stdout, "");
        let told = checked.error();
        let parts = [
            "the data directory",
            dir,
            "cannot be made",
            "set `data_dir`",
        ];
        assert_contains_all(&told, &parts);
        assert_eq!(wrong().run().error(), told);
    }
}

#[test]
fn a_check_of_the_configuration_leaves_nothing_where_the_data_folder_would_be() {
    let home = Home::new();
    let names = |folder: &std::path::Path| -> Vec<_> {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name()).collect()
    };
    let existing = home.path().join("existing");
    std::fs::create_dir(&existing).unwrap();
    for dir in ["existing", "existing/a/../../c"] {
        let dir = home.path().join(dir);
        let file = format!("data_dir: {}", dir.display());
        let command = Options::bare().config(&file);
        let checked = command.arguments(["config", "check"]).run();
        assert!(checked.status.success(), "{checked:?}");
        assert!(checked.stdout.contains("it can be "), "{checked:?}");
        assert_eq!(names(home.path()), ["existing"]);
        assert!(names(&existing).is_empty());
    }
}

/// Neither a store that is made at the first start, nor one that a stopped or a running server has written.
#[tokio::test]
async fn a_check_of_the_configuration_changes_nothing_and_runs_beside_a_server() {
    let home = Home::new();
    let told = |checked: &Exit, state: &str| {
        assert!(checked.status.success(), "{checked:?}");
        assert!(checked.stdout.ends_with("\nok"), "{checked:?}");
        assert!(checked.stdout.contains(state), "{state}: {checked:?}");
        assert!(checked.stdout.contains("plugin      kv "), "{checked:?}");
    };
    let file = "plugin: { settings: { retention: 72h } }";
    let command = Options::bare().own_cache().arguments(["config", "check"]);
    let first = command.config(file).run_in(&home);
    told(&first, "there is none yet");
    assert!(!home.data().exists());

    let larder = Options::bare().config(file).own_cache().start_in(&home);
    let (grpc, admin) = (larder.grpc().to_string(), larder.admin().to_string());
    let span = larder_tests::otlp::span([1; 16], 1).at(5);
    let client = larder.client().await;
    client
        .store([larder_tests::otlp::service("a").span(span)])
        .await;
    let beside = Options::bare().without_port_flags().own_cache();
    let beside = beside.config(file).arguments(["config", "check"]);
    let beside = beside.arguments(["--grpc-endpoint", &grpc, "--admin-endpoint", &admin]);
    told(&beside.run_in(&home), "not opened: a server uses it");
    larder.kill();

    let before = tree(&home.data());
    told(&check(&home, file), "it can be opened");
    assert_eq!(tree(&home.data()), before);
    // A start would refuse this store.
    std::fs::remove_file(home.data().join("kv/tree/current")).unwrap();
    let damaged = check(&home, file);
    assert_eq!(damaged.status.code(), Some(1), "{damaged:?}");
    assert!(damaged.error().contains("DATA_LOSS"), "{damaged:?}");
}

/// A size is printed in the unit in which it was given, a fraction in a smaller one of its kind.
#[test]
fn a_size_is_echoed_as_it_was_written() {
    for (written, told) in [
        ("200GB", "200GB"),
        ("200GiB", "200GiB"),
        ("1500MB", "1500MB"),
        ("2000000000B", "2000000000B"),
        ("1.5GiB", "1536MiB"),
        ("1.5GB", "1500MB"),
        ("2048KiB", "2048KiB"),
    ] {
        let printed = print().config(&format!("kv: {{ quota: {written} }}")).run();
        assert_eq!(value(&printed, "quota"), told);
    }
    let told = refused(print().config("limits: { memory: 200GB }"));
    assert_contains_all(&told, &["at most 4GiB", "got 200GB"]);
}

/// The table has them, each is a setting of that plugin, and one that stands elsewhere is told where it belongs.
#[test]
fn the_settings_of_bundled_plugins_are_listed_and_told_where_they_belong() {
    let table = Options::bare().without_port_flags();
    let table = table.arguments(["config", "table"]).run().stdout;
    let rows = table.lines().filter_map(|row| {
        let (name, rest) = row
            .strip_prefix("| `plugin.settings.")?
            .split_once("` (`")?;
        Some((name.to_owned(), rest.split_once('`')?.0.to_owned()))
    });
    let rows: Vec<(String, String)> = rows.collect();
    assert!(rows.len() >= 5, "{rows:?}");
    for (name, plugin) in &rows {
        let value = match name.as_str() {
            "retention" => "72h",
            "max_traces" => "7",
            _ => "64MiB",
        };
        let inspect = Options::bare().without_port_flags();
        let inspect = inspect.arguments(["plugin", "inspect", plugin]);
        let inspected = inspect.setting(name, value).run();
        assert!(inspected.status.success(), "{plugin} {name}: {inspected:?}");
    }
    for wrong in [
        "retention: 72h",
        "kv: { retention: 72h }",
        "plugin: { retention: 72h }",
        "tenancy: { overrides: { acme: { retention: 72h } } }",
    ] {
        let told = refused(print().config(wrong));
        assert_contains_all(&told, &["larder.yaml:1:", "plugin.settings.retention`?"]);
    }
    let warned = print().environment("LARDER_RETENTION", "72h").run();
    let told = "did you mean `LARDER_PLUGIN_SETTINGS_RETENTION`?";
    assert!(warned.stderr.contains(told), "{warned:?}");
}

#[test]
fn the_help_of_a_command_has_its_own_options() {
    let help = |arguments: &[&str]| {
        let command = Options::bare().without_port_flags();
        let command = command.arguments(arguments.iter().copied());
        let exit = command.arguments(["--help"]).run();
        assert!(exit.status.success(), "{exit:?}");
        exit.stdout
    };
    for serving in [&[][..], &["serve"]] {
        assert_contains_all(&help(serving), &["--grpc-endpoint", "--data-dir"]);
    }
    for (command, own) in [
        (&["token"][..], "--append"),
        (&["plugin", "inspect"][..], "NAME|FILE.wasm"),
        (&["config", "print"][..], "YAML"),
        (&["config", "check"][..], "plugins"),
        (&["check"][..], "stored on disk"),
    ] {
        let text = help(command);
        assert_contains_all(&text, &[own, "`larder --help`"]);
        for of_a_server in ["--grpc-endpoint", "--enable-purge", "--data-dir"] {
            assert!(!text.contains(of_a_server), "{of_a_server} in {text}");
        }
    }
}
