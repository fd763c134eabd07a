//! The data of one guest's Store, which its imports work on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use larder_store::{Claim, Namespace};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::random::WasiRandomCtx;
use wasmtime_wasi::sockets::WasiSocketsCtxView;
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::WasiHttpCtx;

use super::ahead::Refreshing;
use super::limiter::Limiter;
use super::output::Output;
use crate::sandbox::network::{HttpHooks, Network, OpenSockets};

/// The most bytes that a guest may take from `wasi:random` in one call.
const MAX_RANDOM_BYTES: u64 = 64 << 10;
/// Bytes of the headers of one request or answer, in the host's memory.
const MAX_FIELDS: usize = 16 << 10;
/// WASI handles (streams, pollables) that a guest may hold.
const MAX_HANDLES: usize = 1024;

/// The data of one Store.
pub(crate) struct GuestState {
    pub(super) limiter: Limiter,
    pub(crate) output: Output,
    pub(crate) kv: KvAccess,
    /// The running call is ended after this.
    pub(super) deadline: Instant,
    /// When the current call began.
    pub(super) begun: Instant,
    wasi: WasiCtx,
    table: ResourceTable,
    http: WasiHttpCtx,
    hooks: HttpHooks,
    sockets: OpenSockets,
}

/// What the operator grants an instance.
#[derive(Clone)]
pub(crate) struct Granted {
    /// Names and values of environment variables.
    pub(crate) variables: Vec<(String, String)>,
    /// The time of day.
    pub(crate) clock: bool,
    pub(crate) network: Arc<Network>,
}

/// A guest's access to its tenant's namespace: without a claim it can only read.
pub(crate) struct KvAccess {
    pub(crate) namespace: Arc<dyn Namespace>,
    pub(crate) claim: Option<Claim>,
    /// True once a write was refused because the claim holds no longer.
    pub(super) is_fenced: AtomicBool,
    /// The refresh that runs, if one does of which something was read ahead.
    pub(super) refreshing: Option<Refreshing>,
    /// Told before the first commit, or reclaim, of each step of upkeep.
    pub(super) before_upkeep: Option<Arc<dyn BeforeUpkeep>>,
    /// True while a step of upkeep has changed nothing yet.
    pub(super) is_to_tell: AtomicBool,
}

/// Told before upkeep changes what is stored.
#[async_trait::async_trait]
pub(crate) trait BeforeUpkeep: Send + Sync {
    /// On an error nothing is changed.
    async fn before_upkeep(&self) -> Result<(), larder_model::storage::Error>;
}

/// A wall clock that stays at zero. `write` and `maintain` are told the time.
struct FrozenClock;

// === impl GuestState ===

impl GuestState {
    pub(super) fn new(limiter: Limiter, output: Output, kv: KvAccess, granted: &Granted) -> Self {
        let network = Arc::clone(&granted.network);
        let mut wasi = WasiCtx::builder();
        wasi.stdout(output.clone())
            .stderr(output.clone())
            .envs(&granted.variables)
            .max_random_size(MAX_RANDOM_BYTES)
            .allow_tcp(network.has_tcp())
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        if !granted.clock {
            wasi.wall_clock(FrozenClock);
        }
        let asked = Arc::clone(&network);
        wasi.socket_addr_check(move |address, used| {
            let may = asked.may_use(address, used);
            Box::pin(std::future::ready(may))
        });
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(MAX_FIELDS);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            limiter,
            output,
            kv,
            deadline: Instant::now(),
            begun: Instant::now(),
            wasi: wasi.build(),
            table,
            http,
            hooks: HttpHooks { network },
            sockets: OpenSockets::new(),
        }
    }

    pub(crate) fn network(&self) -> &Arc<Network> {
        &self.hooks.network
    }

    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// What `wasi:random` works on.
    pub(crate) fn random(&mut self) -> &mut WasiRandomCtx {
        self.wasi.random()
    }

    /// What `wasi:sockets` works on.
    pub(crate) fn sockets_and_network(
        &mut self,
    ) -> (WasiSocketsCtxView<'_>, &Arc<Network>, &mut OpenSockets) {
        let view = WasiSocketsCtxView {
            ctx: self.wasi.sockets(),
            table: &mut self.table,
        };
        (view, &self.hooks.network, &mut self.sockets)
    }

    /// What `wasi:http` works on.
    pub(crate) fn http_parts(&mut self) -> (&mut HttpHooks, &mut WasiHttpCtx, &mut ResourceTable) {
        (&mut self.hooks, &mut self.http, &mut self.table)
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

// === impl Granted ===

impl Granted {
    /// Nothing.
    pub(crate) fn nothing() -> Self {
        Self {
            variables: Vec::new(),
            clock: false,
            network: Network::none(),
        }
    }
}

// === impl KvAccess ===

impl KvAccess {
    /// Tells of upkeep from now on.
    pub(crate) fn tell_before_upkeep(&mut self, before_upkeep: Arc<dyn BeforeUpkeep>) {
        self.before_upkeep = Some(before_upkeep);
    }

    pub(crate) fn new(namespace: Arc<dyn Namespace>, claim: Option<Claim>) -> Self {
        Self {
            namespace,
            claim,
            is_fenced: AtomicBool::new(false),
            refreshing: None,
            before_upkeep: None,
            is_to_tell: AtomicBool::new(false),
        }
    }
}

// === impl FrozenClock ===

impl HostWallClock for FrozenClock {
    fn resolution(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn now(&self) -> Duration {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use larder_store::{Driver, MemoryDriver};
    use wasmtime_wasi::cli::WasiCliView;
    use wasmtime_wasi::clocks::WasiClocksView;
    use wasmtime_wasi::filesystem::WasiFilesystemView;
    use wasmtime_wasi::p2::bindings::cli::environment::Host as _;
    use wasmtime_wasi::p2::bindings::clocks::wall_clock::Host as _;
    use wasmtime_wasi::p2::bindings::filesystem::preopens::Host as _;
    use wasmtime_wasi::p2::bindings::random::random::Host as _;

    use super::*;
    use crate::sandbox::guest::Gauge;

    async fn state() -> GuestState {
        let namespace = MemoryDriver::new().open("t").await.unwrap();
        let kv = KvAccess::new(namespace, None);
        let limiter = Limiter::new(0, Gauge::default());
        let output = Output::new("x".into(), 0);
        GuestState::new(limiter, output, kv, &Granted::nothing())
    }

    #[tokio::test]
    async fn a_guest_has_no_environment_arguments_or_files() {
        let mut state = state().await;
        assert!(state.cli().get_environment().unwrap().is_empty());
        assert!(state.cli().get_arguments().unwrap().is_empty());
        assert!(state.cli().initial_cwd().unwrap().is_none());
        assert!(state.filesystem().get_directories().unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_guest_has_a_wall_clock_that_stays_at_zero_and_random_numbers() {
        let mut state = state().await;
        let now = state.clocks().now().unwrap();
        assert_eq!((now.seconds, now.nanoseconds), (0, 0));
        let random = state.wasi.random();
        assert_ne!(
            random.get_random_u64().unwrap(),
            random.get_random_u64().unwrap()
        );
        assert!(random.get_random_bytes(MAX_RANDOM_BYTES + 1).is_err());
    }
}
