//! Objects in a bucket of Google Cloud Storage: bytes go from the uploader to the store and from the store to the client,
//! never through us.
//!
//! What the service account needs on the bucket: `storage.objects.create`, `get`, `list` and `delete`; and on itself
//! `iam.serviceAccounts.signBlob` where it has no key file.
//!
//! - There is one door, the bare one, to staging. Its length is a signed header, and the media type where one was
//!   declared. A second PUT makes another generation of staging, which nothing is ever served from.
//! - [`Objects::promote`] pins the generation that it finds and rewrites it to a key that no URL leads to, on condition
//!   that nothing is there. Google computes no SHA-256, so there is none in the answer: who asks reads that generation.
//! - Every version told is a generation, and every read and every link is of one.
//!
//! Bytes are read with Google's own library, which also has the credentials. What it does over gRPC alone is asked of the
//! JSON API here: `docs/adr/0009-google-cloud-storage-over-http.md` has the reasons.

mod access;
mod api;
mod doors;
mod keeping;
mod large;
mod listing;
mod reading;

use std::fmt;

use async_trait::async_trait;
use google_cloud_storage::client::Storage;

use self::access::Access;
pub use self::access::{GcsCredentials, GcsError};
use self::{
    api::{Api, Refusal},
    keeping::Keeping,
};
use crate::{
    domain::{ids::UploadId, upload::ObjectKey},
    ports::{
        large_objects::LargeObjects,
        objects::{
            Area, Download, DownloadRequest, Draft, Listing, ObjectError, ObjectStat, Objects, UploadDoors,
            UploadGrant,
        },
    },
};

/// Where the store is unless somebody says otherwise.
const ENDPOINT: &str = "https://storage.googleapis.com";

/// How often a copy is begun of what is replaced while it is made.
const TRIES: u32 = 5;

/// Which bucket, where it is, and what opens it.
#[derive(Debug, Clone)]
pub struct GcsSettings {
    /// The bucket.
    pub bucket: String,
    /// Another server than Google's own, without a slash at the end.
    pub endpoint: Option<String>,
    /// What opens the bucket and signs URLs.
    pub credentials: GcsCredentials,
}

/// A store in one bucket.
#[derive(Clone)]
pub struct GcsObjects {
    api: Api,
    storage: Storage,
    access: Access,
    endpoint: String,
    bucket: String,
}

impl GcsObjects {
    /// Prepares a store; nothing is asked of it yet.
    ///
    /// # Errors
    /// [`GcsError`]
    pub async fn open(settings: GcsSettings) -> Result<Self, GcsError> {
        // The library takes the provider of the process. Where there is one already, it is the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let GcsSettings { bucket, endpoint, credentials } = settings;
        let endpoint = endpoint.unwrap_or_else(|| ENDPOINT.to_owned());
        let http = api::http()?;
        let access = Access::new(&credentials, http.clone())?;
        let storage = Storage::builder().with_endpoint(&endpoint).with_credentials(access.credentials());
        let storage = storage.build().await.map_err(|error| GcsError::Client(error.into()))?;
        let api = Api::new(http, &endpoint, &bucket, access.clone());
        Ok(Self { api, storage, access, endpoint, bucket })
    }

    async fn find(&self, key: ObjectKey) -> Result<ObjectStat, ObjectError> {
        self.api.stat(&key.to_string()).await.map(stat_of).map_err(|refusal| refusal.of(key))
    }
}

fn stat_of(found: api::Stored) -> ObjectStat {
    ObjectStat { size_bytes: found.size_bytes, sha256: None, version: Some(found.generation) }
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ObjectError {
    ObjectError::Unavailable(error.into())
}

impl Refusal {
    /// The error of a request about this key.
    fn of(self, key: ObjectKey) -> ObjectError {
        match self {
            Self::NotFound => ObjectError::NotFound(key),
            Self::Condition => unavailable("a condition did not hold in the object store"),
            Self::Other(error) => unavailable(error),
        }
    }
}

#[async_trait]
impl Objects for GcsObjects {
    async fn stat(&self, key: &ObjectKey) -> Result<ObjectStat, ObjectError> {
        self.find(*key).await
    }

    async fn presign_upload(&self, grant: &UploadGrant) -> Result<UploadDoors, ObjectError> {
        self.doors(grant).await.map_err(unavailable)
    }

    async fn promote(&self, upload_id: UploadId) -> Result<ObjectStat, ObjectError> {
        let (staging, copy) = (ObjectKey::Staging(upload_id), ObjectKey::Copied(upload_id));
        for _ in 0..TRIES {
            match self.find(copy).await {
                Err(ObjectError::NotFound(_)) => {}
                looked => return looked,
            }
            let staged = match self.api.stat(&staging.to_string()).await {
                Ok(staged) => staged,
                // Somebody else may have copied and removed it meanwhile.
                Err(Refusal::NotFound) => {
                    return self.find(copy).await.map_err(|error| match error {
                        ObjectError::NotFound(_) => ObjectError::NotFound(staging),
                        other @ ObjectError::Unavailable(_) => other,
                    });
                }
                Err(refusal) => return Err(refusal.of(staging)),
            };
            match self.api.rewrite(&staged, &copy.to_string()).await {
                Ok(made) => return Ok(stat_of(made)),
                // Either the copy is there now, or this generation is gone: another was put in its place.
                Err(Refusal::NotFound | Refusal::Condition) => {}
                Err(refusal) => return Err(refusal.of(staging)),
            }
        }
        Err(unavailable("what is to be copied was replaced again and again"))
    }

    async fn download(&self, request: &DownloadRequest) -> Result<Download, ObjectError> {
        self.download_url(request).await.map(Download::Redirect).map_err(unavailable)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        match self.api.delete(&key.to_string()).await {
            Ok(()) | Err(Refusal::NotFound) => Ok(()),
            Err(refusal) => Err(refusal.of(*key)),
        }
    }

    async fn erase(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.erase_generations(*key).await
    }

    async fn list(&self, area: Area, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        self.list_area(area, after, limit).await.map_err(|refusal| match refusal {
            Refusal::Other(error) => unavailable(error),
            Refusal::NotFound | Refusal::Condition => unavailable("the object store lists nothing"),
        })
    }

    async fn keep(&self, key: &ObjectKey, _: u64) -> Result<Box<dyn Draft>, ObjectError> {
        Ok(Box::new(Keeping::begin(self.clone(), *key)))
    }

    fn large(&self) -> Option<&dyn LargeObjects> {
        Some(self)
    }
}

impl fmt::Debug for GcsObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bucket, endpoint, .. } = self;
        f.debug_struct("GcsObjects")
            .field("bucket", bucket)
            .field("endpoint", endpoint)
            .finish_non_exhaustive()
    }
}
