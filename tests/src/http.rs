//! A client for the admin port: one request a connection, HTTP/1.1 by hand.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use crate::PATIENCE;

/// What the admin port answered.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code, as 200.
    pub status: u16,
    /// Status line and headers, as sent.
    pub head: String,
    /// The body, as text.
    pub body: String,
}

impl Response {
    /// The value of a header, if it was sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// The body read as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// `GET path`.
pub fn get(address: SocketAddr, path: &str) -> Response {
    request(address, "GET", path)
}

/// `POST path` without a body.
pub fn post(address: SocketAddr, path: &str) -> Response {
    request(address, "POST", path)
}

/// `POST path` without a body, with this bearer token.
pub fn post_as(address: SocketAddr, path: &str, token: &str) -> Response {
    with_token(address, ("POST", path), Some(token), "")
}

/// Any method, without a body.
pub fn request(address: SocketAddr, method: &str, path: &str) -> Response {
    try_request(address, method, path)
        .unwrap_or_else(|error| panic!("{method} http://{address}{path}: {error}"))
}

/// As [`request`], where the server may be gone already.
pub fn try_request(address: SocketAddr, method: &str, path: &str) -> std::io::Result<Response> {
    send(address, method, path, "", "")
}

/// POST with a body.
pub fn post_body(address: SocketAddr, path: &str, body: &str) -> Response {
    send(address, "POST", path, "", body)
        .unwrap_or_else(|error| panic!("POST http://{address}{path}: {error}"))
}

/// Any method with a body, and with a bearer token where there is one.
pub fn with_token(
    address: SocketAddr,
    (method, path): (&str, &str),
    token: Option<&str>,
    body: &str,
) -> Response {
    let header = token.map_or_else(String::new, |token| {
        format!("Authorization: Bearer {token}\r\n")
    });
    send(address, method, path, &header, body)
        .unwrap_or_else(|error| panic!("{method} http://{address}{path}: {error}"))
}

fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &str,
    body: &str,
) -> std::io::Result<Response> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .ok_or_else(|| std::io::Error::other(format!("no HTTP head in {answer:?}")))?;
    let status = head
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| std::io::Error::other(format!("no status in {head:?}")))?;
    let mut response = Response {
        status,
        head: head.to_owned(),
        body: body.to_owned(),
    };
    if response.header("transfer-encoding") == Some("chunked") {
        response.body = unchunk(body);
    }
    Ok(response)
}

fn unchunk(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).expect("a chunk's size");
        if size == 0 {
            break;
        }
        whole.push_str(&rest[..size]);
        body = &rest[size + 2..];
    }
    whole
}

/// The samples of a metric in Prometheus text: labels as written between the braces, and the value.
pub fn samples<'a>(metrics: &'a str, name: &str) -> Vec<(&'a str, &'a str)> {
    metrics
        .lines()
        .filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.split(' ').next()?))
        })
        .collect()
}

/// The sum of the samples of a metric that counts, of those whose labels hold every one of `labels` (each as `key="value"`).
pub fn count(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    samples(metrics, name)
        .iter()
        .filter(|(set, _)| labels.iter().all(|label| set.contains(label)))
        .map(|(_, value)| -> u64 { value.parse().expect("a count") })
        .sum()
}
