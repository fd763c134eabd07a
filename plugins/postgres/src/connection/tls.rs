//! TLS to the server, with rustls and ring.

use std::io::{self, Read as _, Write};
use std::net::TcpStream;
use std::sync::Arc;

use bytes::BytesMut;
use larder_plugin::Error;
use postgres_protocol::message::frontend;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme,
    StreamOwned,
};

use super::failure::Failure;
use super::stream::Stream;
use crate::settings::Security;

/// A connection under TLS.
#[derive(Debug)]
pub(crate) struct Tls(StreamOwned<ClientConnection, TcpStream>);

/// Asks the server for TLS, before anything else.
pub(super) fn secure(stream: Stream, host: &str, security: &Security) -> Result<Stream, Failure> {
    let Stream::Plain(mut tcp) = stream else {
        return Ok(stream);
    };
    let config = config(security).map_err(Failure::Raised)?;
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request)?;
    let mut answer = [0];
    tcp.read_exact(&mut answer)?;
    if answer != *b"S" {
        return Err(refuse(
            "the server does not speak TLS: set `ssl = on` there, or `sslmode: disable` here",
        ));
    }
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| refuse(&format!("the setting `host` is no name for TLS: {host:?}")))?;
    let connection =
        ClientConnection::new(config, name).map_err(|error| refuse(&error.to_string()))?;
    let mut stream = StreamOwned::new(connection, tcp);
    while stream.conn.is_handshaking() {
        stream
            .conn
            .complete_io(&mut stream.sock)
            .map_err(|error| failed(&error))?;
    }
    Ok(Stream::Tls(Box::new(Tls(stream))))
}

/// A certificate that is not what was asked for is an error of the configuration, and anything else may pass.
fn failed(error: &io::Error) -> Failure {
    let of_tls = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<rustls::Error>());
    match of_tls {
        Some(rustls::Error::InvalidCertificate(why)) => refuse(&format!(
            "the server's certificate is refused: {why:?}; see `sslmode` in the plugin's README"
        )),
        _ => Failure::Lost(format!("TLS: {error}")),
    }
}

fn refuse(text: &str) -> Failure {
    Failure::Raised(Error::InvalidArgument(text.to_owned()))
}

fn config(security: &Security) -> Result<Arc<ClientConfig>, Error> {
    let provider = Arc::new(ring::default_provider());
    let invalid = |text: String| Error::InvalidArgument(text);
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid(error.to_string()))?;
    let builder = match security {
        Security::VerifyFull(text) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
                let certificate = certificate
                    .map_err(|error| invalid(format!("`sslrootcert` is no PEM: {error}")))?;
                roots
                    .add(certificate)
                    .map_err(|error| invalid(format!("`sslrootcert`: {error}")))?;
            }
            if roots.is_empty() {
                return Err(invalid("`sslrootcert` has no certificate".to_owned()));
            }
            builder.with_root_certificates(roots)
        }
        Security::Disable | Security::Require => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody(provider))),
    };
    Ok(Arc::new(builder.with_no_client_auth()))
}

/// Takes any certificate, for `sslmode: require`: what is sent cannot be read by others, and the server can be anybody.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

// === impl Tls ===

impl Tls {
    pub(super) fn tcp(&self) -> &TcpStream {
        self.0.get_ref()
    }
}

impl io::Read for Tls {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Tls {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
