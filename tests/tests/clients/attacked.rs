//! A server, with a client that behaves and wants to be served all the while.

use larder_tests::otlp::{service, span};
use larder_tests::status::retry_info;
use larder_tests::{Background, Client, Larder, Options, Plugin, Query, Turns};
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
        let well_behaved = Background::spawn(|turns| behave(client, turns));
        Self {
            larder,
            memory,
            margin,
            well_behaved,
        }
    }

    /// The client that behaves is served from here on too, though nothing of what is hostile has ended.
    pub(crate) async fn assert_serves(&self) {
        self.well_behaved.calls(2).await;
    }

    /// The client that behaves was served to the end, and the server never held more than it may.
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

/// Searches until it is told to stop; every call has to be answered, be it that there is too much at a time.
async fn behave(client: Client, turns: Turns) {
    let query = Query::default().service("fine").depth(1);
    while turns.go_on() {
        match client.find_trace_ids(&query).await {
            Ok(found) => {
                assert_eq!(found.len(), 1);
                turns.count();
            }
            Err(status) => {
                assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
                assert!(retry_info(&status).is_some(), "{status:?}");
            }
        }
        larder_tests::pace().await;
    }
}
