//! What the store says of an upload's bytes, and what that means.

use std::sync::Arc;

use crate::{
    domain::{
        artifact::Verification,
        upload::{Failure, FailureCode, ObjectKey, Upload},
    },
    ports::objects::{ObjectError, ObjectStat, Objects},
};

/// Where the bytes are, what they are, and how that is known.
#[derive(Debug, Clone)]
pub(super) struct Proof {
    pub(super) key: ObjectKey,
    pub(super) stat: ObjectStat,
    pub(super) means: Verification,
}

impl Proof {
    fn by_the_store(key: ObjectKey, stat: ObjectStat) -> Self {
        Self { key, stat, means: Verification::StoreChecksum }
    }

    /// Whether only the bytes themselves can tell: the store has no digest of them, and their number is right.
    pub(super) fn wants_reading(&self, objects: &Arc<dyn Objects>, upload: &Upload) -> bool {
        let unknown = self.stat.sha256.is_none() && self.stat.size_bytes == upload.size_bytes;
        unknown && objects.large().is_some()
    }
}

/// Finds the bytes and has the store prove their digest: the checksum-locked door first.
pub(super) async fn prove(objects: &Arc<dyn Objects>, upload: &Upload) -> Result<Option<Proof>, ObjectError> {
    let locked = ObjectKey::Locked(upload.upload_id);
    match objects.stat(&locked).await {
        Ok(stat) => return Ok(Some(Proof::by_the_store(locked, stat))),
        Err(ObjectError::NotFound(_)) => {}
        Err(other) => return Err(other),
    }
    match objects.promote(upload.upload_id).await {
        Ok(stat) => Ok(Some(Proof::by_the_store(ObjectKey::Copied(upload.upload_id), stat))),
        Err(ObjectError::NotFound(_)) => Ok(None),
        Err(other) => Err(other),
    }
}

pub(super) fn judge(upload: &Upload, stat: &ObjectStat) -> Option<Failure> {
    if stat.size_bytes != upload.size_bytes {
        let message = wrong_size(upload, stat.size_bytes);
        return Some(Failure { code: FailureCode::SizeMismatch, message });
    }
    match stat.sha256 {
        Some(found) if found == upload.sha256 => None,
        Some(found) => {
            let message = format!(
                "the stored bytes have SHA-256 `{found}`, declared was `{}`: check the file and initiate a new upload",
                upload.sha256
            );
            Some(Failure { code: FailureCode::ChecksumMismatch, message })
        }
        None => {
            let message = "the store gave no proof of the digest: initiate a new upload".to_owned();
            Some(Failure { code: FailureCode::UploadFailed, message })
        }
    }
}

/// The sentence about bytes of another number.
pub(super) fn wrong_size(upload: &Upload, stored: u64) -> String {
    let declared = upload.size_bytes;
    format!("{stored} bytes were stored, {declared} were declared: initiate a new upload with the right size")
}

/// What is there already, without a copy being made: bytes of the locked door, or a copy.
pub(super) async fn at_hand(
    objects: &Arc<dyn Objects>,
    upload: &Upload,
) -> Result<Option<Proof>, ObjectError> {
    for key in [ObjectKey::Locked(upload.upload_id), ObjectKey::Copied(upload.upload_id)] {
        if let Some(stat) = found(objects, key).await? {
            return Ok(Some(Proof::by_the_store(key, stat)));
        }
    }
    Ok(None)
}

/// What is stored under a key, if anything.
pub(super) async fn found(
    objects: &Arc<dyn Objects>,
    key: ObjectKey,
) -> Result<Option<ObjectStat>, ObjectError> {
    match objects.stat(&key).await {
        Ok(stat) => Ok(Some(stat)),
        Err(ObjectError::NotFound(_)) => Ok(None),
        Err(other) => Err(other),
    }
}
