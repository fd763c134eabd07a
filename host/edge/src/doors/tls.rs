//! Certificates from files, as what a handshake needs.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::files::{FromFiles, Reload};

/// The files of one port.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate, then those between it and its CA.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// The CAs of clients; without, no certificate is asked of them.
    pub client_ca: Option<PathBuf>,
    /// What is spoken inside.
    pub protocol: Protocol,
}

/// What is spoken inside TLS, and the settings that name the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC over HTTP/2: `grpc.tls`.
    Grpc,
    /// HTTP/1.1: `admin.tls`.
    Admin,
}

/// The certificates of a port as they are now.
pub struct Tls(Arc<FromFiles<Arc<ServerConfig>, Error>>);

/// A file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("cannot read `{}` of `{setting}`: name a PEM file that this user may read", path.display())]
    Unreadable {
        /// The setting that names it.
        setting: String,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It holds something else than it has to.
    #[error("`{}` of `{setting}` {wrong}", path.display())]
    Unusable {
        /// The setting that names it.
        setting: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what it has to hold.
        wrong: String,
    },
}

// === impl Tls ===

impl Tls {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Names setting and file, and what the file has to hold.
    pub fn open(files: Files) -> Result<Self, Error> {
        let named = [
            Some(&files.cert),
            Some(&files.key),
            files.client_ca.as_ref(),
        ];
        let paths = named.into_iter().flatten().cloned().collect();
        let opened = FromFiles::open(files.protocol.setting(), paths, move || files.read())?;
        Ok(Self(Arc::new(opened)))
    }

    /// The files, to be looked at again.
    pub fn files(&self) -> Arc<dyn Reload> {
        Arc::clone(&self.0) as Arc<dyn Reload>
    }

    /// Accepts by the certificates of this moment.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&*self.0.current()))
    }
}

// === impl Files ===

impl Files {
    fn read(&self) -> Result<Arc<ServerConfig>, Error> {
        let certs = self.certificates("cert", &self.cert)?;
        let key = self.pem("key", &self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&key).map_err(|error| {
            self.unusable(
                "key",
                &self.key,
                &not_pem(
                    &error,
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
        Ok(Arc::new(config))
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
        let wrong = |error| self.unusable(setting, path, &not_pem(&error, "certificates"));
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

/// The library's own text of a broken section would repeat what is inside, which may be a key.
fn not_pem(error: &pem::Error, wanted: &str) -> String {
    let wrong = match error {
        pem::Error::NoItemsFound => "has none",
        _ => "is not whole PEM",
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

    fn alpn(self) -> &'static [u8] {
        match self {
            Self::Grpc => b"h2",
            Self::Admin => b"http/1.1",
        }
    }
}
