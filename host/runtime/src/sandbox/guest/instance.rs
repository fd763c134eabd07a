//! A plugin's instance in a Store of its own: started, called under a deadline, and dropped for good when a call fails.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use larder_model::storage::{
    Batch, Checked, Dropped, Operation, Part, Pieces, Remade, Repaired, Search, Sightings,
    Statistics, Upkept, Wanted,
};
use larder_store::{Claim, Key, Namespace};
use wasmtime::{Store, UpdateDeadline};

use super::ahead::{Ahead, Refreshing};
use super::limiter::{Gauge, Limiter};
use super::output::Output;
use super::state::{Granted, GuestState, KvAccess};
use crate::sandbox::clock::{Clock, Running};
use crate::sandbox::contract::{Environment, Exports, GuestError, Info, LinkedComponent};
use crate::sandbox::instances::{CountedInstance, Instances};

/// The most bytes that a guest may pass to the host in one call: a page of a read, the objects of a `put`.
const HOSTCALL_BYTES: usize = 64 << 20;
/// A call that waits inside the host is ended this long after its deadline; one that computes is ended at the next tick.
const GRACE: Duration = Duration::from_millis(100);
/// A longer description of a failure is cut.
const MAX_DETAIL_BYTES: usize = 4096;

/// An instance. Its state is undefined after a [`Failure`], so it has to be dropped then.
pub(crate) struct Instance {
    store: Store<GuestState>,
    exports: Exports,
    timeout: Duration,
    clock: Arc<Clock>,
    _counted: CountedInstance,
    /// True if the last step of upkeep may have changed something.
    has_changed: bool,
    /// The counters as they were read last, and what was dropped since the time before.
    counted: Statistics,
    dropped: Dropped,
}

/// The component and the limits of an instance.
#[derive(Clone)]
pub(crate) struct InstanceConfig {
    pub(crate) component: LinkedComponent,
    pub(crate) name: Arc<str>,
    pub(crate) memory: u64,
    pub(crate) timeout: Duration,
    pub(crate) log_bytes: u64,
    pub(crate) gauge: Gauge,
    pub(crate) clock: Arc<Clock>,
    pub(crate) instances: Arc<Instances>,
    pub(crate) granted: Granted,
}

/// The result of a call. The inner error is one of the contract's; a [`Failure`] is the end of the instance.
pub(crate) type Called<T> = Result<Result<T, GuestError>, Failure>;

/// The end of an instance.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// For the log: the trap with its backtrace, and what the guest printed last.
    pub(crate) detail: String,
}

/// The cause of an instance's end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    Trap,
    /// A trap in a call in which memory was refused.
    Memory,
    Deadline,
    /// It waited for what it is granted, until the deadline.
    Network,
    /// It broke the contract too often.
    Contract,
    /// `open` raised an error in an instance that replaces another.
    Open,
    /// The kv driver could not be reached for a new instance.
    Kv,
    /// Another writer has claimed its id, or the tenant was purged.
    Fenced,
    /// Another host that is alive has the id under which a new instance would write.
    Held,
}

/// The error that ends a guest at its deadline.
#[derive(Debug)]
struct DeadlineExceeded {
    /// It was waiting inside the host, and not computing.
    is_waiting: bool,
}

/// Calls a function that the instance exports, in its version of the contract, and waits for its end until the timeout.
macro_rules! call {
    ($instance:ident, $timeout:expr, $function:ident($($argument:expr),*)) => {{
        let timeout = $timeout;
        let _running = $instance.begin(timeout);
        let store = &mut $instance.store;
        let called = match &$instance.exports {
            Exports::V0_1(guest) => within(timeout, guest.$function(store, $($argument),*)).await,
            Exports::V0_2(guest) => within(timeout, guest.$function(store, $($argument),*)).await,
        };
        $instance.end(called)
    }};
}

// === impl Instance ===

impl Instance {
    /// Instantiates the component; nothing but [`Instance::describe`] and [`Instance::open`] may follow.
    pub(crate) async fn start(config: &InstanceConfig, kv: KvAccess) -> Result<Self, Failure> {
        let limiter = Limiter::new(config.memory, Arc::clone(&config.gauge));
        let output = Output::new(Arc::clone(&config.name), config.log_bytes);
        let state = GuestState::new(limiter, output, kv, &config.granted);
        let mut store = Store::new(config.component.engine(), state);
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(HOSTCALL_BYTES);
        let clock = Arc::clone(&config.clock);
        store.epoch_deadline_callback(move |store| at_tick(store.data(), &clock));
        let counted = config.instances.count();
        let _running = config.clock.running();
        begin(&mut store, config.timeout);
        let started = config.component.instantiate(&mut store);
        match within(config.timeout, started).await {
            Ok(exports) => Ok(Self {
                store,
                exports,
                timeout: config.timeout,
                clock: Arc::clone(&config.clock),
                _counted: counted,
                has_changed: false,
                counted: Statistics::default(),
                dropped: Dropped::default(),
            }),
            Err(error) => Err(failure(&error, store.data())),
        }
    }

    /// Lets the guest write to its namespace from the next call on.
    pub(crate) fn grant(&mut self, claim: Claim) {
        self.store.data_mut().kv.claim = Some(claim);
    }

    /// The namespace that the guest works on.
    pub(crate) fn namespace(&self) -> &Arc<dyn Namespace> {
        &self.store.data().kv.namespace
    }

    /// True once a write of the guest was refused because its claim holds no longer. It can write nothing more.
    pub(crate) fn is_fenced(&self) -> bool {
        self.store.data().kv.is_fenced.load(Ordering::Relaxed)
    }

    pub(crate) async fn describe(&mut self) -> Result<Info, Failure> {
        call!(self, self.timeout, describe())
    }

    pub(crate) async fn open(&mut self, environment: Environment<'_>) -> Called<()> {
        self.upkeep(true);
        let called = call!(self, self.timeout, open(environment));
        self.upkeep(false);
        called
    }

    /// With the sizes of its namespace at this moment.
    pub(crate) async fn maintain(&mut self, now: u64) -> Called<bool> {
        self.upkeep(true);
        let kv = &self.store.data().kv;
        kv.is_to_tell.store(true, Ordering::Relaxed);
        let sizes = kv.sizes();
        let memory_used = self.memory_used();
        let called = call!(self, self.timeout, maintain(now, memory_used, sizes));
        let kv = &self.store.data().kv;
        let is_to_tell = kv.is_to_tell.swap(false, Ordering::Relaxed);
        self.has_changed = kv.before_upkeep.is_some() && !is_to_tell;
        self.upkeep(false);
        called
    }

    /// True if nothing that is stored is of the id under which it writes.
    pub(crate) async fn retire(&mut self) -> Called<bool> {
        self.upkeep(true);
        let called = call!(self, self.timeout, retire());
        self.upkeep(false);
        called
    }

    pub(crate) async fn statistics(&mut self) -> Result<Statistics, Failure> {
        let counted: Result<Statistics, Failure> = call!(self, self.timeout, statistics());
        let counted = counted?;
        self.dropped = counted.dropped_since(&self.counted);
        self.counted = counted;
        Ok(counted)
    }

    /// What came of the last step of upkeep, after which its counters were read.
    pub(crate) fn upkept(&self) -> Upkept {
        let has_dropped = self.dropped != Dropped::default();
        Upkept {
            has_dropped: self.has_changed.then_some(has_dropped),
            oldest_write: self.counted.oldest_write,
        }
    }

    /// Has the guest delete what it keeps outside of kv.
    pub(crate) async fn purge(&mut self) -> Called<()> {
        call!(self, self.timeout, purge())
    }

    pub(crate) async fn check(&mut self, resume: Option<&[u8]>) -> Called<Checked> {
        call!(self, self.timeout, check(resume))
    }

    pub(crate) async fn repair(&mut self, now: u64, remade: &[Remade]) -> Called<Repaired> {
        self.upkeep(true);
        let called = call!(self, self.timeout, repair(now, remade));
        self.upkeep(false);
        called
    }

    /// May take `patience` times as long as other calls.
    pub(crate) async fn write(
        &mut self,
        now: u64,
        batches: &[&Batch],
        patience: u32,
    ) -> Called<()> {
        let timeout = self.timeout.saturating_mul(patience);
        let memory_used = self.memory_used();
        call!(self, timeout, write(now, memory_used, batches))
    }

    /// Bytes that count against its limit.
    pub(crate) fn memory_used(&self) -> u64 {
        self.store.data().limiter.used()
    }

    /// Has the guest learn what others have written. If the host has read something ahead, returns also the keys that it asked for first.
    pub(crate) async fn refresh(
        &mut self,
        ahead: Option<&Ahead>,
    ) -> (Called<()>, Option<Vec<Key>>) {
        self.store.data_mut().kv.refreshing = ahead.map(Refreshing::new);
        let called = call!(self, self.timeout, refresh());
        let refreshing = self.store.data_mut().kv.refreshing.take();
        (called, refreshing.map(Refreshing::into_keys))
    }

    pub(crate) async fn find(
        &mut self,
        search: &Search,
        resume: Option<&[u8]>,
        limit: u32,
    ) -> Called<Sightings> {
        call!(self, self.timeout, find(search, resume, limit))
    }

    pub(crate) async fn read(
        &mut self,
        wanted: &Wanted,
        part: Part,
        resume: Option<&[u8]>,
        max_bytes: u32,
    ) -> Called<Pieces> {
        call!(self, self.timeout, read(wanted, part, resume, max_bytes))
    }

    pub(crate) async fn services(&mut self) -> Called<Vec<String>> {
        call!(self, self.timeout, services())
    }

    pub(crate) async fn operations(&mut self, service: &str) -> Called<Vec<Operation>> {
        call!(self, self.timeout, operations(service))
    }

    /// Says whether the guest's writes to kv are upkeep, not a client's.
    fn upkeep(&mut self, is_upkeep: bool) {
        if let Some(claim) = &mut self.store.data_mut().kv.claim {
            claim.is_upkeep = is_upkeep;
        }
    }

    /// Sets the deadline of the call that follows, and keeps the clock ticking for it.
    fn begin(&mut self, timeout: Duration) -> Running {
        begin(&mut self.store, timeout);
        self.clock.running()
    }

    /// Adds the cause to the error of a call that failed.
    fn end<T>(&self, called: wasmtime::Result<T>) -> Result<T, Failure> {
        called.map_err(|error| failure(&error, self.store.data()))
    }
}

/// Sets the deadline of the call that follows.
fn begin(store: &mut Store<GuestState>, timeout: Duration) {
    let state = store.data_mut();
    state.begun = Instant::now();
    state.deadline = state.begun + timeout;
    state.limiter.forget_refusal();
    state.network().begin_call();
    store.set_epoch_deadline(1);
}

/// Runs in the guest at each tick of the clock: lets other tasks run, or ends the call if its deadline has passed.
fn at_tick(state: &GuestState, clock: &Clock) -> wasmtime::Result<UpdateDeadline> {
    let now = Instant::now();
    if now >= state.deadline {
        return Err(wasmtime::Error::new(DeadlineExceeded { is_waiting: false }));
    }
    clock.interrupted(state.begun, now);
    // Unlike `Yield`, this also lets the executor poll its sockets and timers.
    let other_tasks = Box::pin(tokio::task::yield_now());
    Ok(UpdateDeadline::YieldCustom(1, other_tasks))
}

/// Ends a call that waits inside the host (for kv, in `wasi:io/poll`), where ticks have no effect.
async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = wasmtime::Result<T>>,
) -> wasmtime::Result<T> {
    match tokio::time::timeout(timeout + GRACE, call).await {
        Ok(called) => called,
        Err(_) => Err(wasmtime::Error::new(DeadlineExceeded { is_waiting: true })),
    }
}

fn failure(error: &wasmtime::Error, state: &GuestState) -> Failure {
    let cause = if let Some(exceeded) = error.downcast_ref::<DeadlineExceeded>() {
        // Whoever waits in slices is stopped between two of them as often as in one.
        let network = state.network();
        let is_network = network.reaches_out() && (exceeded.is_waiting || network.is_used());
        if is_network {
            Cause::Network
        } else {
            Cause::Deadline
        }
    } else if state.limiter.was_refused() {
        Cause::Memory
    } else {
        Cause::Trap
    };
    let mut detail = format!("{error:?}");
    let printed = state.output.take_tail();
    if !printed.is_empty() {
        detail = format!("{detail}\nThe plugin printed last:\n{printed}");
    }
    detail.truncate(detail.floor_char_boundary(MAX_DETAIL_BYTES));
    Failure { cause, detail }
}

// === impl Failure ===

impl Failure {
    /// An instance that broke the contract too often.
    pub(crate) fn struck_out() -> Self {
        Self {
            cause: Cause::Contract,
            detail: "too many broken rules within a minute; each was logged".into(),
        }
    }

    /// An instance whose claim holds no longer.
    pub(crate) fn fenced() -> Self {
        Self {
            cause: Cause::Fenced,
            detail: "kv refused a write: the writer's id was claimed again, or the tenant was purged by another host".into(),
        }
    }
}

// === impl Cause ===

impl Cause {
    /// The `error.type` label of metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Memory => "memory",
            Self::Deadline => "deadline",
            Self::Network => "network",
            Self::Contract => "contract",
            Self::Open => "open",
            Self::Kv => "kv",
            Self::Fenced => "fenced",
            Self::Held => "held",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trap => "a trap",
            Self::Memory => "a trap for want of memory (limits.memory raises the limit)",
            Self::Deadline => "a call that passed limits.call_timeout",
            Self::Network => {
                "waiting for what it is granted for longer than limits.call_timeout (the plugin should give up earlier, with `unavailable`)"
            }
            Self::Contract => "breaking the contract too often",
            Self::Open => "an error when it was opened again",
            Self::Kv => "an error of its kv storage",
            Self::Fenced => "losing its claim of kv to another host",
            Self::Held => {
                "finding its writer id in use by another host that is alive (the log names it)"
            }
        })
    }
}

// === impl DeadlineExceeded ===

impl fmt::Display for DeadlineExceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the call passed its deadline")
    }
}

impl std::error::Error for DeadlineExceeded {}
