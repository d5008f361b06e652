//! An artifact: bytes of a fixed size and SHA-256, where they live, and how far they are trusted.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    digest::Sha256,
    ids::{ArtifactId, ReleaseId, UploadId},
    platform::{WordError, word_type},
};

word_type!(
    /// Who keeps the bytes.
    SourceType { External = "EXTERNAL", Managed = "MANAGED" }
);
word_type!(
    /// How far an artifact is trusted. A decision names only `AVAILABLE` ones; `REVOKED` is final.
    ArtifactState {
        Verifying = "VERIFYING", Available = "AVAILABLE", Quarantined = "QUARANTINED",
        Rejected = "REJECTED", Revoked = "REVOKED",
    }
);
word_type!(
    /// How it is known that the bytes are the declared ones.
    Verification {
        StoreChecksum = "STORE_CHECKSUM", Fetched = "FETCHED", Repository = "REPOSITORY", Declared = "DECLARED",
    }
);
word_type!(
    /// Who may download.
    Access { Public = "public", Token = "token", ClientAuthenticates = "client_authenticates" }
);

/// Where the bytes of an artifact are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Location {
    /// In managed storage, under a key that no upload URL can write.
    Managed {
        /// The upload that brought them.
        upload_id: UploadId,
        /// Where they are kept.
        key: super::upload::ObjectKey,
        /// The store's version of that key, where it has versions.
        version: Option<String>,
    },
    /// At a URL of somebody else's.
    External {
        /// The normalised URL.
        url: String,
        /// When the URL itself ends (Unix seconds), where it says so.
        expires_at: Option<i64>,
        /// Whether clients cannot read it there, and are sent to a link that is signed for each of them.
        #[serde(default)]
        private: bool,
    },
}

/// A copy in managed storage of an external artifact, kept for when the original is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Escrow {
    /// Where it is, or is to be.
    pub key: super::upload::ObjectKey,
    /// The store's version of that key, where it has versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// When it was made, Unix milliseconds; `None` while there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_at: Option<i64>,
    /// Whether clients are given the copy even while the original is whole, since they could not read that one.
    #[serde(default)]
    pub always: bool,
    /// What is wrong with the original; while this is so, clients are given the copy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub original: Option<String>,
}

/// An artifact as it is stored. Identity (source, SHA-256, size, URL) never changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Its id.
    pub artifact_id: ArtifactId,
    /// How far it is trusted.
    pub state: ArtifactState,
    /// How it was verified; `None` until it was.
    pub verification: Option<Verification>,
    /// The declared and, once AVAILABLE, proved digest.
    pub sha256: Sha256,
    /// The declared and, once AVAILABLE, proved size in bytes.
    pub size_bytes: u64,
    /// Where the bytes are.
    pub location: Location,
    /// The name a download gets.
    pub file_name: Option<String>,
    /// The media type a download gets.
    pub content_type: Option<String>,
    /// Who may download.
    pub access: Access,
    /// The registrant's own notes.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Which token registered it.
    pub registered_by: super::ids::TokenId,
    /// The product that the registering token was limited to.
    #[serde(default)]
    pub registered_for: Option<super::names::ProductId>,
    /// When it was registered, Unix milliseconds.
    pub created_at: i64,
    /// When its bytes were last proved, Unix milliseconds.
    pub verified_at: Option<i64>,
    /// Why it is in this state, where somebody or something said so.
    pub reason: Option<String>,
    /// When it was revoked, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<i64>,
    /// When somebody last asked for it although it was there: uploaded the same bytes, or restored it; Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted_at: Option<i64>,
    /// When its bytes were removed from managed storage, Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<i64>,
    /// The copy that is kept of external bytes, where one is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escrow: Option<Escrow>,
    /// What the registrant should know.
    #[serde(default)]
    pub warnings: Vec<Warning>,
    /// Tries so far to verify external bytes, and when the next is due (Unix milliseconds).
    #[serde(default)]
    pub attempts: Attempts,
    /// What the host said of the external bytes when they were last proved: kept for cheap checks, and never shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub validators: Option<Box<Validators>>,
}

/// What a host or a repository says of some bytes without sending them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    /// The `ETag`, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The `Last-Modified`, as sent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// How many bytes there are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size_bytes: Option<u64>,
    /// The repository's own SHA-256 of the bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<Sha256>,
    /// The repository's version of the object: a generation of Google Cloud Storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
}

impl Validators {
    /// Whether these are of other bytes than the others, as far as both say something: never a proof, only a reason to
    /// read the bytes.
    pub fn differ(&self, other: &Self) -> bool {
        fn differ<T: PartialEq>(one: Option<&T>, other: Option<&T>) -> bool {
            one.zip(other).is_some_and(|(one, other)| one != other)
        }
        if self.version.is_some() && self.version == other.version {
            return false;
        }
        if self.etag.is_some() && self.etag == other.etag {
            return differ(self.size_bytes.as_ref(), other.size_bytes.as_ref());
        }
        differ(self.version.as_ref(), other.version.as_ref())
            || differ(self.etag.as_ref(), other.etag.as_ref())
            || differ(self.last_modified.as_ref(), other.last_modified.as_ref())
            || differ(self.size_bytes.as_ref(), other.size_bytes.as_ref())
    }
}

word_type!(
    /// What a registrant is warned of.
    WarningCode { UrlExpires = "URL_EXPIRES" }
);

/// Something that the registrant should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// The stable code.
    pub code: WarningCode,
    /// The sentence for people.
    pub message: String,
}

/// The tries to verify external bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempts {
    /// How many were made since verification began.
    pub made: u32,
    /// When verification began, Unix milliseconds.
    pub since: i64,
    /// When the next is due, Unix milliseconds.
    pub next_at: i64,
}

impl Artifact {
    /// Who keeps the bytes.
    pub fn source_type(&self) -> SourceType {
        match self.location {
            Location::Managed { .. } => SourceType::Managed,
            Location::External { .. } => SourceType::External,
        }
    }

    /// The copy that is there.
    pub fn copy(&self) -> Option<&Escrow> {
        self.escrow.as_ref().filter(|escrow| escrow.kept_at.is_some() && self.removed_at.is_none())
    }

    /// The copy, where clients are given it.
    pub fn served_copy(&self) -> Option<&Escrow> {
        self.copy().filter(|copy| copy.always || copy.original.is_some())
    }

    /// The external URL, if it has one.
    pub fn external_url(&self) -> Option<&str> {
        match &self.location {
            Location::Managed { .. } => None,
            Location::External { url, .. } => Some(url),
        }
    }
}

/// A release that names an artifact: kept beside the artifact, so that each can find the other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Use {
    /// The release.
    pub release_id: ReleaseId,
    /// The product of the release.
    pub product_id: super::names::ProductId,
}
