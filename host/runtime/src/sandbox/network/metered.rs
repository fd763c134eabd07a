//! Streams whose bytes are counted, and bounded for each call.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use wasmtime_wasi::async_trait;
use wasmtime_wasi::p2::{
    DynInputStream, DynOutputStream, InputStream, OutputStream, Pollable, StreamError, StreamResult,
};

use super::{Direction, Network, OpenConnection, Refused};

/// The guest's end of what comes in.
pub(super) struct MeteredInput {
    pub(super) inner: DynInputStream,
    pub(super) network: Arc<Network>,
}

/// The guest's end of what goes out.
pub(super) struct MeteredOutput {
    pub(super) inner: DynOutputStream,
    pub(super) network: Arc<Network>,
}

/// A connection of the host's for a guest.
pub(super) struct Metered<S> {
    inner: S,
    place: OpenConnection,
    /// How long a read may wait, once something has come.
    patience: Option<Duration>,
    /// The wait that runs.
    waiting: Option<Pin<Box<Sleep>>>,
}

fn refused(refused: Refused) -> StreamError {
    StreamError::LastOperationFailed(wasmtime::Error::new(refused))
}

// === impl MeteredInput ===

#[async_trait]
impl InputStream for MeteredInput {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        let size = self.network.allowance(size).map_err(refused)?;
        let read = self.inner.read(size)?;
        self.network.moved(Direction::Received, read.len());
        Ok(read)
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl Pollable for MeteredInput {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

// === impl MeteredOutput ===

#[async_trait]
impl OutputStream for MeteredOutput {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let length = bytes.len();
        // A guest may write without having asked.
        self.network.all_of(length).map_err(refused)?;
        self.inner.write(bytes)?;
        self.network.moved(Direction::Sent, length);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.inner.flush()
    }

    /// The guest may write as much as this, so it is bounded here.
    fn check_write(&mut self) -> StreamResult<usize> {
        let most = self.inner.check_write()?;
        self.network.allowance(most).map_err(refused)
    }

    async fn cancel(&mut self) {
        self.inner.cancel().await;
    }
}

#[async_trait]
impl Pollable for MeteredOutput {
    async fn ready(&mut self) {
        self.inner.ready().await;
    }
}

// === impl Metered ===

impl<S> Metered<S> {
    /// `patience` is how long a read may wait, once something has come.
    pub(super) fn new(inner: S, place: OpenConnection, patience: Option<Duration>) -> Self {
        Self {
            inner,
            place,
            patience,
            waiting: None,
        }
    }

    fn allowance(&self, bytes: usize) -> io::Result<usize> {
        let allowed = self.place.0.allowance(bytes);
        allowed.map_err(|refused| io::Error::new(io::ErrorKind::QuotaExceeded, refused))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let size = self.allowance(buffer.remaining())?;
        let mut part = ReadBuf::new(buffer.initialize_unfilled_to(size));
        let Poll::Ready(read) = Pin::new(&mut self.inner).poll_read(context, &mut part) else {
            let Some(waiting) = &mut self.waiting else {
                return Poll::Pending;
            };
            ready!(waiting.as_mut().poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        };
        read?;
        let read = part.filled().len();
        buffer.advance(read);
        self.waiting = self.patience.map(|it| Box::pin(tokio::time::sleep(it)));
        self.place.0.moved(Direction::Received, read);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let size = self.allowance(bytes.len())?;
        let part = bytes.get(..size).unwrap_or(bytes);
        let written = ready!(Pin::new(&mut self.inner).poll_write(context, part))?;
        self.place.0.moved(Direction::Sent, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}
