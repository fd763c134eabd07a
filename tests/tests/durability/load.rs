//! Several connections that export at the same time, until they are told to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use larder_tests::{Client, Larder, eventually};
use tokio::task::JoinHandle;

use crate::ledger::Ledger;

/// A load under way.
#[derive(Debug)]
pub(crate) struct Load {
    ledger: Arc<Ledger>,
    before: u64,
    stop: Arc<AtomicBool>,
    connections: Vec<JoinHandle<()>>,
}

// === impl Load ===

impl Load {
    /// Starts to export over so many connections. An Export that fails is sent again, as Jaeger's exporter would, until it is
    /// acknowledged or the load is stopped.
    pub(crate) async fn start(larder: &Larder, ledger: &Arc<Ledger>, connections: u64) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let before = ledger.total().acknowledged;
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let client = larder.client().await;
            tasks.push(tokio::spawn(run(
                client,
                Arc::clone(ledger),
                Arc::clone(&stop),
            )));
        }
        Self {
            ledger: Arc::clone(ledger),
            before,
            stop,
            connections: tasks,
        }
    }

    /// Returns once so many more Exports have been acknowledged since the start.
    pub(crate) async fn acknowledged(&self, more: u64) {
        let enough = self.before + more;
        eventually("acknowledged Exports", async || {
            (self.ledger.total().acknowledged >= enough).then_some(())
        })
        .await;
    }

    /// Ends it, once what is under way is answered.
    pub(crate) async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for connection in self.connections {
            connection.await.expect("a connection's task");
        }
    }
}

async fn run(client: Client, ledger: Arc<Ledger>, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        let number = ledger.next();
        while ledger.export(&client, number).await.is_err() && !stop.load(Ordering::Relaxed) {
            tokio::task::yield_now().await;
        }
    }
}
