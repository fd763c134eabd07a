//! The start of a server, and the messages of failed starts.

use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;

use larder_tests::otlp::{service, span};
use larder_tests::{Larder, Options, Plugin};

#[test]
fn a_start_logs_the_plugin_and_every_address() {
    let larder = Options::new(Plugin::Memory)
        .arguments(["--writer-endpoint", "localhost:0"])
        .start();
    for (line, address) in [
        ("Serving Jaeger storage on", larder.grpc()),
        ("Serving OTLP traces on", larder.writer()),
        ("Serving admin HTTP on", larder.admin()),
    ] {
        assert_ne!(address.port(), 0);
        assert_eq!(larder.message(line), format!("{line} {address}"));
        TcpStream::connect(address).unwrap();
    }
}

#[test]
fn a_start_logs_the_data_folder_and_no_disabled_port() {
    let version = env!("CARGO_PKG_VERSION");
    for plugin in [Plugin::Kv, Plugin::Memory] {
        let larder = Options::new(plugin).start();
        let told = match plugin {
            Plugin::Kv => format!("kv {version} (bundled), data in {}/kv", data(&larder)),
            _ => format!("memory {version} (bundled), data in memory only"),
        };
        assert_eq!(larder.message("Plugin "), format!("Plugin {told}"));
        let lines = larder.lines();
        assert!(!lines.concat().contains("Serving OTLP"), "{lines:?}");
    }
}

fn data(larder: &Larder) -> String {
    larder.data_dir().display().to_string()
}

/// A file may hold compiled code, which is run unchecked: no other user may have write access.
#[test]
fn compiled_plugins_are_writable_by_their_owner_only() {
    let larder = Options::new(Plugin::Memory).own_cache().start();
    let mode = std::fs::metadata(larder.data_dir())
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
    let kept = std::fs::read_dir(larder.data_dir()).unwrap().count();
    assert!(kept > 0, "nothing was cached");
}

fn events(lines: &[String]) -> Vec<serde_json::Value> {
    let event = |line: &String| {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        for key in ["timestamp", "level", "message", "target"] {
            assert!(event[key].is_string(), "no {key} in {event}");
        }
        event
    };
    lines.iter().map(event).collect()
}

/// From the first line to the last, whatever the filter; a stream of logs has no other lines for a collector to stumble over.
#[tokio::test]
async fn without_a_terminal_all_of_stderr_is_json() {
    for filter in ["info", "error"] {
        let larder = Options::new(Plugin::Memory)
            .purge()
            .writer_port()
            .environment("LARDER_LOG", filter)
            .start();
        assert_eq!(larder.post("/purge").status, 200);
        let (status, lines) = larder.signal_until_exit("TERM").await;
        assert!(status.success(), "{lines:?}");
        let events = events(&lines);
        let told = events.iter().filter(|event| {
            let message = event["message"].as_str().unwrap();
            message.starts_with("Serving ") || message.starts_with("Plugin memory")
        });
        assert_eq!(told.count(), 4, "{lines:?}");
        let purged = events.iter().any(|event| event["level"] == "WARN");
        assert_eq!(purged, filter == "info", "{lines:?}");
    }
}

#[test]
fn without_a_terminal_the_error_of_a_start_is_json() {
    let taken = Options::new(Plugin::Memory).start();
    let taken = taken.grpc().to_string();
    // On free ports: those of the defaults may be taken.
    let bare = Options::bare;
    let on_taken = ["--grpc-endpoint", &taken, "--admin-endpoint", "127.0.0.1:0"];
    let on_taken = bare().without_port_flags().arguments(on_taken);
    for (options, code, told) in [
        (bare().arguments(["--no-such-flag"]), 2, "--no-such-flag"),
        (bare().config("limits: [\n"), 1, "larder.yaml"),
        (bare().environment("LARDER_LOG", "verbose"), 1, "`debug`"),
        (bare().arguments(["--plugin", "nonesuch"]), 1, "nonesuch"),
        (on_taken, 1, &taken),
    ] {
        let exit = options.run();
        assert_eq!(exit.status.code(), Some(code), "{exit:?}");
        let lines: Vec<String> = exit.stderr.lines().map(str::to_owned).collect();
        let events = events(&lines);
        let last = events.last().unwrap();
        assert_eq!(last["level"], "ERROR", "{exit:?}");
        assert!(last["message"].as_str().unwrap().contains(told), "{exit:?}");
    }
}

/// What the libraries of the network and the sandbox log at this level is asked for by name.
#[tokio::test]
async fn debug_is_larders_own() {
    let larder = Options::new(Plugin::Kv)
        .environment("LARDER_LOG", "debug")
        .start();
    assert!(larder.client().await.services().await.unwrap().is_empty());
    larder.wait_for_line("rpc ended").await;
    let (_, lines) = larder.signal_until_exit("TERM").await;
    for event in events(&lines) {
        let target = event["target"].as_str().unwrap();
        assert!(
            target.starts_with("larder") || event["level"] != "DEBUG",
            "{event}"
        );
    }

    let larder = Options::new(Plugin::Kv)
        .environment("LARDER_LOG", "h2=debug")
        .start();
    assert!(larder.client().await.services().await.unwrap().is_empty());
    larder.line_of(&["\"DEBUG\"", "\"target\":\"h2"]);
}

#[test]
fn a_log_filter_that_is_no_level_is_refused_with_the_nearest() {
    for variable in ["LARDER_LOG", "RUST_LOG"] {
        for (filter, nearest) in [
            ("verbose", "debug"),
            ("warning", "warn"),
            ("larder=inof", "info"),
        ] {
            let exit = Options::bare().environment(variable, filter).run();
            assert_eq!(exit.status.code(), Some(1), "{exit:?}");
            let told = exit.error();
            assert!(told.starts_with(variable), "{told}");
            let hint = format!("did you mean `{nearest}`?");
            assert!(told.contains(&hint), "{told}");
        }
    }
}

#[test]
fn a_port_in_use_is_reported_with_its_setting() {
    let larder = Options::new(Plugin::Memory).start();
    for (flag, setting, taken) in [
        ("--grpc-endpoint", "grpc.endpoint", larder.grpc()),
        ("--admin-endpoint", "admin.endpoint", larder.admin()),
        ("--writer-endpoint", "grpc.writer_endpoint", larder.grpc()),
    ] {
        let mut arguments = vec![flag.to_owned(), taken.to_string()];
        for other in ["--grpc-endpoint", "--admin-endpoint"] {
            if other != flag {
                arguments.extend([other.to_owned(), "127.0.0.1:0".to_owned()]);
            }
        }
        let options = Options::bare().without_port_flags().arguments(arguments);
        let exit = options.run();
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        for part in [setting, &taken.to_string(), "in use"] {
            assert!(exit.stderr.contains(part), "no {part:?} in {}", exit.stderr);
        }
    }
}

#[test]
fn a_plugin_that_cannot_be_loaded_is_reported_with_a_remedy() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("text.wasm");
    std::fs::write(&text, "this is no wasm").unwrap();
    let module = directory.path().join("module.wasm");
    std::fs::write(&module, b"\0asm\x01\0\0\0").unwrap();
    for (plugin, told) in [
        ("nonesuch", vec!["nonesuch", "memory"]),
        ("./none/such.wasm", vec!["./none/such.wasm"]),
        (text.to_str().unwrap(), vec!["text.wasm", "component"]),
        (module.to_str().unwrap(), vec!["module.wasm", "component"]),
    ] {
        let inspect = Options::bare().without_port_flags();
        for exit in [
            Options::bare().arguments(["--plugin", plugin]).run(),
            inspect.arguments(["plugin", "inspect", plugin]).run(),
        ] {
            assert_eq!(exit.status.code(), Some(1), "{exit:?}");
            for part in &told {
                assert!(exit.stderr.contains(part), "no {part:?} in {}", exit.stderr);
            }
        }
    }
}

/// Both when serving and with `plugin inspect`.
#[test]
fn a_setting_that_a_plugin_refuses_is_reported_by_name() {
    for (plugin, key, value, told) in [
        (Plugin::Hostile, "colour", "blue", ["hostile", "colour"]),
        (Plugin::Minimal, "colour", "blue", ["minimal", "colour"]),
        (
            Plugin::Memory,
            "max_trace",
            "3",
            ["max_trace", "max_traces"],
        ),
        (Plugin::Memory, "max_traces", "many", ["max_traces", "many"]),
    ] {
        let inspect = Options::bare().without_port_flags().arguments([
            "plugin".into(),
            "inspect".into(),
            plugin.argument(),
        ]);
        for options in [Options::new(plugin), inspect] {
            let exit = options.setting(key, value).run();
            assert_eq!(exit.status.code(), Some(1), "{exit:?}");
            for part in told {
                assert!(exit.stderr.contains(part), "no {part:?} in {}", exit.stderr);
            }
        }
    }
}

#[test]
fn a_plugin_can_be_inspected_without_serving() {
    for (plugin, name) in [(Plugin::Minimal, "minimal"), (Plugin::Memory, "memory")] {
        let options = Options::bare().without_port_flags();
        let exit = options
            .arguments(["plugin".into(), "inspect".into(), plugin.argument()])
            .run();
        assert!(exit.status.success(), "{exit:?}");
        let first = format!("plugin      {name} ");
        assert!(exit.stdout.starts_with(&first), "{}", exit.stdout);
        for part in ["instancing  exclusive", "hash"] {
            assert!(exit.stdout.contains(part), "no {part:?} in {}", exit.stdout);
        }
    }
}

#[test]
fn the_version_of_the_contract_that_a_plugin_was_built_for_is_told() {
    for (plugin, version) in [
        (Plugin::Minimal, "0.2.0"),
        (Plugin::Minimal0_1, "0.1.0"),
        (Plugin::C0_1, "0.1.0"),
        (Plugin::Replicated0_1, "0.1.0"),
    ] {
        let file = plugin.argument().into_os_string();
        let inspect = Options::bare().without_port_flags();
        let inspect = inspect.arguments(["plugin".into(), "inspect".into(), file]);
        let told = inspect.run().stdout;
        let line = format!("contract    larder:storage@{version}\n");
        assert!(told.contains(&line), "no {line:?} in {told}");
        let larder = Options::new(plugin).start();
        assert_eq!(larder.get("/plugin").json()["contract"], version);
    }
}

/// Else only a refused span would tell that the setting is not what was set.
#[tokio::test]
async fn a_limit_of_spans_that_memory_lowers_is_told_with_both_numbers() {
    let with = |file: &str| Options::new(Plugin::Memory).config(file);
    let checked = |file: &str| {
        let exit = with(file).arguments(["config", "check"]).run();
        assert!(exit.status.success(), "{exit:?}");
        let mut lines = exit.stdout.lines();
        lines
            .find_map(|line| line.strip_prefix("warning     "))
            .map(str::to_owned)
    };
    let lowered = "limits: { memory: 64MiB, max_span_bytes: 16MiB }";
    let told = checked(lowered).unwrap();
    for part in [
        "`limits.max_span_bytes` is 16MiB",
        "more than 4032KiB are refused",
        "`limits.memory` is 64MiB",
        "Raise it to 512MiB",
    ] {
        assert!(told.contains(part), "no {part:?} in {told}");
    }
    let of_one = "tenancy: { enabled: true, overrides: { small: { limits: { memory: 160MiB } } } }";
    let told_of_one = checked(of_one).unwrap();
    let path = "`tenancy.overrides.small.limits.memory` is 160MiB";
    assert!(told_of_one.contains(path), "{told_of_one}");
    assert!(told_of_one.contains("more than 5MiB"), "{told_of_one}");
    assert_eq!(checked("limits: { memory: 512MiB }"), None);

    let larder = with(lowered).start();
    larder.line_of(&["\"WARN\"", &told]);
    let large = span([1; 16], 1)
        .at(5)
        .attribute("text", "x".repeat(5_000_000));
    let client = larder.client().await;
    let answer = client.export([service("a").span(large)]).await.unwrap();
    let refused = answer.partial_success.unwrap();
    assert_eq!(refused.rejected_spans, 1);
    let why = refused.error_message;
    assert!(why.contains("has more than 4128768 bytes"), "{why}");
}
