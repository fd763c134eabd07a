//! Frames of HTTP/2 that a peer may send as often as it likes: each is bounded, and honest use stays below the bound.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use larder_tests::method;

use crate::attacked::Attacked;
use crate::connections::{PREFACE, SETTINGS, connect, frame, headers};

/// How often an abusive peer sends its frames, unless the server stops it.
const MANY: u32 = 50_000;
/// How often an honest peer does, on one connection.
const FEW: u32 = 200;

/// Flags of frames.
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Types of frames.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RESET: u8 = 3;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

/// A kind of frames: what a peer sends once, and then again and again, by the number of the repetition.
struct Kind {
    name: &'static str,
    first: fn() -> Vec<u8>,
    again: fn(u32) -> Vec<u8>,
    /// What of it an honest peer may send between its calls, if any.
    honest: bool,
}

fn nothing() -> Vec<u8> {
    Vec::new()
}

/// A call of stream 1 that has begun to send a message.
fn begun() -> Vec<u8> {
    let message = frame(DATA, 0, 1, &[0, 0, 0x10, 0, 0, 1]);
    [headers(1, method::EXPORT), message].concat()
}

/// The streams of repetitions; 1 is the call's.
fn stream(number: u32) -> u32 {
    2 * number + 3
}

const KINDS: [Kind; 13] = [
    Kind {
        name: "pings",
        first: nothing,
        again: |number| frame(PING, 0, 0, &u64::from(number).to_be_bytes()),
        honest: true,
    },
    Kind {
        name: "answers to pings that were never sent",
        first: nothing,
        again: |number| frame(PING, 1, 0, &u64::from(number).to_be_bytes()),
        honest: false,
    },
    Kind {
        name: "settings",
        first: nothing,
        again: |_| SETTINGS.to_vec(),
        honest: true,
    },
    Kind {
        name: "settings that change the window and the table of headers",
        first: nothing,
        again: |number| {
            let value = u16::try_from(1 + number % 4000).unwrap().to_be_bytes();
            let table = [0, 1, 0, 0, value[0], value[1]];
            let window = [0, 4, 0, 0, value[0], value[1]];
            frame(4, 0, 0, &[table, window].concat())
        },
        honest: true,
    },
    Kind {
        name: "empty pieces of a request",
        first: begun,
        again: |_| frame(DATA, 0, 1, &[]),
        honest: false,
    },
    Kind {
        name: "pieces of one byte",
        first: begun,
        again: |_| frame(DATA, 0, 1, &[7]),
        honest: false,
    },
    Kind {
        name: "padding",
        first: begun,
        again: |_| frame(DATA, 8, 1, &[[200_u8].as_slice(), &[0; 200]].concat()),
        honest: false,
    },
    Kind {
        name: "windows of the connection",
        first: nothing,
        again: |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        honest: true,
    },
    Kind {
        name: "priorities",
        first: nothing,
        again: |number| frame(PRIORITY, 0, stream(number), &[0, 0, 0, 0, 16]),
        honest: true,
    },
    Kind {
        name: "frames of an unknown type",
        first: nothing,
        again: |_| frame(0x42, 0, 0, &[0; 1000]),
        honest: true,
    },
    Kind {
        name: "headers in many pieces",
        first: || frame(HEADERS, 0, 1, &[0x83, 0x86]),
        again: |_| frame(CONTINUATION, 0, 1, &[]),
        honest: false,
    },
    Kind {
        name: "resets of calls that have begun",
        first: nothing,
        again: |number| {
            let reset = frame(RESET, 0, stream(number), &[0, 0, 0, 8]);
            [headers(stream(number), method::GET_SERVICES), reset].concat()
        },
        honest: true,
    },
    // A peer that makes the server reset calls, in place of resetting them itself (CVE-2025-8671).
    Kind {
        name: "frames that make the server reset a call",
        first: nothing,
        again: |number| {
            let window = frame(WINDOW_UPDATE, 0, stream(number), &[0x7f, 0xff, 0xff, 0xff]);
            [headers(stream(number), method::GET_SERVICES), window].concat()
        },
        honest: false,
    },
];

/// Sends until the server closes the connection, or takes no more because nothing of its answers is read.
fn abuse(mut stream: &TcpStream, kind: &Kind) {
    stream
        .set_write_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    for first in (0..MANY).step_by(100) {
        let frames: Vec<u8> = (first..first + 100).flat_map(kind.again).collect();
        if let Err(error) = stream.write_all(&frames) {
            let ends = [
                ErrorKind::BrokenPipe,
                ErrorKind::ConnectionReset,
                ErrorKind::WouldBlock,
                ErrorKind::TimedOut,
            ];
            assert!(ends.contains(&error.kind()), "{}: {error}", kind.name);
            return;
        }
    }
}

/// The server stays small and serves others, whatever one peer repeats and does not read.
#[tokio::test]
async fn no_kind_of_frame_takes_the_server_away_from_others() {
    let server = Attacked::small().await;
    let mut held = Vec::new();
    for kind in &KINDS {
        let peer = connect(&server, &[PREFACE, SETTINGS, &(kind.first)()]);
        abuse(&peer, kind);
        server.assert_serves().await;
        held.push(peer);
    }
    let lines = server.larder.lines().len();
    assert!(lines < 1000, "{lines} lines of log: a peer can fill a disk");
    drop(held);
    server.end().await;
}

/// Reads frames until the call of stream 1 ends. Panics at a GOAWAY.
fn read_answer(mut stream: &TcpStream, name: &str) {
    stream
        .set_read_timeout(Some(Duration::from_mins(1)))
        .unwrap();
    loop {
        let mut head = [0; 9];
        stream
            .read_exact(&mut head)
            .unwrap_or_else(|error| panic!("{name}: no answer: {error}"));
        let length = usize::from(head[0]) << 16 | usize::from(head[1]) << 8 | usize::from(head[2]);
        let mut payload = vec![0; length];
        stream.read_exact(&mut payload).unwrap();
        let text = String::from_utf8_lossy(&payload);
        assert_ne!(head[3], GO_AWAY, "{name}: {text}");
        let of_call = head[5..] == [0, 0, 0, 1];
        assert!(!of_call || head[3] != RESET, "{name}: the call was reset");
        if of_call && head[3] == HEADERS && head[4] & END_STREAM != 0 {
            return;
        }
    }
}

/// A connection on which an honest peer has sent its share of each kind still serves a call.
#[tokio::test]
async fn honest_use_of_every_kind_of_frame_is_served() {
    let server = Attacked::small().await;
    for kind in KINDS.iter().filter(|kind| kind.honest) {
        let mut peer = connect(&server, &[PREFACE, SETTINGS]);
        let call = headers(1, method::GET_SERVICES);
        peer.write_all(&call).unwrap();
        let frames: Vec<u8> = (0..FEW).flat_map(kind.again).collect();
        peer.write_all(&frames).unwrap();
        let message = frame(DATA, END_STREAM, 1, &[0, 0, 0, 0, 0]);
        peer.write_all(&message).unwrap();
        read_answer(&peer, kind.name);
    }
    // Headers as large as a token may be, in pieces of the size that Go's client sends.
    let mut peer = connect(&server, &[PREFACE, SETTINGS]);
    let call = headers(1, method::GET_SERVICES);
    let block = [&call[9..], &literal("authorization", &"t".repeat(40_000))].concat();
    let pieces: Vec<&[u8]> = block.chunks(16 << 10).collect();
    for (number, piece) in pieces.iter().enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let end = number + 1 == pieces.len();
        let flags = if end { END_HEADERS } else { 0 };
        peer.write_all(&frame(kind, flags, 1, piece)).unwrap();
    }
    let message = frame(DATA, END_STREAM, 1, &[0, 0, 0, 0, 0]);
    peer.write_all(&message).unwrap();
    read_answer(&peer, "large headers");
    server.end().await;
}

/// A header that is not indexed, with a value of more than 127 bytes.
fn literal(name: &str, value: &str) -> Vec<u8> {
    let mut encoded = vec![0, u8::try_from(name.len()).unwrap()];
    encoded.extend(name.as_bytes());
    encoded.push(0x7f);
    let mut rest = value.len() - 127;
    while rest >= 128 {
        encoded.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    encoded.push(u8::try_from(rest).unwrap());
    encoded.extend(value.as_bytes());
    encoded
}
