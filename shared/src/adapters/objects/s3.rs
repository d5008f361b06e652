//! Objects in an S3 bucket: bytes go from the uploader to the store and from the store to the client, never through us.
//!
//! What the role needs, for the keys under `staging/` and `objects/`: `s3:PutObject`, `s3:GetObject`,
//! `s3:GetObjectVersion`, `s3:DeleteObject`, and `s3:ListBucket` on the bucket, without which S3 answers 403 instead of
//! 404 for what is not there. Who cleans up needs `s3:DeleteObjectVersion` besides, and on the bucket
//! `s3:ListBucketVersions` and `s3:ListBucketMultipartUploads`.
//!
//! - The locked door: S3 compares the body with the SHA-256 of a signed header, keeps the SHA-256, and `stat` reads it
//!   back by one `HeadObject`, whatever the size.
//! - The bare door: S3 keeps no SHA-256 of what came through it, so `stat` of staging has none; [`Objects::promote`] has
//!   one computed by `CopyObject`. A store that computes none (there are S3-compatible ones) gives none, and the copy is
//!   read.
//! - Writing is conditional everywhere: no request of ours and no URL that we sign overwrites an object, where the store
//!   keeps to the condition.

#[cfg(feature = "embedded")]
mod compatible;
mod covered;
mod doors;
#[cfg(not(feature = "embedded"))]
mod exact;
mod keeping;
mod large;
mod listing;
mod signing;

use std::{fmt, time::Duration};

use async_trait::async_trait;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_s3::{
    Client,
    config::{Builder, StalledStreamProtectionConfig, retry::RetryConfig, timeout::TimeoutConfig},
    error::SdkError,
    operation::{
        copy_object::CopyObjectError,
        head_object::{HeadObjectError, HeadObjectOutput},
    },
    types::{ChecksumAlgorithm, ChecksumMode, ChecksumType, MetadataDirective, TaggingDirective},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use url::form_urlencoded;

#[cfg(feature = "embedded")]
use self::compatible::Known;
#[cfg(not(feature = "embedded"))]
use self::exact::Known;
use crate::{
    domain::{digest::Sha256, ids::UploadId, upload::ObjectKey},
    ports::{
        large_objects::LargeObjects,
        objects::{
            Area, Download, DownloadRequest, Draft, Listing, ObjectError, ObjectStat, Objects, UploadDoors,
            UploadGrant,
        },
    },
};

/// How long a download URL is asked to live; the download itself may take longer.
const DOWNLOAD_LIFETIME: Duration = Duration::from_secs(300);
/// How long a copy may take unless told otherwise: S3 copies gigabytes in seconds, not in milliseconds.
const COPY_TIMEOUT: Duration = Duration::from_secs(20);
/// How often an upload that changes while it is copied is copied.
const MAX_COPIES: u32 = 4;
/// How long one try to send a part that we write ourselves may take: 8 MiB at 140 KiB a second.
const PART_TIMEOUT: Duration = Duration::from_secs(60);
/// The media type of what has none.
const OCTETS: &str = "application/octet-stream";

/// A store in one bucket.
#[derive(Clone)]
pub struct S3Objects {
    client: Client,
    bucket: String,
    credentials: SharedCredentialsProvider,
    copy_timeout: Duration,
    /// What it was seen to do, where it may lack some of S3.
    #[cfg_attr(not(feature = "embedded"), expect(dead_code, reason = "S3 itself lacks nothing"))]
    seen: Known,
}

impl S3Objects {
    /// The store in `bucket`. `credentials` sign the URLs, which end no later than these do; they should be those of
    /// `client`.
    pub fn new(client: Client, bucket: impl Into<String>, credentials: SharedCredentialsProvider) -> Self {
        Self { client, bucket: bucket.into(), credentials, copy_timeout: COPY_TIMEOUT, seen: None }
    }

    /// The store in `bucket`, reached as `config` says. `path_style` is for servers that do not know a bucket by its
    /// host name, as most but AWS's own.
    pub fn open(
        config: &aws_types::SdkConfig,
        bucket: impl Into<String>,
        credentials: SharedCredentialsProvider,
        path_style: bool,
    ) -> Self {
        let client = Client::from_conf(Builder::from(config).force_path_style(path_style).build());
        Self::new(client, bucket, credentials)
    }

    /// The same store, in which the copy of [`Objects::promote`] may take so long; all other calls keep the time limits of
    /// the client. A copy that S3 finishes after we gave it up is found by the next promote.
    #[must_use]
    pub fn with_copy_timeout(self, copy_timeout: Duration) -> Self {
        Self { copy_timeout, ..self }
    }

    async fn head(&self, key: ObjectKey) -> Result<HeadObjectOutput, ObjectError> {
        let mut found = self.try_head(key, !self.lacks(Lack::AskingForDigests)).await;
        if self.may_lack(Lack::AskingForDigests) && found.as_ref().is_err_and(not_known) {
            found = self.try_head(key, false).await;
            if found.is_ok() {
                self.note(Lack::AskingForDigests);
            }
        }
        found.map_err(|error| match status(&error) {
            Some(404) => ObjectError::NotFound(key),
            _ => unavailable(error),
        })
    }

    async fn try_head(
        &self,
        key: ObjectKey,
        digest: bool,
    ) -> Result<HeadObjectOutput, SdkError<HeadObjectError>> {
        let request = self.client.head_object().bucket(&self.bucket).key(key.to_string());
        request.set_checksum_mode(digest.then_some(ChecksumMode::Enabled)).send().await
    }

    /// Copies this very version of staging, unless there is a copy already; where the store can only copy, it copies, and
    /// what was copied is what counts.
    async fn copy(&self, id: UploadId, staged: &HeadObjectOutput) -> Result<(), CopyRefusal> {
        let mut copied = self.try_copy(id, staged, !self.lacks(Lack::ExactCopies)).await;
        if self.may_lack(Lack::ExactCopies) && copied.as_ref().is_err_and(not_known) {
            copied = self.try_copy(id, staged, false).await;
            if copied.is_ok() {
                self.note(Lack::ExactCopies);
            }
        }
        copied.map_err(|error| match status(&error) {
            Some(404) => CopyRefusal::SourceGone,
            Some(409 | 412) => CopyRefusal::Condition(unavailable(error)),
            _ => CopyRefusal::Other(unavailable(error)),
        })
    }

    async fn try_copy(
        &self,
        id: UploadId,
        staged: &HeadObjectOutput,
        exact: bool,
    ) -> Result<(), SdkError<CopyObjectError>> {
        let mut source = format!("{}/{}", self.bucket, ObjectKey::Staging(id));
        if let Some(version) = staged.version_id() {
            let version: String = form_urlencoded::byte_serialize(version.as_bytes()).collect();
            source.push_str("?versionId=");
            source.push_str(&version);
        }
        let mut request =
            self.client.copy_object().bucket(&self.bucket).key(ObjectKey::Copied(id).to_string());
        if exact {
            request = request
                .set_copy_source_if_match(staged.e_tag().map(str::to_owned))
                .if_none_match("*")
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .tagging_directive(TaggingDirective::Replace);
        }
        request
            .copy_source(source)
            // Nothing that the uploader said about the bytes comes along: no Content-Encoding, no tags.
            .metadata_directive(MetadataDirective::Replace)
            .content_type(OCTETS)
            .customize()
            .config_override(patient(self.copy_timeout))
            .send()
            .await
            .map(drop)
    }

    /// What the copy is, once it is there.
    async fn copied(&self, copy: ObjectKey) -> Result<ObjectStat, ObjectError> {
        let stat = self.stat(&copy).await?;
        if stat.sha256.is_none() {
            self.note(Lack::Digests);
        }
        Ok(stat)
    }
}

/// What a store was seen to lack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(feature = "embedded"), allow(dead_code, reason = "S3 itself lacks nothing"))]
enum Lack {
    /// It refuses to be asked for an object's digest.
    AskingForDigests,
    /// It refuses copies with a condition, or with a digest.
    ExactCopies,
    /// It tells no digest of what it has copied.
    Digests,
    /// It cannot be asked for the versions of an object.
    Versions,
}

/// Whether an error says that the store does not know what it was asked for.
fn not_known<E>(error: &SdkError<E>) -> bool {
    matches!(status(error), Some(400 | 405 | 501))
}

/// One try, which may take so long, and in which the server may be silent as long.
fn patient(timeout: Duration) -> Builder {
    let limits = TimeoutConfig::builder().operation_timeout(timeout).operation_attempt_timeout(timeout);
    Builder::new()
        .timeout_config(limits.read_timeout(timeout).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::disabled())
}

/// For calls that carry many bytes, each of whose tries may take as long as a slow line needs; tried again as others are.
fn unhurried() -> Builder {
    let limits = TimeoutConfig::builder().operation_attempt_timeout(PART_TIMEOUT);
    Builder::new().timeout_config(limits.operation_timeout(PART_TIMEOUT.saturating_mul(2)).build())
}

/// Why there was no copy made.
enum CopyRefusal {
    /// The source is not there any more.
    SourceGone,
    /// A condition did not hold: the copy is there already, or is just being made, or staging is not what it was.
    Condition(ObjectError),
    /// It failed; an error in the body of a 200 is here as well.
    Other(ObjectError),
}

/// The status of an answer, where there was one.
fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|response| response.status().as_u16())
}

fn unavailable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ObjectError {
    ObjectError::Unavailable(error.into())
}

fn stat_of(head: &HeadObjectOutput) -> Result<ObjectStat, ObjectError> {
    let size = head.content_length().and_then(|size| u64::try_from(size).ok());
    Ok(ObjectStat {
        size_bytes: size.ok_or_else(|| unavailable("the object store told no size"))?,
        sha256: full_sha256(head.checksum_sha256(), head.checksum_type()),
        version: head.version_id().map(str::to_owned),
    })
}

/// The SHA-256 of the whole object: that of a multipart upload is one of its parts' digests, and proves nothing here.
fn full_sha256(checksum: Option<&str>, kind: Option<&ChecksumType>) -> Option<Sha256> {
    // Stores that do not know types write a composite as `{base64}-{parts}`, which is no base64.
    if kind.is_some_and(|kind| *kind != ChecksumType::FullObject) {
        return None;
    }
    let bytes = STANDARD.decode(checksum?).ok()?;
    Some(Sha256::from_bytes(bytes.try_into().ok()?))
}

#[async_trait]
impl Objects for S3Objects {
    async fn stat(&self, key: &ObjectKey) -> Result<ObjectStat, ObjectError> {
        stat_of(&self.head(*key).await?)
    }

    async fn presign_upload(&self, grant: &UploadGrant) -> Result<UploadDoors, ObjectError> {
        let locks = self.refuses_other_bytes(grant.upload_id).await?;
        self.doors(grant, locks).await.map_err(unavailable)
    }

    async fn promote(&self, upload_id: UploadId) -> Result<ObjectStat, ObjectError> {
        let (staging, copy) = (ObjectKey::Staging(upload_id), ObjectKey::Copied(upload_id));
        // Looked at first, since some stores that are like S3 would overwrite it whatever the condition.
        match self.copied(copy).await {
            Err(ObjectError::NotFound(_)) => {}
            looked => return looked,
        }
        // Some stores let staging be put again, which is then not what was looked at: what is there now is copied.
        let mut copies = MAX_COPIES;
        loop {
            let (refusal, changed) = match self.head(staging).await {
                Ok(staged) => match self.copy(upload_id, &staged).await {
                    Ok(()) => return self.copied(copy).await,
                    Err(CopyRefusal::SourceGone) => (ObjectError::NotFound(staging), false),
                    Err(CopyRefusal::Condition(error)) => (error, true),
                    Err(CopyRefusal::Other(error)) => return Err(error),
                },
                Err(missing @ ObjectError::NotFound(_)) => (missing, false),
                Err(error) => return Err(error),
            };
            copies -= 1;
            // Somebody else may have made it meanwhile.
            match self.copied(copy).await {
                Err(ObjectError::NotFound(_)) if changed && copies > 0 => {}
                Err(ObjectError::NotFound(_)) => return Err(refusal),
                looked => return looked,
            }
        }
    }

    async fn download(&self, request: &DownloadRequest) -> Result<Download, ObjectError> {
        self.download_url(request).await.map(Download::Redirect).map_err(unavailable)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        let request = self.client.delete_object().bucket(&self.bucket).key(key.to_string());
        request.send().await.map(drop).map_err(unavailable)
    }

    async fn erase(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.erase_versions(*key).await
    }

    async fn keep(&self, key: &ObjectKey, size_bytes: u64) -> Result<Box<dyn Draft>, ObjectError> {
        Ok(Box::new(keeping::Keeping::begin(self.clone(), *key, size_bytes).await?))
    }

    async fn list(&self, area: Area, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        self.list_area(area, after, limit).await
    }

    async fn discard(&self, key: &ObjectKey, store_id: &str) -> Result<(), ObjectError> {
        self.abort_of(*key, store_id).await
    }

    fn large(&self) -> Option<&dyn LargeObjects> {
        Some(self)
    }
}

impl fmt::Debug for S3Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Objects").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_digest_of_the_whole_object_counts() {
        let base64 = STANDARD.encode([7; 32]);
        let whole = Some(Sha256::from_bytes([7; 32]));
        assert_eq!(full_sha256(Some(&base64), Some(&ChecksumType::FullObject)), whole);
        assert_eq!(full_sha256(Some(&base64), None), whole);
        assert_eq!(full_sha256(Some(&base64), Some(&ChecksumType::Composite)), None);
        assert_eq!(full_sha256(Some(&base64), Some(&ChecksumType::from("NEW"))), None);
        for other in [&format!("{base64}-1"), "", "AAAA", &STANDARD.encode([7; 33])] {
            assert_eq!(full_sha256(Some(other), None), None, "{other}");
        }
        assert_eq!(full_sha256(None, Some(&ChecksumType::FullObject)), None);
    }
}
