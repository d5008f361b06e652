//! Steps 12 and 13: what is offered, and whether it may be installed here.

use std::cmp::Ordering;

use super::Expected;
use super::claims::{ArtifactClaims, Claims, ReleaseClaims};
use super::location::check_location;
use super::refusal::{Refusal, shown};
use crate::payload::{Action, ArtifactRef, ReleaseRef};
use crate::version::Version;

/// The one word on how bytes were proved that stands in a decision: they were not, the publisher has declared them.
const DECLARED: &str = "DECLARED";

/// What a decision says to do, after step 12.
#[derive(Debug)]
pub(super) enum Offer<'a> {
    /// Nothing.
    Nothing,
    /// Something, with this release and an artifact not yet checked.
    Of(Action, ReleaseRef, &'a ArtifactClaims<'a>),
}

/// Step 12: a release and an artifact exactly where there is something to do, and a version that may follow this one.
pub(super) fn step_12_shape<'a>(claims: &'a Claims<'a>, expected: &Expected) -> Result<Offer<'a>, Refusal> {
    let action =
        Action::from_word(claims.action).ok_or_else(|| Refusal::Action { found: shown(claims.action) })?;
    let shape = |what| Refusal::Shape { action: action.as_str(), what };
    match (action, &claims.release, &claims.artifact) {
        (Action::None, None, None) => Ok(Offer::Nothing),
        (Action::None, Some(_), _) => Err(shape("a release")),
        (Action::None, None, Some(_)) => Err(shape("an artifact")),
        (Action::Notify | Action::Download | Action::Install, Some(release), Some(artifact)) => {
            Ok(Offer::Of(action, check_release(release, expected)?, artifact))
        }
        (Action::Notify | Action::Download | Action::Install, None, _) => Err(shape("no release")),
        (Action::Notify | Action::Download | Action::Install, Some(_), None) => Err(shape("no artifact")),
    }
}

fn check_release(release: &ReleaseClaims<'_>, expected: &Expected) -> Result<ReleaseRef, Refusal> {
    let parse = |member, text| Version::parse(text).map_err(|source| Refusal::Version { member, source });
    let version = parse("version", release.version)?;
    let floor = release.floor.map(|floor| parse("floor", floor)).transpose()?;
    let allow_downgrade = release.allow_downgrade.unwrap_or(false);
    let installed = &expected.installed_version;
    let texts = || (version.to_string(), installed.to_string());
    match version.cmp_precedence(installed) {
        Ordering::Equal => {
            let (offered, installed) = texts();
            return Err(Refusal::SameVersion { offered, installed });
        }
        Ordering::Less if !allow_downgrade => {
            let (offered, installed) = texts();
            return Err(Refusal::Downgrade { offered, installed });
        }
        Ordering::Less | Ordering::Greater => {}
    }
    // The floor holds whatever else is allowed.
    if let Some(floor) = &floor
        && version.cmp_precedence(floor) == Ordering::Less
    {
        return Err(Refusal::BelowFloor { offered: version.to_string(), floor: floor.to_string() });
    }
    Ok(ReleaseRef {
        release_id: release.release_id.into(),
        version,
        channel: release.channel.map(Into::into),
        floor,
        allow_downgrade,
        critical: release.critical.unwrap_or(false),
        notes_url: release.notes_url.map(Into::into),
    })
}

/// Step 13: installer type, size, digest, verification and URL of the artifact, where there is one.
pub(super) fn step_13_artifact(
    offer: Offer<'_>,
    expected: &Expected,
) -> Result<(Action, Option<ReleaseRef>, Option<ArtifactRef>), Refusal> {
    match offer {
        Offer::Nothing => Ok((Action::None, None, None)),
        Offer::Of(action, release, artifact) => {
            Ok((action, Some(release), Some(check_artifact(artifact, expected)?)))
        }
    }
}

fn check_artifact(artifact: &ArtifactClaims<'_>, expected: &Expected) -> Result<ArtifactRef, Refusal> {
    let asked = &expected.installer_types;
    if !asked.is_empty() && !asked.iter().any(|asked| asked == artifact.installer_type) {
        return Err(Refusal::InstallerType {
            found: shown(artifact.installer_type),
            asked: asked.join("`, `"),
        });
    }
    let (found, max) = (artifact.size_bytes, expected.max_artifact_bytes);
    let size_bytes = u64::try_from(found).ok().filter(|size| (1..=max).contains(size));
    let size_bytes = size_bytes.ok_or(Refusal::Size { found, max })?;
    let is_lower_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if artifact.sha256.len() != 64 || !artifact.sha256.bytes().all(is_lower_hex) {
        return Err(Refusal::Sha256 { found: shown(artifact.sha256) });
    }
    if let Some(found) = artifact.verification.filter(|word| *word != DECLARED) {
        return Err(Refusal::Verification { found: shown(found) });
    }
    check_location(artifact.url, expected.allow_loopback_http)
        .map_err(|source| Refusal::Location { found: shown(artifact.url), source })?;
    Ok(ArtifactRef {
        artifact_id: artifact.artifact_id.into(),
        sha256: artifact.sha256.into(),
        size_bytes,
        url: artifact.url.into(),
        installer_type: artifact.installer_type.into(),
        requires_admin: artifact.requires_admin,
        file_name: artifact.file_name.map(Into::into),
        access: artifact.access.map(Into::into),
        verification: artifact.verification.map(Into::into),
    })
}
