//! TLS to the nodes, with ring.

use std::path::Path;
use std::sync::Arc;

use larder_store::Error;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::options::Tls;

/// Accepts certificates of the authorities for every name.
#[derive(Debug)]
struct AnyName(Arc<WebPkiServerVerifier>);

/// The configuration of rustls for these options.
pub(crate) fn config(tls: &Tls) -> Result<Arc<ClientConfig>, Error> {
    let wrong = |what: &dyn std::fmt::Display| Error::Other(format!("`tls`: {what}"));
    let Some(ca) = &tls.ca else {
        return Err(wrong(
            &"`ca` is missing: name the PEM file of the authorities that sign the nodes' certificates",
        ));
    };
    let mut roots = RootCertStore::empty();
    for cert in certificates(ca)? {
        roots
            .add(cert)
            .map_err(|error| wrong(&format!("`{}`: {error}", ca.display())))?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
            .build()
            .map_err(|error| wrong(&error))?;
    let verifier: Arc<dyn ServerCertVerifier> = if tls.verify_hostname {
        verifier
    } else {
        Arc::new(AnyName(verifier))
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let config = match (&tls.cert, &tls.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates(cert)?, private_key(key)?)
            .map_err(|error| wrong(&error))?,
        _ => {
            return Err(wrong(
                &"`cert` and `key` go together; one of them is missing",
            ));
        }
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let pem = read(path)?;
    let certs: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match certs {
        Ok(certs) if !certs.is_empty() => Ok(certs),
        _ => Err(no_pem(path, "certificate")),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(&read(path)?).map_err(|_| no_pem(path, "private key"))
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    std::fs::read(path)
        .map_err(|error| Error::Other(format!("`tls`: cannot read `{}`: {error}", path.display())))
}

/// Replaces the library's text, which would repeat the content of a broken section, possibly a key.
fn no_pem(path: &Path, wanted: &str) -> Error {
    let path = path.display();
    Error::Other(format!("`tls`: `{path}` has no {wanted}, as whole PEM"))
}

// === impl AnyName ===

impl ServerCertVerifier for AnyName {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified =
            self.0
                .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            // The name is judged last, so everything else is right.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        let error = config(&Tls::default()).map(drop);
        assert!(matches!(error, Err(Error::Other(text)) if text.contains("`ca` is missing")));
        let absent = Tls {
            ca: Some("/absent/ca.pem".into()),
            ..Tls::default()
        };
        let error = config(&absent).map(drop);
        assert!(matches!(error, Err(Error::Other(text)) if text.contains("/absent/ca.pem")));
    }
}
