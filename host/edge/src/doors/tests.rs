//! What each deadline does, on real sockets and by a clock that runs when nothing else does.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// A port, and a peer that has connected to it.
async fn open(tls: Option<Arc<Tls>>) -> (Incoming, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let door = Door {
        setting: "grpc.endpoint",
        listener,
        address,
        tls,
        connections: larder_core::Permits::new(1),
    };
    let incoming = Incoming::open(door, CancellationToken::new());
    (incoming, TcpStream::connect(address).await.unwrap())
}

/// A port without TLS: the server's end and its peer's.
async fn connected() -> (Stream, TcpStream) {
    let (mut incoming, peer) = open(None).await;
    (incoming.next().await.unwrap(), peer)
}

fn tls() -> Arc<Tls> {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (cert, key) = (folder.path().join("cert"), folder.path().join("key"));
    std::fs::write(&cert, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let files = Files {
        cert,
        key,
        client_ca: None,
        protocol: Protocol::Grpc,
    };
    Arc::new(Tls::open(files).unwrap())
}

/// How long it is silent until the server gives the connection up.
async fn given_up_after(stream: &mut Stream) -> Duration {
    let begun = Instant::now();
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    begun.elapsed()
}

#[track_caller]
fn about(took: Duration, wanted: Duration) {
    assert!(took >= wanted && took < wanted + SECOND, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_begins_no_handshake_is_hung_up_on() {
    let (mut incoming, mut peer) = open(Some(tls())).await;
    let begun = Instant::now();
    assert_eq!(peer.read(&mut [0; 64]).await.unwrap(), 0);
    about(begun.elapsed(), HANDSHAKE);
    // Its place is free again: another one is let in, and is given up in its turn.
    let mut next = TcpStream::connect(peer.peer_addr().unwrap()).await.unwrap();
    assert_eq!(next.read(&mut [0; 64]).await.unwrap(), 0);
    about(begun.elapsed(), HANDSHAKE * 2);
    assert!(futures_util::poll!(std::pin::pin!(incoming.next())).is_pending());
}

/// The deadline is that of the whole handshake, however often a byte comes.
#[tokio::test(start_paused = true)]
async fn a_handshake_byte_by_byte_is_given_up_as_well() {
    let (_incoming, peer) = open(Some(tls())).await;
    let begun = Instant::now();
    let (mut from, mut to) = peer.into_split();
    let drip = tokio::spawn(async move {
        // The head of a long ClientHello, and then the least that goes on.
        to.write_all(&[22, 3, 1, 0x10, 0, 1, 0, 0x0f, 0xfc])
            .await
            .unwrap();
        while to.write_all(&[3]).await.is_ok() {
            sleep(SECOND).await;
        }
    });
    // The end may be an error here: bytes were sent that nobody has read.
    assert_eq!(from.read(&mut [0; 64]).await.unwrap_or(0), 0);
    about(begun.elapsed(), HANDSHAKE);
    drip.abort();
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up() {
    let (mut stream, _peer) = connected().await;
    // What the server says first, as HTTP/2's does, is no sign of the peer's life.
    sleep(HANDSHAKE.checked_sub(SECOND).unwrap()).await;
    stream.write_all(b"hello").await.unwrap();
    about(given_up_after(&mut stream).await, SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_connection_on_which_nothing_goes_is_given_up() {
    let (mut stream, mut peer) = connected().await;
    peer.write_all(b"ab").await.unwrap();
    for _ in 0..2 {
        assert!(stream.read_u8().await.is_ok());
        sleep(IDLE.checked_sub(SECOND).unwrap()).await;
    }
    // An answer to a client that waits counts, though the client says nothing.
    for _ in 0..3 {
        stream.write_all(b"c").await.unwrap();
        sleep(IDLE.checked_sub(SECOND).unwrap()).await;
    }
    about(given_up_after(&mut stream).await, SECOND);
}

#[tokio::test(start_paused = true)]
async fn who_is_given_up_makes_room_for_another() {
    let (mut incoming, silent) = open(None).await;
    let address = silent.peer_addr().unwrap();
    let mut stream = incoming.next().await.unwrap();
    let _waiting = TcpStream::connect(address).await.unwrap();
    assert!(futures_util::poll!(std::pin::pin!(incoming.next())).is_pending());
    about(given_up_after(&mut stream).await, HANDSHAKE);
    drop(stream);
    assert!(incoming.next().await.is_some());
}
