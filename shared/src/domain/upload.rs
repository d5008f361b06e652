//! An upload to managed storage: from initiate, over the PUT, to complete.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{
    artifact::Access,
    digest::Sha256,
    hashing::SavedHash,
    ids::{ArtifactId, DeploymentId, TokenId, UploadId},
    multipart::Multipart,
    names::ProductId,
    platform::{WordError, word_type},
};

word_type!(
    /// How far an upload has come.
    UploadState {
        Initiated = "INITIATED", Completing = "COMPLETING", Completed = "COMPLETED", Failed = "FAILED",
        Expired = "EXPIRED", Aborted = "ABORTED",
    }
);

/// A key of managed storage. Keys are never named by a digest, and nothing is ever served from staging or parts.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ObjectKey {
    /// Where the bare door puts bytes: nothing is served from here.
    Staging(UploadId),
    /// Where the checksum-locked door puts bytes, which the store itself has checked.
    Locked(UploadId),
    /// The proved copy of what came through the bare door.
    Copied(UploadId),
    /// What the parts of an upload were put together to.
    Whole(UploadId),
    /// A copy of an external artifact, whose number it has, and which of its copies: no URL leads here.
    Escrow(UploadId, u32),
    /// One part of an upload, in a store that keeps parts as objects: nothing is served from here.
    Part(UploadId, u32),
    /// What says whose the store is: no URL leads here, and nothing is served from it.
    Deployment(DeploymentId),
}

/// The text is no key of managed storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no key of managed storage has this form")]
pub struct ObjectKeyError;

impl ObjectKey {
    /// Where a copy of an external artifact is kept: the first is number 1. One that was removed never comes back under
    /// its key, so that whoever is still removing it removes no other.
    pub fn escrow(artifact: ArtifactId, number: u32) -> Self {
        Self::Escrow(UploadId::from_parts(artifact.unix_ms(), artifact.to_bits()), number)
    }

    /// Where the copy after this one is kept; of what is no copy, itself.
    #[must_use]
    pub fn next_escrow(self) -> Self {
        match self {
            Self::Escrow(id, number) => Self::Escrow(id, number.saturating_add(1)),
            Self::Staging(_)
            | Self::Locked(_)
            | Self::Copied(_)
            | Self::Whole(_)
            | Self::Part(..)
            | Self::Deployment(_) => self,
        }
    }

    /// The external artifact that it is a copy of, if it is one.
    pub fn escrowed(self) -> Option<ArtifactId> {
        match self {
            Self::Escrow(id, _) => Some(ArtifactId::from_parts(id.unix_ms(), id.to_bits())),
            Self::Staging(_)
            | Self::Locked(_)
            | Self::Copied(_)
            | Self::Whole(_)
            | Self::Part(..)
            | Self::Deployment(_) => None,
        }
    }

    /// The upload that it belongs to; of a copy and of a mark, that has the same number as its artifact or deployment and
    /// is none.
    pub fn upload_id(self) -> UploadId {
        match self {
            Self::Staging(id)
            | Self::Locked(id)
            | Self::Copied(id)
            | Self::Whole(id)
            | Self::Escrow(id, _)
            | Self::Part(id, _) => id,
            Self::Deployment(id) => UploadId::from_parts(id.unix_ms(), id.to_bits()),
        }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Staging(id) => write!(f, "staging/{id}"),
            Self::Locked(id) => write!(f, "objects/{id}/locked"),
            Self::Copied(id) => write!(f, "objects/{id}/copy"),
            Self::Whole(id) => write!(f, "objects/{id}/whole"),
            Self::Escrow(id, number) => write!(f, "objects/{id}/escrow-{number}"),
            Self::Part(id, number) => write!(f, "parts/{id}/{number}"),
            Self::Deployment(id) => write!(f, "deployment/{id}"),
        }
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ObjectKey {
    type Err = ObjectKeyError;

    fn from_str(text: &str) -> Result<Self, ObjectKeyError> {
        let id = |text: &str| text.parse().map_err(|_| ObjectKeyError);
        if let Some(rest) = text.strip_prefix("staging/") {
            return Ok(Self::Staging(id(rest)?));
        }
        if let Some(rest) = text.strip_prefix("deployment/") {
            return rest.parse().map(Self::Deployment).map_err(|_| ObjectKeyError);
        }
        if let Some((rest, number)) = text.strip_prefix("parts/").and_then(|rest| rest.split_once('/')) {
            let part = Self::Part(id(rest)?, number.parse().map_err(|_| ObjectKeyError)?);
            // One spelling alone: no `+1`, no `01`.
            return if part.to_string() == text { Ok(part) } else { Err(ObjectKeyError) };
        }
        match text.strip_prefix("objects/").and_then(|rest| rest.split_once('/')) {
            Some((rest, "locked")) => Ok(Self::Locked(id(rest)?)),
            Some((rest, "copy")) => Ok(Self::Copied(id(rest)?)),
            Some((rest, "whole")) => Ok(Self::Whole(id(rest)?)),
            Some((rest, name)) => {
                let number = name.strip_prefix("escrow-").and_then(|number| number.parse().ok());
                let copy = Self::Escrow(id(rest)?, number.ok_or(ObjectKeyError)?);
                if copy.to_string() == text { Ok(copy) } else { Err(ObjectKeyError) }
            }
            None => Err(ObjectKeyError),
        }
    }
}

impl Serialize for ObjectKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ObjectKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// An upload as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Its id.
    pub upload_id: UploadId,
    /// How far it has come.
    pub state: UploadState,
    /// The declared digest.
    pub sha256: Sha256,
    /// The declared size in bytes.
    pub size_bytes: u64,
    /// The name a download gets.
    pub file_name: Option<String>,
    /// The media type that the bare PUT must send, and that a download gets.
    pub content_type: Option<String>,
    /// Who may download.
    pub access: Access,
    /// The registrant's own notes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Which token initiated it.
    pub initiated_by: TokenId,
    /// The product that the initiating token was limited to.
    #[serde(default)]
    pub initiated_for: Option<ProductId>,
    /// When it was initiated, Unix milliseconds.
    pub created_at: i64,
    /// When it ends unless completed, Unix milliseconds.
    pub expires_at: i64,
    /// The lease of whoever completes it.
    #[serde(default)]
    pub lease: Option<Lease>,
    /// How many leases were taken so far; a worker that slept past its lease fails on it.
    #[serde(default)]
    pub fence: u64,
    /// Whether its completion was left to a task: whoever completes it again is told to wait.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deferred: bool,
    /// How it is cut into parts, where its bytes come in parts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub multipart: Option<Multipart>,
    /// How far the bytes of its parts were hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hashed: Option<Hashed>,
    /// What it became.
    #[serde(default)]
    pub artifact_id: Option<ArtifactId>,
    /// Why it failed.
    #[serde(default)]
    pub failure: Option<Failure>,
}

/// How far the assembled bytes were hashed, and which bytes those are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hashed {
    /// The state of the hash.
    pub saved: SavedHash,
    /// The store's version of the bytes, where it has versions.
    #[serde(default)]
    pub version: Option<String>,
}

/// The right to complete an upload, for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// When it lapses, Unix milliseconds.
    pub until: i64,
}

/// Why an upload failed for good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The stable code, such as `CHECKSUM_MISMATCH`.
    pub code: FailureCode,
    /// The sentence for people.
    pub message: String,
}

word_type!(
    /// The ways in which an upload fails for good.
    FailureCode { ChecksumMismatch = "CHECKSUM_MISMATCH", SizeMismatch = "SIZE_MISMATCH", UploadFailed = "UPLOAD_FAILED" }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_written_and_others_are_refused() {
        let id = UploadId::from_parts(1, 2);
        for key in [
            ObjectKey::Staging(id),
            ObjectKey::Locked(id),
            ObjectKey::Copied(id),
            ObjectKey::Whole(id),
            ObjectKey::Escrow(id, 2),
            ObjectKey::Part(id, 10_000),
            ObjectKey::Deployment(DeploymentId::from_parts(1, 2)),
        ] {
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        let artifact = ArtifactId::from_parts(1_700_000_000_000, u128::MAX);
        assert_eq!(ObjectKey::escrow(artifact, 1).escrowed(), Some(artifact));
        for text in [
            "",
            "staging/",
            "staging/../x",
            "objects/x/copy",
            &format!("objects/{id}/other"),
            &format!("staging/{id}/x"),
            &format!("objects/{id}/escrow"),
            &format!("objects/{id}/escrow-01"),
            &format!("parts/{id}"),
            &format!("parts/{id}/"),
            &format!("parts/{id}/01"),
            &format!("parts/{id}/+1"),
            &format!("parts/{id}/1/2"),
            "deployment/",
            &format!("deployment/{id}"),
        ] {
            assert_eq!(text.parse::<ObjectKey>(), Err(ObjectKeyError), "{text}");
        }
    }
}
