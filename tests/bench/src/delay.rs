//! A TCP proxy that holds each answer for a while, so that a network's round trips can be measured on one machine. It passes what comes
//! meanwhile on in its order, so throughput has no limit: only latency grows.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The most bytes that are read at once.
const PIECE: usize = 64 << 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Where to take connections.
    #[arg(long, value_name = "HOST:PORT")]
    listen: SocketAddr,
    /// Where to pass them on.
    #[arg(long, value_name = "HOST:PORT")]
    to: SocketAddr,
    /// How long each byte of an answer is held, in milliseconds: what a round trip takes longer.
    #[arg(long, value_name = "MS")]
    milliseconds: u64,
}

/// Passes connections on until the process is ended.
pub(crate) fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(options.listen)
        .with_context(|| format!("cannot listen on {}", options.listen))?;
    let delay = Duration::from_millis(options.milliseconds);
    for client in listener.incoming() {
        // A connection that fails concerns its client alone, which sees it closed.
        let _ = serve(client?, options.to, delay);
    }
    Ok(())
}

/// Passes both directions of a connection on, in threads of their own.
fn serve(client: TcpStream, to: SocketAddr, delay: Duration) -> std::io::Result<()> {
    let server = TcpStream::connect(to)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    pass(client.try_clone()?, server.try_clone()?, Duration::ZERO);
    pass(server, client, delay);
    Ok(())
}

/// Passes one direction on: one thread reads, and another writes each piece once it is due.
fn pass(from: TcpStream, to: TcpStream, delay: Duration) {
    let (sender, receiver) = channel();
    thread::spawn(move || read(from, &sender, delay));
    thread::spawn(move || write(to, &receiver));
}

fn read(mut from: TcpStream, pieces: &Sender<(Instant, Vec<u8>)>, delay: Duration) {
    let mut piece = vec![0; PIECE];
    while let Ok(count) = from.read(&mut piece) {
        let Some(bytes) = piece.get(..count).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        if pieces
            .send((Instant::now() + delay, bytes.to_vec()))
            .is_err()
        {
            return;
        }
    }
}

fn write(mut to: TcpStream, pieces: &Receiver<(Instant, Vec<u8>)>) {
    for (due, bytes) in pieces {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    // Whichever side has ended, the other one is told.
    let _ = to.shutdown(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_arrive_in_order_and_no_earlier_than_they_are_due() -> Result<()> {
        let server = TcpListener::bind("127.0.0.1:0")?;
        let proxy = TcpListener::bind("127.0.0.1:0")?;
        let to = server.local_addr()?;
        let delay = Duration::from_millis(20);
        let mut client = TcpStream::connect(proxy.local_addr()?)?;
        serve(proxy.accept()?.0, to, delay)?;
        let mut echo = server.accept()?.0;
        thread::spawn(move || {
            let mut back = echo.try_clone()?;
            std::io::copy(&mut echo, &mut back)
        });
        let sent: Vec<u8> = (0..200_000_u32).map(|place| (place % 251) as u8).collect();
        let started = Instant::now();
        let mut writer = client.try_clone()?;
        let bytes = sent.clone();
        thread::spawn(move || writer.write_all(&bytes));
        let mut came = vec![0; sent.len()];
        client.read_exact(&mut came)?;
        assert!(came == sent, "the bytes differ");
        assert!(started.elapsed() >= delay);
        client.shutdown(Shutdown::Write)?;
        assert_eq!(client.read(&mut came)?, 0, "the end is passed on");
        Ok(())
    }
}
