//! The graphs of all tenants, each driven by a task of its own at low priority, within turns of its tenant's lane.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hashbrown::HashMap;
use larder_core::fair::Scheduler;
use larder_core::telemetry::Metrics;
use larder_model::storage::{Keep, Observer, Observers, StorageSource};
use larder_search::kept::Kept;
use parking_lot::Mutex;

use crate::config::{Config, nanos};
use crate::figures::Figures;
use crate::graph::{Graph, Step};

/// Pause after a piece of work, as a multiple of the time that it took, while one bucket is due. A bucket of 3 million spans, which is
/// 10,000 a second, takes about four seconds of work, and so two minutes.
const LONGEST_PAUSE: u32 = 30;
/// A piece of work is paused after for this at least, so that a task never holds a thread.
const SHORTEST_PAUSE: Duration = Duration::from_micros(200);
/// Jobs that wait for each other from which on the work is no longer slowed down much.
const BACKLOG: u32 = 12;
/// The shortest wait for the next job.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// The graphs of all tenants that are open.
pub struct Graphs {
    config: Config,
    metrics: Arc<Metrics>,
    scheduler: Arc<Scheduler>,
    by_tenant: Mutex<HashMap<String, Weak<Graph>>>,
    worked: Arc<Worked>,
}

/// Nanoseconds of work since the start, also for tenants that are closed now.
#[derive(Default)]
struct Worked(AtomicU64);

// === impl Graphs ===

impl Graphs {
    /// Creates the place for graphs, without any. Their work takes turns of the scheduler.
    pub fn new(config: Config, metrics: Arc<Metrics>, scheduler: Arc<Scheduler>) -> Self {
        Self {
            config,
            metrics,
            scheduler,
            by_tenant: Mutex::default(),
            worked: Arc::default(),
        }
    }

    /// What is kept of a tenant's traces, if it is open. For [`Searcher::dependencies`](larder_search::Searcher::dependencies).
    pub fn get(&self, tenant: &str) -> Option<Arc<dyn Kept>> {
        let graph: Arc<Graph> = self.by_tenant.lock().get(tenant)?.upgrade()?;
        Some(graph)
    }

    /// The figures of a tenant, if it is open.
    pub fn figures(&self, tenant: &str) -> Option<Figures> {
        let graph = self.by_tenant.lock().get(tenant)?.upgrade()?;
        Some(graph.figures())
    }

    /// The figures of all tenants that are open, added up. The time of work is that of closed ones as well, so it never falls.
    pub fn all_figures(&self) -> Figures {
        let graphs: Vec<_> = {
            let graphs = self.by_tenant.lock();
            graphs.values().filter_map(Weak::upgrade).collect()
        };
        let mut all = Figures {
            is_backfilled: true,
            ..Figures::default()
        };
        for graph in graphs {
            all += graph.figures();
        }
        all.worked = self.worked.get();
        all
    }
}

// === impl Worked ===

impl Worked {
    fn add(&self, time: Duration) {
        self.0.fetch_add(nanos(time), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

#[async_trait::async_trait]
impl Observers for Graphs {
    async fn open(
        &self,
        tenant: &str,
        keep: Arc<dyn Keep>,
        storage: Weak<dyn StorageSource>,
    ) -> Arc<dyn Observer> {
        let settings = (self.config.clone(), Arc::clone(&self.metrics));
        let graph = Graph::open(tenant, keep, storage, settings).await;
        let driving = drive(Arc::downgrade(&graph), Arc::clone(&self.worked));
        let lane = self.scheduler.lane(tenant);
        graph.driven_by(tokio::spawn(lane.gated(driving)));
        let mut graphs = self.by_tenant.lock();
        graphs.retain(|_, graph| graph.strong_count() > 0);
        graphs.insert(tenant.to_owned(), Arc::downgrade(&graph));
        graph
    }
}

/// Does the work of a graph, with pauses, for as long as it is there.
async fn drive(weak: Weak<Graph>, worked: Arc<Worked>) {
    while let Some(graph) = weak.upgrade() {
        let step = graph.step().await;
        let changes = graph.changes();
        drop(graph);
        match step {
            Step::Worked { took, waiting } => {
                worked.add(took);
                tokio::time::sleep(pause(took, waiting)).await;
            }
            Step::Idle(Some(wait)) => {
                let wait = wait.max(SHORTEST_WAIT);
                // A change may make something due sooner; then the time is not over.
                drop(tokio::time::timeout(wait, changes.next()).await);
            }
            Step::Idle(None) => changes.next().await,
            Step::Closed => return,
        }
    }
}

/// The pause after a piece of work: the longer the more it took, and the shorter the more jobs wait.
fn pause(took: Duration, waiting: usize) -> Duration {
    let waiting = u32::try_from(waiting).unwrap_or(u32::MAX);
    let factor = match waiting {
        0..BACKLOG => LONGEST_PAUSE / (1 + waiting * waiting),
        BACKLOG.. => 0,
    };
    took.saturating_mul(factor).max(SHORTEST_PAUSE)
}
