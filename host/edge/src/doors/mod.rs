//! Connections: accepted up to a number, with TLS where it is set, and closed when their peer is silent.
//!
//! Architecture invariant: this knows neither gRPC nor HTTP. It hands over streams that are ready to be spoken on; a handshake
//! that is slow, or never ends, keeps nobody else waiting.

mod accept;
mod stream;
mod tls;

use std::net::SocketAddr;
use std::time::Duration;

pub use accept::Incoming;
pub use stream::Stream;
pub use tls::{Error as TlsError, Files, Protocol, Tls};

/// A peer has this long for its TLS handshake, and then for its first byte.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// A connection on which nothing goes either way for so long is closed. HTTP/2's keep-alive notices a dead peer earlier.
const IDLE: Duration = Duration::from_mins(5);

/// A bound port and what it asks of whoever connects.
pub struct Door {
    /// The setting that names the port, for the log.
    pub setting: &'static str,
    /// The port.
    pub listener: tokio::net::TcpListener,
    /// Where it is.
    pub address: SocketAddr,
    /// Off where it is not set.
    pub tls: Option<std::sync::Arc<Tls>>,
    /// Connections at a time, those in their handshake included (`limits.connections`).
    pub connections: std::sync::Arc<larder_core::Permits>,
}

#[cfg(test)]
mod tests;
