//! Counts refused calls, and logs some of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use larder_core::telemetry::Metrics;
use parking_lot::Mutex;

use super::AuthError;

/// Refused calls are logged at most once in this time: whoever guesses tokens must not fill the log.
const INTERVAL: Duration = Duration::from_secs(10);

/// The time of the last line, and the number of refused calls since.
static LOGGED: Mutex<(Option<Instant>, u64)> = Mutex::new((None, 0));

/// Counts a refused call, and logs it unless one was logged shortly before. A line has the number of those that were not.
pub fn report(refusal: &AuthError, call: &str, peer: Option<SocketAddr>, metrics: &Metrics) {
    metrics.access_refused(refusal.reason());
    let now = Instant::now();
    let unlogged = {
        let mut logged = LOGGED.lock();
        let (last, unlogged) = &mut *logged;
        if last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL) {
            *unlogged += 1;
            return;
        }
        *last = Some(now);
        std::mem::take(unlogged)
    };
    let peer = peer.map(tracing::field::display);
    tracing::warn!(call, peer, reason = %refusal, unlogged, "a call is refused");
}
