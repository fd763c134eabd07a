//! The state that the parts of a tenant's plugin share: its health, counters and metrics.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use larder_core::Serving;
use larder_core::telemetry::{Metrics, PluginLabels};
use larder_model::storage::{Error, ErrorKind, Statistics};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tracing::{error, warn};

use super::forgotten::{Forgotten, Told};
use super::freshness::Moments;
use super::observed::Observed;
use super::suspects::Suspects;
use crate::component::{Instancing, State};
use crate::sandbox::check::Breach;
use crate::sandbox::guest::{Cause, Failure, Gauge};

/// An instance that breaks so many rules within [`STRIKE_WINDOW`] is replaced.
const STRIKES: usize = 5;
const STRIKE_WINDOW: Duration = Duration::from_mins(1);

/// Shared by the writer's task, the readers and the tenant's handle.
pub(crate) struct Shared {
    pub(crate) name: Arc<str>,
    labels: PluginLabels,
    pub(crate) instancing: Instancing,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) gauge: Gauge,
    /// The instance has to be replaced for its strikes.
    pub(crate) struck_out: Notify,
    pub(crate) suspects: Mutex<Suspects>,
    pub(crate) observed: Arc<Observed>,
    pub(crate) moments: Moments,
    ready: watch::Sender<bool>,
    reads: watch::Sender<bool>,
    writes: watch::Sender<bool>,
    health: Mutex<Health>,
    restarts: AtomicU64,
    statistics: Mutex<Statistics>,
    pub(crate) forgotten: Forgotten,
    strikes: Mutex<VecDeque<Instant>>,
    /// True from the first time that the writer's id was found in use by another host, until there is a writer.
    is_held: AtomicBool,
}

/// Health of the writer and of the readers.
struct Health {
    /// The writer, which is all there is for an `exclusive` plugin.
    writer: State,
    /// The reason why the readers wait for their next start, while they do.
    readers: Option<String>,
}

// === impl Health ===

impl Health {
    /// True while reads are taken. Instances beside the writer go on reading while that is being restarted.
    fn reads(&self, instancing: Instancing) -> bool {
        match instancing {
            Instancing::Exclusive => self.writer == State::Ready,
            Instancing::Replicated => self.readers.is_none() && self.writer != State::Stopped,
        }
    }

    fn state(&self) -> State {
        match (&self.writer, &self.readers) {
            (State::Ready, Some(reason)) => State::Restarting {
                reason: reason.clone(),
            },
            (state, _) => state.clone(),
        }
    }
}

// === impl Shared ===

impl Shared {
    pub(crate) fn new(
        labels: PluginLabels,
        instancing: Instancing,
        gauge: Gauge,
        metrics: Arc<Metrics>,
        observed: Arc<Observed>,
    ) -> Self {
        Self {
            name: Arc::clone(&labels.plugin),
            labels,
            instancing,
            metrics,
            gauge,
            struck_out: Notify::new(),
            suspects: Mutex::default(),
            observed,
            moments: Moments::default(),
            ready: watch::Sender::new(false),
            reads: watch::Sender::new(false),
            writes: watch::Sender::new(false),
            health: Mutex::new(Health {
                writer: State::Ready,
                readers: None,
            }),
            restarts: AtomicU64::new(0),
            statistics: Mutex::default(),
            forgotten: Forgotten::default(),
            strikes: Mutex::default(),
            is_held: AtomicBool::new(false),
        }
    }

    /// The plugin takes calls.
    pub(crate) fn up(&self) {
        self.is_held.store(false, Ordering::Relaxed);
        self.set_state(State::Ready);
    }

    /// The plugin takes no calls until it has been started again.
    pub(crate) fn down(&self, failure: &Failure) {
        let reason = match failure.cause {
            // It names the other host, and what to do. Only operators see a state.
            Cause::Held => format!("{}; until then writes are refused", failure.detail),
            cause => cause.to_string(),
        };
        self.set_state(State::Restarting { reason });
    }

    /// The plugin will take no calls again.
    pub(crate) fn stopped(&self) {
        self.set_state(State::Stopped);
    }

    /// Reads are refused until the readers' next start; writes are taken.
    pub(crate) fn readers_down(&self, failure: &Failure) {
        let reason = format!("{}, of those that read; writes are taken", failure.cause);
        self.set(|health| health.readers = Some(reason));
    }

    /// Reads are tried again.
    pub(crate) fn readers_up(&self) {
        self.set(|health| health.readers = None);
    }

    fn set_state(&self, state: State) {
        self.set(|health| health.writer = state);
    }

    fn set(&self, change: impl FnOnce(&mut Health)) {
        let mut health = self.health.lock();
        change(&mut health);
        // Under the lock, so that the last report is the current state. Who waits is woken by changes alone.
        let report = |sender: &watch::Sender<bool>, now| {
            sender.send_if_modified(|before| std::mem::replace(before, now) != now);
        };
        report(&self.ready, health.state() == State::Ready);
        report(&self.reads, health.reads(self.instancing));
        report(&self.writes, health.writer == State::Ready);
    }

    pub(crate) fn state(&self) -> State {
        self.health.lock().state()
    }

    pub(crate) fn ready(&self) -> watch::Receiver<bool> {
        self.ready.subscribe()
    }

    /// Calls that are taken now: all, reads and writes.
    pub(crate) fn serving(&self) -> Serving {
        Serving {
            all: self.ready.subscribe(),
            reads: self.reads.subscribe(),
            writes: self.writes.subscribe(),
        }
    }

    /// An instance has to be replaced: counts and logs it. Another host that has the writer's id is told of once.
    pub(crate) fn failed(&self, failure: &Failure, next_start_in: Duration) {
        if failure.cause == Cause::Held {
            if !self.is_held.swap(true, Ordering::Relaxed) {
                let (plugin, detail) = (&*self.name, &*failure.detail);
                error!(
                    plugin,
                    detail,
                    "writes are refused while another host that is alive has this host's writer id; reads go on where the plugin has readers"
                );
            }
            return;
        }
        self.restarts.fetch_add(1, Ordering::Relaxed);
        let error_type = failure.cause.as_str();
        self.metrics.plugin_restarted(&self.labels, error_type);
        let plugin = &*self.name;
        let detail = &*failure.detail;
        let wait_ms = u64::try_from(next_start_in.as_millis()).unwrap_or(u64::MAX);
        match self.instancing {
            Instancing::Exclusive => error!(
                plugin,
                error.r#type = error_type,
                wait_ms,
                detail,
                "the plugin failed and is replaced; everything it held is lost"
            ),
            Instancing::Replicated => warn!(
                plugin,
                error.r#type = error_type,
                wait_ms,
                detail,
                "an instance of the plugin failed and is replaced; nothing is lost"
            ),
        }
    }

    /// The error for calls that meet a failed instance.
    pub(crate) fn unavailable(&self, failure: &Failure) -> Error {
        let text = format!(
            "plugin `{}` is being restarted after {}; retry",
            self.name, failure.cause
        );
        Error::new(ErrorKind::Unavailable, text)
    }

    /// The error for calls that come too late.
    pub(crate) fn shutting_down(&self) -> Error {
        let text = format!(
            "plugin `{}` was stopped: the server is shutting down",
            self.name
        );
        Error::new(ErrorKind::Unavailable, text)
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.restarts.load(Ordering::Relaxed)
    }

    /// Counts and logs a broken rule; true when the instance is to be replaced for it.
    pub(crate) fn broken(&self, breach: Breach) -> (Error, bool) {
        let rule = breach.rule;
        let error = breach.into_error(&self.name);
        (error.clone(), self.strike(rule, &error, Instant::now()))
    }

    /// As [`Shared::broken`], for what only the caller could see.
    pub(crate) fn reported(&self, breach: &Error) -> bool {
        self.strike("pages", breach, Instant::now())
    }

    fn strike(&self, rule: &str, breach: &Error, now: Instant) -> bool {
        self.metrics.contract_broken(&self.labels, rule);
        warn!(plugin = &*self.name, rule, error = %breach, "the plugin broke the contract");
        let mut strikes = self.strikes.lock();
        while strikes
            .pop_front_if(|strike| now.saturating_duration_since(*strike) >= STRIKE_WINDOW)
            .is_some()
        {}
        strikes.push_back(now);
        let out = strikes.len() >= STRIKES;
        if out {
            strikes.clear();
        }
        out
    }

    pub(crate) fn statistics(&self) -> Statistics {
        *self.statistics.lock()
    }

    pub(crate) fn set_statistics(&self, statistics: Statistics) {
        let before = std::mem::replace(&mut *self.statistics.lock(), statistics);
        self.metrics.dropped(&statistics.dropped_since(&before));
        for told in self.forgotten.judge(&statistics, self.restarts()) {
            self.has_forgotten(&told);
        }
    }

    /// Counts and logs fragments that were sighted and could not be read back. It is no strike: the next instance would do the same.
    fn has_forgotten(&self, told: &Told) {
        let (rule, (fragment, trace)) = ("find.handle", told.example);
        self.metrics.contract_broken(&self.labels, rule);
        let Told { fragments, .. } = told;
        warn!(
            plugin = &*self.name,
            rule,
            "a search misses {fragments} fragments that the plugin has sighted and does not read back, such as fragment {fragment} of trace {trace}; its counters tell of nothing that was dropped"
        );
    }

    /// Linear memory of all instances, in bytes.
    pub(crate) fn memory_used(&self) -> u64 {
        self.gauge.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Shared {
        let metrics = Arc::new(Metrics::new());
        let labels = PluginLabels {
            tenant: "default".into(),
            plugin: "x".into(),
        };
        let observed = Arc::default();
        Shared::new(
            labels,
            Instancing::Exclusive,
            Gauge::default(),
            metrics,
            observed,
        )
    }

    fn replicated() -> Shared {
        Shared {
            instancing: Instancing::Replicated,
            ..shared()
        }
    }

    #[test]
    fn strikes_within_the_window_put_an_instance_out() {
        let shared = shared();
        let error = Error::new(ErrorKind::ContractBroken, "a rule");
        let now = Instant::now();
        for _ in 1..STRIKES {
            assert!(!shared.strike("r", &error, now));
        }
        assert!(shared.strike("r", &error, now));
        assert!(
            !shared.strike("r", &error, now),
            "a fresh instance, a fresh count"
        );
    }

    #[test]
    fn strikes_far_apart_do_not_add_up() {
        let shared = shared();
        let error = Error::new(ErrorKind::ContractBroken, "a rule");
        let now = Instant::now();
        for minute in 0..20 {
            assert!(!shared.strike("r", &error, now + minute * STRIKE_WINDOW));
        }
    }

    #[test]
    fn readiness_follows_the_state() {
        let shared = shared();
        let ready = shared.ready();
        shared.up();
        assert!(*ready.borrow());
        let failure = Failure {
            cause: Cause::Trap,
            detail: String::new(),
        };
        shared.down(&failure);
        assert!(!*ready.borrow());
        assert_eq!(
            shared.state(),
            State::Restarting {
                reason: "a trap".into()
            }
        );
        let text = shared.unavailable(&failure).to_string();
        assert_eq!(text, "plugin `x` is being restarted after a trap; retry");
    }

    #[test]
    fn readiness_needs_the_writer_and_the_readers() {
        let shared = replicated();
        let ready = shared.ready();
        let of = |cause| Failure {
            cause,
            detail: String::new(),
        };
        let restarting = |reason: &str| State::Restarting {
            reason: reason.to_owned(),
        };
        let serving = shared.serving();
        let apart = || (*serving.reads.borrow(), *serving.writes.borrow());
        shared.readers_down(&of(Cause::Trap));
        assert!(!*ready.borrow());
        assert_eq!(apart(), (false, true));
        let reads = restarting("a trap, of those that read; writes are taken");
        assert_eq!(shared.state(), reads);
        shared.down(&of(Cause::Kv));
        assert_eq!(shared.state(), restarting("an error of its kv storage"));
        shared.down(&Failure {
            cause: Cause::Held,
            detail: "the other is at there.example".to_owned(),
        });
        let held = "the other is at there.example; until then writes are refused";
        assert_eq!(shared.state(), restarting(held));
        shared.up();
        assert_eq!(shared.state(), reads, "the one does not mend the other");
        assert!(!*ready.borrow());
        shared.readers_up();
        assert!(*ready.borrow());
        assert_eq!(shared.state(), State::Ready);
        shared.down(&of(Cause::Trap));
        assert_eq!(apart(), (true, false), "readers go on");
        shared.stopped();
        assert_eq!(apart(), (false, false));
    }
}
