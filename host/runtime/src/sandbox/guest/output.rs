//! Logs the messages of a guest: those of its `log` import, and the lines that it prints.

use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::io::AsyncWrite;
use tracing::{Level, debug, error, info, trace, warn};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};

use super::budget::{Budget, LogVerdict, MAX_MESSAGE_BYTES, cut};

/// The most bytes of the last lines printed that are kept to explain a trap, such as the message of a panic.
const TAIL_BYTES: usize = 1024;
/// The most bytes of one write on a stream.
const PERMIT_BYTES: usize = 8192;

/// The log of one guest. Its streams and its `log` import share one budget.
#[derive(Clone)]
pub(crate) struct Output {
    plugin: Arc<str>,
    inner: Arc<Mutex<OutputState>>,
}

struct OutputState {
    budget: Budget,
    /// The last line printed, as long as it has no end.
    line: Vec<u8>,
    tail: Vec<u8>,
}

// === impl Output ===

impl Output {
    pub(crate) fn new(plugin: Arc<str>, bytes_per_second: u64) -> Self {
        let inner = OutputState {
            budget: Budget::new(bytes_per_second, Instant::now()),
            line: Vec::new(),
            tail: Vec::new(),
        };
        Self {
            plugin,
            inner: Arc::new(Mutex::new(inner)),
        }
    }

    /// Logs a message of the `log` import.
    pub(crate) fn log(&self, level: Level, message: &str) {
        self.emit(&mut self.lock().budget, level, message);
    }

    /// Returns the last lines printed, and clears them.
    pub(crate) fn take_tail(&self) -> String {
        let mut inner = self.lock();
        let mut tail = mem::take(&mut inner.tail);
        tail.extend_from_slice(&mem::take(&mut inner.line));
        String::from_utf8_lossy(&tail).trim().to_owned()
    }

    fn print(&self, bytes: &[u8]) {
        let mut inner = self.lock();
        let inner = &mut *inner;
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            inner.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") || inner.line.len() >= MAX_MESSAGE_BYTES {
                let line = String::from_utf8_lossy(&inner.line).into_owned();
                self.emit(&mut inner.budget, Level::DEBUG, line.trim_end());
                inner.tail.append(&mut inner.line);
                let surplus = inner.tail.len().saturating_sub(TAIL_BYTES);
                inner.tail.drain(..surplus);
            }
        }
    }

    fn emit(&self, budget: &mut Budget, level: Level, message: &str) {
        let plugin = &*self.plugin;
        let LogVerdict::Log { dropped_before } = budget.spend(message.len(), Instant::now()) else {
            return;
        };
        if dropped_before > 0 {
            warn!(
                plugin,
                dropped_before,
                "the plugin logs more than limits.log_bytes a second; messages were dropped"
            );
        }
        let message = cut(message);
        match level {
            Level::TRACE => trace!(plugin, "{message}"),
            Level::DEBUG => debug!(plugin, "{message}"),
            Level::INFO => info!(plugin, "{message}"),
            Level::WARN => warn!(plugin, "{message}"),
            Level::ERROR => error!(plugin, "{message}"),
        }
    }

    fn lock(&self) -> MutexGuard<'_, OutputState> {
        self.inner.lock()
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Output {
    fn write(&mut self, bytes: bytes::Bytes) -> StreamResult<()> {
        self.print(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(PERMIT_BYTES)
    }
}

#[async_trait::async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Output {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.print(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_printed_are_kept_up_to_a_limit() {
        let output = Output::new("x".into(), 10_000);
        for _ in 0..100 {
            output.print(b"a line that is printed again and again\n");
        }
        output.print(b"panicked at ");
        output.print(b"src/lib.rs");
        let tail = output.take_tail();
        assert!(tail.ends_with("again\npanicked at src/lib.rs"), "{tail}");
        assert!(tail.len() < TAIL_BYTES + 100);
        assert_eq!(output.take_tail(), "");
    }

    #[test]
    fn a_line_without_end_is_cut() {
        let output = Output::new("x".into(), 10_000);
        for _ in 0..10_000 {
            output.print(&[b'a'; 100]);
        }
        assert!(output.lock().line.len() <= MAX_MESSAGE_BYTES + 100);
    }
}
