//! Connections whose peer has not sent anything yet. On a full port, the one that has been silent for longest gives way.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The least time that a peer has for its first byte, however full the port is.
pub(super) const GRACE: Duration = Duration::from_millis(500);

/// The silent peers of one port, oldest first.
#[derive(Debug, Default)]
pub(super) struct SilentPeers {
    peers: Mutex<Peers>,
}

#[derive(Debug, Default)]
struct Peers {
    next: u64,
    silent: BTreeMap<u64, (Instant, CancellationToken)>,
}

/// One silent peer, for as long as it is silent: dropped at its first byte.
pub(super) struct Silence {
    of: Arc<SilentPeers>,
    number: u64,
    evicted: Pin<Box<WaitForCancellationFutureOwned>>,
}

// === impl SilentPeers ===

impl SilentPeers {
    /// Adds a peer that has just connected.
    pub(super) fn add(self: &Arc<Self>) -> Silence {
        let token = CancellationToken::new();
        let mut peers = self.peers.lock();
        let number = peers.next;
        peers.next += 1;
        peers.silent.insert(number, (Instant::now(), token.clone()));
        Silence {
            of: Arc::clone(self),
            number,
            evicted: Box::pin(token.cancelled_owned()),
        }
    }

    /// Closes the connection that has been silent for longest, once that is [`GRACE`]. Waits for ever if none is silent.
    pub(super) async fn evict_oldest(&self) {
        loop {
            let oldest = {
                let mut peers = self.peers.lock();
                let oldest = peers.silent.first_key_value().map(|(_, (since, _))| *since);
                match oldest {
                    Some(since) if since.elapsed() >= GRACE => {
                        if let Some((_, (_, token))) = peers.silent.pop_first() {
                            token.cancel();
                        }
                        return;
                    }
                    oldest => oldest,
                }
            };
            match oldest {
                Some(since) => sleep_until(since + GRACE).await,
                None => std::future::pending().await,
            }
        }
    }
}

// === impl Silence ===

impl Silence {
    /// Ready once the connection has to give way.
    pub(super) fn poll_evicted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.evicted.as_mut().poll(cx)
    }

    /// Waits until the connection has to give way.
    pub(super) async fn evicted(&mut self) {
        self.evicted.as_mut().await;
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        self.of.peers.lock().silent.remove(&self.number);
    }
}
