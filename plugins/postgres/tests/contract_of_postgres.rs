//! The postgres plugin keeps the contract, on a real server: `tests/postgres.sh`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeSet;

use common::{Store, admin};
use larder_plugin::testing::random::{run, step, step_of_many_terms, term};
use larder_plugin::testing::{Harness, batch, fragment, logged};
use larder_plugin::{
    DurationRange, Error, Part, Plugin as _, Search, Sizes, SpanKind, TimeRange, TraceId, Wanted,
};
use larder_postgres::Postgres;
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

/// A plugin with an empty tenant, which is purged in the end.
fn with_harness(call: impl FnOnce(&mut Harness<Postgres>)) {
    let mut harness = Harness::new(Store::new().writer());
    call(&mut harness);
    harness.plugin().purge().unwrap();
}

/// All that a search finds: traces and `newest`, page by page of this size.
fn found(plugin: &mut Postgres, search: &Search, limit: u32) -> Vec<(u128, u64)> {
    let mut all = Vec::new();
    let mut resume = None;
    loop {
        let page = plugin.find(search, resume.as_deref(), limit).unwrap();
        let found = page.found.iter();
        all.extend(found.map(|it| (u128::from(it.trace_id), it.newest)));
        match page.resume {
            Some(next) => resume = Some(next),
            None => return all,
        }
    }
}

fn of_terms(terms: impl IntoIterator<Item = u64>) -> Search {
    Search {
        clauses: terms.into_iter().map(|it| vec![it]).collect(),
        ..Search::all()
    }
}

fn pieces(plugin: &mut Postgres, wanted: &Wanted) -> usize {
    let page = plugin.read(wanted, Part::Otlp, None, u32::MAX).unwrap();
    page.pieces.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    /// Random writes, searches and reads, compared with a plain list.
    #[test]
    fn it_answers_like_a_list(steps in prop::collection::vec(step(3000), 1..20)) {
        with_harness(|harness| run(harness, steps, 0, |_| {}));
    }

    #[test]
    fn it_finds_any_of_many_terms(steps in prop::collection::vec(step_of_many_terms(), 1..12)) {
        with_harness(|harness| run(harness, steps, 0, |_| {}));
    }
}

#[test]
fn numbers_at_their_ends_are_exact() {
    with_harness(|harness| {
        let ends = [0, 1, u64::MAX / 2, u64::MAX / 2 + 1, u64::MAX - 1, u64::MAX];
        for (id, end) in (0..).zip(ends) {
            let one = fragment(u128::MAX - id)
                .starts(end, end)
                .durations(end, end)
                .terms([end]);
            harness.write([one, fragment(id).starts(0, end).durations(0, end)]);
        }
        harness.check_all();
        for end in ends {
            let mut search = of_terms([end]);
            assert_eq!(harness.find(&search, 2).len(), 1);
            search = Search {
                starts: TimeRange { start: end, end },
                ..Search::all()
            };
            harness.find(&search, 3);
            search = Search {
                durations: DurationRange {
                    shortest: end,
                    longest: end,
                },
                ..Search::all()
            };
            harness.find(&search, 1);
        }
    });
}

#[test]
fn a_fragment_that_ends_after_the_times_searched_is_found_as_of_their_end() {
    let mut plugin = Store::new().writer();
    // From 100 on, each twice as long as the one before; and some that begin too late.
    let across = (0..40_u32).map(|it| {
        let last = 100 + (1_u64 << it);
        fragment(u128::from(it)).starts(100, last)
    });
    let late = (100..140).map(|it| fragment(it).starts(102, 1 << 30));
    plugin.write(1, vec![batch(across), batch(late)]).unwrap();
    let search = Search {
        starts: TimeRange {
            start: 100,
            end: 101,
        },
        ..Search::all()
    };
    for limit in [1, 7, 100] {
        let found = found(&mut plugin, &search, limit);
        let traces: BTreeSet<u128> = found.iter().map(|it| it.0).collect();
        assert_eq!(traces, (0..40).collect());
        assert_eq!((found.len(), found[39]), (40, (0, 101)));
    }
}

/// More fragments than the windows that are walked, and more matches than are sorted at once.
#[test]
fn what_is_common_and_old_is_found_to_the_last() {
    let mut plugin = Store::new().writer();
    let (old, rare) = (term(1), term(2));
    for start in (0..100).map(|it| it * 200) {
        let many = (start..start + 200).map(|it| {
            let one = fragment(it.into()).starts(it, it + it % 3);
            match it {
                0..10_000 if it % 1000 == 0 => one.terms([old, rare]),
                0..10_000 => one.terms([old]),
                _ => one,
            }
        });
        plugin.write(1, vec![batch(many)]).unwrap();
    }
    let due = |limit, terms: &[u64], plugin: &mut Postgres| {
        let found = found(plugin, &of_terms(terms.iter().copied()), limit);
        assert!(found.is_sorted_by(|a, b| a.1 >= b.1));
        let traces: BTreeSet<u128> = found.iter().map(|it| it.0).collect();
        assert_eq!(traces.len(), found.len());
        traces.len()
    };
    for limit in [1500, 10_000] {
        assert_eq!(due(limit, &[], &mut plugin), 20_000);
        assert_eq!(due(limit, &[old], &mut plugin), 10_000);
    }
    assert_eq!(due(3, &[rare], &mut plugin), 10);
    assert_eq!(due(100, &[old, rare], &mut plugin), 10);
    assert_eq!(due(100, &[term(3)], &mut plugin), 0);
    // Long ones, of no time that is searched.
    let search = Search {
        durations: DurationRange {
            shortest: 5,
            longest: 9,
        },
        ..Search::all()
    };
    assert_eq!(found(&mut plugin, &search, 10), []);
    plugin.purge().unwrap();
}

#[test]
fn two_writers_and_a_reader_share_a_tenant() {
    let store = Store::new();
    let mut reader = store.reader();
    assert_eq!(found(&mut reader, &Search::all(), 10), []);
    let writers: Vec<_> = (0..2_u128)
        .map(|number| {
            let store = store.clone();
            std::thread::spawn(move || {
                let mut plugin = store.writer();
                for id in 0..50 {
                    let of_one = fragment(id * 2 + number);
                    let of_both = fragment(1000).otlp(vec![
                        u8::try_from(number).unwrap(),
                        u8::try_from(id).unwrap(),
                    ]);
                    let name = format!("name {}", id % 7);
                    let all = [of_one, of_both]
                        .map(|it| it.operation("service", &name, SpanKind::Client));
                    plugin.write(1, vec![batch(all)]).unwrap();
                }
            })
        })
        .collect();
    for writer in writers {
        writer.join().unwrap();
    }
    let all = found(&mut reader, &Search::all(), 13);
    assert_eq!(all.len(), 200);
    let wanted = Wanted::Traces(vec![TraceId::from(1000)]);
    let page = reader.read(&wanted, Part::Otlp, None, u32::MAX).unwrap();
    for number in 0..2 {
        // Those of one writer are in the order written.
        let own = page.pieces.iter().filter(|it| it.bytes[0] == number);
        assert!(own.map(|it| it.bytes[1]).eq(0..50));
    }
    assert_eq!(reader.services(), Ok(vec!["service".to_owned()]));
    assert_eq!(reader.operations("service").unwrap().len(), 7);
    let refused = reader.write(1, vec![batch([fragment(1)])]);
    assert!(matches!(refused, Err(Error::Other(_))), "{refused:?}");
}

#[test]
fn tenants_are_walled_off_and_a_purge_takes_one_alone() {
    let (ours, theirs) = (Store::new(), Store::new());
    let (mut a, mut b) = (ours.writer(), theirs.writer());
    a.write(
        1,
        vec![batch([fragment(1).operation("a", "a", SpanKind::Server)])],
    )
    .unwrap();
    b.write(
        1,
        vec![batch([fragment(2).operation("b", "b", SpanKind::Server)])],
    )
    .unwrap();
    let wanted = Wanted::Traces([1, 2].map(TraceId::from).to_vec());
    assert_eq!(found(&mut a, &Search::all(), 10), [(1, 0)]);
    assert_eq!(pieces(&mut a, &wanted), 1);
    let handle = b.find(&Search::all(), None, 1).unwrap().found[0].fragment;
    let (mut other, mut reader) = (ours.writer(), ours.reader());
    assert_eq!(found(&mut reader, &Search::all(), 10), [(1, 0)]);

    a.purge().unwrap();
    assert_eq!(found(&mut a, &Search::all(), 10), []);
    assert_eq!(found(&mut reader, &Search::all(), 10), []);
    assert_eq!(reader.services(), Ok(Vec::new()));
    assert_eq!(found(&mut b, &Search::all(), 10), [(2, 0)]);
    assert_eq!(b.services(), Ok(vec!["b".to_owned()]));
    assert_eq!(
        pieces(&mut b, &Wanted::Fragments(handle.into_iter().collect())),
        1
    );

    // Those that knew the tenant go on, on new tables.
    other.write(2, vec![batch([fragment(3)])]).unwrap();
    a.write(2, vec![batch([fragment(4)])]).unwrap();
    assert_eq!(found(&mut reader, &Search::all(), 10).len(), 2);
}

#[test]
fn retention_drops_whole_partitions_with_their_names() {
    let store = Store::new()
        .with("retention", "60s")
        .with("partition", "10s");
    let (mut a, mut b) = (store.writer(), store.writer());
    let at = |second: u64| 1_700_000_000 * SECOND + second * SECOND;
    for second in (0..50).step_by(5) {
        let service = format!("service {}", second / 10);
        let one = fragment(second.into()).operation(&service, "name", SpanKind::Server);
        a.write(at(second), vec![batch([one])]).unwrap();
    }
    let first = a.find(&Search::all(), None, 100).unwrap().found;
    let handles: Vec<u64> = first.iter().filter_map(|it| it.fragment).collect();
    assert_eq!(handles.len(), 10);

    // The first two partitions, of 0 s to 20 s, and no other.
    assert_eq!(a.maintain(at(69), Sizes::default()), Ok(false));
    assert_eq!(pieces(&mut b, &Wanted::Fragments(handles.clone())), 10);
    assert_eq!(a.maintain(at(80), Sizes::default()), Ok(true));
    assert_eq!(b.maintain(at(80), Sizes::default()), Ok(false));
    assert_eq!(b.maintain(at(80), Sizes::default()), Ok(false));
    assert_eq!(pieces(&mut b, &Wanted::Fragments(handles.clone())), 6);
    assert_eq!(found(&mut a, &Search::all(), 100).len(), 6);
    assert_eq!(
        a.services(),
        Ok(["service 4", "service 3", "service 2"]
            .map(str::to_owned)
            .to_vec())
    );
    assert_eq!(a.operations("service 1"), Ok(Vec::new()));

    // What has gone stays away, whatever is written: no handle comes back.
    b.write(at(85), vec![batch((50..60).map(fragment))])
        .unwrap();
    assert_eq!(pieces(&mut a, &Wanted::Fragments(handles)), 6);
    for step in 0..9 {
        let more = b.maintain(at(1000), Sizes::default());
        assert_eq!(more, Ok(step < 3), "{step}");
    }
    assert_eq!(found(&mut a, &Search::all(), 100), []);
    assert_eq!(a.retire(), Ok(true));
}

#[test]
fn the_next_partition_is_made_ahead_of_the_writes_and_an_idle_tenant_makes_none() {
    let store = Store::new()
        .with("retention", "60s")
        .with("partition", "10s");
    let mut plugin = store.writer();
    let asked = format!(
        "SELECT id FROM larder.tenants WHERE name = '{}'",
        store.tenant
    );
    plugin.maintain(SECOND, Sizes::default()).unwrap();
    assert_eq!(admin(&asked), "");
    plugin.write(SECOND, vec![batch([fragment(1)])]).unwrap();
    let id = admin(&asked);
    let count = || admin(&format!("SELECT count(*) FROM larder_{id}.partitions"));
    plugin.maintain(4 * SECOND, Sizes::default()).unwrap();
    assert_eq!(count(), "1");
    plugin.maintain(6 * SECOND, Sizes::default()).unwrap();
    assert_eq!(count(), "2");
    // Nothing was written to the second one.
    plugin.maintain(16 * SECOND, Sizes::default()).unwrap();
    assert_eq!(count(), "2");
}

#[test]
fn a_clock_that_is_put_back_changes_no_order() {
    let store = Store::new()
        .with("retention", "60s")
        .with("partition", "10s");
    let mut plugin = store.writer();
    for (number, second) in (0..).zip([35, 5, 25, 36]) {
        let one = fragment(1).otlp(vec![number]);
        plugin.write(second * SECOND, vec![batch([one])]).unwrap();
    }
    let wanted = Wanted::Traces(vec![TraceId::from(1)]);
    let page = plugin.read(&wanted, Part::Otlp, None, u32::MAX).unwrap();
    let order: Vec<u8> = page.pieces.iter().map(|it| it.bytes[0]).collect();
    assert_eq!(order, [0, 1, 2, 3]);
    plugin.write(u64::MAX, vec![batch([fragment(2)])]).unwrap();
    plugin.write(u64::MAX, vec![batch([fragment(2)])]).unwrap();
    assert_eq!(found(&mut plugin, &Search::all(), 10).len(), 6);
}

#[test]
fn names_are_any_text() {
    with_harness(|harness| {
        let names = [
            "",
            "ü",
            "\0",
            "a\0b",
            "'; DROP TABLE x",
            &"long ".repeat(20_000),
        ];
        let mut one = fragment(1);
        for service in names.iter().filter(|it| !it.is_empty()) {
            for name in names {
                one = one.operation(service, name, SpanKind::Consumer);
            }
        }
        harness.write([one]);
        harness.check_operations();
    });
}

#[test]
fn a_large_fragment_is_read_back_and_a_long_trace_page_by_page() {
    with_harness(|harness| {
        let bytes = (0..20_u32 << 20).map(|it| it.to_le_bytes()[1]);
        harness.write([fragment(1).otlp(bytes.collect::<Vec<_>>())]);
        let many = (0..5000_u32).map(|it| fragment(2).otlp(it.to_be_bytes()));
        harness.write(many);
        let ids = [3, 2, 1].map(TraceId::from);
        harness.check_traces(&ids, 1000);
        harness.check_traces(&ids, 1 << 20);
    });
}

#[test]
fn a_foreign_resume_is_refused() {
    let mut plugin = Store::new().writer();
    plugin.write(1, vec![batch([fragment(1)])]).unwrap();
    for bytes in [&[][..], &[0; 17], &[9; 18]] {
        let found = plugin.find(&Search::all(), Some(bytes), 1);
        assert!(matches!(found, Err(Error::InvalidArgument(_))), "{found:?}");
    }
    let wanted = Wanted::Traces(Vec::new());
    let read = plugin.read(&wanted, Part::Otlp, Some(&[1]), 1);
    assert!(matches!(read, Err(Error::InvalidArgument(_))), "{read:?}");
}

fn refusal(store: &Store) -> String {
    match store.try_writer() {
        Err(Error::InvalidArgument(text)) => text,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn what_the_server_refuses_is_told_when_the_plugin_is_opened() {
    let store = Store::new();
    let told = refusal(
        &store
            .clone()
            .with("user", "nobody")
            .with("database", "larder"),
    );
    assert!(
        told.contains("PGPASSWORD") && told.contains("28P01"),
        "{told}"
    );
    let told = refusal(&store.clone().with("database", "none"));
    assert!(told.contains("CREATE DATABASE"), "{told}");
    for method in ["md5", "plain"] {
        let told = refusal(
            &store
                .clone()
                .with("user", method)
                .with("database", "larder"),
        );
        assert!(told.contains("scram-sha-256"), "{told}");
    }
}

#[test]
fn a_server_that_does_not_answer_is_waited_for() {
    let store = Store::new().with("port", "1");
    let mut plugin = store.writer();
    let log = logged();
    assert!(
        log.iter()
            .any(|it| it.1.contains("no connection to PostgreSQL")),
        "{log:?}"
    );
    let error = plugin.services().unwrap_err();
    assert!(
        matches!(&error, Error::Unavailable(text) if text.contains("tried again")),
        "{error:?}"
    );
}

#[test]
fn newer_tables_are_refused_in_words() {
    let store = Store::new().with("schema", "newer");
    store.writer().write(1, vec![batch([fragment(1)])]).unwrap();
    admin("UPDATE newer.tenants SET version = 7");
    let told = refusal(&store);
    assert!(
        told.contains("version 7") && told.contains("newer plugin"),
        "{told}"
    );
    admin("UPDATE newer.tenants SET version = 1; UPDATE newer.version SET number = 9");
    let told = refusal(&store);
    assert!(told.contains("version 9"), "{told}");
    admin("UPDATE newer.version SET number = 1");
    assert_eq!(found(&mut store.writer(), &Search::all(), 10), [(1, 0)]);
}

#[test]
fn a_role_that_may_create_nothing_is_told_what_to_do_and_uses_what_others_made() {
    let mut store = Store::new()
        .with("user", "poor")
        .with("database", "larder")
        .with("schema", "poor");
    store.tenant = "default".to_owned();
    let mut plugin = store.writer();
    let one = || vec![batch([fragment(1).operation("a", "b", SpanKind::Client)])];
    let error = plugin.write(1, one()).unwrap_err();
    assert!(
        matches!(&error, Error::Other(text) if text.contains("A role without CREATE")),
        "{error:?}"
    );
    // As README.md has it.
    let readme = include_str!("../README.md");
    let (_, sql) = readme
        .split_once("<!-- a role without CREATE -->\n```sql\n")
        .unwrap();
    let (sql, _) = sql.split_once("```").unwrap();
    admin(&sql.replace("larder", "poor"));
    plugin.write(1, one()).unwrap();
    assert_eq!(plugin.services(), Ok(vec!["a".to_owned()]));
    plugin.purge().unwrap();
    assert_eq!(found(&mut plugin, &Search::all(), 10), []);
    plugin.write(1, one()).unwrap();
    assert_eq!(found(&mut plugin, &Search::all(), 10), [(1, 0)]);
}

#[cfg(feature = "tls")]
#[test]
fn with_tls_the_server_has_to_prove_its_name_or_only_speak_it() {
    let folder = std::env::var("LARDER_TEST_POSTGRES_FOLDER").unwrap();
    let authority = |name: &str| std::fs::read_to_string(format!("{folder}/{name}.pem")).unwrap();
    let verified = |name: &str| {
        Store::new()
            .with("sslmode", "verify-full")
            .with("sslrootcert", &authority(name))
    };
    for (store, is_verified) in [
        (verified("ca"), true),
        (Store::new().with("sslmode", "require"), false),
    ] {
        let mut plugin = store.writer();
        plugin.write(1, vec![batch([fragment(1)])]).unwrap();
        let (mut reader, again) = (store.reader(), found(&mut plugin, &Search::all(), 1));
        assert_eq!(
            (found(&mut reader, &Search::all(), 1), again),
            (vec![(1, 0)], vec![(1, 0)])
        );
        // The password may be sent as it is to a server that is known, and to no other.
        for method in ["md5", "plain"] {
            let other = store.clone().with("user", method).with("schema", method);
            let other = other.with("database", "larder");
            if is_verified {
                let services = other.writer().services();
                assert_eq!(services, Ok(Vec::new()), "{method}");
            } else {
                let told = refusal(&other);
                assert!(told.contains("verify-full"), "{method}: {told}");
            }
        }
    }
    let told = refusal(&verified("other"));
    assert!(told.contains("certificate"), "{told}");
}
