//! Random stories over small domains, so that what is alike meets often.

use proptest::prelude::*;

use crate::story::{Fragment, Id, Kind, Sought, Step, Story};

/// Ids, of which some differ in one half alone.
const IDS: [u128; 8] = [1, 2, 3, 4, 5, 1 << 64, (1 << 127) + 5, u128::MAX];
/// One that is never written.
const UNKNOWN: u128 = 99;
/// Terms, of which some are equal in their low or high halves.
const TERMS: [u64; 10] = [0, 1, 2, 3, 4, 5, 6, 1 << 32, (1 << 63) + 1, u64::MAX];
const SERVICES: [&str; 3] = ["cart", "größe", "日本"];
const NAMES: [&str; 5] = ["", "GET /", "äöü", "名前", "a\u{0}b"];

/// Stories for a plugin; `is_replicated` adds what happens to those alone.
pub(crate) fn story(is_replicated: bool) -> impl Strategy<Value = Story> {
    let steps = prop::collection::vec(step(is_replicated), 1..14);
    steps.prop_map(Story::new)
}

fn step(is_replicated: bool) -> impl Strategy<Value = Step> {
    let find = (
        sought(),
        prop::collection::vec(prop::sample::select(&[1, 1, 2, 3, 100][..]), 1..4),
        prop_oneof![
            7 => Just(Vec::new()),
            3 => prop::collection::vec(fragments(), 1..3),
        ],
    );
    let find = find.prop_map(|(search, limits, between)| Step::Find {
        search,
        limits,
        between,
    });
    let ids: Vec<u128> = IDS.into_iter().chain([UNKNOWN]).collect();
    let read = (
        prop::sample::subsequence(ids, 1..5).prop_shuffle(),
        prop::sample::select(&[0, 1, 20, 400, 1 << 20][..]),
    );
    let read = read.prop_map(|(ids, max_bytes)| Step::Read {
        traces: ids.into_iter().map(Id).collect(),
        max_bytes,
    });
    prop_oneof![
        6 => fragments().prop_map(Step::Write),
        4 => find,
        4 => read,
        2 => Just(Step::Names),
        2 => (1..20_u32).prop_map(Step::Maintain),
        u32::from(is_replicated) => Just(Step::Reopen),
    ]
}

fn fragments() -> impl Strategy<Value = Vec<Fragment>> {
    prop::collection::vec(fragment(), 1..9)
}

fn fragment() -> impl Strategy<Value = Fragment> {
    let operation = (
        prop::sample::select(&SERVICES[..]),
        prop::sample::select(&NAMES[..]),
        prop::sample::select(&KINDS[..]),
    );
    let operation = operation.prop_map(|(service, name, kind)| {
        let (service, name) = (service.to_owned(), name.to_owned());
        (service, name, kind)
    });
    let all = (
        prop::sample::select(&IDS[..]),
        1..4_u32,
        (0..20_u64, prop::sample::select(&[0_u64, 0, 1, 5][..])),
        (0..20_u64, prop::sample::select(&[0_u64, 3][..])),
        prop::collection::vec(prop::sample::select(&TERMS[..]), 0..7),
        prop::collection::vec(operation, 0..3),
        (0..60_u32, 0..120_u32),
    );
    all.prop_map(
        |(id, spans, starts, durations, terms, operations, sizes)| Fragment {
            trace: Id(id),
            spans,
            starts: (starts.0, starts.0 + starts.1),
            durations: (durations.0, durations.0 + durations.1),
            terms,
            operations,
            digest: sizes.0,
            otlp: sizes.1,
        },
    )
}

const KINDS: [Kind; 6] = [
    Kind::Unspecified,
    Kind::Internal,
    Kind::Server,
    Kind::Client,
    Kind::Producer,
    Kind::Consumer,
];

fn sought() -> impl Strategy<Value = Sought> {
    let range = || {
        prop_oneof![
            2 => Just((0, u64::MAX)),
            1 => (0..20_u64).prop_map(|from| (from, u64::MAX)),
            2 => (0..20_u64, 0..10_u64).prop_map(|(from, length)| (from, from + length)),
        ]
    };
    let clause = prop::collection::vec(prop::sample::select(&TERMS[..]), 1..4);
    let clauses = prop_oneof![
        1 => Just(Vec::new()),
        1 => prop::collection::vec(clause, 1..3),
    ];
    (range(), range(), clauses).prop_map(|(starts, durations, clauses)| Sought {
        starts,
        durations,
        clauses,
    })
}
