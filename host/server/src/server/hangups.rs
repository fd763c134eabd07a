//! SIGHUP, at which the configuration is read again.

/// SIGHUP, where there is such a thing; it no longer ends the process once it is caught.
pub(super) struct Hangups {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Hangups {
    /// Catches it from now on. Needs a tokio runtime around it.
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

    /// Waits for the next one.
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
