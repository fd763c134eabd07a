//! Writers and readers that call continuously without failures.

use larder_tests::otlp::{service, span};
use larder_tests::{Background, Client, Larder, Query};

const WRITERS: u64 = 3;
const READERS: u64 = 3;

/// A load that runs until it is stopped.
pub(crate) struct Load(Background<Option<Written>>);

/// The traces that one writer has stored, by number.
pub(crate) struct Written {
    writer: u64,
    traces: u64,
}

fn id(writer: u64, number: u64) -> [u8; 16] {
    (u128::from(writer + 1) << 64 | u128::from(number)).to_be_bytes()
}

/// Returns the start of a writer's trace: all of them differ.
fn at(writer: u64, number: u64) -> u64 {
    1_000_000 * (writer + 1) + 10 * number
}

// === impl Load ===

impl Load {
    /// Starts the load.
    pub(crate) async fn start(larder: &Larder) -> Self {
        let mut load = Background::default();
        for writer in 0..WRITERS {
            let client = larder.client().await;
            // The readers need something to find.
            write(&client, writer, 0).await;
            load.and(|progress| async move {
                let mut traces = 1;
                while progress.is_running() {
                    write(&client, writer, traces).await;
                    traces += 1;
                    progress.count();
                }
                Some(Written { writer, traces })
            });
        }
        for reader in 0..READERS {
            let client = larder.client().await;
            load.and(|progress| async move {
                while progress.is_running() {
                    read(&client, reader % WRITERS).await;
                    progress.count();
                }
                None
            });
        }
        Self(load)
    }

    /// Returns once `calls` more calls have ended.
    pub(crate) async fn wait_for_calls(&self, calls: u64) {
        self.0.calls(calls).await;
    }

    /// Stops it, and returns what was stored.
    pub(crate) async fn stop(self) -> Vec<Written> {
        self.0.stop().await.into_iter().flatten().collect()
    }
}

async fn write(client: &Client, writer: u64, number: u64) {
    let one = span(id(writer, number), 1)
        .name("op")
        .at(at(writer, number));
    client.store([service("load").span(one)]).await;
}

/// Makes every read of a trace that was stored before the load began.
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
    /// Asserts that everything acknowledged is stored exactly once.
    pub(crate) async fn is_there(&self, client: &Client) {
        for number in 0..self.traces {
            let trace = client.get_trace(id(self.writer, number)).await;
            assert_eq!(trace.spans().len(), 1, "trace {number} of {}", self.writer);
        }
    }
}
