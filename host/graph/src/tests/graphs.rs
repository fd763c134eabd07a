//! The graphs of all tenants, and the tasks that drive them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use larder_core::fair::Scheduler;
use larder_core::telemetry::Metrics;
use larder_core::testing::MemoryHosts;
use larder_model::storage::{Keep, Observer, Observers as _, StorageSource};
use tokio::task::yield_now;

use super::keeping::Keeping;
use super::world::Source;
use crate::{Config, Graphs};

fn graphs(scheduler: Arc<Scheduler>) -> Graphs {
    Graphs::new(Config::default(), Arc::new(Metrics::new()), scheduler)
}

/// Opens the graph of a tenant in which nothing was written. It has work: nothing of it is durable yet.
async fn open(graphs: &Graphs, source: &Arc<Source>) -> Arc<dyn Observer> {
    let keep: Arc<Keeping> = Arc::default();
    let source: Arc<dyn StorageSource> = Arc::<Source>::clone(source);
    let weak: Weak<dyn StorageSource> = Arc::downgrade(&source);
    graphs.open("tenant", keep, weak).await
}

/// Waits until there was more work than before, and returns all of it.
async fn more_work(graphs: &Graphs, before: Duration) -> Duration {
    loop {
        let worked = graphs.all_figures().worked;
        if worked > before {
            return worked;
        }
        yield_now().await;
    }
}

#[tokio::test]
async fn the_work_of_a_tenant_counts_after_it_is_closed() {
    let graphs = graphs(Arc::default());
    let source = Arc::new(Source(Arc::default()));
    let tenant = open(&graphs, &source).await;
    more_work(&graphs, Duration::ZERO).await;
    tenant.close().await;
    drop(tenant);
    assert_eq!(graphs.figures("tenant"), None);
    let worked = graphs.all_figures().worked;
    assert!(worked > Duration::ZERO);
    let _again = open(&graphs, &source).await;
    assert!(graphs.figures("tenant").is_some());
    assert!(more_work(&graphs, worked).await > worked);
}

#[tokio::test]
async fn work_waits_for_a_turn_of_its_tenant() {
    let scheduler = Arc::new(Scheduler::new(1, 1));
    let graphs = graphs(Arc::clone(&scheduler));
    let source = Arc::new(Source(Arc::default()));
    let turn = scheduler.lane("other").turn().await;
    let _tenant = open(&graphs, &source).await;
    for _ in 0..100 {
        yield_now().await;
    }
    assert_eq!(graphs.all_figures().worked, Duration::ZERO);
    drop(turn);
    more_work(&graphs, Duration::ZERO).await;
}

#[tokio::test]
async fn the_writes_of_a_host_among_others_are_marked_beside_its_data() {
    let graphs = graphs(Arc::default());
    let source = Arc::new(Source(Arc::default()));
    let hosts = MemoryHosts::default();
    let keep = hosts.open("h1");
    let source: Arc<dyn StorageSource> = source;
    let shared: Arc<dyn Keep> = Arc::clone(&keep) as Arc<dyn Keep>;
    let tenant = graphs.open("tenant", shared, Arc::downgrade(&source)).await;
    assert!(graphs.get("tenant").is_some());
    assert!(!keep.kept().entries().is_empty());
    more_work(&graphs, Duration::ZERO).await;
    assert_eq!(hosts.holder().as_deref(), Some("h1"));
    tenant.close().await;
}
