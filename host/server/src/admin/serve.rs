//! HTTP/1.1 on the admin port's connections.

use std::pin::pin;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use larder_core::Live;
use larder_edge::listeners::{Incoming, Listener};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

/// Serves the routes until `stop`, and then lets requests in flight end. A client has `header_timeout` for the headers of each request,
/// from the end of the one before. A connection keeps the timeout that was set when it was opened.
pub async fn serve(
    router: Router,
    listener: Listener,
    header_timeout: Live<Duration>,
    stop: CancellationToken,
) {
    let mut incoming = Incoming::open(listener, stop.clone());
    let mut connections = JoinSet::new();
    while let Some(stream) = incoming.next().await {
        while connections.try_join_next().is_some() {}
        let peer = stream.peer();
        let span = tracing::debug_span!("admin", %peer);
        let router = router.clone().layer(Extension(peer));
        let served = connection(stream, router, *header_timeout.get(), stop.clone());
        connections.spawn(served.instrument(span));
    }
    while connections.join_next().await.is_some() {}
}

/// Serves one connection. Errors are logged at debug level only, as unauthenticated clients must not fill the log.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    header_timeout: Duration,
    stop: CancellationToken,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(header_timeout)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "an admin connection ended early");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    /// Not hyper's default, which is 30 s.
    const HEADER_TIMEOUT: Duration = Duration::from_secs(20);

    fn connected() -> (DuplexStream, CancellationToken) {
        let (client, server) = duplex(1 << 10);
        let router = Router::new().route("/", get(async || "here"));
        let stop = CancellationToken::new();
        tokio::spawn(connection(server, router, HEADER_TIMEOUT, stop.clone()));
        (client, stop)
    }

    async fn asked(client: &mut DuplexStream) {
        client
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            .await
            .unwrap();
        let mut answer = [0; 512];
        let read = client.read(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(answer.get(..read).unwrap());
        assert!(answer.ends_with("here"), "{answer}");
    }

    /// The time until the server closes the connection.
    async fn closed_after(client: &mut DuplexStream, begun: Instant) -> Duration {
        let mut rest = Vec::new();
        let end = timeout(HEADER_TIMEOUT * 9, client.read_to_end(&mut rest));
        end.await.expect("an end").unwrap();
        assert!(rest.is_empty());
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn headers_that_come_byte_by_byte_are_given_up() {
        let (mut client, _stop) = connected();
        let begun = Instant::now();
        for byte in b"GET / HTTP/1.1\r\nHo" {
            client.write_all(&[*byte]).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
        let took = closed_after(&mut client, begun).await;
        assert!(
            took >= HEADER_TIMEOUT && took < HEADER_TIMEOUT + Duration::from_secs(1),
            "{took:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_request_has_as_long_as_the_first() {
        let (mut client, _stop) = connected();
        for _ in 0..3 {
            sleep(HEADER_TIMEOUT / 20 * 19).await;
            asked(&mut client).await;
        }
        let begun = Instant::now();
        client.write_all(b"GET").await.unwrap();
        let took = closed_after(&mut client, begun).await;
        assert!(took <= HEADER_TIMEOUT, "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_connections_that_wait_for_nothing() {
        let (mut client, stop) = connected();
        asked(&mut client).await;
        let begun = Instant::now();
        stop.cancel();
        assert!(closed_after(&mut client, begun).await < HEADER_TIMEOUT);
    }
}
