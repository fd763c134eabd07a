//! Clients that write to all hosts, and that read what was written.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use larder_tests::otlp::spans_of;
use larder_tests::{Background, Ledger, Progress, Rng};
use tokio::time::{sleep, timeout};

use crate::history::History;
use crate::hosts::Clients;

const WRITERS: usize = 4;
const READERS: usize = 2;

/// The time after which a client turns to the next host, as one behind a load balancer would.
const DEADLINE: Duration = Duration::from_secs(5);
/// Between two calls of a client: two cores have three nodes and three hosts to run.
const PAUSE: Duration = Duration::from_millis(100);

/// Traces of two ids share an Export, and this is how far apart the Exports of a trace can be.
const NEIGHBOURS: u64 = 3;

/// The copies of each span that a host has shown, by trace.
type Shown = BTreeMap<[u8; 16], BTreeMap<Vec<u8>, u64>>;

/// What every client works with.
#[derive(Clone)]
struct World {
    clients: Clients,
    ledger: Arc<Ledger>,
    history: Arc<History>,
    shown: Arc<Vec<Mutex<Shown>>>,
}

/// Starts to write and to read.
pub(crate) fn start(
    clients: &Clients,
    ledger: &Arc<Ledger>,
    history: &Arc<History>,
    rng: &mut Rng,
) -> Background<()> {
    let world = World {
        clients: clients.clone(),
        ledger: Arc::clone(ledger),
        history: Arc::clone(history),
        shown: Arc::new((0..clients.len()).map(|_| Mutex::default()).collect()),
    };
    let mut load = Background::default();
    for _ in 0..WRITERS {
        let (world, rng) = (world.clone(), Rng::new(rng.next()));
        load.and(|progress| write(world, rng, progress));
    }
    for _ in 0..READERS {
        let (world, rng) = (world.clone(), Rng::new(rng.next()));
        load.and(|progress| read(world, rng, progress));
    }
    load
}

/// Exports to a random host; what it does not acknowledge in time goes to the next one, as often as it takes.
async fn write(world: World, mut rng: Rng, progress: Progress) {
    let hosts = world.clients.len();
    while progress.is_running() {
        let number = world.ledger.next();
        let mut place = any(&mut rng, hosts);
        while progress.is_running() {
            let client = world.clients.get(place);
            match timeout(DEADLINE, world.ledger.export(&client, number)).await {
                Ok(Ok(())) => {
                    world.history.acknowledged();
                    break;
                }
                Ok(Err(status)) => {
                    let code = status.code();
                    world.history.count(&format!("Exports refused: {code:?}"));
                    sleep(PAUSE).await;
                }
                Err(_) => world.history.count("Exports without an answer in time"),
            }
            place = (place + 1) % hosts;
        }
        sleep(PAUSE).await;
    }
}

/// Reads a trace on a random host. It has to show each span as often as it was acknowledged before, and as often as it has shown it before.
async fn read(world: World, mut rng: Rng, progress: Progress) {
    while progress.is_running() {
        sleep(PAUSE).await;
        let count = world.ledger.len();
        if count > 0 {
            // Half of them are recent.
            let back = if rng.below(2) == 0 {
                count
            } else {
                count.min(50)
            };
            let number = count - 1 - rng.below(back);
            let place = any(&mut rng, world.clients.len());
            world.read(place, number).await;
        }
    }
}

// === impl World ===

impl World {
    async fn read(&self, place: usize, number: u64) {
        let resource = self.ledger.resource(number).0;
        let span = spans_of([&resource]).next().expect("a span");
        let trace: [u8; 16] = span.span.trace_id[..].try_into().unwrap();
        let mut least = self.acknowledged(trace, number);
        let before = self.shown(place, trace);
        let client = self.clients.get(place);
        let Ok(Ok(found)) = timeout(DEADLINE, client.get_traces([trace])).await else {
            self.history.count("reads without an answer");
            return;
        };
        self.history.count("reads");
        let mut shown: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
        for span in found.iter().flat_map(|trace| trace.spans()) {
            *shown.entry(span.span_id.clone()).or_default() += 1;
        }
        for (span, copies) in before {
            let known = least.entry(span).or_default();
            *known = copies.max(*known);
        }
        for (span, copies) in least {
            let now = shown.get(&span).copied().unwrap_or(0);
            if now < copies {
                self.history.note_wrong(format!(
                    "host {place} shows {now} of {copies} copies of a span of Export {number}"
                ));
            }
        }
        self.note_shown(place, trace, shown);
    }

    /// Returns how often each span of a trace has been acknowledged so far.
    fn acknowledged(&self, trace: [u8; 16], near: u64) -> BTreeMap<Vec<u8>, u64> {
        let mut spans = BTreeMap::new();
        let end = self.ledger.len().min(near + NEIGHBOURS + 1);
        for number in near.saturating_sub(NEIGHBOURS)..end {
            let times = self.ledger.get(number).acknowledged;
            let resource = self.ledger.resource(number).0;
            for one in spans_of([&resource]).filter(|one| one.span.trace_id == trace) {
                spans.insert(one.span.span_id.clone(), times);
            }
        }
        spans
    }

    fn shown(&self, place: usize, trace: [u8; 16]) -> BTreeMap<Vec<u8>, u64> {
        let shown = self.shown[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        shown.get(&trace).cloned().unwrap_or_default()
    }

    /// Another reader may have seen more.
    fn note_shown(&self, place: usize, trace: [u8; 16], spans: BTreeMap<Vec<u8>, u64>) {
        let mut shown = self.shown[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = shown.entry(trace).or_default();
        for (span, copies) in spans {
            let known = known.entry(span).or_default();
            *known = copies.max(*known);
        }
    }
}

/// Looks on every host for what must be on none.
pub(crate) async fn look_for_zombies(
    clients: &Clients,
    ledger: &Ledger,
    zombies: &[u64],
    history: &History,
) {
    for number in zombies {
        let resource = ledger.resource(*number).0;
        let spans: Vec<_> = spans_of([&resource]).map(|one| one.span).collect();
        let mut traces: Vec<_> = spans.iter().map(|span| span.trace_id.clone()).collect();
        traces.dedup();
        for place in 0..clients.len() {
            let found = clients.get(place).get_traces(&traces).await;
            let found = found.expect("GetTraces");
            let found = found.iter().flat_map(|trace| trace.spans());
            let mut ids = found.map(|span| &span.span_id);
            if ids.any(|id| spans.iter().any(|span| span.span_id == *id)) {
                history.note_wrong(format!(
                    "host {place} shows Export {number}, which went to a process that had lost its id"
                ));
            }
        }
    }
}

fn any(rng: &mut Rng, places: usize) -> usize {
    usize::try_from(rng.below(places as u64)).expect("one of a few")
}
