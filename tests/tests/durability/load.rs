//! Several connections that export concurrently until they are stopped.

use std::sync::{Arc, Mutex, PoisonError};

use larder_tests::{Background, Client, Larder, Ledger, Progress, eventually, pace};
use tonic::{Code, Status};

/// A running load.
#[derive(Debug)]
pub(crate) struct Load {
    ledger: Arc<Ledger>,
    before: u64,
    refused: Arc<Mutex<Vec<Status>>>,
    connections: Background<()>,
}

// === impl Load ===

impl Load {
    /// Starts to export on this many connections. A failed Export is sent again, as Jaeger's exporter would do, until it is acknowledged
    /// or the load is stopped.
    pub(crate) async fn start(larder: &Larder, ledger: &Arc<Ledger>, connections: u64) -> Self {
        let refused = Arc::default();
        let before = ledger.total().acknowledged;
        let mut tasks = Background::default();
        for _ in 0..connections {
            let client = larder.client().await;
            let (ledger, refused) = (Arc::clone(ledger), Arc::clone(&refused));
            tasks.and(|progress| run(client, ledger, progress, refused));
        }
        Self {
            ledger: Arc::clone(ledger),
            before,
            refused,
            connections: tasks,
        }
    }

    /// Returns once `more` Exports have been acknowledged since the start.
    pub(crate) async fn acknowledged(&self, more: u64) {
        let enough = self.before + more;
        eventually("acknowledged Exports", async || {
            (self.ledger.total().acknowledged >= enough).then_some(())
        })
        .await;
    }

    /// Returns once `enough` Exports have been refused since the start.
    pub(crate) async fn refused(&self, enough: usize) {
        let refused = || self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        eventually("refused Exports", async || {
            (refused().len() >= enough).then_some(())
        })
        .await;
    }

    /// Stops after the running calls, and returns the refusals.
    pub(crate) async fn stop(self) -> Vec<Status> {
        self.connections.stop().await;
        std::mem::take(&mut self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn run(
    client: Client,
    ledger: Arc<Ledger>,
    progress: Progress,
    refused: Arc<Mutex<Vec<Status>>>,
) {
    while progress.is_running() {
        let number = ledger.next();
        while let Err(status) = ledger.export(&client, number).await {
            // A batch that killed the plugin twice, alone, is refused for good.
            let given_up = status.code() == Code::Internal || !progress.is_running();
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

/// Asserts that refusals because of a fault are retryable.
pub(crate) fn assert_repeatable(refused: &[Status]) {
    for status in refused {
        let repeatable = [Code::Unavailable, Code::ResourceExhausted].contains(&status.code());
        assert!(repeatable, "{status:?}");
    }
}
