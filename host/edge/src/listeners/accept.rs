//! Accepts connections and runs their TLS handshakes.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use larder_core::Permit;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::connection::{Connection, Transport};
use super::silence::{Silence, SilentPeers};
use super::{HANDSHAKE_TIMEOUT, Listener, Tls};

/// Interval at which a full port is logged at most.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Pause of accepting after an error of the server itself, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Time for a connection that was told to close to do so, before another one is told.
const EVICTION_PAUSE: Duration = Duration::from_millis(50);

/// Idle time after which TCP keep-alive probes the peer.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Capacity of the queue of ready connections. The server takes them at once.
const READY_CAPACITY: usize = 64;

/// The connections of one port, in the order in which they became ready.
pub struct Incoming {
    ready: mpsc::Receiver<Connection>,
}

/// State of the accepting task.
struct Acceptor {
    listener: Listener,
    ready: mpsc::Sender<Connection>,
    silent: Arc<SilentPeers>,
    logged_at: Option<Instant>,
}

// === impl Incoming ===

impl Incoming {
    /// Accepts on `listener` until `stop`, which closes the port. Connections that were handed over stay open.
    pub fn open(listener: Listener, stop: CancellationToken) -> Self {
        let (sender, ready) = mpsc::channel(READY_CAPACITY);
        let acceptor = Acceptor {
            listener,
            ready: sender,
            silent: Arc::default(),
            logged_at: None,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = acceptor.run() => {}
            }
        });
        Self { ready }
    }

    /// The next connection. `None` once the port is closed.
    pub async fn next(&mut self) -> Option<Connection> {
        self.ready.recv().await
    }
}

impl futures_util::Stream for Incoming {
    type Item = io::Result<Connection>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.ready
            .poll_recv(cx)
            .map(|connection| connection.map(Ok))
    }
}

// === impl Acceptor ===

impl Acceptor {
    /// Accepts until the receiver of connections is dropped.
    async fn run(mut self) {
        // Dropped with the task, so that no handshake outlives its port.
        let mut handshakes = JoinSet::new();
        while !self.ready.is_closed() {
            // Accepted first: only a peer that waits may cost a silent one its place.
            let (socket, peer) = self.accept().await;
            let permit = self.permit().await;
            let silence = self.silent.add();
            while handshakes.try_join_next().is_some() {}
            match &self.listener.tls {
                None => {
                    let connection =
                        Connection::new(Transport::Plain(socket), peer, permit, silence);
                    if self.ready.send(connection).await.is_err() {
                        return;
                    }
                }
                Some(tls) => {
                    let (tls, ready) = (Arc::clone(tls), self.ready.clone());
                    handshakes.spawn(async move {
                        if let Some(connection) =
                            handshake(&tls, socket, peer, permit, silence).await
                        {
                            // The send fails only while the server is stopping.
                            drop(ready.send(connection).await);
                        }
                    });
                }
            }
        }
    }

    /// Waits for a permit. On a full port, the connections that have been silent for longest are closed until one is free. Peers that
    /// connect meanwhile wait in the system's backlog.
    async fn permit(&mut self) -> Permit {
        let connections = &self.listener.connections;
        if let Some(permit) = connections.try_acquire() {
            return permit;
        }
        if self.logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL) {
            self.logged_at = Some(Instant::now());
            tracing::warn!(
                port = self.listener.setting,
                connections = connections.limit(),
                "as many connections are open as limits.connections or the limit of open files allows; those that have sent nothing are closed first, and others wait"
            );
        }
        let mut acquired = std::pin::pin!(connections.acquire());
        loop {
            tokio::select! {
                biased;
                permit = &mut acquired => return permit,
                () = self.silent.evict_oldest() => {}
            }
            // After a reload with a lower limit, one that is closed makes no room yet.
            if let Ok(permit) = timeout(EVICTION_PAUSE, &mut acquired).await {
                return permit;
            }
        }
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.listener.socket.accept().await {
                Ok((socket, peer)) => {
                    if let Err(error) = prepare(&socket) {
                        tracing::debug!(%peer, %error, "a connection ended before it was served");
                        continue;
                    }
                    return (socket, peer);
                }
                Err(error) if is_peer_error(&error) => {}
                Err(error) => {
                    tracing::error!(port = self.listener.setting, %error, "cannot accept connections");
                    tokio::select! {
                        () = sleep(ACCEPT_PAUSE) => {}
                        () = self.silent.evict_oldest() => sleep(EVICTION_PAUSE).await,
                    }
                }
            }
        }
    }
}

/// Sets `TCP_NODELAY` and TCP keep-alive.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(socket, true)?;
    rustix::net::sockopt::set_tcp_keepidle(socket, KEEPALIVE)?;
    Ok(())
}

fn is_peer_error(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// Runs the TLS handshake. Failures are logged at debug level only, as unauthenticated clients must not fill the log.
async fn handshake(
    tls: &Tls,
    socket: TcpStream,
    peer: SocketAddr,
    permit: Permit,
    mut silence: Silence,
) -> Option<Connection> {
    let handshake = timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(socket));
    let ended = tokio::select! {
        ended = handshake => ended,
        () = silence.evicted() => {
            tracing::debug!(%peer, "a connection gave way in its TLS handshake, as the port is full");
            return None;
        }
    };
    match ended {
        Ok(Ok(io)) => {
            let transport = Transport::Tls(Box::new(io));
            Some(Connection::new(transport, peer, permit, silence))
        }
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, timeout = ?HANDSHAKE_TIMEOUT, "a TLS handshake took too long");
            None
        }
    }
}
