//! Waiting without sleeping blindly: every wait has a deadline and says what it waited for.

use std::future::Future;
use std::time::{Duration, Instant};

/// How long a test waits for anything. It is not a measure of speed: a loaded machine may well need most of it.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// What `future` gives, or a panic that names `what` once [`PATIENCE`] is over.
pub async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// Asks `probe` again and again until it gives something. The pauses between are pacing only: nothing is assumed of them.
pub async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(
            Instant::now() < deadline,
            "waited {PATIENCE:?} in vain for {what}"
        );
        pace().await;
    }
}

/// The pause between two attempts: nothing may be assumed of it.
pub async fn pace() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}
