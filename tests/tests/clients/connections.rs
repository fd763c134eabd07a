//! Connections that stall, and excessive numbers of connections, streams and resets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use larder_tests::{Client, eventually, method};
use tokio::task::JoinSet;

use crate::attacked::Attacked;

/// The HTTP/2 client preface.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// An empty SETTINGS frame.
pub(crate) const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// Encodes HEADERS of a call, without `END_STREAM`: `:method POST`, `:scheme http`, `:path` as a literal, and gRPC's headers.
pub(crate) fn headers(stream: u32, path: &str) -> Vec<u8> {
    let mut block = vec![0x83, 0x86];
    for (name, value) in [
        (":path", path),
        (":authority", "x"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ] {
        block.push(0);
        for text in [name, value] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend(text.as_bytes());
        }
    }
    frame(1, 4, stream, &block)
}

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

pub(crate) fn connect(server: &Attacked, first: &[&[u8]]) -> TcpStream {
    let mut stream = TcpStream::connect(server.larder.grpc()).unwrap();
    // The server may close it before everything is written.
    if let Err(error) = stream.write_all(&first.concat()) {
        let kind = error.kind();
        let ends = [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset];
        assert!(ends.contains(&kind), "{error}");
    }
    stream
}

/// Nothing, half a preface, settings alone, an endless stream, an incomplete message: each many times, half of them half-closed by a peer
/// that still waits for an answer.
#[tokio::test]
async fn stalled_connections_delay_no_other() {
    let server = Attacked::begin().await;
    let call = headers(1, method::EXPORT);
    let message = frame(0, 0, 1, &[0, 0, 16, 0, 0, 1, 2, 3]);
    let beginnings: [&[&[u8]]; 6] = [
        &[],
        &[&PREFACE[..10]],
        &[PREFACE],
        &[PREFACE, SETTINGS],
        &[PREFACE, SETTINGS, &call],
        &[PREFACE, SETTINGS, &call, &message],
    ];
    let mut held = Vec::new();
    for beginning in beginnings {
        for number in 0..40 {
            let stream = connect(&server, beginning);
            if number % 2 == 0 {
                stream.shutdown(Shutdown::Write).unwrap();
            }
            held.push(stream);
        }
    }
    server.assert_serves().await;
    let newcomer = server.larder.client().await;
    assert_eq!(newcomer.services().await.unwrap(), ["fine"]);
    drop(held);
    server.end().await;
}

/// Other protocols, and frames that break HTTP/2's rules: the server closes only that connection.
#[tokio::test]
async fn connections_without_valid_http2_are_closed() {
    let server = Attacked::begin().await;
    let oversized = frame(0, 0, 1, &vec![0; 1 << 20]);
    let reset = frame(3, 0, 1, &[0, 0, 0, 8]);
    let window = frame(8, 0, 0, &[0, 0, 0, 0]);
    let endless = frame(9, 0, 1, &[0; 100]);
    let beginnings: [&[&[u8]]; 6] = [
        &[b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
        &[&[0xff; 4096]],
        &[PREFACE, SETTINGS, &oversized],
        &[PREFACE, SETTINGS, &reset],
        &[PREFACE, SETTINGS, &window],
        &[PREFACE, SETTINGS, &endless],
    ];
    for (number, beginning) in beginnings.into_iter().enumerate() {
        let mut stream = connect(&server, beginning);
        stream
            .set_read_timeout(Some(Duration::from_mins(1)))
            .unwrap();
        let mut answer = Vec::new();
        // A reset counts as closing, too.
        if let Err(error) = stream.read_to_end(&mut answer) {
            let kind = error.kind();
            assert_ne!(kind, ErrorKind::WouldBlock, "{number}: it waits");
        }
    }
    server.end().await;
}

/// Streams opened and reset at once, thousands of them on one connection (CVE-2023-44487).
#[tokio::test]
async fn rapid_resets_are_survived() {
    let server = Attacked::begin().await;
    for _ in 0..4 {
        let mut stream = connect(&server, &[PREFACE, SETTINGS]);
        for number in 0..5000 {
            let id = number * 2 + 1;
            let both = [
                headers(id, method::GET_SERVICES),
                frame(3, 0, id, &[0, 0, 0, 8]),
            ];
            // The server may have closed the connection.
            if stream.write_all(&both.concat()).is_err() {
                break;
            }
        }
    }
    server.end().await;
}

/// Streams beyond the limit of a connection wait for others to end; every one is answered.
#[tokio::test]
async fn ten_thousand_streams_at_a_time_are_answered() {
    let server = Attacked::begin().await;
    let mut calls = JoinSet::new();
    for _ in 0..5 {
        let client = server.larder.client().await;
        for _ in 0..2000 {
            let client: Client = client.clone();
            calls.spawn(async move {
                let call = client.call();
                call.unary(method::GET_SERVICES, Bytes::new())
                    .await
                    .map(drop)
            });
        }
    }
    server.assert_serves().await;
    let (mut answered, mut refused) = (0, 0);
    while let Some(ended) = calls.join_next().await {
        match ended.unwrap() {
            Ok(()) => answered += 1,
            Err(status) => {
                assert_eq!(status.code(), tonic::Code::ResourceExhausted, "{status:?}");
                refused += 1;
            }
        }
    }
    assert!(answered > 0, "{refused} were refused");
    let larder = server.end().await;
    let client = larder.client().await;
    eventually("an answer", async || client.services().await.ok()).await;
}
