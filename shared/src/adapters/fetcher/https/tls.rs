//! Whom a TLS connection trusts.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject},
};

/// The trust for a repository could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// There is no certificate in the PEM text, or one that cannot be read.
    #[error("the `ca_file` of a repository has no certificate that can be read")]
    Certificates,
    /// The TLS library has no protocol version to offer.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// A client that trusts the public roots, compiled in, and these certificates.
pub(super) fn client(pem: Option<&[u8]>) -> Result<Arc<ClientConfig>, TlsError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    if let Some(pem) = pem {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| TlsError::Certificates)?;
            roots.add(certificate).map_err(|_| TlsError::Certificates)?;
        }
        if roots.len() == before {
            return Err(TlsError::Certificates);
        }
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
