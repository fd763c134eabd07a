//! Loads certificates from files into a TLS configuration.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use super::validity::earliest_end;
use crate::files::{Reloadable, WatchedFiles};

/// The certificate files of one port.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, followed by the intermediate ones.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// The CAs of client certificates. If `None`, clients need no certificate.
    pub client_ca: Option<PathBuf>,
    /// The protocol inside TLS.
    pub protocol: Protocol,
}

/// The protocol inside TLS, which also gives the prefix of the settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2: `grpc.tls`.
    Grpc,
    /// HTTP/1.1: `admin.tls`.
    Admin,
}

/// The current certificates of a port.
pub struct Tls {
    protocol: Protocol,
    current: Arc<Reloadable<Loaded, Error>>,
}

/// Certificates as read from their files.
struct Loaded {
    config: Arc<ServerConfig>,
    end: Option<i64>,
}

/// When the certificates of a file end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertificateEnd {
    /// The setting that names the file, such as `grpc.tls.cert`.
    pub setting: &'static str,
    /// The earliest end of the certificates in the file, in seconds since the Unix epoch; `None` if it cannot be read.
    pub seconds: Option<i64>,
}

/// An invalid certificate file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read `{}` of `{setting}`: name a PEM file that this user may read", path.display())]
    Unreadable {
        /// The setting that names it.
        setting: String,
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        source: io::Error,
    },
    /// It does not contain what the setting requires.
    #[error("`{}` of `{setting}` {wrong}", path.display())]
    Unusable {
        /// The setting that names it.
        setting: String,
        /// The file.
        path: PathBuf,
        /// The problem, and the required content.
        wrong: String,
    },
}

// === impl Tls ===

impl Tls {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// An invalid file, with the setting, the path and the required content.
    pub fn open(files: TlsFiles) -> Result<Self, Error> {
        let named = [
            Some(&files.cert),
            Some(&files.key),
            files.client_ca.as_ref(),
        ];
        let paths = named.into_iter().flatten().cloned().collect();
        let protocol = files.protocol;
        let opened = Reloadable::open(protocol.setting(), paths, move || files.read())?;
        Ok(Self {
            protocol,
            current: Arc::new(opened),
        })
    }

    /// The files, for reloads.
    pub fn files(&self) -> Arc<dyn WatchedFiles> {
        Arc::clone(&self.current) as Arc<dyn WatchedFiles>
    }

    /// When the current certificates end.
    pub fn certificate_end(&self) -> CertificateEnd {
        CertificateEnd {
            setting: self.protocol.cert_setting(),
            seconds: self.current.current().end,
        }
    }

    /// An acceptor with the current certificates.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.current().config))
    }
}

// === impl TlsFiles ===

impl TlsFiles {
    fn read(&self) -> Result<Loaded, Error> {
        let certs = self.certificates("cert", &self.cert)?;
        let end = earliest_end(&certs);
        let key = self.pem("key", &self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| {
            self.unusable(
                "key",
                &self.key,
                &not_pem(
                    &error,
                    "private key",
                    "a private key (PKCS #8, PKCS #1 or SEC 1, without a password)",
                ),
            )
        })?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| {
                self.unusable("cert", &self.cert, &format!("cannot be used: {error}"))
            })?;
        let builder = match &self.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let verifier = WebPkiClientVerifier::builder_with_provider(
                    Arc::new(self.roots(path)?),
                    provider,
                );
                let verifier = verifier.build().map_err(|error| {
                    self.unusable("client_ca", path, &format!("cannot be used: {error}"))
                })?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(certs, key).map_err(|error| {
            let wrong = format!("cannot be used with `{}`: {error}; give the certificate that was made for this key, the server's first", self.key.display());
            self.unusable("cert", &self.cert, &wrong)
        })?;
        config.alpn_protocols = vec![self.protocol.alpn().to_vec()];
        Ok(Loaded {
            config: Arc::new(config),
            end,
        })
    }

    fn roots(&self, path: &Path) -> Result<RootCertStore, Error> {
        let mut roots = RootCertStore::empty();
        for ca in self.certificates("client_ca", path)? {
            roots.add(ca).map_err(|error| {
                self.unusable(
                    "client_ca",
                    path,
                    &format!("has a certificate that cannot be a CA: {error}"),
                )
            })?;
        }
        Ok(roots)
    }

    fn certificates(
        &self,
        setting: &str,
        path: &Path,
    ) -> Result<Vec<CertificateDer<'static>>, Error> {
        let pem = self.pem(setting, path)?;
        let wrong = |error| {
            self.unusable(
                setting,
                path,
                &not_pem(&error, "certificate", "certificates"),
            )
        };
        let certs = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(wrong)?;
        if certs.is_empty() {
            return Err(wrong(pem::Error::NoItemsFound));
        }
        Ok(certs)
    }

    fn pem(&self, setting: &str, path: &Path) -> Result<Vec<u8>, Error> {
        std::fs::read(path).map_err(|source| Error::Unreadable {
            setting: self.setting(setting),
            path: path.to_owned(),
            source,
        })
    }

    fn unusable(&self, setting: &str, path: &Path, wrong: &str) -> Error {
        Error::Unusable {
            setting: self.setting(setting),
            path: path.to_owned(),
            wrong: wrong.to_owned(),
        }
    }

    fn setting(&self, name: &str) -> String {
        format!("{}.{name}", self.protocol.setting())
    }
}

/// Replaces the library's text, which would repeat the content of a broken section, possibly a key.
fn not_pem(error: &pem::Error, lacking: &str, wanted: &str) -> String {
    let wrong = match error {
        pem::Error::NoItemsFound => format!("has no {lacking}"),
        _ => "is not whole PEM".to_owned(),
    };
    format!("{wrong}: it has to hold {wanted}, as PEM")
}

// === impl Protocol ===

impl Protocol {
    fn setting(self) -> &'static str {
        match self {
            Self::Grpc => "grpc.tls",
            Self::Admin => "admin.tls",
        }
    }

    fn cert_setting(self) -> &'static str {
        match self {
            Self::Grpc => "grpc.tls.cert",
            Self::Admin => "admin.tls.cert",
        }
    }

    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Grpc => b"h2",
            Self::Admin => b"http/1.1",
        }
    }
}
