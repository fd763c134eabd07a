//! The admin port of a server: its metrics.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

#[cfg(test)]
pub(crate) mod tests;

/// The longest wait for a part of an answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Returns the answer to `GET /metrics`, in the Prometheus text format. `address` is HOST:PORT.
pub(crate) async fn metrics(address: &str) -> Result<String> {
    let place = address.to_owned();
    tokio::task::spawn_blocking(move || get(&place, "/metrics"))
        .await?
        .with_context(|| format!("cannot read http://{address}/metrics; --admin is the address of the server's admin port"))
}

/// Sums a metric's samples in the Prometheus text format; `None` if there are none.
pub(crate) fn sum(metrics: &str, name: &str) -> Option<f64> {
    let values = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let value = match rest.strip_prefix('{') {
            Some(rest) => rest.rsplit_once("} ")?.1,
            None => rest.strip_prefix(' ')?,
        };
        value.split(' ').next()?.parse::<f64>().ok()
    });
    values.reduce(|sum, value| sum + value)
}

/// Returns the body of a page. A request of HTTP/1.0 has an answer that ends with the connection, and is not in chunks.
fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .context("the answer is no HTTP")?;
    let status = head.lines().next().unwrap_or_default();
    ensure!(
        status.split(' ').nth(1) == Some("200"),
        "the answer is {status:?}"
    );
    Ok(body.to_owned())
}
