//! HTTP/2 frame by frame, for what no client shows.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use larder_tests::patiently;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A connection whose frames a test reads one by one.
pub(crate) struct Frames(TcpStream);

/// A frame of one of these types; others are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    Data(Vec<u8>),
    Headers,
    Ping,
    /// With its error code: 0 is an end in order.
    GoAway(u32),
}

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const ACK: u8 = 1;

impl Frames {
    /// Connects, and sends what every client sends first.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(&opening()).await.unwrap();
        Self(stream)
    }

    /// Connects, and calls a method as [`Frames::call`] does, before anything else of this thread runs.
    pub(crate) fn call_at_once(address: SocketAddr, path: &str) -> Self {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(&opening()).unwrap();
        stream.write_all(&call(path)).unwrap();
        stream.set_nonblocking(true).unwrap();
        Self(TcpStream::from_std(stream).unwrap())
    }

    /// Calls a method with an empty message, on stream 1.
    pub(crate) async fn call(&mut self, path: &str) {
        // A connection that has just ended is seen by the reader.
        drop(self.0.write_all(&call(path)).await);
    }

    /// The next frame, `None` at the end. Pings are answered as by every client.
    pub(crate) async fn next(&mut self) -> Option<Frame> {
        patiently("a frame", async {
            loop {
                let mut head = [0; 9];
                if self.0.read_exact(&mut head).await.is_err() {
                    return None;
                }
                let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
                let mut payload = vec![0; usize::try_from(length).unwrap()];
                self.0.read_exact(&mut payload).await.unwrap();
                match (head[3], head[4]) {
                    (0, _) => return Some(Frame::Data(payload)),
                    (1, _) => return Some(Frame::Headers),
                    (6, 0) => {
                        // A connection that has just ended is seen by the next read.
                        drop(self.0.write_all(&frame(6, ACK, 0, &payload)).await);
                        return Some(Frame::Ping);
                    }
                    (7, _) => {
                        let code = payload[4..8].try_into().unwrap();
                        return Some(Frame::GoAway(u32::from_be_bytes(code)));
                    }
                    _ => {}
                }
            }
        })
        .await
    }

    /// The next frame that `wanted` accepts.
    pub(crate) async fn next_of(&mut self, wanted: impl Fn(&Frame) -> bool) -> Frame {
        loop {
            let frame = self.next().await.expect("a frame before the end");
            if wanted(&frame) {
                return frame;
            }
        }
    }

    /// Makes room for one more byte of answers, as every client does once it has read one. An error if the connection was reset.
    pub(crate) async fn update_window(&mut self) -> io::Result<()> {
        let frame = frame(8, 0, 0, &1_u32.to_be_bytes());
        self.0.write_all(&frame).await
    }
}

fn opening() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(4, 0, 0, &[]));
    bytes
}

fn call(path: &str) -> Vec<u8> {
    // HPACK: `:method: POST` and `:scheme: http` from the static table, the others as literals.
    let mut headers = vec![0x83, 0x86];
    for (name, value) in [
        (&[0x04][..], path),
        (&[0x01], "localhost"),
        (&[0x0f, 0x10], "application/grpc"),
        (b"\x00\x02te", "trailers"),
    ] {
        headers.extend_from_slice(name);
        headers.push(u8::try_from(value.len()).unwrap());
        headers.extend_from_slice(value.as_bytes());
    }
    let mut bytes = frame(1, END_HEADERS, 1, &headers);
    bytes.extend(frame(0, END_STREAM, 1, &[0; 5]));
    bytes
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = vec![length[1], length[2], length[3], kind, flags];
    frame.extend_from_slice(&stream.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}
