//! How AWS is reached: the configuration that every AWS client shares, made by hand.
//!
//! `aws-config` is left out on purpose: its default chain looks into files, the network and the environment, and what it
//! brings along costs a cold start more than everything else. A function knows its region and has its credentials in its
//! environment, which the configuration hands over. Root certificates are compiled in: nothing is read from the disk.

use std::{fmt, time::Duration};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_smithy_types::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_types::{SdkConfig, region::Region};

use crate::domain::secret::Secret;

mod http;

/// Tries of one call, the first among them; only what the service says is worth it is tried again.
const MAX_ATTEMPTS: u32 = 3;
/// The pause before the second try is random and at most so long, and twice that before the third.
const BACKOFF: Duration = Duration::from_millis(60);
/// A first packet that was lost is sent again after a second.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(1_500);
/// How long one try of a call may take. A client whose calls take longer says so itself.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a call may take with all its tries: two that nobody answers, and the pause between them. A function may run
/// several times as long, so that it still says 503 where a service swallows what it is sent.
pub const OPERATION_TIMEOUT: Duration = Duration::from_millis(4_500);

/// Where AWS is and who we are there.
#[derive(Debug, Clone)]
pub struct AwsSettings {
    /// The region, `eu-central-1`.
    pub region: String,
    /// Another server than AWS's own, `http://127.0.0.1:8000`; `None`: the region's endpoints.
    pub endpoint_url: Option<String>,
    /// Who we are.
    pub credentials: AwsCredentials,
    /// Certificates (PEM) that are trusted beside Amazon's own; of others, none is.
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

impl AwsCredentials {
    /// Reads `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, and `:SESSION_TOKEN` where there is one; `None` where it is something else.
    pub fn parse(text: &Secret) -> Option<Self> {
        let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic());
        let mut parts = text.reveal().splitn(3, ':').map(str::trim);
        let (id, secret, session_token) = (parts.next()?, parts.next()?, parts.next());
        let whole = plain(id) && plain(secret) && session_token.is_none_or(plain);
        whole.then(|| Self {
            access_key_id: id.to_owned(),
            secret_access_key: Secret::new(secret.to_owned()),
            session_token: session_token.map(|token| Secret::new(token.to_owned())),
        })
    }
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
        .timeout_config(timeouts);
    builder.set_http_client(http::client(settings.ca_pem.as_deref(), CONNECT_TIMEOUT));
    builder.set_endpoint_url(settings.endpoint_url.clone());
    builder.build()
}

/// The same in another region or at another server, over the same pool of connections.
pub fn elsewhere(config: &SdkConfig, region: Option<&str>, endpoint_url: Option<&str>) -> SdkConfig {
    let mut builder = config.to_builder();
    if let Some(region) = region {
        builder.set_region(Region::new(region.to_owned()));
    }
    builder.set_endpoint_url(endpoint_url.map(str::to_owned));
    builder.build()
}

/// The same for a server that is not AWS's: whom browsers trust is trusted, and whom the operator named (PEM).
#[cfg(feature = "fetcher-https")]
#[must_use]
pub fn beyond_aws(config: &SdkConfig, ca_pem: Option<&[u8]>) -> SdkConfig {
    let mut builder = config.to_builder();
    builder.set_http_client(http::public_client(ca_pem, CONNECT_TIMEOUT));
    builder.build()
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

    #[test]
    fn no_secret_is_printed() {
        let settings = settings("eu-central-1", None);
        let printed = format!("{settings:?} {:?}", sdk_config(&settings));
        assert!(printed.contains("AKIDEXAMPLE"), "{printed}");
        assert!(!printed.contains("a-secret") && !printed.contains("a-session"), "{printed}");
    }

    #[test]
    fn an_access_key_has_two_parts_or_three_and_none_is_empty() {
        let read = |text: &str| AwsCredentials::parse(&Secret::new(text.into()));
        let both = read("id:se/cr+et=").unwrap();
        assert_eq!((both.access_key_id.as_str(), both.secret_access_key.reveal()), ("id", "se/cr+et="));
        assert!(both.session_token.is_none());
        let all = read("id:secret:to:ken").unwrap();
        assert_eq!(all.session_token.unwrap().reveal(), "to:ken");
        for wrong in ["", "id", "id:", ":secret", "id:secret:", "id:se cret", "id:s\u{fc}"] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn what_is_configured_reaches_every_client() {
        let config = sdk_config(&settings("eu-central-1", Some("http://127.0.0.1:8000")));
        assert_eq!(config.region().map(AsRef::as_ref), Some("eu-central-1"));
        assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:8000"));
        assert_eq!(config.retry_config().map(RetryConfig::max_attempts), Some(MAX_ATTEMPTS));
        let other = elsewhere(&config, Some("eu-west-1"), None);
        assert_eq!((other.region().map(AsRef::as_ref), other.endpoint_url()), (Some("eu-west-1"), None));
        let same = elsewhere(&config, None, Some("http://127.0.0.1:9000"));
        assert_eq!(same.region().map(AsRef::as_ref), Some("eu-central-1"));
        assert_eq!(same.retry_config().map(RetryConfig::max_attempts), Some(MAX_ATTEMPTS));
    }
}
