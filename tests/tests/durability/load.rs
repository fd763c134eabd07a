//! Several connections that export at the same time, until they are told to stop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use larder_tests::{Client, Larder, eventually, pace};
use tokio::task::JoinHandle;
use tonic::{Code, Status};

use crate::ledger::Ledger;

/// A load under way.
#[derive(Debug)]
pub(crate) struct Load {
    ledger: Arc<Ledger>,
    before: u64,
    stop: Arc<AtomicBool>,
    refused: Arc<Mutex<Vec<Status>>>,
    connections: Vec<JoinHandle<()>>,
}

// === impl Load ===

impl Load {
    /// Starts to export over so many connections. An Export that fails is sent again, as Jaeger's exporter would, until it is
    /// acknowledged or the load is stopped.
    pub(crate) async fn start(larder: &Larder, ledger: &Arc<Ledger>, connections: u64) -> Self {
        let (stop, refused) = (Arc::<AtomicBool>::default(), Arc::default());
        let before = ledger.total().acknowledged;
        let mut tasks = Vec::new();
        for _ in 0..connections {
            let client = larder.client().await;
            tasks.push(tokio::spawn(run(
                client,
                Arc::clone(ledger),
                Arc::clone(&stop),
                Arc::clone(&refused),
            )));
        }
        Self {
            ledger: Arc::clone(ledger),
            before,
            stop,
            refused,
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

    /// Returns once so many Exports have been refused since the start.
    pub(crate) async fn refused(&self, enough: usize) {
        let refused = || self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        eventually("refused Exports", async || {
            (refused().len() >= enough).then_some(())
        })
        .await;
    }

    /// Ends it, once what is under way is answered; gives what was refused.
    pub(crate) async fn stop(self) -> Vec<Status> {
        self.stop.store(true, Ordering::Relaxed);
        for connection in self.connections {
            connection.await.expect("a connection's task");
        }
        std::mem::take(&mut self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn run(
    client: Client,
    ledger: Arc<Ledger>,
    stop: Arc<AtomicBool>,
    refused: Arc<Mutex<Vec<Status>>>,
) {
    while !stop.load(Ordering::Relaxed) {
        let number = ledger.next();
        while let Err(status) = ledger.export(&client, number).await {
            // A batch that killed the plugin twice, alone, is refused for good.
            let given_up = status.code() == Code::Internal || stop.load(Ordering::Relaxed);
            refused
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(status);
            if given_up {
                break;
            }
            pace().await;
        }
    }
}

/// What is refused because of a fault is refused in words that let a client send it again.
pub(crate) fn assert_repeatable(refused: &[Status]) {
    for status in refused {
        let repeatable = [Code::Unavailable, Code::ResourceExhausted].contains(&status.code());
        assert!(repeatable, "{status:?}");
    }
}
