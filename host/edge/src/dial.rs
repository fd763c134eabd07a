//! Connections of a command to a port of a running server.
//!
//! The command reads the same configuration as the server. So it knows the server's certificate, and accepts no other one: a CA and a name
//! in the certificate are not needed.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpStream, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme,
    StreamOwned,
};

/// Timeout for a connection to be established.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The certificates of a connection.
#[derive(Clone, Debug)]
pub struct DialTls {
    /// PEM file with the server's certificate, the first one in it.
    pub server_cert: PathBuf,
    /// PEM files with the client's certificates and its private key, for a port that requires one.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// A connection.
pub trait Stream: Read + Write {}

impl<T: Read + Write> Stream for T {}

/// The reason why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// Nothing answers there.
    #[error(
        "nothing can be reached at {address}: is the server running, and is this where it listens?"
    )]
    Unreachable {
        /// The address.
        address: String,
        /// The error of the system.
        source: io::Error,
    },
    /// A certificate's file cannot be used.
    #[error("cannot use `{}`: {wrong}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The problem.
        wrong: String,
    },
    /// TLS cannot be set up.
    #[error("cannot speak TLS with the server")]
    Tls(#[from] rustls::Error),
}

/// Accepts one certificate.
struct Pinned {
    cert: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

/// Connects to a port. An address that means every interface is one of this machine.
///
/// # Errors
/// [`DialError`]. A server with another certificate is an error of the first read or write.
pub fn dial(host: &str, port: u16, tls: Option<&DialTls>) -> Result<Box<dyn Stream>, DialError> {
    let host = reachable(host);
    let stream = connect(&host, port).map_err(|source| DialError::Unreachable {
        address: format!("{host}, port {port}"),
        source,
    })?;
    let Some(tls) = tls else {
        return Ok(Box::new(stream));
    };
    let name = ServerName::try_from(host)
        .map_err(|error| rustls::Error::General(format!("the host has no valid name: {error}")))?;
    let connection = ClientConnection::new(Arc::new(tls.config()?), name)?;
    Ok(Box::new(StreamOwned::new(connection, stream)))
}

/// The loopback address in place of one that means every interface.
fn reachable(host: &str) -> String {
    match host.parse() {
        Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)) => Ipv4Addr::LOCALHOST.to_string(),
        Ok(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) => Ipv6Addr::LOCALHOST.to_string(),
        _ => host.to_owned(),
    }
}

fn connect(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, CONNECT_TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

// === impl DialTls ===

impl DialTls {
    fn config(&self) -> Result<ClientConfig, DialError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let cert = certificates(&self.server_cert)?.into_iter().next();
        let cert = cert.ok_or_else(|| no_pem(&self.server_cert, "certificate"))?;
        let pinned = Pinned {
            cert,
            provider: Arc::clone(&provider),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(pinned));
        let mut config = match &self.client {
            None => builder.with_no_client_auth(),
            Some((cert, key)) => {
                builder.with_client_auth_cert(certificates(cert)?, read_key(key)?)?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, DialError> {
    let pem = read(path)?;
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certs {
        Ok(certs) if !certs.is_empty() => Ok(certs),
        _ => Err(no_pem(path, "certificate")),
    }
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, DialError> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| no_pem(path, "private key"))
}

fn read(path: &Path) -> Result<Vec<u8>, DialError> {
    std::fs::read(path).map_err(|error| DialError::File {
        path: path.to_owned(),
        wrong: error.to_string(),
    })
}

/// Replaces the library's text, which would repeat the content of a broken section, possibly a key.
fn no_pem(path: &Path, wanted: &str) -> DialError {
    DialError::File {
        path: path.to_owned(),
        wrong: format!("it has no {wanted}, as whole PEM"),
    }
}

// === impl Pinned ===

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if *end_entity == self.cert {
            return Ok(ServerCertVerified::assertion());
        }
        let unknown = CertificateError::ApplicationVerificationFailure;
        Err(rustls::Error::InvalidCertificate(unknown))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_every_interface_is_asked_on_this_machine() {
        for (bound, asked) in [
            ("0.0.0.0", "127.0.0.1"),
            ("::", "::1"),
            ("10.1.2.3", "10.1.2.3"),
            ("larder.example", "larder.example"),
        ] {
            assert_eq!(reachable(bound), asked);
        }
    }
}
