//! A guest that misbehaves in `open`. A server refuses to start with it, and says why. If a tenant's plugin does it at that tenant's first
//! call, only that call fails.

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Exit, Home, Options, Plugin, Query, eventually, http};
use tokio::task::JoinSet;
use tonic::Code;

use self::Start::{Refused, Serves};
use crate::attack::{LONGEST_TEXT, store_two};
use crate::attacked::{Attacked, options, status};
use crate::misdeeds::assert_log_was_limited;

/// The expected outcome of an attack on the opening of an instance.
#[derive(Clone, Copy, Debug)]
enum Start {
    /// It is not opened, with this type of error. The client gets the first text, the operator all of them.
    Refused(&'static str, &'static str, &'static str),
    /// It is opened, and the log has this text.
    Serves(&'static str),
}

const CASES: [(&str, Start); 14] = [
    ("trap", Refused("trap", ": a trap", "told to trap")),
    ("exit with 0", Refused("trap", ": a trap", "xit")),
    ("exit with 1", Refused("trap", ": a trap", "xit")),
    ("recurse", Refused("trap", ": a trap", "stack")),
    ("allocate", Refused("memory", "limits.memory", "allocat")),
    ("spin", Refused("deadline", "limits.call_timeout", "")),
    ("sleep", Refused("deadline", "limits.call_timeout", "")),
    ("giant error", Refused("open", "other: no, no, ", "")),
    (
        "raise unavailable",
        Refused("open", "unavailable: the guest was told to", ""),
    ),
    ("flood the log", Serves("the guest shouts at open")),
    ("flood kv with calls", Serves("5000 times")),
    ("flood kv with keys", Serves("7 times")),
    ("flood kv with bytes", Serves("3 times")),
    ("break out", Serves("10 times")),
];

/// The memory limit of an instance, in MiB.
const LIMIT: u64 = 128;
/// The most memory of a server that does not start, besides that instance.
const MOST_BESIDE: u64 = 192 << 20;

/// The ways to open the plugin before serving: for the only tenant, as a trial, and as a trial for a tenant with its own plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Opened,
    Trial,
    TrialForTenant,
}

const WAYS: [Way; 3] = [Way::Opened, Way::Trial, Way::TrialForTenant];

impl Way {
    fn options(self, misdeed: &str) -> Options {
        let attack = format!("{misdeed} at open");
        let memory = format!("{LIMIT}MiB");
        let options = Options::new(Plugin::Hostile).environment("LARDER_LIMITS_MEMORY", &memory);
        let options = within(options, is_endless(misdeed));
        match self {
            Self::Opened => options.setting("attack", &attack),
            Self::Trial => options
                .setting("attack", &attack)
                .environment("LARDER_TENANCY_ENABLED", "true"),
            Self::TrialForTenant => options.config(&format!(
                "tenancy: {{ enabled: true, overrides: {{ acme: {{ plugin: {{ settings: {{ attack: '{attack}' }} }} }} }} }}"
            )),
        }
    }
}

fn is_endless(misdeed: &str) -> bool {
    ["spin", "sleep"].contains(&misdeed)
}

/// Misdeeds that end by themselves get all the time that a loaded machine needs.
fn within(options: Options, endless: bool) -> Options {
    if endless {
        options.environment("LARDER_LIMITS_CALL_TIMEOUT", "3s")
    } else {
        options
    }
}

#[test]
fn a_server_does_not_start_with_a_plugin_that_fails_as_it_opens() {
    let home = Home::new();
    for (misdeed, start) in CASES {
        let Refused(_, told, more) = start else {
            continue;
        };
        for way in WAYS {
            let exit = way.options(misdeed).run_in(&home);
            let cell = format!("{misdeed} at open, {way:?}");
            assert_refused(
                &cell,
                &exit,
                &["cannot start the plugin", "`hostile`", told, more],
            );
            let of_acme = exit.stderr.contains("tenancy.overrides.acme");
            assert_eq!(of_acme, way == Way::TrialForTenant, "{cell}: {exit:?}");
        }
    }
}

/// Asserts that it exited by itself, with a bounded message and bounded memory.
#[track_caller]
pub(crate) fn assert_refused(cell: &str, exit: &Exit, told: &[&str]) {
    assert_eq!(exit.status.code(), Some(1), "{cell}: {exit:?}");
    for told in told {
        assert!(exit.stderr.contains(told), "{cell}: no {told:?}: {exit:?}");
    }
    assert!(exit.stderr.len() < 256 << 10, "{cell}");
    let most = (LIMIT << 20) + MOST_BESIDE;
    assert!(exit.memory < most, "{cell}: {} bytes", exit.memory);
}

#[tokio::test]
async fn a_server_starts_with_a_plugin_whose_open_tries_forbidden_calls() {
    let home = Home::new();
    for (misdeed, start) in CASES {
        let Serves(told) = start else { continue };
        for way in WAYS {
            let larder = way.options(misdeed).start_in(&home);
            larder.line(told);
            let client = larder.client().await.tenant("acme");
            store_two(&client).await;
            assert!(serves(&client).await, "{misdeed} at open, {way:?}");
            assert_eq!(larder.get("/readyz").status, 200);
            if misdeed == "flood the log" {
                assert_log_was_limited(&larder, "open");
            }
            drop(client);
            let (ended, _) = larder.signal_until_exit("TERM").await;
            assert!(ended.success(), "{misdeed} at open, {way:?}");
        }
    }
}

/// Returns true if the service's traces are found.
async fn serves(client: &Client) -> bool {
    let query = Query::default().service("fine");
    match client.find_traces(&query).await {
        Ok(found) => {
            let ids: Vec<[u8; 16]> = found.iter().map(|trace| trace.id).collect();
            assert_eq!(ids, [[2; 16], [1; 16]]);
            true
        }
        Err(status) => {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
            false
        }
    }
}

/// The tenants' data tells their guests how to misbehave when the next server opens them. With empty data, as in a trial, they behave.
async fn first_calls(endless: bool) {
    let home = Home::new();
    let cells = CASES.into_iter();
    let cells: Vec<_> = cells
        .filter(|(misdeed, _)| is_endless(misdeed) == endless)
        .collect();
    let options = || {
        let on_disk = options(Plugin::Hostile).environment("LARDER_KV_DRIVER", "fjall");
        within(on_disk, endless)
    };
    let larder = options().start_in(&home);
    for (number, (misdeed, _)) in cells.iter().enumerate() {
        let client = larder.client().await.tenant(&victim(number));
        store_two(&client).await;
        let order = format!("arm {misdeed} at open");
        client
            .store([service(&*order).span(span([9; 16], 1))])
            .await;
    }
    let (ended, _) = larder.signal_until_exit("TERM").await;
    assert!(ended.success());

    let server = Attacked::begin_in(options(), &home).await;
    let mut calls = JoinSet::new();
    for (number, (misdeed, start)) in cells.iter().copied().enumerate() {
        let client = server.larder.client().await.tenant(&victim(number));
        calls.spawn(async move { (number, misdeed, start, client.services().await) });
    }
    while let Some(called) = calls.join_next().await {
        let (number, misdeed, start, answer) = called.expect("a call ends");
        let cell = format!("{misdeed} at the first call");
        match start {
            Serves(told) => {
                assert_eq!(answer.expect(&cell), ["fine"], "{cell}");
                server.larder.line(told);
            }
            Refused(why, told, more) => {
                let refused = answer.expect_err(&cell);
                assert_eq!(refused.code(), Code::Unavailable, "{cell}: {refused:?}");
                assert!(refused.message().len() < LONGEST_TEXT, "{cell}");
                assert_reported(&server, number, refused.message(), [why, told, more]);
            }
        }
    }
    server.assert_bystander_served().await;
    for (number, (misdeed, _)) in cells.iter().enumerate() {
        let client = server.larder.client().await.tenant(&victim(number));
        eventually(misdeed, async || serves(&client).await.then_some(())).await;
    }
    if !endless {
        assert_log_was_limited(&server.larder, "open");
    }
    server.purge_victims();
    server.end().await;
}

#[tokio::test]
async fn a_plugin_that_fails_at_its_first_call_affects_its_tenant_only() {
    first_calls(false).await;
}

#[tokio::test]
async fn a_plugin_that_hangs_at_its_first_call_affects_its_tenant_only() {
    first_calls(true).await;
}

fn victim(number: usize) -> String {
    format!("victim-{number}")
}

/// Asserts that the caller, the log, `/tenants` and the metrics name the plugin, the tenant and the misdeed.
fn assert_reported(server: &Attacked, number: usize, text: &str, [why, told, more]: [&str; 3]) {
    let (larder, victim) = (&server.larder, victim(number));
    for part in ["`hostile`", &victim, told] {
        assert!(text.contains(part), "no {part:?}: {text}");
    }
    let seen = status(larder, &victim);
    let reason = seen["state"]["failed"]["reason"]
        .as_str()
        .expect("a reason");
    for part in ["`hostile`", told, more] {
        assert!(reason.contains(part), "no {part:?}: {reason}");
    }
    assert!(!text.contains("backtrace"), "{text}");
    larder.line_of(&[
        "a tenant cannot be opened",
        &format!("\"tenant.id\":\"{victim}\""),
        "\"plugin\":\"hostile\"",
        told,
        more,
    ]);
    let labels = [
        &*format!("error_type=\"{why}\""),
        &format!("tenant=\"{victim}\""),
        "plugin=\"hostile\"",
    ];
    let metrics = larder.metrics();
    let failed = http::count(&metrics, "larder_plugin_open_failures_total", &labels);
    assert_eq!(failed, 1, "{victim}: {metrics}");
}
