//! Writers and readers that go on without a pause, and note whatever fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use larder_tests::otlp::{service, span};
use larder_tests::{Client, Larder, Query, eventually};
use tokio::task::JoinSet;

const WRITERS: u64 = 3;
const READERS: u64 = 3;

/// A load that runs until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    writers: JoinSet<Written>,
    readers: JoinSet<()>,
}

/// The traces that one writer has stored, by number.
pub(crate) struct Written {
    writer: u64,
    traces: u64,
}

fn id(writer: u64, number: u64) -> [u8; 16] {
    (u128::from(writer + 1) << 64 | u128::from(number)).to_be_bytes()
}

/// When a writer's trace begins: each has a time of its own.
fn at(writer: u64, number: u64) -> u64 {
    1_000_000 * (writer + 1) + 10 * number
}

// === impl Load ===

impl Load {
    /// Sets it to work; any call that fails ends its task with a panic.
    pub(crate) async fn start(larder: &Larder) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let calls = Arc::new(AtomicU64::new(0));
        let (mut writers, mut readers) = (JoinSet::new(), JoinSet::new());
        for writer in 0..WRITERS {
            let (client, stop) = (larder.client().await, Arc::clone(&stop));
            // The readers need something to look for.
            write(&client, writer, 0).await;
            let calls = Arc::clone(&calls);
            writers.spawn(async move {
                let mut traces = 1;
                while !stop.load(Ordering::Relaxed) {
                    write(&client, writer, traces).await;
                    traces += 1;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                Written { writer, traces }
            });
        }
        for reader in 0..READERS {
            let (client, stop) = (larder.client().await, Arc::clone(&stop));
            let calls = Arc::clone(&calls);
            readers.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    read(&client, reader % WRITERS).await;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        Self {
            stop,
            calls,
            writers,
            readers,
        }
    }

    /// Returns once so many calls more have ended.
    pub(crate) async fn goes_on(&self, calls: u64) {
        let until = self.calls.load(Ordering::Relaxed) + calls;
        eventually("the load to go on", async || {
            (self.calls.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }

    /// Ends it, and gives what was stored; fails if any call has.
    pub(crate) async fn stop(self) -> Vec<Written> {
        self.stop.store(true, Ordering::Relaxed);
        self.readers.join_all().await;
        self.writers.join_all().await
    }
}

async fn write(client: &Client, writer: u64, number: u64) {
    let one = span(id(writer, number), 1)
        .name("op")
        .at(at(writer, number));
    client.store([service("load").span(one)]).await;
}

/// Every read there is, of a trace that was stored before the load began.
async fn read(client: &Client, writer: u64) {
    let first = at(writer, 0);
    let query = Query::default().service("load").window(first, first + 1);
    assert_eq!(client.find(&query).await, [id(writer, 0)]);
    assert_eq!(client.services().await.unwrap(), ["load"]);
    assert_eq!(client.operations("load", "").await.unwrap().len(), 1);
    client.get_trace(id(writer, 0)).await;
}

// === impl Written ===

impl Written {
    /// All that was acknowledged is there, once.
    pub(crate) async fn is_there(&self, client: &Client) {
        for number in 0..self.traces {
            let trace = client.get_trace(id(self.writer, number)).await;
            assert_eq!(trace.spans().len(), 1, "trace {number} of {}", self.writer);
        }
    }
}
