//! Requests to the admin port, each on its own connection.

use std::net::SocketAddr;
use std::sync::LazyLock;

use http::{HeaderMap, Request};
use ureq::Agent;

use crate::PATIENCE;

/// A response of the admin port.
#[derive(Clone, Debug)]
pub struct Response {
    /// The status code, such as 200.
    pub status: u16,
    /// The headers as sent.
    pub headers: HeaderMap,
    /// The body, as text.
    pub body: String,
}

impl Response {
    /// Returns the value of a header, if it was sent.
    pub fn header(&self, name: &str) -> Option<&str> {
        let value = self.headers.get(name)?;
        Some(value.to_str().expect("a header of text"))
    }

    /// Parses the body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.body))
    }
}

/// Sends `GET path`.
pub fn get(address: SocketAddr, path: &str) -> Response {
    request(address, ("GET", path), None, "")
}

/// Sends `POST path` without a body.
pub fn post(address: SocketAddr, path: &str) -> Response {
    request(address, ("POST", path), None, "")
}

/// Sends any method, with a bearer token if there is one, and with a body if the method has one.
pub fn request(
    address: SocketAddr,
    (method, path): (&str, &str),
    token: Option<&str>,
    body: &str,
) -> Response {
    try_request(address, (method, path), token, body)
        .unwrap_or_else(|error| panic!("{method} http://{address}{path}: {error}"))
}

/// Like [`request`], but the server may be down, or not speak HTTP.
pub fn try_request(
    address: SocketAddr,
    (method, path): (&str, &str),
    token: Option<&str>,
    body: &str,
) -> Result<Response, ureq::Error> {
    static AGENT: LazyLock<Agent> = LazyLock::new(|| {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_idle_connections(0)
            .proxy(None)
            .timeout_global(Some(PATIENCE));
        config.build().into()
    });
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://{address}{path}"));
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut answer = if ["POST", "PUT"].contains(&method) {
        AGENT.run(request.body(body)?)?
    } else {
        AGENT.run(request.body(())?)?
    };
    Ok(Response {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        body: answer.body_mut().read_to_string()?,
    })
}

/// Returns the samples of a metric in Prometheus text: labels as written between the braces, and the value.
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

/// Sums the samples of a counter that have every label in `labels` (each as `key="value"`).
pub fn count(metrics: &str, name: &str, labels: &[&str]) -> u64 {
    samples(metrics, name)
        .iter()
        .filter(|(set, _)| labels.iter().all(|label| set.contains(label)))
        .map(|(_, value)| -> u64 { value.parse().expect("a count") })
        .sum()
}
