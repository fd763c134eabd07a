//! The timeouts, on real sockets and with paused time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::io;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_rustls::TlsConnector;
use tokio_util::sync::CancellationToken;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A port for so many connections.
async fn listener(tls: Option<Arc<Tls>>, connections: usize) -> Listener {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    Listener {
        setting: "grpc.endpoint",
        socket,
        address,
        tls,
        connections: larder_core::Permits::new(connections),
    }
}

/// A port and a connected peer.
async fn open(tls: Option<Arc<Tls>>) -> (Incoming, TcpStream) {
    let listener = listener(tls, 1).await;
    let address = listener.address;
    let incoming = Incoming::open(listener, CancellationToken::new());
    (incoming, TcpStream::connect(address).await.unwrap())
}

/// A connection without TLS: the server's end and the peer's.
async fn connected() -> (Connection, TcpStream) {
    let (mut incoming, peer) = open(None).await;
    (incoming.next().await.unwrap(), peer)
}

fn tls() -> Arc<Tls> {
    tls_and_certificate().0
}

fn tls_and_certificate() -> (Arc<Tls>, CertificateDer<'static>) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = TlsFiles {
        cert,
        key,
        client_ca: None,
        protocol: Protocol::Grpc,
    };
    let tls = Arc::new(Tls::open(files).unwrap());
    (tls, made.cert.der().clone())
}

/// A client's end of a TLS connection.
async fn shake_hands(socket: TcpStream, certificate: CertificateDer<'static>) -> io::Result<()> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = "localhost".try_into().unwrap();
    let shaken = TlsConnector::from(Arc::new(config)).connect(name, socket);
    shaken.await.map(drop)
}

/// The time until the server closes the idle connection.
async fn closed_after(stream: &mut Connection) -> Duration {
    let begun = Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    begun.elapsed()
}

#[track_caller]
fn check_about(took: Duration, wanted: Duration) {
    assert!(took >= wanted && took < wanted + SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_handshake_is_closed() {
    let (mut incoming, mut peer) = open(Some(tls())).await;
    let begun = Instant::now();
    assert_eq!(peer.read(&mut [0; 64]).await.unwrap(), 0);
    check_about(begun.elapsed(), HANDSHAKE_TIMEOUT);
    // Its permit is free again: the next peer is accepted, and then closed as well.
    let mut next = TcpStream::connect(peer.peer_addr().unwrap()).await.unwrap();
    assert_eq!(next.read(&mut [0; 64]).await.unwrap(), 0);
    check_about(begun.elapsed(), HANDSHAKE_TIMEOUT * 2);
    assert!(futures_util::poll!(std::pin::pin!(incoming.next())).is_pending());
}

/// The timeout covers the whole handshake, however many bytes arrive.
#[tokio::test(start_paused = true)]
async fn a_handshake_sent_byte_by_byte_is_closed() {
    let (_incoming, peer) = open(Some(tls())).await;
    let begun = Instant::now();
    let (mut from, mut to) = peer.into_split();
    let drip = tokio::spawn(async move {
        // The header of a long ClientHello, then one byte at a time.
        to.write_all(&[22, 3, 1, 0x10, 0, 1, 0, 0x0f, 0xfc])
            .await
            .unwrap();
        while to.write_all(&[3]).await.is_ok() {
            sleep(SECOND).await;
        }
    });
    // The close may be an error here, as the server has not read all bytes.
    assert_eq!(from.read(&mut [0; 64]).await.unwrap_or(0), 0);
    check_about(begun.elapsed(), HANDSHAKE_TIMEOUT);
    drip.abort();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_nothing_is_closed() {
    let (mut stream, _peer) = connected().await;
    // The server's first frame, as in HTTP/2, is no sign that the peer is alive.
    sleep(HANDSHAKE_TIMEOUT.checked_sub(SECOND).unwrap()).await;
    stream.write_all(b"hello").await.unwrap();
    check_about(closed_after(&mut stream).await, SECOND);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_closed() {
    let (mut stream, mut peer) = connected().await;
    peer.write_all(b"ab").await.unwrap();
    for _ in 0..2 {
        assert!(stream.read_u8().await.is_ok());
        sleep(IDLE_TIMEOUT.checked_sub(SECOND).unwrap()).await;
    }
    // An answer counts as traffic, though the client sends nothing.
    for _ in 0..3 {
        stream.write_all(b"c").await.unwrap();
        sleep(IDLE_TIMEOUT.checked_sub(SECOND).unwrap()).await;
    }
    check_about(closed_after(&mut stream).await, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_closed_connection_returns_its_permit() {
    let (mut incoming, mut idle) = open(None).await;
    let address = idle.peer_addr().unwrap();
    let mut stream = incoming.next().await.unwrap();
    idle.write_all(b"a").await.unwrap();
    assert!(stream.read_u8().await.is_ok());
    let _waiting = TcpStream::connect(address).await.unwrap();
    assert!(futures_util::poll!(std::pin::pin!(incoming.next())).is_pending());
    check_about(closed_after(&mut stream).await, IDLE_TIMEOUT);
    drop(stream);
    assert!(incoming.next().await.is_some());
}

/// The server's end of a connection that has given way.
async fn gave_way(stream: &mut Connection) {
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test(start_paused = true)]
async fn a_silent_connection_gives_way_on_a_full_port_after_its_grace() {
    let (mut incoming, silent) = open(None).await;
    let address = silent.peer_addr().unwrap();
    let mut stream = incoming.next().await.unwrap();
    let begun = Instant::now();
    // No other peer waits, so it may stay silent.
    let waits = sleep(silence::GRACE * 3);
    tokio::select! {
        () = waits => {}
        read = stream.read_u8() => panic!("{read:?}"),
    }
    let _waiting = TcpStream::connect(address).await.unwrap();
    gave_way(&mut stream).await;
    check_about(begun.elapsed(), silence::GRACE * 3);
    drop(stream);
    let mut stream = incoming.next().await.unwrap();
    let begun = Instant::now();
    let _next = TcpStream::connect(address).await.unwrap();
    gave_way(&mut stream).await;
    assert!(begun.elapsed() >= silence::GRACE);
}

#[tokio::test(start_paused = true)]
async fn a_silent_handshake_gives_way_on_a_full_port() {
    let (_incoming, mut silent) = open(Some(tls())).await;
    let _next = TcpStream::connect(silent.peer_addr().unwrap())
        .await
        .unwrap();
    let begun = Instant::now();
    assert_eq!(silent.read(&mut [0; 64]).await.unwrap(), 0);
    assert!(begun.elapsed() < HANDSHAKE_TIMEOUT);
}

/// Its peer takes it for accepted.
#[tokio::test]
async fn a_connection_that_waits_while_the_port_closes_is_handed_over() {
    let listener = listener(None, 3).await;
    let (address, stop) = (listener.address, CancellationToken::new());
    let mut incoming = Incoming::open(listener, stop.clone());
    // This thread is the one that would accept them.
    let peers = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
    stop.cancel();
    for peer in &peers {
        let connection = incoming.next().await.unwrap();
        assert_eq!(connection.peer(), peer.local_addr().unwrap());
    }
    assert!(incoming.next().await.is_none());
    assert!(std::net::TcpStream::connect(address).is_err());
}

#[tokio::test]
async fn a_handshake_ends_while_the_port_closes() {
    let (tls, certificate) = tls_and_certificate();
    let listener = listener(Some(tls), 2).await;
    let (address, stop) = (listener.address, CancellationToken::new());
    let mut incoming = Incoming::open(listener, stop.clone());
    let taken = TcpStream::connect(address).await.unwrap();
    // As above.
    let waiting = std::net::TcpStream::connect(address).unwrap();
    waiting.set_nonblocking(true).unwrap();
    let waiting = TcpStream::from_std(waiting).unwrap();
    stop.cancel();
    for socket in [taken, waiting] {
        let peer = socket.local_addr().unwrap();
        let shaken = shake_hands(socket, certificate.clone());
        let (shaken, connection) = tokio::join!(shaken, incoming.next());
        shaken.unwrap();
        assert_eq!(connection.unwrap().peer(), peer);
    }
    assert!(incoming.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_peer_without_a_handshake_does_not_hold_a_stop() {
    let listener = listener(Some(tls()), 1).await;
    let (address, stop) = (listener.address, CancellationToken::new());
    let mut incoming = Incoming::open(listener, stop.clone());
    let _silent = TcpStream::connect(address).await.unwrap();
    let begun = Instant::now();
    stop.cancel();
    assert!(incoming.next().await.is_none());
    check_about(begun.elapsed(), accept::LAST_HANDSHAKES);
}

#[tokio::test(start_paused = true)]
async fn connections_without_a_place_do_not_hold_a_stop() {
    let (listener, stop) = (listener(None, 1).await, CancellationToken::new());
    let address = listener.address;
    let mut incoming = Incoming::open(listener, stop.clone());
    let _peers = [(); 3].map(|()| std::net::TcpStream::connect(address).unwrap());
    let first = incoming.next().await;
    assert!(first.is_some());
    let begun = Instant::now();
    stop.cancel();
    assert!(incoming.next().await.is_none());
    assert!(begun.elapsed() < SECOND);
}
