//! A test's part of a shared server: services, trace ids and a time window that no other test uses.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::SystemTime;

use larder_oracle::otlp::{ResourceBuilder, service};
use larder_oracle::{Query, SpanSearch};

use crate::client::Client;
use crate::cluster::Cluster;
use crate::plugins::Plugin;
use crate::server::{Larder, Options};

/// The variable that runs the shared tests against another storage, such as `127.0.0.1:17271`, to compare with Jaeger's own.
const REFERENCE: &str = "LARDER_TESTS_ENDPOINT";

/// The variable that runs the shared tests of `kv` on two hosts of one store: spans are written on one and read on the other. Needs a
/// Cassandra, which `tests/cassandra.sh` starts.
const HOSTS: &str = "LARDER_TESTS_HOSTS";

/// Length of a scene's time window: a thousand seconds, in nanoseconds.
const LENGTH: u64 = 1_000_000_000_000;

/// A test's part of a shared server.
#[derive(Debug)]
pub struct Scene {
    /// A connected client.
    pub client: Client,
    /// The shared servers, whose logs a test that fails shows, each from a line on.
    shown: Vec<(&'static Larder, usize)>,
    tag: u64,
}

impl Scene {
    /// Creates a scene on this process's server for `plugin`, or on its two hosts.
    pub async fn new(plugin: Plugin) -> Self {
        if let Ok(address) = std::env::var(REFERENCE) {
            let address: SocketAddr = address
                .parse()
                .expect("LARDER_TESTS_ENDPOINT is an address");
            return Self::with(Client::connect(address).await, &[]);
        }
        if plugin == Plugin::Kv && std::env::var(HOSTS).is_ok_and(|hosts| hosts == "2") {
            let [writer, reader] = shared_hosts();
            let client = reader.client().await;
            let client = client.exporting_to(&writer.client().await);
            return Self::with(client, &[writer, reader]);
        }
        let larder = shared(plugin);
        Self::with(larder.client().await, &[larder])
    }

    fn with(client: Client, shown: &[&'static Larder]) -> Self {
        let lines = |larder: &&'static Larder| (*larder, larder.lines().len());
        Self {
            client,
            shown: shown.iter().map(lines).collect(),
            tag: next_tag(),
        }
    }

    /// Creates a scene on a server of the test's own, whose log the server shows itself.
    pub async fn of(larder: &Larder) -> Self {
        Self::with(larder.client().await, &[])
    }

    /// Returns the same scene on another server, which has the data of the one before.
    pub async fn on(&self, larder: &Larder) -> Self {
        Self {
            client: larder.client().await,
            shown: Vec::new(),
            tag: self.tag,
        }
    }

    /// Creates another scene on the same server.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            client: self.client.clone(),
            shown: self.shown.clone(),
            tag: next_tag(),
        }
    }

    /// Returns the one shared server that the scene is on.
    ///
    /// # Panics
    /// Where it is on two hosts, on another storage, or on a server of the test's own.
    pub fn larder(&self) -> &'static Larder {
        match self.shown[..] {
            [(larder, _)] => larder,
            _ => panic!("this runs against one larder alone"),
        }
    }

    /// Returns a service name of this scene.
    pub fn service(&self, name: &str) -> String {
        format!("{name}-{:x}", self.tag)
    }

    /// Starts a resource of such a service.
    pub fn resource(&self, name: &str) -> ResourceBuilder {
        service(self.service(name))
    }

    /// Returns a trace id of this scene; they are ordered by `number`.
    pub fn trace(&self, number: u64) -> [u8; 16] {
        (u128::from(self.tag) << 64 | u128::from(number)).to_be_bytes()
    }

    /// Returns the numbers of trace ids of this scene.
    pub fn numbers(&self, ids: &[[u8; 16]]) -> Vec<u64> {
        ids.iter()
            .map(|id| {
                let id = u128::from_be_bytes(*id);
                assert_eq!((id >> 64) as u64, self.tag, "a trace of another test");
                #[expect(clippy::cast_possible_truncation, reason = "the lower half")]
                let number = id as u64;
                number
            })
            .collect()
    }

    /// Returns the time `offset` nanoseconds after the start of this scene.
    pub fn at(&self, offset: u64) -> u64 {
        assert!(offset < LENGTH);
        1_000_000_000_000_000_000 + self.tag % 2_000_000 * LENGTH + offset
    }

    /// Returns a query for this scene's time window, of any service.
    pub fn query(&self) -> Query {
        Query::default()
            .window(self.at(0), self.at(LENGTH - 1))
            .depth(1000)
    }

    /// Returns a search for the spans of this scene's time window.
    pub fn span_search(&self) -> SpanSearch {
        SpanSearch::within(self.at(0), self.at(LENGTH - 1))
    }

    /// Exports these resources; all spans must be accepted.
    pub async fn store(&self, resources: impl IntoIterator<Item = ResourceBuilder>) {
        self.client.store(resources).await;
    }

    /// Returns the numbers of the matching traces, newest first; asks all three RPCs.
    pub async fn find(&self, query: Query) -> Vec<u64> {
        self.numbers(&self.client.find(&query).await)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for (larder, from) in &self.shown {
                larder.show(*from);
            }
        }
    }
}

/// Returns this process's server for a plugin.
fn shared(plugin: Plugin) -> &'static Larder {
    static KV: OnceLock<Larder> = OnceLock::new();
    static MEMORY: OnceLock<Larder> = OnceLock::new();
    static MINIMAL: OnceLock<Larder> = OnceLock::new();
    static MINIMAL_0_1: OnceLock<Larder> = OnceLock::new();
    static C_0_1: OnceLock<Larder> = OnceLock::new();
    static REPLICATED_0_1: OnceLock<Larder> = OnceLock::new();
    let server = match plugin {
        Plugin::Kv => &KV,
        Plugin::Memory => &MEMORY,
        Plugin::Minimal => &MINIMAL,
        Plugin::Minimal0_1 => &MINIMAL_0_1,
        Plugin::C0_1 => &C_0_1,
        Plugin::Replicated0_1 => &REPLICATED_0_1,
        other => panic!("{other:?} is not for tests to share"),
    };
    server.get_or_init(|| Options::new(plugin).start())
}

/// Returns this process's two hosts of one store: the one for writes, and the one for reads.
fn shared_hosts() -> &'static [Larder; 2] {
    static HOSTS: OnceLock<[Larder; 2]> = OnceLock::new();
    HOSTS.get_or_init(|| {
        let cluster = Cluster::new();
        ["a", "b"].map(|id| cluster.host(id).start())
    })
}

/// Returns a tag that is unique in this process, and differs from those of other processes on the same storage.
fn next_tag() -> u64 {
    static FIRST: LazyLock<u64> = LazyLock::new(|| {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("a clock after 1970");
        now.as_secs() << 12
    });
    static COUNT: AtomicU64 = AtomicU64::new(0);
    *FIRST + COUNT.fetch_add(1, Ordering::Relaxed)
}
