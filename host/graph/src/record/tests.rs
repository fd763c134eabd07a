#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::collections::BTreeMap;

use larder_model::storage::TraceId;
use larder_search::kept::Call;
use proptest::collection::vec;
use proptest::prelude::*;

use super::sums::Sums;
use super::{Encoded, Head, Page, PageHead, Rows, Value, calls};
use crate::bucket::Bucket;
use crate::checkpoint::Pieces;

const BUCKET: Bucket = Bucket(5_666_667);

/// A trace: id, first start after the start of the bucket, length, and calls.
type Trace = (u128, u64, u64, Vec<(u32, u32, u8)>);

fn traces() -> impl Strategy<Value = Vec<Trace>> {
    let length = prop_oneof![3 => 0..1_000_000_000_u64, 1 => any::<u64>().prop_map(|it| it >> 16)];
    let call = (0..5_u32, 0..5_u32, any::<u8>());
    vec(
        (
            any::<u128>(),
            0..300_000_000_000_u64,
            length,
            vec(call, 0..6),
        ),
        0..40,
    )
}

fn encode(traces: &[Trace]) -> Encoded {
    let mut rows = Rows::new();
    for (id, offset, length, calls) in traces {
        let first = BUCKET.range().start + offset;
        let calls: Vec<_> = calls
            .iter()
            .map(|(parent, child, class)| Call {
                parent: *parent,
                child: *child,
                class: *class,
            })
            .collect();
        rows.push(TraceId(*id), (first, first + length), &calls);
    }
    let services: Vec<String> = (0..5).map(|number| format!("service {number}")).collect();
    let mut work = Pieces::new(async move { rows.encode(BUCKET, &services).await });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    loop {
        if let Some(encoded) = runtime.block_on(work.next()) {
            return encoded.unwrap();
        }
    }
}

/// The bytes of a value of one part.
fn value(encoded: &Encoded, value: Value) -> Vec<u8> {
    let values = encoded.values.iter();
    let parts = values.filter(|(name, _)| name[..5] == value.name(0)[..5]);
    parts.flat_map(|(_, part)| part.clone()).collect()
}

/// The traces that a record tells, sorted.
fn decode(encoded: &Encoded) -> Vec<Trace> {
    let head = Head::decode(&value(encoded, Value::Head)).unwrap();
    let service = |number: u32| -> u32 {
        let name = &head.services[number as usize];
        name.strip_prefix("service ").unwrap().parse().unwrap()
    };
    let mut traces = Vec::new();
    for (number, told) in (0..).zip(&head.pages) {
        let bytes = value(encoded, Value::Page(number));
        let mut page = Page::decode(number, &bytes).unwrap();
        let mut counted: BTreeMap<u32, u64> = BTreeMap::new();
        let mut rows = 0;
        while let Some(row) = page.next().unwrap() {
            assert!((told.extent.first.0..=told.extent.first.1).contains(&row.first));
            assert!((told.extent.last.0..=told.extent.last.1).contains(&row.last));
            let mut found = Vec::new();
            for call in calls(row.calls) {
                let (edge, class) = call.unwrap();
                *counted.entry(edge).or_default() += 1;
                let (parent, child) = head.edges[edge as usize];
                found.push((service(parent), service(child), class));
            }
            found.sort_unstable();
            let offset = row.first - BUCKET.range().start;
            traces.push((row.id.0, offset, row.last - row.first, found));
            rows += 1;
        }
        assert_eq!(rows, told.rows);
        let counted: Vec<_> = counted.into_iter().collect();
        assert_eq!(counted, told.counts);
    }
    traces.sort_unstable();
    traces
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn a_record_holds_the_rows_that_it_was_made_of(mut traces in traces()) {
        let encoded = encode(&traces);
        for (.., calls) in &mut traces {
            calls.sort_unstable();
        }
        traces.sort_unstable();
        prop_assert_eq!(encoded.rows, traces.len() as u64);
        prop_assert_eq!(decode(&encoded), traces);
    }

    #[test]
    fn damaged_values_are_refused(
        traces in traces(),
        which in any::<prop::sample::Index>(),
        (at, bit) in (any::<prop::sample::Index>(), 0..8),
        cut in any::<prop::sample::Index>(),
    ) {
        let encoded = encode(&traces);
        let head = Head::decode(&value(&encoded, Value::Head)).unwrap();
        let mut values = vec![Value::Head, Value::Sums];
        values.extend((0..).zip(&head.pages).map(|(number, _)| Value::Page(number)));
        let damaged = values[which.index(values.len())];
        let whole = value(&encoded, damaged);
        let is_refused = |bytes: &[u8]| match damaged {
            Value::Head => Head::decode(bytes).is_err(),
            Value::Sums => Sums::decode(bytes).is_err(),
            Value::Page(number) => Page::decode(number, bytes).is_err(),
        };
        prop_assert!(!is_refused(&whole));
        let mut flipped = whole.clone();
        flipped[at.index(whole.len())] ^= 1_u8 << bit;
        prop_assert!(is_refused(&flipped));
        prop_assert!(is_refused(&whole[..cut.index(whole.len())]));
        // A sound value in the place of another is no less damaged.
        if let Value::Page(number) = damaged {
            prop_assert!(Page::decode(number + 1, &whole).is_err());
        }
    }

    #[test]
    fn content_that_is_not_what_it_says_never_panics(content in vec(any::<u8>(), 0..200)) {
        for number in 0..3 {
            let bytes = crate::codec::seal(1, number, |bytes| bytes.extend_from_slice(&content));
            drop(Head::decode(&bytes));
            drop(Sums::decode(&bytes));
            if let Ok(mut page) = Page::decode(0, &bytes) {
                while let Ok(Some(row)) = page.next() {
                    assert!(calls(row.calls).count() <= row.calls.len());
                }
            }
        }
    }
}

#[test]
fn sums_tell_calls_and_errors_of_each_edge() {
    let error = 1 << 7;
    let traces = [
        (1, 0, 10, vec![(0, 1, 5), (0, 1, 5 | error), (1, 2, 0)]),
        (2, 9, 10, vec![(0, 1, 7)]),
    ];
    let encoded = encode(&traces);
    let head = Head::decode(&value(&encoded, Value::Head)).unwrap();
    let sums = Sums::decode(&value(&encoded, Value::Sums)).unwrap();
    let named = sums.iter().map(|(edge, calls, errors)| {
        let (parent, child) = head.edges[*edge as usize];
        let name = |service: u32| &head.services[service as usize][..];
        (name(parent), name(child), *calls, *errors)
    });
    let expected = [
        ("service 0", "service 1", 3, 1),
        ("service 1", "service 2", 1, 0),
    ];
    assert!(named.eq(expected));
    assert_eq!(head.totals, [3, 1]);
}

#[test]
fn traces_that_end_later_have_pages_of_their_own_in_the_order_of_their_ends() {
    let minute = 60_000_000_000;
    let traces: Vec<Trace> = (0..20_000_u64)
        .map(|number| {
            let length = if number % 4 == 0 {
                (20_000 - number) * minute
            } else {
                1
            };
            (
                u128::from(number),
                number * 10_000_000,
                length,
                vec![(0, 1, 0)],
            )
        })
        .collect();
    let encoded = encode(&traces);
    let head = Head::decode(&value(&encoded, Value::Head)).unwrap();
    let end = BUCKET.range().end;
    let ends_later = |page: &PageHead| page.extent.last.1 > end;
    let is_apart = |page: &PageHead| page.extent.last.0 > end || !ends_later(page);
    assert!(head.pages.iter().all(is_apart));
    let (within, later): (Vec<_>, Vec<_>) = head.pages.iter().partition(|page| !ends_later(page));
    assert!(
        within
            .windows(2)
            .all(|two| two[0].extent.first.1 <= two[1].extent.first.0)
    );
    assert!(later.len() > 1);
    assert!(
        later
            .windows(2)
            .all(|two| two[0].extent.last.1 <= two[1].extent.last.0)
    );
}

#[test]
fn sums_tell_every_class_in_whatever_order_the_calls_come() {
    let calls = (0..=u8::MAX).rev().chain(0..=u8::MAX);
    let mut sums = Sums::default();
    calls.for_each(|class| sums.add((1, class)));
    let sums = Sums::decode(&sums.encode()).unwrap();
    assert_eq!(sums, [(1, 512, 256)], "an edge without calls is left out");
}
