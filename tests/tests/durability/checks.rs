//! `larder check` on damaged data: it reports what is damaged and what it held, and a server serves everything else. Requests for damaged
//! data get `DATA_LOSS`: neither a short answer, nor UNAVAILABLE, which clients would repeat forever.

use std::fs;
use std::path::{Path, PathBuf};

use larder_tests::otlp::{ResourceBuilder, noise, service, span};
use larder_tests::{Client, Exit, Home, Options, Plugin, Query, eventually, http};
use tonic::{Code, Status};

use crate::incomplete::{flip, spoil};

/// Spans of this size are stored as one object each.
pub(crate) const OBJECT: usize = 100_000;
/// Smaller ones are stored in the head.
pub(crate) const ENTRY: usize = 15_000;

/// Builds the trace of this number, with one span of its own service.
pub(crate) fn trace(number: u8, bytes: usize) -> ResourceBuilder {
    let one = span([number; 16], 1)
        .at(u64::from(number) * 1_000_000)
        .attribute("text", noise(number.into(), bytes));
    service(format!("service-{number}")).span(one)
}

/// Returns the folder of a stopped server, after these Exports.
pub(crate) async fn stopped(
    plugin: Plugin,
    traces: impl IntoIterator<Item = ResourceBuilder>,
) -> Home {
    let home = Home::new();
    let larder = Options::new(plugin).start_in(&home);
    let client = larder.client().await;
    for one in traces {
        client.store([one]).await;
    }
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success());
    home
}

pub(crate) fn check(plugin: Plugin, home: &Home) -> Exit {
    Options::new(plugin).arguments(["check"]).run_in(home)
}

#[track_caller]
pub(crate) fn assert_whole(plugin: Plugin, home: &Home) {
    let exit = check(plugin, home);
    assert!(exit.status.success(), "{exit:?}");
    assert_eq!(exit.stdout.matches("damaged     0").count(), 2, "{exit:?}");
    assert!(exit.stdout.contains("before compression"), "{exit:?}");
}

/// Returns the damage that the plugin reports, after that of the driver.
#[track_caller]
fn damaged(plugin: Plugin, home: &Home) -> Vec<String> {
    let exit = check(plugin, home);
    assert_eq!(exit.status.code(), Some(1), "{exit:?}");
    let (_, told) = exit
        .stdout
        .split_once("\nplugin ")
        .unwrap_or_else(|| panic!("the plugin was not asked: {exit:?}"));
    let lines = told
        .lines()
        .filter_map(|line| line.strip_prefix("damaged     "));
    let lines = lines.filter(|line| line.contains("; it held "));
    lines.map(str::to_owned).collect()
}

/// It neither creates a missing store, nor opens one that a server has open.
#[tokio::test]
async fn only_the_store_of_a_stopped_server_is_checked() {
    let home = Home::new();
    let refused = |told: &str| {
        let exit = check(Plugin::Kv, &home);
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        assert!(exit.stderr.starts_with("error: "), "{exit:?}");
        assert!(exit.stderr.contains(told), "{exit:?}");
        assert_eq!(exit.stdout, "");
    };
    refused("there is no store in");
    let larder = Options::new(Plugin::Kv).start_in(&home);
    refused("in use by another process");
    larder.client().await.store([trace(1, 10)]).await;
    larder.signal("TERM");
    assert!(larder.wait().0.success());
    assert_whole(Plugin::Kv, &home);
    let exit = check(Plugin::Kv, &home);
    assert!(!exit.stdout.contains("values      0\n"), "{exit:?}");
}

pub(crate) fn largest(files: Vec<PathBuf>) -> PathBuf {
    let size = |file: &PathBuf| fs::metadata(file).unwrap().len();
    files.into_iter().max_by_key(size).unwrap()
}

/// Returns the numbers of the traces that cannot be read by id, and asserts that all others are complete.
async fn unread(client: &Client, traces: u8) -> Vec<u8> {
    let mut lost = Vec::new();
    for number in 1..=traces {
        match client.get_traces([[number; 16]]).await {
            Ok(found) => assert_eq!(found[0].span_ids(), [1], "trace {number}"),
            Err(status) => {
                assert_data_loss(&status);
                lost.push(number);
            }
        }
    }
    lost
}

/// Returns the numbers of the traces whose service cannot be searched for, and asserts that all others are found.
async fn unfound(client: &Client, traces: u8) -> Vec<u8> {
    let mut lost = Vec::new();
    for number in 1..=traces {
        let query = Query::default().service(format!("service-{number}"));
        match client.find_traces(&query).await {
            Ok(found) => assert_eq!(found.len(), 1, "trace {number}"),
            Err(status) => {
                assert_data_loss(&status);
                lost.push(number);
            }
        }
    }
    lost
}

#[track_caller]
fn assert_data_loss(status: &Status) {
    assert_eq!(status.code(), Code::DataLoss, "{status:?}");
}

/// In a file whose objects are one trace's spans each, one object is damaged, or the file is missing.
#[tokio::test]
async fn damaged_and_lost_objects_are_reported_with_their_contents() {
    const TRACES: u8 = 6;
    let whole = stopped(Plugin::Kv, (1..=TRACES).map(|it| trace(it, OBJECT))).await;
    assert_whole(Plugin::Kv, &whole);
    let remove = |file: &Path| fs::remove_file(file).unwrap();
    for (damage, count) in [(spoil as fn(&Path), 1), (remove, usize::from(TRACES))] {
        let home = whole.copy();
        damage(&largest(home.kv_files("objects")));
        let told = damaged(Plugin::Kv, &home);

        let larder = Options::new(Plugin::Kv).start_in(&home);
        let client = larder.client().await;
        let lost = unread(&client, TRACES).await;
        assert_eq!(
            (lost.len(), told.len()),
            (count, count),
            "{lost:?}, {told:?}"
        );
        for number in &lost {
            let id = format!("{number:02x}").repeat(16);
            let held = format!("it held the spans of 1 fragments, of trace {id}");
            assert!(told.iter().any(|line| line.contains(&held)), "{told:?}");
        }
        // Only their spans are lost; their services are known.
        assert_eq!(client.services().await.unwrap().len(), usize::from(TRACES));
        // A search that matches one of them cannot return its spans.
        assert_eq!(unfound(&client, TRACES).await, lost);
        larder.line("partition");
        eventually("the damage among the metrics", async || {
            let damaged = http::count(&larder.metrics(), "larder_kv_damaged_total", &[]);
            (damaged > 0).then_some(())
        })
        .await;
        client.store([trace(99, OBJECT)]).await;
        assert_eq!(client.get_trace([99; 16]).await.span_ids(), [1]);
    }
}

/// Later writes are kept, also if the server is killed before or after.
#[tokio::test]
async fn writes_after_the_damage_are_kept() {
    let home = Home::new();
    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    for number in 1..=8 {
        client.store([trace(number, OBJECT)]).await;
    }
    larder.kill();
    spoil(&largest(home.kv_files("objects")));
    let larder = Options::new(Plugin::Kv).start_in(&home);
    larder.client().await.store([trace(99, 10)]).await;
    larder.kill();
    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    assert_eq!(client.get_trace([99; 16]).await.span_ids(), [1]);
    let query = Query::default().service("service-99");
    assert_eq!(client.find(&query).await, [[99; 16]]);
}

/// Damages every file in turn; some hold pages of the index.
#[tokio::test]
async fn a_damaged_page_of_the_index_is_named_and_only_searches_miss_it() {
    const TRACES: u8 = 60;
    let whole = stopped(Plugin::Brittle, (1..=TRACES).map(|it| trace(it, 300))).await;
    assert_whole(Plugin::Brittle, &whole);
    let mut pages = 0;
    for number in 0..whole.kv_files("objects").len() {
        let home = whole.copy();
        spoil(&home.kv_files("objects")[number]);
        let exit = check(Plugin::Brittle, &home);
        let is_page = |line: &str| line.contains("Terms k") || line.contains("Runs r");
        if !exit.stdout.lines().any(is_page) {
            // Damage in unreferenced data has no effect.
            continue;
        }
        let told = damaged(Plugin::Brittle, &home);
        assert!(told.iter().all(|it| it.contains("where searches find")));
        pages += 1;
        let larder = Options::new(Plugin::Brittle).start_in(&home);
        let client = larder.client().await;
        assert!(unread(&client, TRACES).await.is_empty(), "{told:?}");
        let unfound = unfound(&client, TRACES).await;
        assert!(!unfound.is_empty(), "{told:?}");
        assert!(unfound.len() < usize::from(TRACES), "{told:?}");
        assert_eq!(client.services().await.unwrap().len(), usize::from(TRACES));
    }
    assert!(pages > 0, "no page of the index was damaged");
}

/// Returns a copy in which one entry is damaged, and nothing else: where in a table entries are depends on when it was flushed.
fn with_damaged_entry(whole: &Home) -> Home {
    let tables = whole.kv_files("tree/tables").len();
    let places = (0..tables).flat_map(|table| (1..16).map(move |part| (table, part)));
    let mut reports = Vec::new();
    for (table, part) in places {
        let home = whole.copy();
        flip(&home.kv_files("tree/tables")[table], |length| {
            length * part / 16
        });
        let exit = check(Plugin::Kv, &home);
        let told: Vec<_> = exit
            .stdout
            .lines()
            .filter(|line| line.contains("; it held "))
            .collect();
        if matches!(&told[..], [one] if one.contains("Entry e") && one.contains("not sealed yet")) {
            return home;
        }
        reports.push(exit);
    }
    panic!("no place of an entry alone: {reports:?}");
}

/// A damaged entry might have held anything, until a seal replaces it.
#[tokio::test]
async fn a_damaged_entry_is_named_and_once_it_is_sealed_over_all_else_is_served() {
    const TRACES: u8 = 5;
    // So large that each has its own block in the driver's tree, except for the first and last.
    let whole = stopped(Plugin::Kv, (1..=TRACES).map(|it| trace(it, ENTRY))).await;
    assert_whole(Plugin::Kv, &whole);
    let home = with_damaged_entry(&whole);

    let larder = Options::new(Plugin::Kv).start_in(&home);
    let client = larder.client().await;
    assert_eq!(unread(&client, TRACES).await.len(), usize::from(TRACES));
    assert_eq!(unfound(&client, TRACES).await.len(), usize::from(TRACES));
    assert_data_loss(&client.services().await.unwrap_err());
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success());

    // With small parts, a few writes seal over it.
    let larder = Options::new(Plugin::Brittle).start_in(&home);
    let client = larder.client().await;
    let mut number = 100;
    eventually("the entry to be sealed over", async || {
        number += 1;
        client.store([trace(number, 100)]).await;
        client.services().await.ok()
    })
    .await;
    let mut served = 0;
    for number in 1..=TRACES {
        let traces = client.get_traces([[number; 16]]).await.unwrap();
        let query = Query::default().service(format!("service-{number}"));
        assert_eq!(client.find(&query).await.len(), traces.len());
        served += traces.len();
    }
    assert_eq!(served, usize::from(TRACES) - 1);
    let (status, _) = larder.signal_until_exit("TERM").await;
    assert!(status.success());
    let exit = check(Plugin::Brittle, &home);
    assert!(!exit.stdout.contains("; it held "), "{exit:?}");
}

#[tokio::test]
async fn a_plugin_without_own_data_is_distinguished_from_a_failing_one() {
    let home = stopped(Plugin::Brittle, [trace(1, 10)]).await;
    for plugin in [Plugin::Memory, Plugin::Hostile] {
        let exit = check(plugin, &home);
        assert!(exit.status.success(), "{exit:?}");
        let nothing = "nothing of its own to check";
        assert!(exit.stdout.contains(nothing), "{exit:?}");
    }
    for (setting, cause) in [
        ("trap_check", "a trap"),
        ("spin_check", "limits.call_timeout"),
    ] {
        let exit = Options::new(Plugin::Brittle)
            .setting(setting, "1")
            .environment("LARDER_LIMITS_CALL_TIMEOUT", "1s")
            .arguments(["check"])
            .run_in(&home);
        assert_eq!(exit.status.code(), Some(1), "{exit:?}");
        let told = "error: the plugin `brittle` could not check what it has stored";
        for part in [told, cause] {
            assert!(exit.stderr.contains(part), "no {part:?} in {exit:?}");
        }
    }
}
