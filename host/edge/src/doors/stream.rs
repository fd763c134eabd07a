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

use super::{HANDSHAKE, IDLE};

/// A connection that is ready to be spoken on. Dropping it lets another one in.
pub struct Stream {
    io: Io,
    peer: SocketAddr,
    /// When nothing has gone either way for too long.
    silence: Pin<Box<Sleep>>,
    /// The last time that something went, by which `silence` is put off when it comes: cheaper than to do so each time.
    last: Option<Instant>,
    _permit: Permit,
}

pub(super) enum Io {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

// === impl Stream ===

impl Stream {
    pub(super) fn new(io: Io, peer: SocketAddr, permit: Permit) -> Self {
        Self {
            io,
            peer,
            silence: Box::pin(sleep(HANDSHAKE)),
            last: None,
            _permit: permit,
        }
    }

    /// Who speaks.
    pub fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// The error of a peer that has been silent for too long.
    fn silent(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        while self.silence.as_mut().poll(cx).is_ready() {
            let due = self.last.map(|last| last + IDLE);
            match due {
                Some(due) if due > Instant::now() => self.silence.as_mut().reset(due),
                _ => return Poll::Ready(io::ErrorKind::TimedOut.into()),
            }
        }
        Poll::Pending
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let read = match &mut this.io {
            Io::Plain(io) => Pin::new(io).poll_read(cx, buffer),
            Io::Tls(io) => Pin::new(io).poll_read(cx, buffer),
        };
        if read.is_pending() {
            return this.silent(cx).map(Err);
        }
        this.last = Some(Instant::now());
        read
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = match &mut this.io {
            Io::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Io::Tls(io) => Pin::new(io).poll_write(cx, bytes),
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
        let written = match &mut this.io {
            Io::Plain(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Io::Tls(io) => Pin::new(io).poll_write_vectored(cx, slices),
        };
        this.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        match &self.io {
            Io::Plain(io) => io.is_write_vectored(),
            Io::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_flush(cx),
            Io::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.io {
            Io::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Io::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}

impl Stream {
    /// What the server says counts once the peer has said something: our own first frame is no sign of life.
    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        if let (Poll::Ready(Ok(_)), Some(last)) = (written, &mut self.last) {
            *last = Instant::now();
        }
    }
}
