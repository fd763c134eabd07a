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

/// The most connections in the system's backlog, as tokio sets it.
const BACKLOG: usize = 1024;

/// The most time that TLS handshakes have to end once the port is closed.
pub(super) const LAST_HANDSHAKES: Duration = Duration::from_secs(3);

/// Capacity of the queue of ready connections. The server takes them at once.
const READY_CAPACITY: usize = 64;

/// The connections of one port, in the order in which they became ready.
pub struct Incoming {
    ready: mpsc::Receiver<Connection>,
}

/// State of the accepting task.
struct Acceptor {
    listener: Listener,
    accepted: Accepted,
    logged_at: Option<Instant>,
}

/// What becomes of an accepted connection.
struct Accepted {
    tls: Option<Arc<Tls>>,
    ready: mpsc::Sender<Connection>,
    silent: Arc<SilentPeers>,
    /// Dropped with the task, so that none is left once the port has ended.
    handshakes: JoinSet<()>,
}

// === impl Incoming ===

impl Incoming {
    /// Accepts on `listener` until `stop`, which closes the port. Connections that were handed over stay open. Those that wait in the
    /// system's backlog then, or are in their TLS handshake, are handed over still.
    pub fn open(listener: Listener, stop: CancellationToken) -> Self {
        let (sender, ready) = mpsc::channel(READY_CAPACITY);
        let accepted = Accepted {
            tls: listener.tls.clone(),
            ready: sender,
            silent: Arc::default(),
            handshakes: JoinSet::new(),
        };
        let acceptor = Acceptor {
            listener,
            accepted,
            logged_at: None,
        };
        tokio::spawn(acceptor.run(stop));
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
    /// Accepts until `stop`, or until the receiver of connections is dropped.
    async fn run(mut self, stop: CancellationToken) {
        while !self.accepted.ready.is_closed() {
            // Accepted first: only a peer that waits may cost a silent one its place.
            let (socket, peer) = tokio::select! {
                accepted = self.accept() => accepted,
                () = stop.cancelled() => break,
            };
            let permit = tokio::select! {
                // A connection for which there is a place is not dropped because the stop has come by now.
                biased;
                permit = self.permit() => permit,
                // No place is left, and none for those that wait either.
                () = stop.cancelled() => return,
            };
            self.accepted.hand_over(socket, peer, permit).await;
        }
        self.end().await;
    }

    /// Hands over the connections in the system's backlog, and closes the port. Their peers take them for accepted and may have sent calls,
    /// which would be lost with them. On a full port those that have no place are closed.
    async fn end(self) {
        let (listener, mut accepted) = (self.listener, self.accepted);
        let Ok(port) = listener.socket.into_std() else {
            return;
        };
        for _ in 0..BACKLOG {
            // Not of the runtime, which may not have heard of all of them.
            let (socket, peer) = match port.accept() {
                Ok(waiting) => waiting,
                Err(error) if is_peer_error(&error) => continue,
                Err(_) => break,
            };
            let Some(permit) = listener.connections.try_acquire() else {
                break;
            };
            let socket = socket
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(socket));
            if let Ok(socket) = socket
                && prepare(&socket).is_ok()
            {
                accepted.hand_over(socket, peer, permit).await;
            }
        }
        drop(port);
        let handshakes = async { while accepted.handshakes.join_next().await.is_some() {} };
        if timeout(LAST_HANDSHAKES, handshakes).await.is_err() {
            tracing::debug!(
                port = listener.setting,
                "TLS handshakes that had begun before the stop are cut off"
            );
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
                () = self.accepted.silent.evict_oldest() => {}
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
                        () = self.accepted.silent.evict_oldest() => sleep(EVICTION_PAUSE).await,
                    }
                }
            }
        }
    }
}

// === impl Accepted ===

impl Accepted {
    /// Hands over a connection, with TLS once its handshake has ended. A send fails only once nobody takes connections any more.
    async fn hand_over(&mut self, socket: TcpStream, peer: SocketAddr, permit: Permit) {
        let silence = self.silent.add();
        while self.handshakes.try_join_next().is_some() {}
        match &self.tls {
            None => {
                let transport = Transport::Plain(socket);
                let connection = Connection::new(transport, peer, permit, silence);
                drop(self.ready.send(connection).await);
            }
            Some(tls) => {
                let (tls, ready) = (Arc::clone(tls), self.ready.clone());
                self.handshakes.spawn(async move {
                    if let Some(connection) = handshake(&tls, socket, peer, permit, silence).await {
                        drop(ready.send(connection).await);
                    }
                });
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
