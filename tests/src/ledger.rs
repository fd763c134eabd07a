//! Records what was sent and acknowledged, by number. An Export's spans are derived from its number, so none have to be stored for
//! comparison.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use larder_oracle::Query;
use larder_oracle::otlp::{ResourceBuilder, noise, service, span, spans_of};
use prost::Message as _;

use crate::answers::Trace;
use crate::client::Client;
use crate::rng::Rng;

/// The number of consecutive Exports whose spans share a trace.
const EXPORTS_PER_TRACE: u64 = 3;
const SERVICES: u64 = 5;
/// 2023, in nanoseconds.
const EPOCH: u64 = 1_700_000_000_000_000_000;
const MILLI: u64 = 1_000_000;
/// Traces requested per call.
const TRACES_PER_CALL: usize = 30;

/// The record of all Exports.
#[derive(Debug)]
pub struct Ledger {
    seed: u64,
    exports: Mutex<Vec<Export>>,
}

/// The number of times that an Export was sent, and that it was acknowledged.
#[derive(Clone, Copy, Debug, Default)]
pub struct Export {
    /// Times that it was sent.
    pub tries: u64,
    /// Times that it was acknowledged.
    pub acknowledged: u64,
    /// Time of the last acknowledgement.
    pub acknowledged_at: Option<Instant>,
}

/// Says whether an Export counts.
type Judge<'a> = &'a (dyn Fn(u64) -> bool + Sync);

// === impl Ledger ===

impl Ledger {
    /// Starts a record; Exports of another seed differ in all.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            exports: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Export>> {
        self.exports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts the Exports.
    #[expect(clippy::len_without_is_empty, reason = "nothing asks that")]
    pub fn len(&self) -> u64 {
        self.lock().len() as u64
    }

    /// Returns what became of an Export so far.
    pub fn get(&self, number: u64) -> Export {
        self.lock()[usize::try_from(number).expect("a number that fits")]
    }

    /// Sums over all Exports.
    pub fn total(&self) -> Export {
        self.lock()
            .iter()
            .fold(Export::default(), |sum, it| Export {
                tries: sum.tries + it.tries,
                acknowledged: sum.acknowledged + it.acknowledged,
                acknowledged_at: sum.acknowledged_at.max(it.acknowledged_at),
            })
    }

    /// Returns a snapshot of the acknowledgements.
    pub fn so_far(&self) -> Vec<Export> {
        self.lock().clone()
    }

    /// Returns the same Exports, with the acknowledgements of an earlier snapshot.
    #[must_use]
    pub fn with_acknowledged(&self, earlier: &[Export]) -> Self {
        let mut exports = self.so_far();
        for (number, export) in exports.iter_mut().enumerate() {
            export.acknowledged = earlier.get(number).map_or(0, |it| it.acknowledged);
        }
        Self {
            seed: self.seed,
            exports: Mutex::new(exports),
        }
    }

    /// Returns a new Export's number.
    pub fn next(&self) -> u64 {
        let mut exports = self.lock();
        exports.push(Export::default());
        exports.len() as u64 - 1
    }

    fn change(&self, number: u64, change: impl FnOnce(&mut Export)) {
        change(&mut self.lock()[usize::try_from(number).unwrap()]);
    }

    /// Sends an Export. A partial success acknowledges nothing, and counts as `INTERNAL` here.
    pub async fn export(&self, client: &Client, number: u64) -> Result<(), tonic::Status> {
        self.change(number, |it| it.tries += 1);
        let answer = client.export([self.resource(number)]).await?;
        if let Some(refused) = answer.partial_success {
            return Err(tonic::Status::internal(refused.error_message));
        }
        self.change(number, |it| {
            it.acknowledged += 1;
            it.acknowledged_at = Some(Instant::now());
        });
        Ok(())
    }

    /// Sends a new Export, which must be acknowledged.
    pub async fn store(&self, client: &Client) -> u64 {
        let number = self.next();
        self.export(client, number)
            .await
            .expect("an Export that works");
        number
    }

    fn trace(&self, trace: u64) -> [u8; 16] {
        (u128::from(self.seed | 1) << 64 | u128::from(trace)).to_be_bytes()
    }

    /// Builds an Export: usually a few spans, sometimes many or large ones.
    pub fn resource(&self, number: u64) -> ResourceBuilder {
        let mut rng = Rng::new(self.seed ^ number.wrapping_mul(0x9e37_79b9));
        let (spans, bytes) = match rng.below(100) {
            0 => (20, 50_000),
            1..6 => (60, 2000),
            6..20 => (150, 50),
            _ => (1 + rng.below(8), 30),
        };
        let mut built = service(name(number)).scope("crash", "1", []);
        for index in 0..spans {
            let text = noise(rng.next(), usize::try_from(bytes).unwrap());
            let check = i64::from_le_bytes(rng.next().to_le_bytes());
            let one = span(self.trace(trace(number, index)), id(number, index))
                .name(&format!("operation {}", number % 7))
                .at(EPOCH + number * MILLI)
                .lasting(index)
                .attribute("check", check)
                .attribute("text", text);
            built = built.span(one);
        }
        built
    }

    /// Asserts that every span of these Exports is stored byte for byte, at least as often as it was acknowledged and at most as often as
    /// it was sent; that no Export is stored in part; and that searches find them.
    pub async fn verify(&self, client: &Client, numbers: Range<u64>) {
        self.verify_traces(client, numbers.clone()).await;
        let exports = self.lock().clone();
        let export = |number: u64| exports[usize::try_from(number).unwrap()];
        let least = |number| export(number).acknowledged > 0;
        let most = |number| export(number).tries > 0;
        self.verify_searches(client, &numbers, (&least, &most))
            .await;
    }

    /// Like [`Ledger::verify`], without the searches: for a store that has the traces of another ledger as well.
    pub async fn verify_traces(&self, client: &Client, numbers: Range<u64>) {
        let found = self.found(client, numbers.clone()).await;
        let exports = self.lock().clone();
        for number in numbers {
            let (export, times) = (exports[usize::try_from(number).unwrap()], found[&number]);
            assert!(
                (export.acknowledged..=export.tries).contains(&times),
                "Export {number} is there {times} times: {export:?}"
            );
        }
    }

    /// Returns the Exports that are stored, after some may have been dropped. Asserts that none is stored in part, that none that is `due`
    /// is missing, and that searches find exactly those.
    pub async fn verify_kept(&self, client: &Client, due: impl Fn(u64) -> bool) -> BTreeSet<u64> {
        let mut kept = BTreeSet::new();
        let (mut from, end) = (0, self.len());
        while from < end {
            let numbers = from..end.min(from + 120);
            from = numbers.end;
            let found = self.found(client, numbers.clone()).await;
            for number in numbers.clone() {
                let export = self.get(number);
                let (times, due) = (found[&number], due(number));
                let right = times <= export.tries && (times >= export.acknowledged || !due);
                assert!(right, "Export {number} is there {times} times: {export:?}");
            }
            let is_there = |number| found[&number] > 0;
            self.verify_searches(client, &numbers, (&is_there, &is_there))
                .await;
            kept.extend(numbers.filter(|it| is_there(*it)));
        }
        kept
    }

    /// Counts the stored copies of each of these Exports, byte for byte; none may be stored in part.
    async fn found(&self, client: &Client, numbers: Range<u64>) -> BTreeMap<u64, u64> {
        let traces: Vec<u64> =
            (numbers.start / EXPORTS_PER_TRACE..=numbers.end / EXPORTS_PER_TRACE).collect();
        let mut found = BTreeMap::new();
        for traces in traces.chunks(TRACES_PER_CALL) {
            let ids = traces.iter().map(|trace| self.trace(*trace));
            let answer = client.get_traces(ids).await.expect("GetTraces");
            self.count(&answer, &mut found);
        }
        for number in numbers {
            found.entry(number).or_default();
        }
        found
    }

    /// Like [`Ledger::verify`], for all Exports.
    pub async fn verify_all(&self, client: &Client) {
        let (mut from, end) = (0, self.len());
        while from < end {
            let to = end.min(from + 120);
            self.verify(client, from..to).await;
            from = to;
        }
    }

    /// Returns true if none of its traces can be read.
    pub async fn is_missing(&self, client: &Client) -> bool {
        let traces = (0..=self.len() / EXPORTS_PER_TRACE).map(|trace| self.trace(trace));
        client
            .get_traces(traces)
            .await
            .expect("GetTraces")
            .is_empty()
    }

    /// Counts the copies of each Export in these traces.
    fn count(&self, traces: &[Trace], found: &mut BTreeMap<u64, u64>) {
        let mut spans: BTreeMap<u64, u64> = BTreeMap::new();
        for trace in traces {
            let mut expected = BTreeMap::new();
            for got in spans_of(&trace.data.resource_spans) {
                let id = u64::from_be_bytes(got.span.span_id[..].try_into().unwrap());
                let number = id >> 16;
                let all = expected.entry(number);
                let all = all.or_insert_with(|| self.resource(number).0);
                let sent = spans_of([&*all]).find(|it| it.span.span_id == got.span.span_id);
                let sent = sent.expect("a span that was sent");
                assert_eq!(
                    sent.alone().encode_to_vec(),
                    got.alone().encode_to_vec(),
                    "{number}"
                );
                *spans.entry(id).or_default() += 1;
            }
            for (number, all) in &expected {
                let here = spans_of([all]).filter(|it| it.span.trace_id == trace.id);
                for sent in here {
                    let id = u64::from_be_bytes(sent.span.span_id[..].try_into().unwrap());
                    let times = spans.get(&id).copied().unwrap_or(0);
                    let others = *found.entry(*number).or_insert(times);
                    assert_eq!(times, others, "Export {number} is there in part");
                }
            }
        }
    }

    /// Asserts that searches find the traces of all Exports in `least`, and none beyond `most`.
    async fn verify_searches(
        &self,
        client: &Client,
        numbers: &Range<u64>,
        (least, most): (Judge<'_>, Judge<'_>),
    ) {
        for which in 0..SERVICES {
            let query = Query::default()
                .service(name(which))
                .window(
                    EPOCH + numbers.start * MILLI,
                    EPOCH + numbers.end * MILLI - 1,
                )
                .depth(1000);
            let found: BTreeSet<[u8; 16]> = client.find(&query).await.into_iter().collect();
            let of = |wanted: &dyn Fn(u64) -> bool| -> BTreeSet<[u8; 16]> {
                let numbers = numbers.clone().filter(|it| it % SERVICES == which);
                let numbers = numbers.filter(|it| wanted(*it));
                let spans = numbers.flat_map(|number| {
                    let spans = self.resource(number).0.scope_spans.remove(0).spans;
                    spans.into_iter().map(|it| it.trace_id)
                });
                spans.map(|id| id[..].try_into().unwrap()).collect()
            };
            assert!(found.is_superset(&of(least)), "not found: {query:?}");
            assert!(found.is_subset(&of(most)), "not there: {query:?}");
        }
    }
}

fn name(number: u64) -> String {
    format!("crash-{}", number % SERVICES)
}

/// Returns the trace of a span: half of an Export's spans belong to the next one's.
fn trace(number: u64, index: u64) -> u64 {
    (number + index % 2) / EXPORTS_PER_TRACE
}

fn id(number: u64, index: u64) -> u64 {
    number << 16 | (index + 1)
}
