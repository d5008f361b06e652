//! Objects that we write ourselves: in parts, one of which is in memory.

use std::{fmt, io};

use async_trait::async_trait;
use aws_sdk_s3::{
    primitives::ByteStream,
    types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart},
};
use bytes::{Bytes, BytesMut};

use super::{OCTETS, S3Objects, patient, status, unavailable, unhurried};
use crate::{
    domain::upload::ObjectKey,
    ports::objects::{Draft, ObjectError, ObjectStat, Objects as _},
};

/// The size of a part: what S3 takes at least is 5 MiB.
const PART_BYTES: u64 = 8 << 20;
/// How many parts S3 takes.
const MOST_PARTS: u64 = 10_000;

/// An object that is being written.
pub(super) struct Keeping {
    store: S3Objects,
    key: ObjectKey,
    /// What S3 calls the upload.
    id: String,
    part_bytes: usize,
    gathered: BytesMut,
    parts: Vec<CompletedPart>,
}

impl Keeping {
    pub(super) async fn begin(
        store: S3Objects,
        key: ObjectKey,
        size_bytes: u64,
    ) -> Result<Self, ObjectError> {
        let request = store.client.create_multipart_upload().bucket(&store.bucket).key(key.to_string());
        // The parts come with the checksum that the upload was begun for, and no other.
        let request = request.content_type(OCTETS).checksum_algorithm(ChecksumAlgorithm::Crc32);
        let began = request.send().await.map_err(unavailable)?;
        let id =
            began.upload_id.ok_or_else(|| unavailable("the object store gave a multipart upload no id"))?;
        let part_bytes =
            usize::try_from(PART_BYTES.max(size_bytes.div_ceil(MOST_PARTS))).map_err(unavailable)?;
        Ok(Self { store, key, id, part_bytes, gathered: BytesMut::new(), parts: Vec::new() })
    }

    async fn send(&mut self, part: Bytes) -> io::Result<()> {
        let number = i32::try_from(self.parts.len().saturating_add(1)).map_err(io::Error::other)?;
        let request = self.store.client.upload_part().bucket(&self.store.bucket).key(self.key.to_string());
        let request = request.upload_id(&self.id).part_number(number).body(ByteStream::from(part));
        let request = request.checksum_algorithm(ChecksumAlgorithm::Crc32).customize();
        let sent = request.config_override(unhurried()).send().await.map_err(io::Error::other)?;
        let part = CompletedPart::builder().part_number(number).set_e_tag(sent.e_tag);
        self.parts.push(part.set_checksum_crc32(sent.checksum_crc32).build());
        Ok(())
    }

    async fn give_up(&self) {
        let request = self.store.client.abort_multipart_upload().bucket(&self.store.bucket);
        if let Err(error) = request.key(self.key.to_string()).upload_id(&self.id).send().await {
            tracing::warn!(key = %self.key, error = %error, "the parts of a copy could not be removed");
        }
    }
}

impl S3Objects {
    /// Ends what was begun in parts under a key; ending nothing is no error.
    pub(super) async fn abort_of(&self, key: ObjectKey, store_id: &str) -> Result<(), ObjectError> {
        let request = self.client.abort_multipart_upload().bucket(&self.bucket).key(key.to_string());
        match request.upload_id(store_id).send().await {
            Err(error) if status(&error) != Some(404) => Err(unavailable(error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

impl fmt::Debug for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeping").field("key", &self.key).finish_non_exhaustive()
    }
}

#[async_trait]
impl Draft for Keeping {
    async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        self.gathered.extend_from_slice(&piece);
        while self.gathered.len() >= self.part_bytes {
            let part = self.gathered.split_to(self.part_bytes).freeze();
            self.send(part).await?;
        }
        Ok(())
    }

    async fn publish(mut self: Box<Self>, _: i64) -> Result<ObjectStat, ObjectError> {
        let last = self.gathered.split().freeze();
        if (!last.is_empty() || self.parts.is_empty())
            && let Err(error) = self.send(last).await
        {
            self.give_up().await;
            return Err(unavailable(error));
        }
        let parts =
            CompletedMultipartUpload::builder().set_parts(Some(std::mem::take(&mut self.parts))).build();
        let request = self.store.client.complete_multipart_upload().bucket(&self.store.bucket);
        let done = request
            .key(self.key.to_string())
            .upload_id(&self.id)
            .if_none_match("*")
            .multipart_upload(parts)
            .customize()
            .config_override(patient(self.store.copy_timeout))
            .send()
            .await;
        // Whether or not it was we who did it: what is there is the same.
        match (self.store.stat(&self.key).await, done) {
            (Ok(stat), Ok(_)) => Ok(stat),
            (Ok(stat), Err(_)) => {
                self.give_up().await;
                Ok(stat)
            }
            (Err(ObjectError::NotFound(_)), Err(error)) => {
                self.give_up().await;
                Err(unavailable(error))
            }
            (Err(error), _) => Err(error),
        }
    }

    async fn discard(self: Box<Self>) {
        self.give_up().await;
    }
}
