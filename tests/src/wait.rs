//! Waits with a deadline, and with a description of what is awaited.

use std::future::Future;
use std::time::{Duration, Instant};

/// The deadline of every wait. It does not measure speed: a loaded machine may need most of it.
pub const PATIENCE: Duration = Duration::from_mins(2);

/// Awaits `future`. Panics with `what` after [`PATIENCE`].
pub async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("waited {PATIENCE:?} in vain for {what}"))
}

/// Calls `probe` until it returns something. The pauses in between only limit the rate; nothing depends on them.
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

/// Pauses between two attempts. Nothing may depend on its length.
pub async fn pace() {
    tokio::time::sleep(Duration::from_millis(5)).await;
}
