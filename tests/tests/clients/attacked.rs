//! A server under attack by hostile clients, and a well-behaved client that must be served meanwhile.

use larder_tests::otlp::{service, span};
use larder_tests::status::retry_info;
use larder_tests::{Background, Client, Larder, Options, Plugin, Progress, Query};
use tonic::Code;

/// Memory that the server may use above its start: four requests of the largest size (64 MiB), once as sent and once as fragments, and
/// the allocator's overhead.
const MEMORY_MARGIN: u64 = 1 << 30;
/// The largest request of a server that receives far more than it accepts, and the corresponding margin.
const SMALL_REQUEST: &str = "8MiB";
const SMALL_MARGIN: u64 = MEMORY_MARGIN / 8 + SLACK;
/// Memory for threads and connections, independent of requests.
const SLACK: u64 = 64 << 20;

/// A server with a well-behaved client.
#[derive(Debug)]
pub(crate) struct Attacked {
    pub(crate) larder: Larder,
    memory: u64,
    margin: u64,
    well_behaved: Background<()>,
}

impl Attacked {
    pub(crate) async fn begin() -> Self {
        Self::with(Options::new(Plugin::Memory), MEMORY_MARGIN).await
    }

    /// Starts a server that accepts requests of at most 8 MiB, with a smaller margin.
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
        let well_behaved = Background::spawn(|progress| search_until_stopped(client, progress));
        Self {
            larder,
            memory,
            margin,
            well_behaved,
        }
    }

    /// Asserts that the well-behaved client is still being served.
    pub(crate) async fn assert_serves(&self) {
        self.well_behaved.calls(2).await;
    }

    /// Asserts that the well-behaved client was always served, and that the server stayed within its memory.
    pub(crate) async fn end(self) -> Larder {
        self.assert_serves().await;
        self.well_behaved.stop().await;
        let peak = self.larder.memory("VmHWM").saturating_sub(self.memory);
        assert!(
            peak < self.margin,
            "{} MiB more than at the start",
            peak >> 20
        );
        self.larder
    }
}

/// Searches until it is stopped. Every call must be answered, if only by a refusal for too many calls.
async fn search_until_stopped(client: Client, progress: Progress) {
    let query = Query::default().service("fine").depth(1);
    while progress.is_running() {
        match client.find_trace_ids(&query).await {
            Ok(found) => {
                assert_eq!(found.len(), 1);
                progress.count();
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert!(retry_info(&status).is_some(), "{status:?}");
            }
        }
        larder_tests::pace().await;
    }
}
