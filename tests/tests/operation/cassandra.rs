//! `kv.driver: cassandra` without a Cassandra: a start that waits for it, and commands that need none.

use larder_tests::{Exit, Home, Options, Plugin, eventually};

/// A port at which nobody answers.
const NOBODY: &str = "127.0.0.1:1";

fn with_cassandra(options: Options) -> Options {
    options
        .environment("LARDER_KV_DRIVER", "cassandra")
        .environment("LARDER_KV_CASSANDRA_CONTACT_POINTS", NOBODY)
        .environment("LARDER_KV_CASSANDRA_HOST", "larder-0")
}

fn run(arguments: &[&str], settings: &[(&str, &str)]) -> Exit {
    let options = with_cassandra(Options::bare()).arguments(arguments.iter().copied());
    let set = |options: Options, (name, text): &(&str, &str)| options.environment(name, text);
    settings.iter().fold(options, set).run()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_waits_for_the_store_and_says_why() {
    let larder = with_cassandra(Options::new(Plugin::Kv)).starting_in(&Home::new());
    let body = eventually("the reason", async || {
        let ready = larder.get("/readyz");
        assert_eq!(ready.status, 503);
        ready
            .body
            .contains("kv is unavailable")
            .then_some(ready.body)
    })
    .await;
    let begin = "the server is starting: opening the store: cannot open the storage of `kv`: ";
    assert!(body.starts_with(begin), "{body}");
    assert!(body.contains(NOBODY), "{body}");
    assert_eq!(larder.get("/cluster").status, 503);
    assert_eq!(larder.get("/livez").status, 200);
    larder.line_of(&["WARN", "the store cannot be used yet", NOBODY]);

    larder.signal("TERM");
    let (status, lines) = larder.wait();
    assert_eq!(status.code(), Some(0), "{lines:?}");
    assert!(!lines.concat().contains("Serving "), "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_somebody_has_to_mend_ends_a_start() {
    let options = with_cassandra(Options::new(Plugin::Kv))
        .environment("LARDER_KV_CASSANDRA_USERNAME", "larder")
        .environment("LARDER_KV_CASSANDRA_PASSWORD_FILE", "/absent/password");
    let (status, lines) = options.spawn_in(&Home::new()).wait();
    assert_eq!(status.code(), Some(1), "{lines:?}");
    let last = lines.last().unwrap();
    for part in ["/absent/password", "`kv.cassandra.password_file`"] {
        assert!(last.contains(part), "no {part} in {last}");
    }
}

#[test]
fn the_schema_is_printed_without_a_connection() {
    let replication = [
        ("LARDER_KV_CASSANDRA_KEYSPACE", "traces"),
        ("LARDER_KV_CASSANDRA_REPLICATION", "dc1:3,dc2:2"),
    ];
    let printed = run(&["kv", "schema"], &replication);
    assert!(printed.status.success(), "{printed:?}");
    let mut statements = printed.stdout.lines();
    let keyspace = statements.next().unwrap();
    for part in [
        "CREATE KEYSPACE IF NOT EXISTS \"traces\"",
        "'dc1': 3, 'dc2': 2",
    ] {
        assert!(keyspace.contains(part), "no {part} in {keyspace}");
    }
    assert!(statements.any(|line| line.contains("CREATE TABLE IF NOT EXISTS \"traces\".")));
    let refused = Options::bare().arguments(["kv", "schema"]).run();
    assert_eq!(refused.status.code(), Some(1));
    assert!(refused.stderr.contains("`kv.driver`"), "{refused:?}");
}

#[test]
fn commands_that_need_cassandra_say_that_it_is_not_there() {
    let refused = run(&["check"], &[]);
    assert_eq!(refused.status.code(), Some(1), "{refused:?}");
    assert!(refused.stderr.contains(NOBODY), "{refused:?}");
    let tried = run(&["config", "check"], &[]);
    assert!(tried.status.success(), "{tried:?}");
    let store = "Cassandra at 127.0.0.1:1, keyspace larder, as host larder-0, not connected to";
    assert!(tried.stdout.contains(store), "{tried:?}");
}
