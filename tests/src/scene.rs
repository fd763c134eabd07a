//! A test's part of a shared server: services, trace ids and a time window that no other test uses.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{LazyLock, OnceLock};
use std::time::SystemTime;

use larder_oracle::otlp::{ResourceBuilder, service};
use larder_oracle::{Query, SpanSearch};

use crate::client::Client;
use crate::plugins::Plugin;
use crate::server::{Larder, Options};

/// The variable that runs the shared tests against another storage, such as `127.0.0.1:17271`, to compare with Jaeger's own.
const REFERENCE: &str = "LARDER_TESTS_ENDPOINT";

/// Length of a scene's time window: a thousand seconds, in nanoseconds.
const LENGTH: u64 = 1_000_000_000_000;

/// A test's part of a shared server.
#[derive(Debug)]
pub struct Scene {
    /// A connected client.
    pub client: Client,
    /// The server, unless the tests run against another storage.
    pub larder: Option<&'static Larder>,
    lines_before: usize,
    tag: u64,
}

impl Scene {
    /// Creates a scene on this process's server for `plugin`.
    pub async fn new(plugin: Plugin) -> Self {
        let reference = std::env::var(REFERENCE).ok();
        let larder = reference.is_none().then(|| shared(plugin));
        let address: SocketAddr = match (&reference, larder) {
            (Some(address), _) => address
                .parse()
                .expect("LARDER_TESTS_ENDPOINT is an address"),
            (None, larder) => larder.expect("one or the other").grpc(),
        };
        Self {
            client: Client::connect(address).await,
            larder,
            lines_before: larder.map_or(0, |larder| larder.lines().len()),
            tag: next_tag(),
        }
    }

    /// Creates a scene on a server of the test's own, whose log the server shows itself.
    pub async fn of(larder: &Larder) -> Self {
        Self {
            client: larder.client().await,
            larder: None,
            lines_before: 0,
            tag: next_tag(),
        }
    }

    /// Returns the same scene on another server, which has the data of the one before.
    pub async fn on(&self, larder: &Larder) -> Self {
        Self {
            client: larder.client().await,
            larder: None,
            lines_before: 0,
            tag: self.tag,
        }
    }

    /// Creates another scene on the same server.
    #[must_use]
    pub fn again(&self) -> Self {
        Self {
            client: self.client.clone(),
            larder: self.larder,
            lines_before: self.lines_before,
            tag: next_tag(),
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
        if let Some(larder) = self.larder.filter(|_| std::thread::panicking()) {
            larder.show(self.lines_before);
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
