#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use clap::error::ErrorKind;

use super::*;

fn parse(arguments: &[&str]) -> Cli {
    Cli::try_parse_from([&["larder"], arguments].concat()).unwrap()
}

fn config(arguments: &[&str]) -> Config {
    parse(arguments).config(Vec::new()).unwrap()
}

#[track_caller]
fn check_usage_error(arguments: &[&str], kind: ErrorKind, hint: &str) {
    let error = Cli::try_parse_from([&["larder"], arguments].concat()).unwrap_err();
    assert_eq!(error.kind(), kind, "{error}");
    assert!(error.to_string().contains(hint), "{error}");
    assert_eq!(error.exit_code(), 2);
}

#[test]
fn the_definition_is_sound() {
    <Cli as CommandFactory>::command().debug_assert();
}

#[test]
fn without_a_command_it_serves() {
    assert_eq!(parse(&[]).command(), Command::Serve);
    assert_eq!(parse(&["serve"]).command(), Command::Serve);
    assert_eq!(config(&[]), Config::default());
}

#[test]
fn every_flag_reaches_its_setting_before_and_after_the_command() {
    let flags = [
        "--plugin=./x.wasm",
        "--plugin-setting=max_traces=5",
        "--plugin-setting=note=a=b",
        "--plugin-grant=tcp=db:1",
        "--plugin-grant=tcp=[::1]:2",
        "--plugin-grant=env=A=file:/a",
        "--plugin-grant=clock",
        "--grpc-endpoint=0.0.0.0:1",
        "--writer-endpoint=localhost:2",
        "--admin-endpoint=[::1]:3",
        "--data-dir=/data",
        "--enable-purge",
    ];
    for command in [vec![], vec!["serve"], vec!["config", "print"]] {
        for arguments in [
            [&command[..], &flags[..]].concat(),
            [&flags[..], &command[..]].concat(),
        ] {
            let config = config(&arguments);
            assert_eq!(config.plugin.r#use, "./x.wasm");
            assert_eq!(config.plugin.settings["max_traces"], "5");
            assert_eq!(config.plugin.settings["note"], "a=b");
            let granted = larder_runtime::plugin::Grants::from(&config.plugin.grants);
            assert_eq!(granted.tcp.len(), 2);
            assert_eq!(granted.tcp[1].to_string(), "[::1]:2");
            assert_eq!(granted.variables[0].to_string(), "A=file:/a");
            assert!(granted.clock && granted.http.is_empty());
            assert_eq!(config.grpc.endpoint.to_string(), "0.0.0.0:1");
            assert_eq!(
                config.grpc.writer_endpoint.unwrap().to_string(),
                "localhost:2"
            );
            assert_eq!(config.admin.endpoint.to_string(), "[::1]:3");
            assert_eq!(config.data_dir, PathBuf::from("/data"));
            assert!(config.admin.purge);
        }
    }
}

#[test]
fn every_option_is_a_flag_that_reaches_the_configuration_or_names_the_file() {
    let command = <Cli as CommandFactory>::command();
    let mut options: Vec<String> = command
        .get_arguments()
        .filter_map(|argument| Some(format!("--{}", argument.get_long()?)))
        .filter(|name| !matches!(name.as_str(), "--help" | "--version" | "--config"))
        .collect();
    let every = Options {
        config: None,
        plugin: Some("x".to_owned()),
        plugin_setting: vec![("x".to_owned(), "x".to_owned())],
        plugin_grant: vec![("tcp", "x".to_owned())],
        grpc_endpoint: Some("x".to_owned()),
        writer_endpoint: Some("x".to_owned()),
        admin_endpoint: Some("x".to_owned()),
        data_dir: Some("x".to_owned()),
        enable_purge: true,
    };
    let mut flags: Vec<&str> = every.flags().iter().map(|flag| flag.name).collect();
    options.sort_unstable();
    flags.sort_unstable();
    assert_eq!(options, flags);
}

#[test]
fn a_flag_that_is_not_given_leaves_the_file_and_the_environment_alone() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "admin: { purge: true }\ndata_dir: /from-file").unwrap();
    let cli = parse(&["--config", file.path().to_str().unwrap()]);
    let environment = vec![("LARDER_DATA_DIR".into(), "/from-environment".into())];
    let config = cli.config(environment).unwrap();
    assert!(config.admin.purge);
    assert_eq!(config.data_dir, PathBuf::from("/from-environment"));
}

#[test]
fn a_bad_value_is_told_with_its_flag() {
    let error = parse(&["--grpc-endpoint", "nowhere"])
        .config(Vec::new())
        .unwrap_err();
    assert!(
        error.to_string().ends_with("(flag --grpc-endpoint)"),
        "{error}"
    );
}

#[test]
fn the_other_commands_are_understood() {
    assert_eq!(
        parse(&["config", "print"]).command(),
        Command::Config(ConfigCommand::Print)
    );
    assert_eq!(
        parse(&["config", "table"]).command(),
        Command::Config(ConfigCommand::Table)
    );
    assert_eq!(
        parse(&["kv", "schema"]).command(),
        Command::Kv(KvCommand::Schema)
    );
    let copy = parse(&["kv", "copy", "--from", "old", "--to", "new.yaml"]);
    let expected = CopyCommand {
        from: "old".into(),
        to: "new.yaml".into(),
        dry_run: false,
    };
    assert_eq!(copy.command(), Command::Kv(KvCommand::Copy(expected)));
    let retire = parse(&["kv", "retire", "h1", "--config", "larder.yaml"]);
    let expected = RetireCommand {
        host: "h1".to_owned(),
    };
    assert_eq!(retire.command(), Command::Kv(KvCommand::Retire(expected)));
    let snapshot = parse(&["snapshot", "--to", "monday", "--token-file", "token"]);
    assert!(matches!(snapshot.command(), Command::Snapshot(_)));
    let restore = parse(&["restore", "--from", "monday", "--data-dir", "/new"]);
    assert!(matches!(restore.command(), Command::Restore(_)));
    let data_dir = restore.config(Vec::new()).unwrap().data_dir;
    assert_eq!(data_dir, PathBuf::from("/new"));
    for (arguments, apply) in [(&["repair"][..], false), (&["repair", "--apply"], true)] {
        let repair = Command::Repair(RepairCommand { apply });
        assert_eq!(parse(arguments).command(), repair);
    }
    let inspect = PluginCommand::Inspect {
        plugin: "x.wasm".to_owned(),
    };
    assert_eq!(
        parse(&["plugin", "inspect", "x.wasm"]).command(),
        Command::Plugin(inspect)
    );
}

#[test]
fn arguments_that_are_not_understood_are_refused_with_a_hint() {
    check_usage_error(
        &["--plugin-setting", "max_traces"],
        ErrorKind::ValueValidation,
        "KEY=VALUE",
    );
    for wrong in ["tcp", "udp=db:1", "clock=no", "postgres:5432"] {
        check_usage_error(
            &["--plugin-grant", wrong],
            ErrorKind::ValueValidation,
            "tcp=HOST:PORT",
        );
    }
    check_usage_error(
        &["--plugin-setting", "=5"],
        ErrorKind::ValueValidation,
        "KEY=VALUE",
    );
    check_usage_error(
        &["--grpc-endpont", "x"],
        ErrorKind::UnknownArgument,
        "--grpc-endpoint",
    );
    check_usage_error(&["serv"], ErrorKind::InvalidSubcommand, "serve");
    check_usage_error(&["snapshot"], ErrorKind::MissingRequiredArgument, "--to");
    check_usage_error(
        &["snapshot", "--to", "../up"],
        ErrorKind::ValueValidation,
        "`kv.snapshot_dir`",
    );
    check_usage_error(
        &["snapshot", "--to", "x", "--cert", "x.pem"],
        ErrorKind::MissingRequiredArgument,
        "--key",
    );
    check_usage_error(
        &["restore", "--data-dir", "x"],
        ErrorKind::MissingRequiredArgument,
        "--from",
    );
    check_usage_error(
        &["token", "--tenant", "../x"],
        ErrorKind::ValueValidation,
        "a tenant's name is 1 to 63 of ASCII letters",
    );
    check_usage_error(
        &["plugin", "inspect"],
        ErrorKind::MissingRequiredArgument,
        "FILE.wasm",
    );
}

#[test]
fn help_and_version_are_no_errors() {
    for (flag, text) in [
        ("--help", "--enable-purge"),
        ("--version", env!("CARGO_PKG_VERSION")),
    ] {
        let shown = Cli::try_parse_from(["larder", flag]).unwrap_err();
        assert_eq!(shown.exit_code(), 0);
        assert!(shown.to_string().contains(text), "{shown}");
    }
}

#[test]
fn snapshots_and_repairs_of_cassandra_are_its_own() {
    let cassandra = vec![
        ("LARDER_KV_DRIVER".into(), "cassandra".into()),
        ("LARDER_KV_CASSANDRA_CONTACT_POINTS".into(), "a".into()),
    ];
    let cli = parse(&["snapshot", "--to", "monday"]);
    let config = cli.config(cassandra).unwrap();
    let Command::Snapshot(snapshot) = cli.command() else {
        panic!("another command");
    };
    let refused = snapshot.run(&config).unwrap_err().to_string();
    assert!(refused.contains("`nodetool snapshot larder`"), "{refused}");
    for apply in [false, true] {
        let refused = repair(&config, apply).unwrap_err().to_string();
        assert!(refused.contains("`nodetool repair`"), "{refused}");
    }
}
