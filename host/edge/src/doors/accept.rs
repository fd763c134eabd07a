//! From a port to streams.

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

use super::stream::{Io, Stream};
use super::{Door, HANDSHAKE, Tls};

/// A full port is told of at most once in this time.
const TOLD: Duration = Duration::from_mins(1);

/// After an error that is not one peer's, such as too many open files, accepting pauses for so long.
const PAUSE: Duration = Duration::from_secs(1);

/// A peer that is gone without a word is asked for after so long.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Streams that are ready and wait for the server to take them; it does so at once.
const READY: usize = 64;

/// The streams of one port, in the order in which they became ready.
pub struct Incoming {
    ready: mpsc::Receiver<Stream>,
}

/// What the task that accepts holds.
struct Acceptor {
    door: Door,
    ready: mpsc::Sender<Stream>,
    told: Option<Instant>,
}

// === impl Incoming ===

impl Incoming {
    /// Accepts on `door` until `stop`, and closes the port then. The streams that were handed over live on.
    pub fn open(door: Door, stop: CancellationToken) -> Self {
        let (sender, ready) = mpsc::channel(READY);
        let acceptor = Acceptor {
            door,
            ready: sender,
            told: None,
        };
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = acceptor.run() => {}
            }
        });
        Self { ready }
    }

    /// The next stream; `None` once the port is closed.
    pub async fn next(&mut self) -> Option<Stream> {
        self.ready.recv().await
    }
}

impl futures_util::Stream for Incoming {
    type Item = io::Result<Stream>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.ready.poll_recv(cx).map(|stream| stream.map(Ok))
    }
}

// === impl Acceptor ===

impl Acceptor {
    /// Ends when nobody takes streams any more.
    async fn run(mut self) {
        // Dropped with the task: a handshake does not outlive its port.
        let mut handshakes = JoinSet::new();
        while !self.ready.is_closed() {
            let permit = self.permit().await;
            let (socket, peer) = self.accept().await;
            while handshakes.try_join_next().is_some() {}
            match &self.door.tls {
                None => {
                    let stream = Stream::new(Io::Plain(socket), peer, permit);
                    if self.ready.send(stream).await.is_err() {
                        return;
                    }
                }
                Some(tls) => {
                    let (tls, ready) = (Arc::clone(tls), self.ready.clone());
                    handshakes.spawn(async move {
                        if let Some(stream) = handshake(&tls, socket, peer, permit).await {
                            // A server that takes none any more is stopping.
                            drop(ready.send(stream).await);
                        }
                    });
                }
            }
        }
    }

    /// Waits until one more connection may be open; those who connect meanwhile wait with the system.
    async fn permit(&mut self) -> Permit {
        let connections = &self.door.connections;
        if let Some(permit) = connections.try_acquire() {
            return permit;
        }
        if self.told.is_none_or(|told| told.elapsed() >= TOLD) {
            self.told = Some(Instant::now());
            tracing::warn!(
                port = self.door.setting,
                connections = connections.limit(),
                "as many connections are open as limits.connections allows; others wait"
            );
        }
        connections.acquire().await
    }

    async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.door.listener.accept().await {
                Ok((socket, peer)) => {
                    if let Err(error) = prepare(&socket) {
                        tracing::debug!(%peer, %error, "a connection ended before it was served");
                        continue;
                    }
                    return (socket, peer);
                }
                Err(error) if is_of_one_peer(&error) => {}
                Err(error) => {
                    tracing::error!(port = self.door.setting, %error, "cannot accept connections");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// What is written is sent at once, and a peer that is gone is noticed.
fn prepare(socket: &TcpStream) -> io::Result<()> {
    socket.set_nodelay(true)?;
    rustix::net::sockopt::set_socket_keepalive(socket, true)?;
    rustix::net::sockopt::set_tcp_keepidle(socket, KEEPALIVE)?;
    Ok(())
}

fn is_of_one_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}

/// The stream inside TLS. Whoever fails is told by an alert; the log has it at debug, as strangers must not fill it.
async fn handshake(
    tls: &Tls,
    socket: TcpStream,
    peer: SocketAddr,
    permit: Permit,
) -> Option<Stream> {
    match timeout(HANDSHAKE, tls.acceptor().accept(socket)).await {
        Ok(Ok(io)) => Some(Stream::new(Io::Tls(Box::new(io)), peer, permit)),
        Ok(Err(error)) => {
            tracing::debug!(%peer, %error, "a TLS handshake failed");
            None
        }
        Err(_) => {
            tracing::debug!(%peer, timeout = ?HANDSHAKE, "a TLS handshake took too long");
            None
        }
    }
}
