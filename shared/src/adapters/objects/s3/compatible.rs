//! Stores that speak S3 and lack some of it: what they can is seen from how they answer, once in a process, and said in
//! the log once. S3 itself lacks nothing and is not asked.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aws_sdk_s3::{error::DisplayErrorContext, primitives::ByteStream, types::BucketVersioningStatus};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use sha2::{Digest as _, Sha256};
use tokio::sync::OnceCell;

use super::{Lack, S3Objects, not_known, unavailable};
use crate::{
    domain::{ids::UploadId, upload::ObjectKey},
    ports::objects::ObjectError,
};

const PROBE: &[u8] = b"probe";

/// What a store was seen to do; nothing for S3 itself.
pub(super) type Known = Option<Arc<Seen>>;

/// What a store was seen to do, and not to do.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// Whether it refuses bytes of another digest than the signed one.
    refuses_other_bytes: OnceCell<bool>,
    no_asking_for_digests: AtomicBool,
    no_exact_copies: AtomicBool,
    no_digests: AtomicBool,
    no_versions: AtomicBool,
}

impl Seen {
    fn flag(&self, lack: Lack) -> &AtomicBool {
        match lack {
            Lack::AskingForDigests => &self.no_asking_for_digests,
            Lack::ExactCopies => &self.no_exact_copies,
            Lack::Digests => &self.no_digests,
            Lack::Versions => &self.no_versions,
        }
    }
}

impl S3Objects {
    /// The same store as one that may lack some of S3: what it refuses is asked for in a simpler way, and whether it
    /// compares digests is tried before the first locked door is handed out.
    #[must_use]
    pub fn compatible(self) -> Self {
        Self { seen: Some(Arc::default()), ..self }
    }

    pub(super) fn lacks(&self, lack: Lack) -> bool {
        self.seen.as_ref().is_some_and(|seen| seen.flag(lack).load(Ordering::Relaxed))
    }

    /// Whether it is worth asking in a simpler way.
    pub(super) fn may_lack(&self, lack: Lack) -> bool {
        self.seen.is_some() && !self.lacks(lack)
    }

    /// Remembers what the store lacks.
    pub(super) fn note(&self, lack: Lack) {
        let Some(seen) = &self.seen else { return };
        if !seen.flag(lack).swap(true, Ordering::Relaxed) {
            let what = match lack {
                Lack::AskingForDigests => "it cannot be asked for digests",
                Lack::ExactCopies => "it makes copies without condition and digest alone",
                Lack::Versions => "it does not know versions: what is removed is removed at once",
                Lack::Digests => "it computes no SHA-256 of what it copies: copies are read",
            };
            tracing::warn!(bucket = %self.bucket, what, "the object store does less than S3");
        }
    }

    /// Whether the store keeps other bytes out of a locked door; tried once, with an object of five bytes.
    pub(super) async fn refuses_other_bytes(&self, id: UploadId) -> Result<bool, ObjectError> {
        let Some(seen) = &self.seen else { return Ok(true) };
        seen.refuses_other_bytes.get_or_try_init(|| self.try_the_lock(id)).await.copied()
    }

    async fn try_the_lock(&self, id: UploadId) -> Result<bool, ObjectError> {
        // No URL of ours leads there, and the bucket's rules for staging clean it away if we cannot.
        let key = format!("{}-probe", ObjectKey::Staging(id));
        let refuses = !self.takes(&key, b"other bytes").await? && self.takes(&key, PROBE).await?;
        let removed = self.client.delete_object().bucket(&self.bucket).key(&key).send().await;
        if let Err(error) = removed {
            tracing::warn!(bucket = %self.bucket, key, error = %unavailable(error), "a probe is left in the bucket");
        }
        if !refuses {
            let what = "it does not compare bytes with a signed digest: uploads have no checksum-locked door";
            tracing::warn!(bucket = %self.bucket, what, "the object store does less than S3");
        }
        Ok(refuses)
    }

    /// Whether it takes the probe under the digest of these bytes.
    async fn takes(&self, key: &str, of: &[u8]) -> Result<bool, ObjectError> {
        let request = self.client.put_object().bucket(&self.bucket).key(key);
        let request = request.checksum_sha256(STANDARD.encode(Sha256::digest(of))).if_none_match("*");
        match request.body(ByteStream::from_static(PROBE)).send().await {
            Ok(_) => Ok(true),
            Err(error) if not_known(&error) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Says in the log what an operator should know of the bucket at the start: that it cannot be reached, or keeps no
    /// versions where those are needed.
    pub async fn look_at_bucket(&self) {
        let looked = self.client.get_bucket_versioning().bucket(&self.bucket).send().await;
        match looked {
            Err(error) => {
                let cause = DisplayErrorContext(&error);
                tracing::warn!(bucket = %self.bucket, cause = %cause, "the bucket does not answer");
            }
            Ok(found) if self.seen.is_some() && found.status != Some(BucketVersioningStatus::Enabled) => {
                tracing::warn!(
                    bucket = %self.bucket,
                    "the bucket keeps no versions: turn them on, so that exactly what was proved is served"
                );
            }
            Ok(_) => {}
        }
    }
}
