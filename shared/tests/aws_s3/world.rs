//! Clients, buckets and times of the tests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Region, retry::RetryConfig},
    types::{BucketVersioningStatus, VersioningConfiguration},
};
use aws_smithy_http_client::Builder as Connector;
use shared::{
    adapters::objects::s3::S3Objects,
    contract::objects::digest,
    domain::ids::UploadId,
    ports::objects::{Download, DownloadRequest, Objects as _, UploadDoors, UploadGrant},
};

/// Such as Amazon gives in its examples.
pub(crate) fn some_credentials() -> Credentials {
    Credentials::new("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", None, None, "test")
}

/// A client of this server.
pub(crate) fn client(endpoint: &str, credentials: Credentials) -> Client {
    let config = aws_sdk_s3::config::Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .endpoint_url(endpoint)
        .force_path_style(true)
        .credentials_provider(credentials)
        .http_client(Connector::new().build_http())
        .retry_config(RetryConfig::disabled());
    Client::from_conf(config.build())
}

/// A store that signs with these credentials.
pub(crate) fn store(endpoint: &str, bucket: &str, credentials: &Credentials) -> S3Objects {
    let provider = SharedCredentialsProvider::new(credentials.clone());
    S3Objects::new(client(endpoint, credentials.clone()), bucket, provider)
}

/// The time, in whole seconds, as Unix milliseconds.
#[allow(clippy::disallowed_methods, reason = "a server has the time of the world")]
pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() * 1000
}

/// A bucket of its own on the server under test.
pub(crate) struct World {
    pub(crate) endpoint: String,
    /// The id and the secret, with a colon between them.
    pub(crate) keys: String,
    pub(crate) client: Client,
    pub(crate) bucket: String,
    pub(crate) objects: S3Objects,
}

#[allow(clippy::disallowed_methods, reason = "whoever runs the tests names the server")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_versions(true).await
    }

    pub(crate) async fn with_versions(versions: bool) -> Self {
        let endpoint =
            variable("BP_TEST_S3").expect("BP_TEST_S3 is the URL of the S3 server to test against");
        let keys = variable("BP_TEST_S3_KEYS").unwrap_or_else(|| "test:test".to_owned());
        let (id, secret) = keys.split_once(':').expect("BP_TEST_S3_KEYS is id:secret");
        let credentials = Credentials::new(id, secret, None, None, "test");
        let client = client(&endpoint, credentials.clone());
        let mut random = [0; 8];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random).unwrap();
        let bucket = format!("big-picture-test-{:016x}", u64::from_be_bytes(random));
        client.create_bucket().bucket(&bucket).send().await.unwrap();
        if versions {
            let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
            let request = client.put_bucket_versioning().bucket(&bucket).versioning_configuration(enabled);
            request.send().await.unwrap();
        }
        let objects = store(&endpoint, &bucket, &credentials);
        Self { endpoint: endpoint.trim_end_matches('/').to_owned(), keys, client, bucket, objects }
    }

    /// The doors of an upload of this content, as signed at this time for a quarter of an hour.
    pub(crate) async fn doors_at(&self, now: i64, upload_id: UploadId, content: &[u8]) -> UploadDoors {
        let grant = UploadGrant {
            upload_id,
            size_bytes: content.len() as u64,
            sha256: digest(content),
            content_type: None,
            now,
            expires_in: Duration::from_secs(900),
        };
        self.objects.presign_upload(&grant).await.unwrap()
    }

    pub(crate) async fn doors(&self, upload_id: UploadId, content: &[u8]) -> UploadDoors {
        self.doors_at(now(), upload_id, content).await
    }

    pub(crate) async fn download(&self, request: &DownloadRequest) -> String {
        match self.objects.download(request).await.unwrap() {
            Download::Redirect(url) => url,
            Download::Stream(_) => panic!("S3 hands out URLs"),
        }
    }
}
