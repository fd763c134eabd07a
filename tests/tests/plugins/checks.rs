//! `larder check`, which calls only the guest's `check`: it reports what went wrong, in bounded time and memory.

use larder_tests::otlp::{service, span};
use larder_tests::{Home, Options, Plugin};

/// A misdeed, and the reported text; `None` if the check succeeds.
const CELLS: [(&str, Option<&str>); 19] = [
    ("trap", Some("told to trap")),
    ("exit with 0", Some("a trap")),
    ("exit with 1", Some("a trap")),
    ("recurse", Some("a trap")),
    ("allocate", Some("limits.memory")),
    ("spin", Some("limits.call_timeout")),
    ("sleep", Some("limits.call_timeout")),
    ("flood the log", None),
    ("flood kv with calls", None),
    ("flood kv with keys", None),
    ("flood kv with bytes", None),
    ("break out", None),
    ("giant error", Some("other: no, ")),
    ("a long list", Some("check.damaged")),
    ("a long string", Some("check.line")),
    ("a giant string", Some("a trap")),
    ("the same resume", Some("resume.progress")),
    ("resumes in a circle", Some("resume.progress")),
    ("endless empty pages", Some("check.progress")),
];

#[tokio::test]
async fn a_check_by_a_hostile_guest_ends_and_says_why() {
    let home = Home::new();
    let larder = Options::new(Plugin::Hostile).start_in(&home);
    let client = larder.client().await;
    client
        .store([service("fine").span(span([1; 16], 1).at(5))])
        .await;
    drop(client);
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success());

    for (misdeed, told) in CELLS {
        let mut options = Options::new(Plugin::Hostile);
        if told == Some("limits.call_timeout") {
            // The others need longer than this on a loaded machine.
            options = options.environment("LARDER_LIMITS_CALL_TIMEOUT", "2s");
        }
        let exit = options
            .environment("LARDER_LIMITS_MEMORY", "128MiB")
            .setting("attack", &format!("{misdeed} at check"))
            .arguments(["check"])
            .run_in(&home);
        assert_eq!(exit.status.success(), told.is_none(), "{misdeed}: {exit:?}");
        if misdeed == "flood the log" {
            let lines = exit.stderr.lines();
            let shouts = lines.filter(|line| line.contains("the guest shouts at check, "));
            let shouts = shouts.count();
            assert!(0 < shouts && shouts < 500, "{shouts} of 2000 lines");
        }
        if let Some(told) = told {
            assert!(exit.stderr.contains("hostile"), "{misdeed}: {exit:?}");
            assert!(exit.stderr.contains(told), "{misdeed}: {exit:?}");
            assert!(exit.stderr.len() < 64 << 10, "{misdeed}");
        }
    }
}
