//! What a product has to offer: its releases, kept compactly, and prepared for fast answers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    artifact::Access,
    digest::Sha256,
    ids::{ArtifactId, ReleaseId},
    names::Channel,
    platform::{Arch, InstallerType, OsVersion, Platform},
    rollout::Rollout,
    version::Version,
};

pub mod index;

pub use index::ChannelReleases;

/// Whether a release of the catalogue may still be offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatalogueStatus {
    /// It may be offered.
    Published,
    /// It was revoked, and is here so that its clients can be found.
    Revoked,
}

/// What a decision needs to know of a release. Releases that were never published are not in the catalogue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueRelease {
    /// Its id.
    pub release_id: ReleaseId,
    /// Its version.
    pub version: Version,
    /// Its channel.
    pub channel: Channel,
    /// Whether it may be offered.
    pub status: CatalogueStatus,
    /// Of a revoked release: whether its clients may go back to an older one.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_downgrade: bool,
    /// Which clients are offered it.
    #[serde(default, skip_serializing_if = "Rollout::is_default")]
    pub rollout: Rollout,
    /// The lowest version that can be updated to it in one step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_from_version: Option<Version>,
    /// No version below this one may ever be installed over it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Version>,
    /// Whether it is critical.
    #[serde(default, skip_serializing_if = "is_false")]
    pub critical: bool,
    /// Whether it has release notes.
    #[serde(default, skip_serializing_if = "is_false")]
    pub has_notes: bool,
    /// What there is to install, in the release's own order.
    pub artifacts: Vec<CatalogueArtifact>,
}

/// What a decision needs to know of an artifact of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogueArtifact {
    /// Its id.
    pub artifact_id: ArtifactId,
    /// The operating system that it is for.
    pub platform: Platform,
    /// The processor that it is for.
    pub arch: Arch,
    /// How it is packed.
    pub installer_type: InstallerType,
    /// Whether installing needs administrator rights, where the release says.
    #[serde(default, skip_serializing_if = "is_false")]
    pub requires_admin: bool,
    /// The lowest operating system version that it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_os_version: Option<OsVersion>,
    /// The digest of its bytes.
    pub sha256: Sha256,
    /// The size of its bytes.
    pub size_bytes: u64,
    /// Where the bytes are; `None` means behind our own download route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The name a download gets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<String>,
    /// Who may download.
    #[serde(default = "public", skip_serializing_if = "is_public")]
    pub access: Access,
    /// Whether the bytes are taken on the registrant's word.
    #[serde(default, skip_serializing_if = "is_false")]
    pub declared: bool,
    /// When `url` itself ends (Unix seconds); from then on the artifact is not available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url_expires_at: Option<i64>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}

fn public() -> Access {
    Access::Public
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_public(access: &Access) -> bool {
    *access == Access::Public
}

/// The releases of a product, by channel and sorted: everything is parsed and ordered once, then only searched.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    channels: BTreeMap<Channel, ChannelReleases>,
}

impl Catalogue {
    /// Sorts the releases; any order will do. Two of one channel whose versions differ in build metadata alone stay
    /// in the order in which they were made.
    pub fn prepare(releases: Vec<CatalogueRelease>) -> Self {
        let mut channels = BTreeMap::<Channel, Vec<CatalogueRelease>>::new();
        for release in releases {
            channels.entry(release.channel.clone()).or_default().push(release);
        }
        let prepare = |(channel, releases)| (channel, ChannelReleases::prepare(releases));
        Self { channels: channels.into_iter().map(prepare).collect() }
    }

    /// The releases of a channel; `None` where it never had one.
    pub fn channel(&self, channel: &Channel) -> Option<&ChannelReleases> {
        self.channels.get(channel)
    }

    /// Every channel that has or had a release, by name.
    pub fn channels(&self) -> impl Iterator<Item = (&Channel, &ChannelReleases)> {
        self.channels.iter()
    }

    /// Whether some channel has or had a release of exactly this version, build metadata included: a search in each, which
    /// looks at few releases however many there are.
    pub fn has_version(&self, version: &Version) -> bool {
        self.channels.values().any(|channel| channel.has_version(version))
    }

    /// Every release, channel by channel, each from the oldest version to the newest, the published ones first.
    pub fn releases(&self) -> impl Iterator<Item = &CatalogueRelease> {
        self.channels.values().flat_map(|channel| channel.published().iter().chain(channel.revoked()))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_release_is_stored_without_what_is_as_usual() {
        let value = json!({
            "release_id": "rel_0jjz3bs4x9n49hrzxaqmdw9dd2", "version": "1.2.0", "channel": "stable", "status": "published",
            "artifacts": [{
                "artifact_id": "art_005x6qy6wp8s3bftexhds63z85", "platform": "windows", "arch": "x86_64", "installer_type": "msi",
                "sha256": "0".repeat(64), "size_bytes": 1,
            }],
        });
        let release: CatalogueRelease = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(release.rollout, Rollout::default());
        assert_eq!(serde_json::to_value(&release).unwrap(), value);
    }

    #[test]
    fn a_version_is_there_in_any_channel_published_or_revoked_and_with_its_own_build_metadata_alone() {
        let release = |version: &str, channel: &str, status: &str| {
            let value = json!({ "release_id": "rel_0jjz3bs4x9n49hrzxaqmdw9dd2", "version": version, "channel": channel,
                "status": status, "artifacts": [] });
            serde_json::from_value::<CatalogueRelease>(value).unwrap()
        };
        let mut releases: Vec<_> =
            (0..100).map(|minor| release(&format!("1.{minor}.0"), "stable", "published")).collect();
        releases.push(release("2.0.0-rc.1+a", "beta", "published"));
        releases.push(release("2.0.0-rc.1+b", "beta", "revoked"));
        let catalogue = Catalogue::prepare(releases);
        for there in ["1.0.0", "1.57.0", "1.99.0", "2.0.0-rc.1+a", "2.0.0-rc.1+b"] {
            assert!(catalogue.has_version(&there.parse().unwrap()), "{there}");
        }
        for not in ["1.0.0+a", "1.57.0-rc.1", "1.100.0", "0.9.0", "2.0.0", "2.0.0-rc.1", "2.0.0-rc.1+c"] {
            assert!(!catalogue.has_version(&not.parse().unwrap()), "{not}");
        }
        assert!(!Catalogue::default().has_version(&"1.0.0".parse().unwrap()));
    }

    #[test]
    fn everything_that_is_set_reads_back() {
        let value = json!({
            "release_id": "rel_0jjz3bs4x9n49hrzxaqmdw9dd2", "version": "1.2.0+b", "channel": "beta", "status": "revoked",
            "allow_downgrade": true, "rollout": {"percentage": 99.99, "paused": true}, "min_from_version": "1.0.0",
            "floor": "1.1.0", "critical": true, "has_notes": true,
            "artifacts": [{
                "artifact_id": "art_005x6qy6wp8s3bftexhds63z85", "platform": "windows", "arch": "x86_64", "installer_type": "msi",
                "requires_admin": true, "min_os_version": "10.0", "sha256": "0".repeat(64), "size_bytes": 1, "url": "https://x/",
                "file_name": "a.msi", "access": "token", "declared": true, "url_expires_at": 5,
            }],
        });
        let release: CatalogueRelease = serde_json::from_value(value.clone()).unwrap();
        assert_eq!(serde_json::to_value(&release).unwrap(), value);
    }
}
