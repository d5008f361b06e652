//! Why one release is not for one client.

use std::{cell::OnceCell, fmt};

use super::{CatalogueArtifact, CatalogueRelease, Question, Reason, Version, World};
use crate::domain::{
    ids::ArtifactId,
    platform::OsVersion,
    policy::{Effective, Level, Set},
    range::Range,
    rollout::{Percentage, in_rollout},
};

/// Judges releases for one question.
#[derive(Debug)]
pub(super) struct Judge<'a, 'q> {
    pub(super) world: &'q World<'a>,
    pub(super) question: &'q Question,
    pub(super) policy: Effective<'a>,
    now: i64,
    os_version: OnceCell<Option<OsVersion>>,
}

/// The first thing that keeps a release from a client, in the order in which reasons are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal<'a> {
    Unavailable(ArtifactId),
    NoArtifact,
    Pinned(Set<&'a Range>),
    Blocked(Set<&'a Range>),
    BelowMinimum(Set<&'a Version>),
    BelowFloor(&'a Version),
    Paused,
    NotInRollout(Percentage),
    /// A candidate in every other way.
    StepRequired(&'a Version),
}

impl Refusal<'_> {
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Unavailable(_) => Reason::ArtifactQuarantined,
            Self::NoArtifact => Reason::NoCompatibleArtifact,
            Self::Pinned(_) => Reason::Pinned,
            Self::Blocked(_) => Reason::Blocked,
            Self::BelowMinimum(_) | Self::BelowFloor(_) => Reason::BelowMinimum,
            Self::Paused => Reason::Paused,
            Self::NotInRollout(_) => Reason::NotInRollout,
            Self::StepRequired(_) => Reason::StepRequired,
        }
    }
}

impl<'a, 'q> Judge<'a, 'q> {
    pub(super) fn new(world: &'q World<'a>, question: &'q Question, policy: Effective<'a>, now: i64) -> Self {
        Self { world, question, policy, now, os_version: OnceCell::new() }
    }

    /// Whether the release is newer than what the client has.
    pub(super) fn is_newer(&self, release: &CatalogueRelease) -> bool {
        release.version.cmp_precedence(&self.question.current_version).is_gt()
    }

    /// The artifact for this client, or what keeps the release from it. An older release is measured by `floor`, a
    /// newer one by the version to start from.
    pub(super) fn judge(
        &self,
        release: &'a CatalogueRelease,
        floor: Option<&'a Version>,
    ) -> Result<&'a CatalogueArtifact, Refusal<'a>> {
        if let Some(artifact) = release.artifacts.iter().find(|artifact| !self.is_available(artifact)) {
            return Err(Refusal::Unavailable(artifact.artifact_id));
        }
        let artifact = self.pick(release).ok_or(Refusal::NoArtifact)?;
        self.check_policy(release)?;
        let newer = self.is_newer(release);
        if let Some(floor) = floor.filter(|floor| !newer && release.version.cmp_precedence(floor).is_lt()) {
            return Err(Refusal::BelowFloor(floor));
        }
        if release.rollout.paused {
            return Err(Refusal::Paused);
        }
        let percentage = release.rollout.percentage;
        if !in_rollout(release.release_id, percentage, self.question.client_id.as_deref()) {
            return Err(Refusal::NotInRollout(percentage));
        }
        match &release.min_from_version {
            Some(start) if newer && start.cmp_precedence(&self.question.current_version).is_gt() => {
                Err(Refusal::StepRequired(start))
            }
            Some(_) | None => Ok(artifact),
        }
    }

    fn check_policy(&self, release: &CatalogueRelease) -> Result<(), Refusal<'a>> {
        let version = &release.version;
        if let Some(pin) = self.policy.pinned_range.filter(|pin| !pin.value.contains(version)) {
            return Err(Refusal::Pinned(pin));
        }
        if let Some(block) = self.policy.blocked().find(|block| block.value.contains(version)) {
            return Err(Refusal::Blocked(block));
        }
        match self.policy.min_version.filter(|minimum| version.cmp_precedence(minimum.value).is_lt()) {
            Some(minimum) => Err(Refusal::BelowMinimum(minimum)),
            None => Ok(()),
        }
    }

    fn is_available(&self, artifact: &CatalogueArtifact) -> bool {
        artifact.url_expires_at.is_none_or(|end| end > self.now)
            && !self.world.unavailable.contains(&artifact.artifact_id)
    }

    /// The first that fits, in the release's own order, of the first installer type of the client's that any has.
    fn pick(&self, release: &'a CatalogueRelease) -> Option<&'a CatalogueArtifact> {
        let types = &self.question.installer_types;
        let fitting = || release.artifacts.iter().filter(|artifact| self.fits(artifact));
        if types.is_empty() {
            return fitting().next();
        }
        types.iter().find_map(|wanted| fitting().find(|artifact| artifact.installer_type == *wanted))
    }

    fn fits(&self, artifact: &CatalogueArtifact) -> bool {
        let runs = |minimum: &OsVersion| self.os_version().is_some_and(|own| minimum.compare(own).is_le());
        artifact.platform == self.question.platform
            && artifact.arch == self.question.arch
            && artifact.min_os_version.as_ref().is_none_or(runs)
    }

    fn os_version(&self) -> Option<&OsVersion> {
        let read = || self.question.os_version.as_deref().and_then(|text| text.parse().ok());
        self.os_version.get_or_init(read).as_ref()
    }
}

/// How a level is named in a sentence.
pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::TenantProduct => "the tenant's policy for the product",
        Level::Product => "the product's policy",
        Level::Tenant => "the tenant's policy",
        Level::Global => "the global policy",
    }
}

impl fmt::Display for Refusal<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reason = self.reason();
        match self {
            Self::Unavailable(artifact) => write!(f, "{reason}: artifact `{artifact}` is not available"),
            Self::NoArtifact => write!(f, "{reason}: no artifact fits the client"),
            Self::Pinned(pin) => {
                write!(f, "{reason}: outside `{}` of {}", pin.value, level_name(pin.level))
            }
            Self::Blocked(block) => {
                write!(f, "{reason}: `{}` is blocked by {}", block.value, level_name(block.level))
            }
            Self::BelowMinimum(minimum) => {
                write!(f, "{reason}: below `{}` of {}", minimum.value, level_name(minimum.level))
            }
            Self::BelowFloor(floor) => {
                write!(f, "{reason}: below the floor `{floor}` of the client's release")
            }
            Self::Paused => write!(f, "{reason}: its rollout is paused"),
            Self::NotInRollout(percentage) => {
                write!(f, "{reason}: the client is not among the {percentage} %")
            }
            Self::StepRequired(start) => write!(f, "{reason}: it can only be installed from `{start}` on"),
        }
    }
}
