//! SIGHUP, which asks for a reload.

/// A stream of SIGHUPs. While it exists, SIGHUP does not end the process. It never yields on systems without signals.
pub(super) struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// Begins to catch SIGHUP. Call it inside a tokio runtime.
    #[cfg(unix)]
    pub(super) fn catch() -> Self {
        let kind = tokio::signal::unix::SignalKind::hangup();
        let signal = tokio::signal::unix::signal(kind)
            .inspect_err(|error| tracing::warn!(%error, "cannot catch SIGHUP"));
        Self {
            signal: signal.ok(),
        }
    }

    /// Catches nothing.
    #[cfg(not(unix))]
    pub(super) fn catch() -> Self {
        Self {}
    }

    /// Waits for the next SIGHUP.
    pub(super) async fn next(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal
            && signal.recv().await.is_some()
        {
            return;
        }
        std::future::pending::<()>().await;
    }
}
