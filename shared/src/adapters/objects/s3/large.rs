//! Uploads in parts, as multipart uploads of S3. The role needs `s3:PutObject` on the whole and
//! `s3:AbortMultipartUpload` and `s3:ListMultipartUploadParts` besides.
//!
//! S3 takes parts with a SHA-256 only in an upload that was begun for them, and then no others. Of the whole it has but
//! a digest of digests, so [`stat`](crate::ports::objects::Objects::stat) gives none.

use std::{collections::BTreeMap, io};

use async_trait::async_trait;
use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart, Part};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::{StreamExt as _, stream};

use super::{
    OCTETS, S3Objects,
    covered::Promises,
    doors::{CHECKSUM, checked},
    patient,
    signing::{Signing, SigningError},
    status, unavailable,
};
use crate::{
    domain::{ids::UploadId, upload::ObjectKey},
    ports::{
        large_objects::{Bytestream, Held, Large, LargeObjects, PartDoor, PartDoors, PartsGrant, WantedPart},
        objects::{ObjectError, Objects as _},
    },
};

impl S3Objects {
    async fn part_doors(&self, grant: &PartsGrant) -> Result<PartDoors, SigningError> {
        let signing = self.signing(grant.now, grant.expires_in).await?;
        let mut parts = Vec::with_capacity(grant.parts.len());
        for part in &grant.parts {
            parts.push(self.part_door(&signing, &grant.large, part).await?);
        }
        Ok(PartDoors { parts, expires_at: signing.validity.ends_at() })
    }

    /// A PUT of one part of its exact length, which S3 compares with the digest where there is one.
    async fn part_door(
        &self,
        signing: &Signing,
        large: &Large,
        part: &WantedPart,
    ) -> Result<PartDoor, SigningError> {
        let key = ObjectKey::Whole(large.upload_id);
        let checksum = part.sha256.map(|sha256| STANDARD.encode(sha256.as_bytes()));
        let request = self.client.upload_part().bucket(&self.bucket).key(key.to_string());
        let request = request
            .upload_id(&large.begun.store_id)
            .part_number(i32::try_from(part.part_number)?)
            .content_length(i64::try_from(part.size_bytes)?)
            // Without `checksum_algorithm`, which would have the SDK hash the empty body it signs.
            .set_checksum_sha256(checksum.clone())
            .customize()
            .config_override(signing.config())
            .presigned(signing.time()?)
            .await?;
        let mut promises = Promises::of("PUT", key, signing.validity.seconds());
        promises
            .header("content-length", part.size_bytes.to_string())
            .query("uploadId", &large.begun.store_id)
            .query("partNumber", &part.part_number.to_string());
        if let Some(checksum) = &checksum {
            promises.header(CHECKSUM, checksum.clone());
        }
        let headers = checksum.map(|checksum| (CHECKSUM.to_owned(), checksum)).into_iter().collect();
        Ok(PartDoor { part_number: part.part_number, url: checked(&request, &promises)?, headers })
    }

    /// The parts that S3 has, in their order; none where it knows the upload no more.
    async fn parts(&self, large: &Large) -> Result<Vec<Part>, ObjectError> {
        let key = ObjectKey::Whole(large.upload_id).to_string();
        let request = self.client.list_parts().bucket(&self.bucket).key(key);
        let mut pages = request.upload_id(&large.begun.store_id).into_paginator().send();
        let mut parts = Vec::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => parts.extend(page.parts.unwrap_or_default()),
                Err(error) if status(&error) == Some(404) => return Ok(Vec::new()),
                Err(error) => return Err(unavailable(error)),
            }
        }
        Ok(parts)
    }

    /// The whole, if it is there.
    async fn whole(&self, large: &Large) -> Result<Option<Held>, ObjectError> {
        match self.stat(&ObjectKey::Whole(large.upload_id)).await {
            Ok(stat) => Ok(Some(Held::Whole(stat))),
            Err(ObjectError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is there, and the parts where it is all of them.
    async fn listed(&self, large: &Large) -> Result<(Held, Vec<Part>), ObjectError> {
        if let Some(whole) = self.whole(large).await? {
            return Ok((whole, Vec::new()));
        }
        let parts = self.parts(large).await?;
        let found: BTreeMap<u32, u64> = parts.iter().filter_map(numbered).collect();
        let held = Held::of_parts(large, &found);
        if held == Held::AllParts {
            return Ok((held, parts));
        }
        // Somebody else may have assembled them between the two looks.
        Ok((self.whole(large).await?.unwrap_or(held), parts))
    }
}

/// Number and size of a part.
fn numbered(part: &Part) -> Option<(u32, u64)> {
    Some((u32::try_from(part.part_number()?).ok()?, u64::try_from(part.size()?).ok()?))
}

/// The parts as they were listed, each with its tag and digest.
fn completed(parts: Vec<Part>, checksums: bool) -> CompletedMultipartUpload {
    let part = |part: Part| {
        let completed = CompletedPart::builder().set_part_number(part.part_number).set_e_tag(part.e_tag);
        completed.set_checksum_sha256(part.checksum_sha256.filter(|_| checksums)).build()
    };
    CompletedMultipartUpload::builder().set_parts(Some(parts.into_iter().map(part).collect())).build()
}

#[async_trait]
impl LargeObjects for S3Objects {
    async fn begin(&self, upload_id: UploadId, checksums: bool) -> Result<String, ObjectError> {
        let key = ObjectKey::Whole(upload_id).to_string();
        let request =
            self.client.create_multipart_upload().bucket(&self.bucket).key(key).content_type(OCTETS);
        let request = if checksums {
            request.checksum_algorithm(ChecksumAlgorithm::Sha256).checksum_type(ChecksumType::Composite)
        } else {
            request
        };
        let began = request.send().await.map_err(unavailable)?;
        began.upload_id.ok_or_else(|| unavailable("the object store gave a multipart upload no id"))
    }

    async fn presign_parts(&self, grant: &PartsGrant) -> Result<PartDoors, ObjectError> {
        self.part_doors(grant).await.map_err(unavailable)
    }

    async fn held(&self, large: &Large) -> Result<Held, ObjectError> {
        Ok(self.listed(large).await?.0)
    }

    async fn assemble(&self, large: &Large) -> Result<Held, ObjectError> {
        let (held, parts) = self.listed(large).await?;
        if held != Held::AllParts {
            return Ok(held);
        }
        let key = ObjectKey::Whole(large.upload_id);
        let request = self.client.complete_multipart_upload().bucket(&self.bucket).key(key.to_string());
        let done = request
            .upload_id(&large.begun.store_id)
            .if_none_match("*")
            .multipart_upload(completed(parts, large.begun.checksums))
            .customize()
            .config_override(patient(self.copy_timeout))
            .send()
            .await;
        // Whether or not it was we who did it: what is there counts.
        match (self.stat(&key).await, done) {
            (Ok(stat), _) => Ok(Held::Whole(stat)),
            (Err(ObjectError::NotFound(_)), Err(error)) => Err(unavailable(error)),
            (Err(error), _) => Err(error),
        }
    }

    async fn abort(&self, upload_id: UploadId, store_id: &str) -> Result<(), ObjectError> {
        self.abort_of(ObjectKey::Whole(upload_id), store_id).await
    }

    async fn read(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        from: u64,
    ) -> Result<Bytestream, ObjectError> {
        let request = self.client.get_object().bucket(&self.bucket).key(key.to_string());
        let request = request.set_version_id(version.map(str::to_owned)).range(format!("bytes={from}-"));
        let found = request.send().await.map_err(|error| match status(&error) {
            Some(404) => ObjectError::NotFound(*key),
            _ => unavailable(error),
        })?;
        let pieces = stream::unfold(found.body, |mut body| async move {
            let piece = body.next().await?;
            Some((piece.map_err(io::Error::other), body))
        });
        Ok(pieces.boxed())
    }
}
