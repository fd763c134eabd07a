//! The data of one guest's Store, which its imports work on.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use larder_store::{Claim, Namespace};
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{HostWallClock, WasiCtx, WasiCtxView, WasiView};

use super::ahead::Refreshing;
use super::limiter::Limiter;
use super::output::Output;

/// The most bytes that a guest may take from `wasi:random` in one call.
const MAX_RANDOM_BYTES: u64 = 64 << 10;
/// WASI handles (streams, pollables) that a guest may hold.
const MAX_HANDLES: usize = 1024;

/// The data of one Store.
pub(crate) struct GuestState {
    pub(super) limiter: Limiter,
    pub(crate) output: Output,
    pub(crate) kv: KvAccess,
    /// The running call is ended after this.
    pub(super) deadline: Instant,
    wasi: WasiCtx,
    table: ResourceTable,
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
    pub(super) fn new(limiter: Limiter, output: Output, kv: KvAccess) -> Self {
        let mut wasi = WasiCtx::builder();
        wasi.stdout(output.clone())
            .stderr(output.clone())
            .wall_clock(FrozenClock)
            .max_random_size(MAX_RANDOM_BYTES)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_HANDLES);
        Self {
            limiter,
            output,
            kv,
            deadline: Instant::now(),
            wasi: wasi.build(),
            table,
        }
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
    use wasmtime_wasi::p2::bindings::sockets::network::IpAddressFamily;
    use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
    use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;
    use wasmtime_wasi::sockets::WasiSocketsView;

    use super::*;
    use crate::sandbox::guest::Gauge;

    async fn state() -> GuestState {
        let namespace = MemoryDriver::new().open("t").await.unwrap();
        let kv = KvAccess::new(namespace, None);
        let limiter = Limiter::new(0, Gauge::default());
        GuestState::new(limiter, Output::new("x".into(), 0), kv)
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
    async fn a_guest_can_open_no_socket() {
        let mut state = state().await;
        for family in [IpAddressFamily::Ipv4, IpAddressFamily::Ipv6] {
            assert!(state.sockets().create_tcp_socket(family).is_err());
            let udp = state.sockets().create_udp_socket(family).await;
            assert!(udp.is_err());
        }
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
