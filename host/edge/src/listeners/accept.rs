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
use super::{HANDSHAKE_TIMEOUT, Listener, Tls};

/// Interval at which a full port is logged at most.
const LOG_INTERVAL: Duration = Duration::from_mins(1);

/// Pause of accepting after an error of the server itself, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

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
            let permit = self.permit().await;
            let (socket, peer) = self.accept().await;
            while handshakes.try_join_next().is_some() {}
            match &self.listener.tls {
                None => {
                    let connection = Connection::new(Transport::Plain(socket), peer, permit);
                    if self.ready.send(connection).await.is_err() {
                        return;
                    }
                }
                Some(tls) => {
                    let (tls, ready) = (Arc::clone(tls), self.ready.clone());
                    handshakes.spawn(async move {
                        if let Some(connection) = handshake(&tls, socket, peer, permit).await {
                            // The send fails only while the server is stopping.
                            drop(ready.send(connection).await);
                        }
                    });
                }
            }
        }
    }

    /// Waits for a permit. Peers that connect meanwhile wait in the system's backlog.
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
                "as many connections are open as limits.connections allows; others wait"
            );
        }
        connections.acquire().await
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
                    sleep(ACCEPT_PAUSE).await;
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
) -> Option<Connection> {
    match timeout(HANDSHAKE_TIMEOUT, tls.acceptor().accept(socket)).await {
        Ok(Ok(io)) => Some(Connection::new(Transport::Tls(Box::new(io)), peer, permit)),
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
