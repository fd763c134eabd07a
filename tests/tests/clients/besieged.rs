//! A server, with a client that behaves and wants to be served all the while.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use larder_tests::otlp::{service, span};
use larder_tests::status::retry_info;
use larder_tests::{Client, Larder, Options, Plugin, Query, eventually};
use tokio::task::JoinHandle;
use tonic::Code;

/// The most that the server may hold above what it held at its start: four requests of the largest size (64 MiB), once as they came
/// and once as fragments, and what allocators keep.
const MEMORY_MARGIN: u64 = 1 << 30;
/// The largest request of a server that is to be sent much more than it takes, and the same margin for it.
const SMALL_REQUEST: &str = "8MiB";
const SMALL_MARGIN: u64 = MEMORY_MARGIN / 8 + SLACK;
/// What threads and connections take, whatever the requests are.
const SLACK: u64 = 64 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Besieged {
    pub(crate) larder: Larder,
    memory: u64,
    margin: u64,
    calls: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    well_behaved: JoinHandle<()>,
}

impl Besieged {
    pub(crate) async fn begin() -> Self {
        Self::with(Options::new(Plugin::Memory), MEMORY_MARGIN).await
    }

    /// A server that takes requests of 8 MiB at most, and holds accordingly less.
    pub(crate) async fn small() -> Self {
        let options = Options::new(Plugin::Memory);
        let options = options.environment("LARDER_GRPC_MAX_REQUEST_BYTES", SMALL_REQUEST);
        Self::with(options, SMALL_MARGIN).await
    }

    async fn with(options: Options, margin: u64) -> Self {
        let larder = options.start();
        let client = larder.client().await;
        let one = span([1; 16], 1).at(1000);
        client.store([service("fine").span(one)]).await;
        let memory = larder.memory("VmRSS");
        let (calls, stop) = (
            Arc::new(AtomicU64::new(0)),
            Arc::new(AtomicBool::new(false)),
        );
        let well_behaved = tokio::spawn(behave(client, Arc::clone(&calls), Arc::clone(&stop)));
        Self {
            larder,
            memory,
            margin,
            calls,
            stop,
            well_behaved,
        }
    }

    /// The client that behaves is served from here on too, though nothing of what is hostile has ended.
    pub(crate) async fn assert_serves(&self) {
        let before = self.calls.load(Ordering::Relaxed);
        eventually("calls of the client that behaves", async || {
            assert!(!self.well_behaved.is_finished(), "it was not served");
            (self.calls.load(Ordering::Relaxed) > before + 1).then_some(())
        })
        .await;
    }

    /// The client that behaves was served to the end, and the server never held more than it may.
    pub(crate) async fn end(self) -> Larder {
        self.assert_serves().await;
        self.stop.store(true, Ordering::Relaxed);
        self.well_behaved
            .await
            .expect("the client that behaves was served");
        let peak = self.larder.memory("VmHWM").saturating_sub(self.memory);
        assert!(
            peak < self.margin,
            "{} MiB more than at the start",
            peak >> 20
        );
        self.larder
    }
}

/// Searches until it is told to stop; every call has to be answered, be it that there is too much at a time.
async fn behave(client: Client, calls: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    let query = Query::default().service("fine").depth(1);
    while !stop.load(Ordering::Relaxed) {
        match client.find_trace_ids(&query).await {
            Ok(found) => {
                assert_eq!(found.len(), 1);
                calls.fetch_add(1, Ordering::Relaxed);
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert!(retry_info(&status).is_some(), "{status:?}");
            }
        }
        larder_tests::pace().await;
    }
}
