//! Adapts a connection to tonic.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use larder_edge::listeners::Connection;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::transport::server::Connected;

/// The most time for a peer to close a connection on which nothing more is sent to it.
const LINGER: Duration = Duration::from_secs(1);

/// A connection for tonic. Its requests have the peer's address as an extension.
///
/// After its end it is open to the peer until that closes it as well, for at most [`LINGER`]: a socket that is closed before what a peer
/// still sends, such as a window update for the last answer, resets the connection, and with it a peer may drop answers that it has
/// received. `HAProxy` does.
pub(crate) struct TonicConnection {
    connection: Connection,
    /// Runs since the end was sent.
    linger: Option<Pin<Box<Sleep>>>,
    _closed: DropGuard,
}

// === impl TonicConnection ===

impl TonicConnection {
    /// Cancels `closed` once it is dropped.
    pub(crate) fn new(connection: Connection, closed: CancellationToken) -> Self {
        Self {
            connection,
            linger: None,
            _closed: closed.drop_guard(),
        }
    }
}

impl Connected for TonicConnection {
    type ConnectInfo = SocketAddr;

    fn connect_info(&self) -> SocketAddr {
        self.connection.peer()
    }
}

impl AsyncRead for TonicConnection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TonicConnection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.connection).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.connection.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.connection).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.connection).poll_shutdown(cx))?;
        }
        let linger = this.linger.get_or_insert_with(|| Box::pin(sleep(LINGER)));
        if linger.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut ignored = [0; 1024];
        loop {
            let mut buffer = ReadBuf::new(&mut ignored);
            let read = ready!(Pin::new(&mut this.connection).poll_read(cx, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}
