//! Random writes, searches, reads and evictions, compared with a plain list.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use larder_memory::Memory;
use larder_plugin::testing::{FragmentBuilder, Harness, fragment};
use larder_plugin::{DurationRange, Search, SpanKind, TimeRange, TraceId};
use proptest::prelude::*;

/// A term that shares no half with another.
fn term(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Bytes that can be packed, or hardly can.
fn bytes(len: usize, noisy: bool) -> Vec<u8> {
    let noise = (0_u64..).map(|n| (n * n).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes()[0]);
    let plain = std::iter::repeat(2);
    if noisy {
        noise.take(len).collect()
    } else {
        plain.take(len).collect()
    }
}

/// A batch: fragments, each with the number of its trace.
type Fragments = Vec<(u128, FragmentBuilder)>;

fn fragments(traces: u128, payload: usize) -> impl Strategy<Value = Fragments> {
    let one = (
        0..traces,
        (0..1000_u64, 0..100_u64),
        (0..50_u64, 0..50_u64),
        prop::collection::vec(0..12_u64, 0..6),
        prop::collection::vec((0..4_u8, 0..4_u8), 0..4),
        (0..payload, any::<bool>(), 1..9_u32),
    );
    let one = one.prop_map(
        |(id, starts, durations, terms, operations, (payload, noisy, spans))| {
            let mut built = fragment(id)
                .starts(starts.0, starts.0 + starts.1)
                .durations(durations.0, durations.0 + durations.1)
                .terms(terms.into_iter().map(term))
                .digest(vec![1; payload / 8])
                .otlp(bytes(payload, noisy))
                .spans(spans);
            for (service, name) in operations {
                built = built.operation(
                    &format!("service-{service}"),
                    &format!("name-{name}"),
                    SpanKind::Server,
                );
            }
            (id, built)
        },
    );
    prop::collection::vec(one, 1..40)
}

fn search() -> impl Strategy<Value = Search> {
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

#[derive(Clone, Debug)]
enum Step {
    Write(Fragments),
    /// With these limits in turn.
    Find(Search, Vec<u32>),
    /// With one of these batches written after each page.
    FindAndWrite(Search, u32, Vec<Fragments>),
    Read(Vec<u128>, u32),
    CheckAll,
}

fn step(payload: usize) -> impl Strategy<Value = Step> {
    let writes = move || fragments(30, payload);
    prop_oneof![
        6 => writes().prop_map(Step::Write),
        4 => (search(), prop::collection::vec(1..60_u32, 1..4)).prop_map(|(s, l)| Step::Find(s, l)),
        2 => (search(), 1..30_u32, prop::collection::vec(writes(), 1..4))
            .prop_map(|(s, l, w)| Step::FindAndWrite(s, l, w)),
        2 => (prop::collection::vec(0..70_u128, 1..9), 0..5000_u32).prop_map(|(i, b)| Step::Read(i, b)),
        1 => Just(Step::CheckAll),
    ]
}

/// What the traces of a batch are numbered from: a later batch shares some with the one before it, and none with those long ago.
struct Run {
    harness: Harness<Memory>,
    max_bytes: u64,
    drift: u128,
    base: u128,
}

impl Run {
    fn write(&mut self, fragments: Fragments) {
        write(&mut self.harness, self.base, fragments, self.max_bytes);
        self.base += self.drift;
    }
}

fn write(harness: &mut Harness<Memory>, base: u128, fragments: Fragments, max_bytes: u64) {
    let fragments = fragments.into_iter();
    let counts = harness.write(fragments.map(|(id, fragment)| fragment.trace(base + id)));
    assert!(counts.bytes <= max_bytes, "{} bytes", counts.bytes);
}

fn run(mut run: Run, steps: Vec<Step>) {
    for step in steps {
        match step {
            Step::Write(fragments) => run.write(fragments),
            Step::Find(search, limits) => {
                let mut limits = limits.into_iter().cycle();
                let found = run
                    .harness
                    .find_between(&search, || limits.next().unwrap(), |_| {});
                // It finds no more than it has to, and each once: it uses its index.
                assert_eq!(found.len(), run.harness.stored().matching(&search).count());
                assert!(found.is_sorted_by(|a, b| a.newest >= b.newest));
            }
            Step::FindAndWrite(search, limit, writes) => {
                let mut writes = writes.into_iter();
                let between = |harness: &mut Harness<Memory>| {
                    if let Some(fragments) = writes.next() {
                        write(harness, run.base, fragments, run.max_bytes);
                        run.base += run.drift;
                    }
                };
                run.harness.find_between(&search, || limit, between);
            }
            Step::Read(ids, max_bytes) => {
                let mut ids: Vec<TraceId> = ids
                    .into_iter()
                    .map(|id| TraceId::from(run.base + id))
                    .collect();
                ids.sort();
                ids.dedup();
                ids.reverse();
                run.harness.check_traces(&ids, max_bytes);
            }
            Step::CheckAll => run.harness.check_all(),
        }
    }
    run.harness.check_all();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn it_answers_as_a_list_does_with_a_limit_of_traces(
        steps in prop::collection::vec(step(64), 1..60),
        max_traces in 1..50_usize,
        unpacked in prop_oneof![Just("0"), Just("16KiB"), Just("1GiB")],
    ) {
        let text = max_traces.to_string();
        let harness = Harness::open(&[
            ("max_traces", text.as_str()),
            ("max_bytes", "4MiB"),
            ("unpacked_bytes", unpacked),
        ]);
        let harness = harness.unwrap().with_max_traces(max_traces);
        run(Run { harness, max_bytes: 4 << 20, drift: 0, base: 0 }, steps);
    }

    #[test]
    fn it_answers_as_a_list_does_with_a_limit_of_bytes(
        steps in prop::collection::vec(step(6000), 1..60),
    ) {
        let harness = Harness::open(&[("max_bytes", "1MiB")]).unwrap();
        run(Run { harness, max_bytes: 1 << 20, drift: 20, base: 0 }, steps);
    }
}
