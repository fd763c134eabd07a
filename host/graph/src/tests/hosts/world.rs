//! Hosts over one store.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use larder_core::telemetry::Metrics;
use larder_core::testing::MemoryHosts;
use larder_model::storage::{Batch, Error, Keep, Observer as _, StorageSource, Upkept};
use larder_proto::storage::v2::Dependency;
use larder_search::kept::Kept;
use larder_search::testing::{Memory, limits, searcher};
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use tokio::runtime::Runtime;

use crate::tests::world::{BUCKET, SECOND, START, Source, expected, request};
use crate::{Config, Figures, Graph, Step};

/// A store that hosts share.
pub(super) struct World {
    pub(super) memory: Arc<Memory>,
    pub(super) places: MemoryHosts,
    pub(super) hosts: Vec<Host>,
    pub(super) config: Config,
    clock: Arc<AtomicU64>,
    source: Arc<Source>,
    /// The host that wrote each fragment, and the time.
    writes: Vec<(usize, u64)>,
    runtime: Runtime,
}

/// A host.
pub(super) struct Host {
    pub(super) graph: Arc<Graph>,
    /// True if no process of it runs, as far as others see.
    pub(super) is_dead: bool,
    /// Changes when its id is claimed.
    claim: u64,
    /// The claim of its process.
    own_claim: u64,
    /// The host that keeps up its data.
    keeper: Option<usize>,
    /// A write that was marked and is not stored yet.
    begun: Option<Vec<Batch>>,
}

pub(super) fn name(host: usize) -> String {
    format!("h{host}")
}

impl World {
    /// Hosts, so many, that have written nothing.
    pub(super) fn new(hosts: usize, memory: Memory) -> Self {
        let mut world = Self::empty(memory);
        for _ in 0..hosts {
            world.join();
        }
        world
    }

    /// A store without hosts.
    pub(super) fn empty(memory: Memory) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .unwrap();
        let memory = Arc::new(memory);
        let clock = Arc::new(AtomicU64::new(START));
        let read = Arc::clone(&clock);
        let config = Config {
            clock: Arc::new(move || read.load(Ordering::Relaxed)),
            look: Duration::ZERO,
            patience: Duration::ZERO,
            ..Config::default()
        };
        let source = Arc::new(Source(Arc::clone(&memory)));
        Self {
            memory,
            places: MemoryHosts::default(),
            hosts: Vec::new(),
            config,
            clock,
            source,
            writes: Vec::new(),
            runtime,
        }
    }

    /// Another host joins.
    pub(super) fn join(&mut self) {
        let graph = self.open(self.hosts.len());
        self.hosts.push(Host {
            graph,
            is_dead: false,
            claim: 0,
            own_claim: 0,
            keeper: None,
            begun: None,
        });
    }

    fn open(&self, host: usize) -> Arc<Graph> {
        let keep: Arc<dyn Keep> = self.places.open(&name(host));
        let source: Arc<dyn StorageSource> = Arc::<Source>::clone(&self.source);
        let weak: Weak<dyn StorageSource> = Arc::downgrade(&source);
        let settings = (self.config.clone(), Arc::new(Metrics::new()));
        self.run(Graph::open("tenant", keep, weak, settings))
    }

    pub(super) fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(super) fn now(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(super) fn pass(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap();
        self.clock.fetch_add(nanos, Ordering::Relaxed);
    }

    /// A host marks a write. It is not stored yet.
    pub(super) fn begin(&mut self, host: usize, export: Vec<ResourceSpans>) -> Result<(), Error> {
        self.end(host);
        let batches = self.memory.batches(export);
        let all: Vec<_> = batches.iter().collect();
        let graph = Arc::clone(&self.hosts[host].graph);
        self.run(graph.before_write(self.now(), &all))?;
        self.hosts[host].begun = Some(batches);
        Ok(())
    }

    /// The plugin stores what was begun, unless the host's id was claimed by another.
    pub(super) fn end(&mut self, host: usize) {
        let now = self.now();
        let of = &mut self.hosts[host];
        let Some(batches) = of.begun.take() else {
            return;
        };
        if of.claim == of.own_claim {
            for batch in &batches {
                self.memory.store(batch);
            }
            self.places.wrote(&name(host));
            self.writes.resize(self.memory.written(), (host, now));
            self.pass(Duration::from_nanos(1));
        }
        self.hosts[host].graph.after_write();
    }

    pub(super) fn write(&mut self, host: usize, export: Vec<ResourceSpans>) {
        self.begin(host, export).unwrap();
        self.end(host);
    }

    /// A host does one piece of work, unless it has to wait for a write of its own.
    pub(super) fn try_step(&self, host: usize) {
        let graph = Arc::clone(&self.hosts[host].graph);
        self.run(async {
            let mut step = std::pin::pin!(graph.step());
            let most = if self.hosts[host].begun.is_some() {
                500
            } else {
                100_000
            };
            for _ in 0..most {
                let polled = std::future::poll_fn(|context| {
                    std::task::Poll::Ready(step.as_mut().poll(context))
                });
                if polled.await.is_ready() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        });
    }

    /// A host does one piece of work.
    pub(super) fn step(&self, host: usize) -> Step {
        let graph = Arc::clone(&self.hosts[host].graph);
        self.run(graph.step())
    }

    /// The process of a host stands still, or has ended: others see no sign of life. What it has begun is not stored yet.
    pub(super) fn pause(&mut self, host: usize) {
        self.hosts[host].is_dead = true;
        self.places.set_alive(&name(host), false);
    }

    /// The same process goes on. It does not know of a claim of its id before it writes.
    pub(super) fn wake(&mut self, host: usize) {
        let of = &mut self.hosts[host];
        of.is_dead = false;
        self.places.set_alive(&name(host), true);
    }

    /// A new process of a host. What the one before has begun is stored by then, or never.
    pub(super) fn restart(&mut self, host: usize, is_stored: bool) {
        if is_stored {
            self.end(host);
        }
        self.hosts[host].begun = None;
        for other in &mut self.hosts {
            // It knows of no adoption.
            other.keeper = other.keeper.filter(|keeper| *keeper != host);
        }
        self.run(self.hosts[host].graph.close());
        self.hosts[host].claim += 1;
        let graph = self.open(host);
        self.places.set_alive(&name(host), true);
        let claim = self.hosts[host].claim;
        self.hosts[host] = Host {
            graph,
            is_dead: false,
            claim,
            own_claim: claim,
            keeper: None,
            begun: None,
        };
    }

    /// A host adopts the data of a dead one.
    pub(super) fn adopt(&mut self, host: usize, dead: usize) {
        let is_possible = !self.hosts[host].is_dead && self.hosts[dead].is_dead && host != dead;
        let keeper = self.hosts[dead].keeper;
        if !is_possible || keeper.is_some_and(|keeper| !self.hosts[keeper].is_dead) {
            return;
        }
        // First what it may write, and then what it has marked.
        self.hosts[dead].claim += 1;
        let keep: Arc<dyn Keep> = self.places.open(&name(dead));
        self.hosts[dead].keeper = Some(host);
        let graph = Arc::clone(&self.hosts[host].graph);
        self.run(graph.adopted(&name(dead), keep));
    }

    /// Upkeep of a host's data, by itself or by its keeper, drops its oldest fragments. Its process may end before it tells of that.
    pub(super) fn drop_oldest(&mut self, of: usize, count: usize, is_told: bool) {
        let Some((by, dead)) = self.keeper(of) else {
            return;
        };
        if dead.is_none() && self.hosts[of].claim != self.hosts[of].own_claim {
            return;
        }
        let graph = Arc::clone(&self.hosts[by].graph);
        if self.run(graph.before_upkeep(dead.as_deref())).is_err() {
            return;
        }
        let own = self.own(of);
        let mut count = count.min(own.len());
        // Those that were written together go together.
        while (1..own.len()).contains(&count) && own[count - 1].1 == own[count].1 {
            count += 1;
        }
        for (number, _) in own.iter().take(count) {
            self.memory.drop_fragment(*number);
        }
        if is_told {
            self.upkept(of, Some(count > 0));
        }
    }

    /// Upkeep of a host's data has changed nothing.
    pub(super) fn tell(&self, of: usize) {
        self.upkept(of, None);
    }

    fn upkept(&self, of: usize, has_dropped: Option<bool>) {
        let Some((by, dead)) = self.keeper(of) else {
            return;
        };
        let upkept = Upkept {
            has_dropped,
            oldest_write: self.own(of).iter().map(|it| it.1).min(),
        };
        let graph = Arc::clone(&self.hosts[by].graph);
        self.run(graph.after_upkeep(dead.as_deref(), self.now(), upkept));
    }

    /// Who keeps up a host's data now, and the host's name if it is another.
    fn keeper(&self, of: usize) -> Option<(usize, Option<String>)> {
        let host = &self.hosts[of];
        let (by, dead) = match host.keeper {
            Some(keeper) => (keeper, Some(name(of))),
            None => (of, None),
        };
        // It does its upkeep between two writes.
        let is_writing = dead.is_none() && host.begun.is_some();
        (!self.hosts[by].is_dead && !is_writing).then_some((by, dead))
    }

    /// The fragments of a host that are stored, each with its time.
    fn own(&self, host: usize) -> Vec<(usize, u64)> {
        let traces = self.memory.traces();
        let all = traces.iter().zip(&self.writes).enumerate();
        let own = all.filter(|(_, (id, write))| id.is_some() && write.0 == host);
        own.map(|(number, (_, write))| (number, write.1)).collect()
    }

    /// Lets time pass, and all hosts that are alive work, until everything is settled.
    pub(super) fn settle(&mut self) {
        for host in 0..self.hosts.len() {
            if !self.hosts[host].is_dead {
                self.end(host);
            }
        }
        for _ in 0..12 {
            for host in 0..self.hosts.len() {
                self.tell(host);
            }
            for _ in 0..6 {
                self.work();
            }
            self.pass(Duration::from_mins(10));
        }
    }

    /// All hosts that are alive work until nothing is due.
    pub(super) fn work(&self) {
        for host in 0..self.hosts.len() {
            if self.hosts[host].is_dead {
                continue;
            }
            for steps in 0.. {
                assert!(steps < 100_000, "the work does not end");
                if !matches!(self.step(host), Step::Worked { .. }) {
                    break;
                }
            }
        }
    }

    pub(super) fn figures(&self, host: usize) -> Figures {
        self.hosts[host].graph.figures()
    }

    pub(super) fn dependencies(&self, host: usize, start: u64, end: u64) -> Vec<Dependency> {
        let graph: Arc<Graph> = Arc::clone(&self.hosts[host].graph);
        self.ask(start, end, graph)
    }

    /// The dependencies of a window, with what is kept.
    pub(super) fn ask(&self, start: u64, end: u64, kept: Arc<dyn Kept>) -> Vec<Dependency> {
        let searcher = searcher(&self.memory, limits());
        let found = searcher.dependencies(request(start, end), Some(kept));
        self.run(found).unwrap()
    }

    /// The dependencies of a window by brute force.
    pub(super) fn expected(&self, start: u64, end: u64) -> Vec<Dependency> {
        expected(&self.memory, start, end)
    }

    /// Checks a window, on all hosts that run.
    #[track_caller]
    pub(super) fn check(&self, start: u64, end: u64) {
        let expected = self.expected(start, end);
        for host in 0..self.hosts.len() {
            let found = self.dependencies(host, start, end);
            assert_eq!(found, expected, "host {host}: {start}..={end}");
        }
    }

    /// Checks all of time, and windows around the start.
    #[track_caller]
    pub(super) fn check_all(&self) {
        self.check(0, u64::MAX);
        for (first, last) in [(1, 1), (2, 3), (3, 4), (4, 7), (2, 7)] {
            let start = START + first * BUCKET - 4 * BUCKET;
            let end = START + last * BUCKET - 4 * BUCKET;
            self.check(start, end + BUCKET - 1);
            self.check(start + BUCKET / 2, end + BUCKET / 2 + SECOND);
        }
    }

    /// Number of `read` calls that a query of all of time on a host makes.
    pub(super) fn reads(&self, host: usize) -> usize {
        let before = self.memory.reads.load(Ordering::Relaxed);
        self.dependencies(host, 0, u64::MAX);
        self.memory.reads.load(Ordering::Relaxed) - before
    }
}
