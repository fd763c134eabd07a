//! Random writes, searches, reads and steps of maintenance, which a plugin must answer as a plain list does.

#![expect(
    clippy::missing_panics_doc,
    reason = "everything here panics when the plugin under test breaks the contract"
)]

use proptest::prelude::*;

use super::fragment::{FragmentBuilder, fragment};
use super::{Harness, kv};
use crate::{Counts, DurationRange, Plugin, Search, SpanKind, TimeRange, TraceId};

/// The fragments of one batch.
pub type Fragments = Vec<FragmentBuilder>;

/// A call that a host makes to a plugin.
#[derive(Clone, Debug)]
pub enum Step {
    /// Writes a batch.
    Write(Fragments),
    /// Searches, with these limits in turn.
    Find(Search, Vec<u32>),
    /// Searches, with one of these batches written, and some steps of maintenance run, after each page.
    FindAndWrite(Search, u32, Vec<Fragments>),
    /// Reads these traces in pages of this many bytes.
    Read(Vec<u128>, u32),
    /// Runs this many steps of maintenance.
    Maintain(u32),
    /// Checks everything.
    CheckAll,
}

/// Generates a step, with up to `payload` bytes of spans in each fragment.
pub fn step(payload: usize) -> impl Strategy<Value = Step> {
    let writes = move || fragments(30, payload, 40);
    prop_oneof![
        6 => writes().prop_map(Step::Write),
        4 => (search(), prop::collection::vec(1..60_u32, 1..4)).prop_map(|(s, l)| Step::Find(s, l)),
        2 => (search(), 1..30_u32, prop::collection::vec(writes(), 1..4))
            .prop_map(|(s, l, w)| Step::FindAndWrite(s, l, w)),
        2 => (prop::collection::vec(0..40_u128, 1..9), 0..5000_u32).prop_map(|(i, b)| Step::Read(i, b)),
        4 => (1..30_u32).prop_map(Step::Maintain),
        1 => Just(Step::CheckAll),
    ]
}

/// Generates writes, maintenance, and searches with clauses of up to 1,024 terms: a few that most fragments have, some that many have,
/// and many that few have.
pub fn step_of_many_terms() -> impl Strategy<Value = Step> {
    let number = || prop_oneof![3 => 0..3_u64, 3 => 10..60_u64, 4 => 1000..4000_u64];
    let terms = move |most: usize| prop::collection::vec(number().prop_map(term), 1..=most);
    let fragment = (0..60_u128, 0..1000_u64, terms(30)).prop_map(|(id, start, terms)| {
        let built = fragment(id).starts(start, start + 50);
        built.terms(terms)
    });
    let clause = prop_oneof![3 => terms(3), 2 => terms(40), 2 => terms(1024)];
    let search = prop::collection::vec(clause, 1..4).prop_map(|clauses| Search {
        clauses,
        ..Search::all()
    });
    let limits = prop::collection::vec(1..60_u32, 1..4);
    prop_oneof![
        3 => prop::collection::vec(fragment, 1..90).prop_map(Step::Write),
        2 => (1..20_u32).prop_map(Step::Maintain),
        5 => (search, limits).prop_map(|(search, limits)| Step::Find(search, limits)),
    ]
}

/// Runs up to this many steps of maintenance, and stops when there is nothing left to do.
pub fn maintain<P: Plugin>(harness: &mut Harness<P>, steps: u32) {
    for _ in 0..steps {
        let more = harness.plugin().maintain(1000, kv::sizes());
        assert!(more.is_ok(), "upkeep failed: {more:?}");
        if more == Ok(false) {
            break;
        }
    }
}

/// Runs a plugin through these steps. Each write's trace numbers are `drift` above those of the write before, and `written` receives
/// the plugin's counts after each write.
pub fn run<P: Plugin>(
    harness: &mut Harness<P>,
    steps: Vec<Step>,
    drift: u128,
    written: impl Fn(Counts),
) {
    let mut base = 0;
    let write = |harness: &mut Harness<P>, fragments: Fragments, base: &mut u128| {
        let fragments = fragments.into_iter().map(|it| {
            let number = u128::from(it.trace_id());
            it.trace(*base + number)
        });
        written(harness.write(fragments));
        *base += drift;
    };
    for step in steps {
        match step {
            Step::Write(fragments) => write(harness, fragments, &mut base),
            Step::Find(search, limits) => {
                let mut limits = limits.into_iter().cycle();
                let found = harness.find_between(&search, || limits.next().unwrap_or(1), |_| {});
                // It finds exactly the matches, each once: it uses its index.
                assert_eq!(found.len(), harness.stored().matching(&search).count());
                assert!(found.is_sorted_by(|a, b| a.newest >= b.newest));
            }
            Step::FindAndWrite(search, limit, writes) => {
                let mut writes = writes.into_iter();
                let between = |harness: &mut Harness<P>| {
                    if let Some(fragments) = writes.next() {
                        write(harness, fragments, &mut base);
                        maintain(harness, 2);
                    }
                };
                harness.find_between(&search, || limit, between);
            }
            Step::Read(ids, max_bytes) => {
                let ids = ids.into_iter().map(|id| TraceId::from(base + id));
                let mut ids: Vec<TraceId> = ids.collect();
                ids.sort();
                ids.dedup();
                ids.reverse();
                harness.check_traces(&ids, max_bytes);
            }
            Step::Maintain(steps) => maintain(harness, steps),
            Step::CheckAll => harness.check_all(),
        }
    }
    harness.check_all();
    maintain(harness, 1000);
    harness.check_all();
}

/// Returns a term that shares neither half with another.
pub fn term(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Generates up to `most` fragments of these traces, with up to `payload` bytes of spans each.
pub fn fragments(traces: u128, payload: usize, most: usize) -> impl Strategy<Value = Fragments> {
    let one = (
        0..traces,
        (0..1000_u64, 0..100_u64),
        (0..50_u64, 0..50_u64),
        prop::collection::vec(0..12_u64, 0..6),
        prop::collection::vec((0..4_u8, 0..4_u8), 0..4),
        (0..payload, 1..9_u32),
    );
    let one = one.prop_map(
        |(id, starts, durations, terms, operations, (payload, spans))| {
            let mut built = fragment(id)
                .starts(starts.0, starts.0 + starts.1)
                .durations(durations.0, durations.0 + durations.1)
                .terms(terms.into_iter().map(term))
                .digest(vec![1; payload / 8])
                .otlp(vec![2; payload])
                .spans(spans);
            for (service, name) in operations {
                built = built.operation(
                    &format!("service-{service}"),
                    &format!("name-{name}"),
                    SpanKind::Server,
                );
            }
            built
        },
    );
    prop::collection::vec(one, 1..most)
}

/// Generates searches; some match much and others nothing.
pub fn search() -> impl Strategy<Value = Search> {
    let clause = prop::collection::vec((0..14_u64).prop_map(term), 1..4);
    let range = prop_oneof![
        Just((0, u64::MAX)),
        (0..1100_u64, 0..600_u64).prop_map(|(start, len)| (start, start + len)),
    ];
    let durations = prop_oneof![
        Just((0, u64::MAX)),
        (0..100_u64, 0..40_u64).prop_map(|(start, len)| (start, start + len)),
    ];
    (range, durations, prop::collection::vec(clause, 0..4)).prop_map(
        |((start, end), (shortest, longest), clauses)| Search {
            starts: TimeRange { start, end },
            durations: DurationRange { shortest, longest },
            clauses,
        },
    )
}
