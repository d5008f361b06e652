//! HTTP/1.1 over rustls on ring, for every AWS client.
//!
//! The SDK's own client speaks HTTP/2 besides, looks for proxies and reads the system's certificates: a third of a megabyte
//! of program that no service asked here needs. Timeouts are the SDK's: it gives up an attempt and drops it, which closes
//! its connection.

use std::{error::Error, fmt, sync::Arc, time::Duration};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        http::{
            HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
            SharedHttpConnector,
        },
        orchestrator::HttpRequest,
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{body::SdkBody, retry::ErrorKind};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{self, connect::HttpConnector as Tcp},
    rt::TokioExecutor,
};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// What the certificates of AWS's own endpoints are issued under, in DER, which costs a start less than PEM.
const AMAZON_ROOTS: [&[u8]; 5] = [
    include_bytes!("roots/amazon-ca-1.der"),
    include_bytes!("roots/amazon-ca-2.der"),
    include_bytes!("roots/amazon-ca-3.der"),
    include_bytes!("roots/amazon-ca-4.der"),
    include_bytes!("roots/amazon-starfield-g2.der"),
];

/// Whom we trust: Amazon, and whom the operator named (PEM).
fn trusted(ca_pem: Option<&[u8]>) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(AMAZON_ROOTS.map(CertificateDer::from));
    for certificate in CertificateDer::pem_slice_iter(ca_pem.unwrap_or_default()) {
        let added = certificate.map_err(BoxError::from).and_then(|one| Ok(roots.add(one)?));
        if let Err(error) = added {
            tracing::warn!(error = %error, "a certificate of AWS_CA_BUNDLE cannot be read and is left out");
        }
    }
    roots
}

/// A client that trusts Amazon, and whom the operator named (PEM); `None` where there is no TLS.
pub(super) fn client(ca_pem: Option<&[u8]>, connect_timeout: Duration) -> Option<SharedHttpClient> {
    trusting(trusted(ca_pem), connect_timeout)
}

/// A client that trusts whom browsers trust, and whom the operator named (PEM); `None` where there is no TLS.
#[cfg(feature = "fetcher-https")]
pub(super) fn public_client(ca_pem: Option<&[u8]>, connect_timeout: Duration) -> Option<SharedHttpClient> {
    let mut roots = trusted(ca_pem);
    roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    trusting(roots, connect_timeout)
}

fn trusting(roots: RootCertStore, connect_timeout: Duration) -> Option<SharedHttpClient> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().ok()?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let mut tcp = Tcp::new();
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.enforce_http(false);
    let inner = legacy::Client::builder(TokioExecutor::new()).build(HttpsConnector::from((tcp, config)));
    Some(SharedHttpClient::new(Http { connector: SharedHttpConnector::new(Connector(inner)) }))
}

#[derive(Debug)]
struct Http {
    connector: SharedHttpConnector,
}

impl HttpClient for Http {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.connector.clone()
    }
}

struct Connector(legacy::Client<HttpsConnector<Tcp>, SdkBody>);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector")
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let client = self.0.clone();
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(request).await.map_err(classify)?;
            let response = response.map(SdkBody::from_body_1_x);
            response.try_into().map_err(|error| ConnectorError::other(BoxError::from(error), None))
        })
    }
}

/// What the SDK is to make of a failure: what is the network's is worth another try.
fn classify(error: legacy::Error) -> ConnectorError {
    match source::<hyper::Error>(&error) {
        Some(cause) if cause.is_timeout() => ConnectorError::timeout(error.into()),
        Some(cause) if cause.is_user() => ConnectorError::user(error.into()),
        Some(cause) if cause.is_incomplete_message() => {
            ConnectorError::other(error.into(), Some(ErrorKind::TransientError))
        }
        Some(cause) if cause.is_closed() || cause.is_canceled() => ConnectorError::io(error.into()),
        _ if error.is_connect() || source::<std::io::Error>(&error).is_some() => {
            ConnectorError::io(error.into())
        }
        _ => ConnectorError::other(error.into(), None),
    }
}

fn source<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Those of Mozilla's that Amazon owns.
    fn amazons() -> Vec<CertificateDer<'static>> {
        let names: [&[u8]; 2] = [b"Amazon Root CA ", b"Starfield Services Root Certificate Authority"];
        let owned = |certificate: &&CertificateDer<'static>| {
            names.iter().any(|name| certificate.windows(name.len()).any(|window| window == *name))
        };
        webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().filter(owned).cloned().collect()
    }

    #[test]
    fn amazons_roots_are_those_that_browsers_trust() {
        let mut ours = AMAZON_ROOTS.map(CertificateDer::from).to_vec();
        let mut theirs = amazons();
        ours.sort_by(|one, other| one.as_ref().cmp(other));
        theirs.sort_by(|one, other| one.as_ref().cmp(other));
        assert_eq!(ours, theirs);
    }

    #[test]
    fn named_authorities_are_trusted_beside_amazons_and_unreadable_ones_left_out() {
        assert_eq!(trusted(None).len(), 5);
        let own = rcgen::generate_simple_self_signed(Vec::new()).unwrap().cert.pem();
        assert_eq!(trusted(Some(own.as_bytes())).len(), 6);
        let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        assert_eq!(trusted(Some(broken)).len(), 5);
    }
}
