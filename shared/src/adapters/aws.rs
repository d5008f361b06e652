//! How AWS is reached: the configuration that every AWS client shares, made by hand.
//!
//! `aws-config` is left out on purpose: its default chain looks into files, the network and the environment, and what it
//! brings along costs a cold start more than everything else. A function knows its region and has its credentials in its
//! environment, which the configuration hands over. Root certificates are compiled in: nothing is read from the disk.

use std::{fmt, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_http_client::{
    Builder,
    tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode},
};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};
use base64::{Engine, engine::general_purpose::STANDARD};

use crate::domain::secret::Secret;

/// Tries of one call, the first among them; only what the service says is worth it is tried again.
const MAX_ATTEMPTS: u32 = 3;
/// The pause before the second try is random and at most so long, and twice that before the third.
const BACKOFF: Duration = Duration::from_millis(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long one try of a call may take. A client whose calls take longer says so itself.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(4);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// What the certificates of AWS's own endpoints are issued under.
const AMAZON_ROOTS: [&[u8]; 2] = [b"Amazon Root CA ", b"Starfield Services Root Certificate Authority"];

/// Where AWS is and who we are there.
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// The region, `eu-central-1`.
    pub region: String,
    /// Another server than AWS's own, `http://127.0.0.1:8000`; `None`: the region's endpoints.
    pub endpoint_url: Option<String>,
    /// Who we are.
    pub credentials: AwsCredentials,
    /// Certificates (PEM) that are trusted beside Amazon's, instead of the public ones.
    pub ca_pem: Option<Vec<u8>>,
}

/// Credentials as a Lambda function finds them in its environment: they live as long as its process may.
#[derive(Clone)]
pub struct AwsCredentials {
    /// The public half: it is part of every presigned URL.
    pub access_key_id: String,
    /// The secret half.
    pub secret_access_key: Secret,
    /// What a role's credentials have besides.
    pub session_token: Option<Secret>,
}

impl fmt::Debug for AwsCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwsCredentials").field("access_key_id", &self.access_key_id).finish_non_exhaustive()
    }
}

/// The configuration from which every AWS client of a process is made: they share one pool of connections.
pub fn sdk_config(settings: &AwsSettings) -> SdkConfig {
    let AwsCredentials { access_key_id, secret_access_key, session_token } = &settings.credentials;
    let credentials = Credentials::new(
        access_key_id,
        secret_access_key.reveal(),
        session_token.as_ref().map(|token| token.reveal().to_owned()),
        None,
        "settings",
    );
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(OPERATION_TIMEOUT)
        .build();
    let retries = RetryConfig::standard().with_max_attempts(MAX_ATTEMPTS).with_initial_backoff(BACKOFF);
    let mut builder = SdkConfig::builder()
        .region(Region::new(settings.region.clone()))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .retry_config(retries)
        .timeout_config(timeouts)
        .http_client(http_client(settings));
    builder.set_endpoint_url(settings.endpoint_url.clone());
    builder.build()
}

/// HTTP over rustls on ring.
fn http_client(settings: &AwsSettings) -> aws_types::sdk_config::SharedHttpClient {
    let mut builder = Builder::new().tls_provider(Provider::rustls(CryptoMode::Ring));
    if let Ok(context) = TlsContext::builder().with_trust_store(trust_store(settings)).build() {
        builder = builder.tls_context(context);
    }
    builder.build_https()
}

/// Whom we trust: for AWS's own endpoints Amazon's few roots, which are read in no time; so where the operator named
/// others for an endpoint of its own. Else everybody's.
fn trust_store(settings: &AwsSettings) -> TrustStore {
    let aws_itself = settings.endpoint_url.is_none() && !settings.region.starts_with("cn-");
    let few = aws_itself || settings.ca_pem.is_some();
    let mut store = TrustStore::empty();
    for certificate in webpki_root_certs::TLS_SERVER_ROOT_CERTS {
        if !few || is_amazon(certificate) {
            store.add_pem_certificate(pem(certificate));
        }
    }
    if let Some(ours) = &settings.ca_pem {
        store.add_pem_certificate(ours.as_slice());
    }
    store
}

/// Whether Amazon issued it; a root certificate begins with its issuer, so that little of it has to be looked through.
fn is_amazon(certificate: &[u8]) -> bool {
    let issuer = certificate.get(..256).unwrap_or(certificate);
    AMAZON_ROOTS.iter().any(|name| issuer.windows(name.len()).any(|window| window == *name))
}

fn pem(der: &[u8]) -> String {
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", STANDARD.encode(der))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(region: &str, endpoint_url: Option<&str>) -> AwsSettings {
        AwsSettings {
            region: region.into(),
            endpoint_url: endpoint_url.map(Into::into),
            credentials: AwsCredentials {
                access_key_id: "AKIDEXAMPLE".into(),
                secret_access_key: Secret::new("a-secret".into()),
                session_token: Some(Secret::new("a-session".into())),
            },
            ca_pem: None,
        }
    }

    fn roots(settings: &AwsSettings) -> usize {
        format!("{:?}", trust_store(settings)).matches("CertificatePEM").count()
    }

    #[test]
    fn aws_itself_is_trusted_by_amazons_roots_alone() {
        assert_eq!(roots(&settings("eu-central-1", None)), 5);
    }

    #[test]
    fn other_servers_are_trusted_by_every_root() {
        let every = webpki_root_certs::TLS_SERVER_ROOT_CERTS.len();
        assert_eq!(roots(&settings("eu-central-1", Some("https://s3.example.com"))), every);
        assert_eq!(roots(&settings("cn-north-1", None)), every);
    }

    #[test]
    fn named_authorities_are_trusted_beside_amazons_alone() {
        let ca_pem = Some(pem(webpki_root_certs::TLS_SERVER_ROOT_CERTS[0]).into_bytes());
        let endpoint = Some("https://s3.example.com");
        assert_eq!(roots(&AwsSettings { ca_pem, ..settings("eu-central-1", endpoint) }), 6);
    }

    #[test]
    fn no_secret_is_printed() {
        let settings = settings("eu-central-1", None);
        let printed = format!("{settings:?} {:?}", sdk_config(&settings));
        assert!(printed.contains("AKIDEXAMPLE"), "{printed}");
        assert!(!printed.contains("a-secret") && !printed.contains("a-session"), "{printed}");
    }

    #[test]
    fn what_is_configured_reaches_every_client() {
        let config = sdk_config(&settings("eu-central-1", Some("http://127.0.0.1:8000")));
        assert_eq!(config.region().map(AsRef::as_ref), Some("eu-central-1"));
        assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:8000"));
        assert_eq!(config.retry_config().map(RetryConfig::max_attempts), Some(MAX_ATTEMPTS));
    }
}
