//! What is sent to the routes of releases.

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::{
    app::{releases::NewRelease, revoke::Order},
    domain::{
        names::Channel,
        platform::{Arch, Platform},
        release::ReleaseArtifact,
        rollout::{self, Percentage},
    },
    http::{error::ApiError, text},
};

const MAX_ARTIFACTS: usize = 40;
const MAX_NOTES: usize = 32 * 1024;
const MAX_OS_VERSION: usize = 64;

/// `POST /v1/releases`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Create {
    product_id: String,
    version: String,
    channel: String,
    artifacts: Vec<Part>,
    release_notes: Option<String>,
    rollout: Option<Share>,
    min_from_version: Option<String>,
    floor: Option<String>,
    critical: Option<bool>,
    require_platforms: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Part {
    artifact_id: String,
    platform: String,
    arch: String,
    installer_type: String,
    requires_admin: Option<bool>,
    min_os_version: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Share {
    // As it was written: a number that has passed through floating point is no longer exact.
    percentage: Box<RawValue>,
}

fn percentage(member: &str, written: &RawValue) -> Result<Percentage, ApiError> {
    let text = written.get();
    if !text.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(ApiError::bad_request(format!("`{member}` is to be a number")));
    }
    Percentage::parse(text).map_err(|error| ApiError::invalid(member, error))
}

fn share(share: Option<Share>) -> Result<rollout::Rollout, ApiError> {
    let percentage = share.map(|share| percentage("rollout.percentage", &share.percentage)).transpose()?;
    Ok(rollout::Rollout { percentage: percentage.unwrap_or(Percentage::EVERYBODY), paused: false })
}

impl Part {
    fn read(&self, index: usize) -> Result<ReleaseArtifact, ApiError> {
        let name = |member: &str| format!("artifacts[{index}].{member}");
        if let Some(version) = &self.min_os_version {
            text::check_length(&name("min_os_version"), version, 1..=MAX_OS_VERSION)?;
        }
        Ok(ReleaseArtifact {
            artifact_id: text::read(&name("artifact_id"), &self.artifact_id)?,
            platform: text::read(&name("platform"), &self.platform)?,
            arch: text::read(&name("arch"), &self.arch)?,
            installer_type: text::read(&name("installer_type"), &self.installer_type)?,
            requires_admin: self.requires_admin.unwrap_or(false),
            min_os_version: text::read_option(&name("min_os_version"), self.min_os_version.as_deref())?,
        })
    }
}

fn platform(text: &str) -> Result<(Platform, Arch), ApiError> {
    let refusal = || ApiError::invalid("require_platforms", "expected entries such as `windows/x86_64`");
    let (platform, arch) = text.split_once('/').ok_or_else(refusal)?;
    Ok((platform.parse().map_err(|_| refusal())?, arch.parse().map_err(|_| refusal())?))
}

impl Create {
    pub(super) fn read(self) -> Result<NewRelease, ApiError> {
        if !(1..=MAX_ARTIFACTS).contains(&self.artifacts.len()) {
            return Err(ApiError::invalid("artifacts", format!("1 to {MAX_ARTIFACTS} entries are allowed")));
        }
        if let Some(notes) = &self.release_notes {
            text::check_length("release_notes", notes, 0..=MAX_NOTES)?;
        }
        let required = self.require_platforms.unwrap_or_default();
        if required.len() > Platform::ALL.len() * Arch::ALL.len() {
            return Err(ApiError::invalid("require_platforms", "there are only nine platforms"));
        }
        Ok(NewRelease {
            product_id: text::read("product_id", &self.product_id)?,
            version: text::read("version", &self.version)?,
            channel: text::read("channel", &self.channel)?,
            artifacts: self
                .artifacts
                .iter()
                .enumerate()
                .map(|(i, part)| part.read(i))
                .collect::<Result<_, _>>()?,
            release_notes: self.release_notes,
            rollout: share(self.rollout)?,
            min_from_version: text::read_option("min_from_version", self.min_from_version.as_deref())?,
            floor: text::read_option("floor", self.floor.as_deref())?,
            critical: self.critical.unwrap_or(false),
            require_platforms: required.iter().map(|text| platform(text)).collect::<Result<_, _>>()?,
            promoted_from: None,
        })
    }
}

/// `POST /v1/releases/{id}/promote`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Promote {
    channel: String,
    rollout: Option<Share>,
}

impl Promote {
    pub(super) fn read(self) -> Result<(Channel, rollout::Rollout), ApiError> {
        Ok((text::read("channel", &self.channel)?, share(self.rollout)?))
    }
}

/// `PATCH /v1/releases/{id}/rollout`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Rollout {
    percentage: Option<Box<RawValue>>,
    paused: Option<bool>,
}

impl Rollout {
    pub(super) fn read(self) -> Result<(Option<Percentage>, Option<bool>), ApiError> {
        let given = self.percentage.filter(|written| written.get() != "null");
        if given.is_none() && self.paused.is_none() {
            return Err(ApiError::bad_request("send `percentage`, `paused`, or both"));
        }
        Ok((given.map(|written| percentage("percentage", &written)).transpose()?, self.paused))
    }
}

/// `POST /v1/releases/{id}/revoke`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Revoke {
    reason: String,
    allow_downgrade: Option<bool>,
    all_channels: Option<bool>,
}

impl Revoke {
    pub(super) fn read(self) -> Result<Order, ApiError> {
        text::check_length("reason", &self.reason, 1..=1024)?;
        Ok(Order {
            reason: self.reason,
            allow_downgrade: self.allow_downgrade.unwrap_or(false),
            all_channels: self.all_channels.unwrap_or(false),
        })
    }
}
