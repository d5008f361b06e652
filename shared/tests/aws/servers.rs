//! Which servers there are.

use aws_types::SdkConfig;
use ring::rand::{SecureRandom, SystemRandom};
use shared::{
    adapters::aws::{AwsCredentials, AwsSettings, sdk_config},
    domain::secret::Secret,
};

/// The server that a variable names.
#[expect(clippy::disallowed_methods, reason = "tests are told by the environment where servers are")]
pub(crate) fn named_by(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| panic!("set {variable} to the URL of a server"))
}

/// How to reach it.
pub(crate) fn config(endpoint_url: &str) -> SdkConfig {
    sdk_config(&AwsSettings {
        region: "us-east-1".into(),
        endpoint_url: Some(endpoint_url.into()),
        ca_pem: None,
        credentials: AwsCredentials {
            access_key_id: "test".into(),
            secret_access_key: Secret::new("test".into()),
            session_token: None,
        },
    })
}

/// A name that nothing else has.
pub(crate) fn fresh_name() -> String {
    let mut bytes = [0; 8];
    SystemRandom::new().fill(&mut bytes).unwrap();
    format!("items-{:016x}", u64::from_be_bytes(bytes))
}
