//! One connection.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use larder_core::Permit;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::silence::Silence;
use super::{HANDSHAKE_TIMEOUT, IDLE_TIMEOUT};

/// An accepted connection after its TLS handshake. Dropping it returns its permit.
pub struct Connection {
    transport: Transport,
    peer: SocketAddr,
    /// Fires when the connection may be idle for too long.
    idle_timer: Pin<Box<Sleep>>,
    /// Time of the last traffic. The timer is reset from it only when it fires, which is cheaper than at each read and write.
    last_active: Option<Instant>,
    /// Until the peer's first byte.
    silence: Option<Silence>,
    _permit: Permit,
}

pub(super) enum Transport {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

// === impl Connection ===

impl Connection {
    pub(super) fn new(
        transport: Transport,
        peer: SocketAddr,
        permit: Permit,
        silence: Silence,
    ) -> Self {
        Self {
            transport,
            peer,
            idle_timer: Box::pin(sleep(HANDSHAKE_TIMEOUT)),
            last_active: None,
            silence: Some(silence),
            _permit: permit,
        }
    }

    /// The peer's address.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Ready with the error once the connection has been idle for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.idle_timer.as_mut().poll(cx).is_ready() {
            let due = self.last_active.map(|last| last + IDLE_TIMEOUT);
            match due {
                Some(due) if due > Instant::now() => self.idle_timer.as_mut().reset(due),
                _ => return Poll::Ready(io::ErrorKind::TimedOut.into()),
            }
        }
        Poll::Pending
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let read = match &mut this.transport {
            Transport::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Transport::Tls(io) => Pin::new(io).poll_read(cx, buffer),
        };
        if read.is_pending() {
            if let Some(silence) = &mut this.silence
                && silence.poll_evicted(cx).is_ready()
            {
                tracing::debug!(peer = %this.peer, "a connection that had sent nothing gave way, as the port is full");
                return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
            }
            return this.poll_idle(cx).map(Err);
        }
        this.silence = None;
        this.last_active = Some(Instant::now());
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = match &mut this.transport {
            Transport::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Transport::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        };
        this.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = match &mut this.transport {
            Transport::Plain(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Transport::Tls(io) => Pin::new(io).poll_write_vectored(cx, slices),
        };
        this.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        match &self.transport {
            Transport::Plain(io) => io.is_write_vectored(),
            Transport::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(io) => Pin::new(io).poll_flush(cx),
            Transport::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.transport {
            Transport::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Transport::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

impl Connection {
    /// Writes count as traffic only after the peer's first byte: the server's own first frame is no sign of life.
    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Poll::Ready(Ok(_)), Some(last)) = (written, &mut self.last_active) {
            *last = Instant::now();
        }
    }
}
