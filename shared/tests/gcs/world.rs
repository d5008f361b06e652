//! Stores, buckets and times of the tests.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use google_cloud_auth::credentials::{CacheableResource, Credentials, service_account};
use http::HeaderMap;
use serde_json::{Value, json};
use shared::{
    adapters::objects::gcs::{GcsCredentials, GcsObjects, GcsSettings},
    contract::objects::digest,
    domain::{ids::UploadId, secret::Secret},
    ports::objects::{Download, DownloadRequest, Objects as _, UploadDoors, UploadGrant},
};

/// The key file of Google's test account, as it would be handed out.
pub(crate) fn key_file() -> Value {
    let vectors: Value = serde_json::from_str(include_str!("../../src/adapters/v4/google.json")).unwrap();
    let mut account = vectors["account"].clone();
    for (name, value) in [("type", "service_account"), ("project_id", "a-project"), ("private_key_id", "1")] {
        account[name] = json!(value);
    }
    account
}

/// A store that is opened by that key file.
pub(crate) async fn store(endpoint: &str, bucket: &str) -> GcsObjects {
    let credentials = GcsCredentials::KeyFile(Secret::new(key_file().to_string()));
    let settings =
        GcsSettings { bucket: bucket.to_owned(), endpoint: Some(endpoint.to_owned()), credentials };
    GcsObjects::open(settings).await.unwrap()
}

/// The time, in whole seconds, as Unix milliseconds.
#[allow(clippy::disallowed_methods, reason = "a server has the time of the world")]
pub(crate) fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap() * 1000
}

/// A bucket of its own on the server under test.
pub(crate) struct World {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) objects: GcsObjects,
    pub(crate) credentials: Credentials,
    pub(crate) http: reqwest::Client,
}

#[allow(clippy::disallowed_methods, reason = "whoever runs the tests names the server")]
fn endpoint() -> String {
    let url = std::env::var("BP_TEST_GCS").expect("BP_TEST_GCS is the URL of the server to test against");
    url.trim_end_matches('/').to_owned()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_versions(false).await
    }

    pub(crate) async fn with_versions(versions: bool) -> Self {
        let endpoint = endpoint();
        let mut random = [0; 8];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random).unwrap();
        let bucket = format!("big-picture-test-{:016x}", u64::from_be_bytes(random));
        let objects = store(&endpoint, &bucket).await;
        let http = reqwest::Client::new();
        let wanted = json!({ "name": bucket, "versioning": { "enabled": versions } });
        let made = http.post(format!("{endpoint}/storage/v1/b?project=p")).body(wanted.to_string());
        assert_eq!(made.send().await.unwrap().status(), 200);
        let credentials = service_account::Builder::new(key_file()).build().unwrap();
        Self { endpoint, bucket, objects, credentials, http }
    }

    /// The headers that open the JSON API.
    pub(crate) async fn headers(&self) -> HeaderMap {
        match self.credentials.headers(http::Extensions::new()).await.unwrap() {
            CacheableResource::New { data, .. } => data,
            CacheableResource::NotModified => panic!("nothing was remembered"),
        }
    }

    /// The address of an object in the JSON API.
    pub(crate) fn api(&self, name: &str) -> String {
        format!("{}/storage/v1/b/{}/o/{}", self.endpoint, self.bucket, name.replace('/', "%2F"))
    }

    /// What the JSON API says of an object.
    pub(crate) async fn metadata(&self, name: &str) -> Option<Value> {
        let answer = self.http.get(self.api(name)).headers(self.headers().await).send().await.unwrap();
        match answer.status().as_u16() {
            200 => Some(serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()),
            404 => None,
            other => panic!("{other}"),
        }
    }

    /// Asks the JSON API to do something; answers with the status and what it said.
    pub(crate) async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let request = self.http.post(path).headers(self.headers().await).body(body.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or_default())
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
            Download::Stream(_) => panic!("Google hands out URLs"),
        }
    }
}
