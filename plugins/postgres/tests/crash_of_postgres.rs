//! A server that is killed while it is written to: `tests/postgres.sh`. In a file of its own, as it takes the server from all tests.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use common::{Store, script};
use larder_plugin::testing::{batch, fragment};
use larder_plugin::{Error, Part, Plugin as _, Search, SpanKind, TraceId, Wanted};
use larder_postgres::Postgres;

const WRITERS: u32 = 2;
const KILLS: u32 = 3;
/// Writes between two kills.
const WRITES: u32 = 40;

/// Writes until the end; returns how often each fragment was sent. Whoever gets no answer sends it again, as clients do.
fn write(
    mut plugin: Postgres,
    writer: u32,
    acknowledged: &AtomicU32,
    end: &AtomicBool,
) -> BTreeMap<u32, u32> {
    let mut sent = BTreeMap::new();
    let mut number = 0_u32;
    while !end.load(Ordering::Relaxed) {
        let one = fragment(writer.into())
            .otlp(number.to_be_bytes())
            .operation("service", &number.to_string(), SpanKind::Server);
        let other = fragment(100 + u128::from(writer)).otlp(number.to_be_bytes());
        let tries = sent.entry(number).or_default();
        *tries += 1;
        match plugin.write(1, vec![batch([one]), batch([other])]) {
            Ok(()) => {
                number += 1;
                acknowledged.fetch_add(1, Ordering::Relaxed);
            }
            Err(Error::Unavailable(_)) => std::thread::yield_now(),
            Err(error) => unreachable!("{error:?}"),
        }
    }
    sent
}

/// How often each number is stored in a trace.
fn stored(plugin: &mut Postgres, trace: u32) -> BTreeMap<u32, u32> {
    let wanted = Wanted::Traces(vec![TraceId::from(u128::from(trace))]);
    let mut numbers = BTreeMap::new();
    let mut resume = None;
    loop {
        let page = plugin.read(&wanted, Part::Otlp, resume.as_deref(), 1 << 10);
        let page = page.unwrap();
        for piece in page.pieces {
            let number = u32::from_be_bytes(piece.bytes.try_into().unwrap());
            *numbers.entry(number).or_default() += 1;
        }
        match page.resume {
            Some(next) => resume = Some(next),
            None => return numbers,
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed_and_nothing_is_doubled_but_what_was_sent_again()
 {
    let store = Store::new();
    let mut reader = store.reader();
    let (acknowledged, end) = (AtomicU32::new(0), AtomicBool::new(false));
    let sent: Vec<BTreeMap<u32, u32>> = std::thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let plugin = store.writer();
                let (acknowledged, end) = (&acknowledged, &end);
                scope.spawn(move || write(plugin, writer, acknowledged, end))
            })
            .collect();
        let wait_for = |count| {
            while acknowledged.load(Ordering::Relaxed) < count {
                std::thread::yield_now();
            }
        };
        for kill in 1..=KILLS {
            wait_for(kill * WRITES);
            // The reader has a connection, which is lost too.
            reader.services().unwrap();
            script("kill.sh", &[]);
            let refused = reader.find(&Search::all(), None, 1);
            assert!(matches!(refused, Err(Error::Unavailable(_))), "{refused:?}");
            script("start.sh", &[]);
            reader.services().unwrap();
        }
        wait_for((KILLS + 1) * WRITES);
        end.store(true, Ordering::Relaxed);
        writers.into_iter().map(|it| it.join().unwrap()).collect()
    });

    let mut doubled = 0;
    for (writer, sent) in (0..).zip(sent) {
        // The last one may not have been acknowledged.
        for trace in [writer, 100 + writer] {
            let stored = stored(&mut reader, trace);
            let last = u32::try_from(sent.len()).unwrap() - 1;
            for (number, tries) in &sent {
                let times = stored.get(number).copied().unwrap_or(0);
                let least = u32::from(*number < last);
                assert!(
                    (least..=*tries).contains(&times),
                    "{trace}: {number} was sent {tries} times and is stored {times} times"
                );
                doubled += times.saturating_sub(1);
            }
            assert!(stored.keys().all(|number| sent.contains_key(number)));
        }
    }
    // At most what was on its way at each kill.
    assert!(doubled <= 2 * WRITERS * KILLS, "{doubled}");
    let names = reader.operations("service").unwrap().len();
    let names = u32::try_from(names).unwrap();
    assert!(names >= acknowledged.load(Ordering::Relaxed) / WRITERS / 2);
}
