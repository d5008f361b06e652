//! A release: artifacts tied to product, version, channel and platform. Immutable but for status and rollout.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{
    digest::Sha256,
    ids::{ArtifactId, ReleaseId, TokenId},
    names::{Channel, ProductId},
    platform::{Arch, InstallerType, OsVersion, Platform, WordError, word_type},
    rollout::Rollout,
    version::Version,
};

word_type!(
    /// How far a release has come.
    ReleaseStatus {
        PendingArtifacts = "pending_artifacts", Published = "published", Rejected = "rejected", Revoked = "revoked",
    }
);

/// One artifact of a release and the clients it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseArtifact {
    /// The artifact.
    pub artifact_id: ArtifactId,
    /// For this operating system.
    pub platform: Platform,
    /// For this processor.
    pub arch: Arch,
    /// In this format.
    pub installer_type: InstallerType,
    /// Whether installing needs an administrator.
    #[serde(default)]
    pub requires_admin: bool,
    /// For this system version or a later one.
    #[serde(default)]
    pub min_os_version: Option<OsVersion>,
}

/// That a release was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// When, Unix milliseconds.
    pub at: i64,
    /// With which token.
    pub by: TokenId,
    /// Why.
    pub reason: String,
    /// Whether clients on it are led back to an older release.
    pub allow_downgrade: bool,
}

/// A release as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// Its id.
    pub release_id: ReleaseId,
    /// Of this product.
    pub product_id: ProductId,
    /// This version of it.
    pub version: Version,
    /// In this channel.
    pub channel: Channel,
    /// How far it has come.
    pub status: ReleaseStatus,
    /// What it consists of, in the order given.
    pub artifacts: Vec<ReleaseArtifact>,
    /// What people should know, plain text.
    #[serde(default)]
    pub release_notes: Option<String>,
    /// Who may have it.
    pub rollout: Rollout,
    /// Only clients on this version or a later one go to it directly.
    #[serde(default)]
    pub min_from_version: Option<Version>,
    /// Clients on it never go below this version.
    #[serde(default)]
    pub floor: Option<Version>,
    /// Passed on to clients.
    #[serde(default)]
    pub critical: bool,
    /// When it was made, Unix milliseconds.
    pub created_at: i64,
    /// With which token.
    pub created_by: TokenId,
    /// When it was published, Unix milliseconds.
    #[serde(default)]
    pub published_at: Option<i64>,
    /// Why it was rejected.
    #[serde(default)]
    pub rejected_reason: Option<String>,
    /// That it was revoked.
    #[serde(default)]
    pub revocation: Option<Revocation>,
    /// The channel that it was promoted from.
    #[serde(default)]
    pub promoted_from: Option<Channel>,
    /// Which page of the product's catalogue holds it, once published.
    #[serde(default)]
    pub page: Option<u32>,
}

/// What one version of a product is made of, for ever: the digest over its set of bytes, and the release in each channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VersionUse {
    /// The digest of the set of (platform, arch, installer type, SHA-256).
    pub fingerprint: Sha256,
    /// The release that has this version, by channel.
    pub channels: std::collections::BTreeMap<Channel, ReleaseId>,
}
