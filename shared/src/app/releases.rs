//! Releases: making, publishing when every artifact is there, promoting, rolling out, reading.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use sha2::Digest;

use super::{
    access,
    audit::{self, Entry},
    context::{Caller, Context},
    decisions,
    error::AppError,
    idempotency::{Claim, Made},
    keys, pending,
    publish::{self, Artifacts},
    release_list::Listed,
    store::{Batch, Stored, retrying, unchanged},
};
use crate::{
    domain::{
        artifact::{Artifact, ArtifactState, Use},
        digest::Sha256,
        external_url::{ExternalUrl, UrlRules, pick},
        ids::ReleaseId,
        names::{Channel, ProductId},
        platform::{Arch, OsVersion, Platform},
        release::{Release, ReleaseArtifact, ReleaseStatus, VersionUse},
        rollout::{Percentage, Rollout},
        version::Version,
    },
    ports::items::Expect,
};

/// The most channels that one version of a product can be in.
const MAX_CHANNELS: usize = 30;

/// What a new release is to be.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// Of this product.
    pub product_id: ProductId,
    /// This version of it.
    pub version: Version,
    /// In this channel.
    pub channel: Channel,
    /// What it consists of.
    pub artifacts: Vec<ReleaseArtifact>,
    /// What people should know.
    pub release_notes: Option<String>,
    /// Who may have it.
    pub rollout: Rollout,
    /// Only clients on this version or a later one go to it directly.
    pub min_from_version: Option<Version>,
    /// Clients on it never go below this version.
    pub floor: Option<Version>,
    /// Passed on to clients.
    pub critical: bool,
    /// It must have something for each of these.
    pub require_platforms: Vec<(Platform, Arch)>,
    /// The channel that it is promoted from.
    pub promoted_from: Option<Channel>,
}

/// Makes a release: published at once if every artifact is AVAILABLE, else when they are.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::ArtifactNotAvailable`], [`AppError::VersionUsed`], [`AppError::ReleaseExists`],
/// and those of the store.
pub async fn create(
    context: &Context,
    caller: &Caller,
    new: &NewRelease,
    claim: Option<&Claim>,
) -> Result<Release, AppError> {
    let id = context.ids.release()?;
    retrying(|| create_once(context, caller, new, id, claim, Batch::default())).await
}

fn check_shape(new: &NewRelease) -> Result<(), AppError> {
    if new.channel.is_stable() && new.version.is_prerelease() {
        return Err(AppError::invalid("version", "a pre-release cannot go to `stable`: use another channel"));
    }
    for (member, bound) in [("min_from_version", &new.min_from_version), ("floor", &new.floor)] {
        if bound.as_ref().is_some_and(|bound| bound.cmp_precedence(&new.version).is_gt()) {
            return Err(AppError::invalid(member, "is above the release's own version"));
        }
    }
    let mut seen = BTreeSet::new();
    for (index, part) in new.artifacts.iter().enumerate() {
        let os = part.min_os_version.as_ref().map(OsVersion::canonical);
        if !seen.insert((part.platform, part.arch, part.installer_type, os)) {
            let rule = "another entry has the same platform, arch, installer_type and min_os_version";
            return Err(AppError::invalid(format!("artifacts[{index}]"), rule));
        }
    }
    for (platform, arch) in &new.require_platforms {
        if !new.artifacts.iter().any(|part| part.platform == *platform && part.arch == *arch) {
            let rule = format!("`{platform}/{arch}` is required, and no artifact is for it");
            return Err(AppError::invalid("require_platforms", rule));
        }
    }
    Ok(())
}

async fn create_once(
    context: &Context,
    caller: &Caller,
    new: &NewRelease,
    id: ReleaseId,
    claim: Option<&Claim>,
    mut batch: Batch,
) -> Result<Release, AppError> {
    let product: Option<Stored<serde_json::Value>> =
        context.store.get(keys::product(&new.product_id)).await?;
    if product.is_none() || !caller.sees_product(&new.product_id) {
        return Err(AppError::NotFoundMember("product_id".into()));
    }
    let artifacts = gather(context, caller, new).await?;
    check_shape(new)?;
    reserve_version(context, &mut batch, new, id, &artifacts).await?;
    let mut release = make(context, caller, new, id);
    check_budget(context, &release, &artifacts)?;
    for (artifact_id, found) in &artifacts {
        // Written, not only checked: a delete that did not see this release's use must fail.
        batch.put(keys::artifact(*artifact_id), &found.value, found.unchanged())?;
        let used = Use { release_id: id, product_id: new.product_id.clone() };
        batch.put(keys::artifact_use(*artifact_id, id), &used, Expect::Absent)?;
    }
    if artifacts.values().all(|found| found.value.state == ArtifactState::Available) {
        release.status = ReleaseStatus::Published;
        release.published_at = Some(release.created_at);
        publish::append(context, &mut batch, &mut release, &artifacts).await?;
    } else {
        batch.put(pending::key(id), &json!({}), Expect::Absent)?;
    }
    batch.put(keys::release(id), &release, Expect::Absent)?;
    batch.put(
        keys::product_release(&new.product_id, id),
        &Listed { channel: release.channel.clone() },
        Expect::Absent,
    )?;
    let after = json!({ "product_id": release.product_id, "version": release.version, "channel": release.channel,
        "status": release.status, "promoted_from": release.promoted_from });
    let entry = Entry { kind: "release.created", subject: id.to_string(), before: None, after: Some(after) };
    audit::record(&mut batch, context, Some(caller), entry)?;
    if let Some(claim) = claim {
        claim.made(&mut batch, context, Made::Release(id))?;
    }
    context.store.commit(batch).await?;
    Ok(release)
}

fn make(context: &Context, caller: &Caller, new: &NewRelease, id: ReleaseId) -> Release {
    Release {
        release_id: id,
        product_id: new.product_id.clone(),
        version: new.version.clone(),
        channel: new.channel.clone(),
        status: ReleaseStatus::PendingArtifacts,
        artifacts: new.artifacts.clone(),
        release_notes: new.release_notes.clone(),
        rollout: new.rollout,
        min_from_version: new.min_from_version.clone(),
        floor: new.floor.clone(),
        critical: new.critical,
        created_at: context.clock.now_ms(),
        created_by: caller.token_id,
        published_at: None,
        rejected_reason: None,
        revocation: None,
        promoted_from: new.promoted_from.clone(),
        page: None,
    }
}

/// Reads the artifacts of a new release, each of which must be there, seen, and of use.
async fn gather(context: &Context, caller: &Caller, new: &NewRelease) -> Result<Artifacts, AppError> {
    let mut artifacts = Artifacts::new();
    for (index, part) in new.artifacts.iter().enumerate() {
        if artifacts.contains_key(&part.artifact_id) {
            continue;
        }
        let member = format!("artifacts[{index}].artifact_id");
        let found = match access::artifact(context, caller, part.artifact_id).await {
            Err(AppError::NotFound) => return Err(AppError::NotFoundMember(member)),
            other => other?,
        };
        let state = found.value.state;
        if state == ArtifactState::Revoked {
            return Err(AppError::ArtifactRevoked(part.artifact_id));
        }
        if !matches!(state, ArtifactState::Available | ArtifactState::Verifying) {
            let hint = "a release takes artifacts that are AVAILABLE or VERIFYING";
            return Err(AppError::ArtifactNotAvailable { id: part.artifact_id, state: state.as_str(), hint });
        }
        check_repository(context, &member, &found.value, &new.product_id)?;
        artifacts.insert(part.artifact_id, found);
    }
    Ok(artifacts)
}

/// A repository may be limited to the releases of some products.
fn check_repository(
    context: &Context,
    member: &str,
    artifact: &Artifact,
    product: &ProductId,
) -> Result<(), AppError> {
    let Some(url) = artifact.external_url() else { return Ok(()) };
    let url = ExternalUrl::parse(url, &UrlRules::widest())?;
    let entry = pick(&context.settings.repositories, &url)?;
    if entry.is_some_and(|entry| !entry.serves(Some(product))) {
        return Err(AppError::invalid(member, "its repository is not for releases of this product"));
    }
    Ok(())
}

/// A version means one set of bytes for ever, and is once in each channel.
async fn reserve_version(
    context: &Context,
    batch: &mut Batch,
    new: &NewRelease,
    id: ReleaseId,
    artifacts: &Artifacts,
) -> Result<(), AppError> {
    let key = keys::version(&new.product_id, &new.version);
    let found: Option<Stored<VersionUse>> = context.store.get(key.clone()).await?;
    let expect = unchanged(found.as_ref());
    let fingerprint = fingerprint(&new.artifacts, artifacts);
    let mut used =
        found.map_or_else(|| VersionUse { fingerprint, channels: BTreeMap::new() }, |found| found.value);
    if used.fingerprint != fingerprint {
        return Err(AppError::VersionUsed(new.version.to_string()));
    }
    if let Some(id) = used.channels.get(&new.channel) {
        let (version, channel) = (new.version.to_string(), new.channel.to_string());
        return Err(AppError::ReleaseExists { id: *id, version, channel });
    }
    // A version is revoked in all its channels in one transaction, which has a bound.
    if used.channels.len() >= MAX_CHANNELS {
        let rule =
            format!("the version is in {MAX_CHANNELS} channels already, which is as many as there can be");
        return Err(AppError::invalid("channel", rule));
    }
    used.channels.insert(new.channel.clone(), id);
    batch.put(key, &used, expect)
}

fn fingerprint(parts: &[ReleaseArtifact], artifacts: &Artifacts) -> Sha256 {
    let line = |part: &ReleaseArtifact| {
        let sha256 = artifacts.get(&part.artifact_id).map(|found| found.value.sha256);
        format!("{}/{}/{}/{sha256:?}\n", part.platform, part.arch, part.installer_type)
    };
    let set: BTreeSet<String> = parts.iter().map(line).collect();
    let mut hash = sha2::Sha256::new();
    for line in set {
        hash.update(line);
    }
    Sha256::from_bytes(hash.finalize().into())
}

/// A release whose decision could not be signed is refused here, not when clients ask.
fn check_budget(context: &Context, release: &Release, artifacts: &Artifacts) -> Result<(), AppError> {
    let longest = decisions::longest_payload(context, release, &publish::entry(release, artifacts)?);
    if longest > decision::jws::MAX_PAYLOAD_BYTES {
        let rule = format!(
            "its decision would have {longest} bytes, at most {} can be signed: shorten file names or the URL",
            decision::jws::MAX_PAYLOAD_BYTES
        );
        return Err(AppError::invalid("artifacts", rule));
    }
    Ok(())
}

/// Reads a release that the caller may see.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn find(context: &Context, caller: &Caller, id: ReleaseId) -> Result<Stored<Release>, AppError> {
    let found = context.store.get::<Release>(keys::release(id)).await?.ok_or(AppError::NotFound)?;
    caller.need_product(&found.value.product_id)?;
    Ok(found)
}

/// Puts the same version with the same artifacts into another channel, as a release of its own.
///
/// # Errors
/// [`AppError::ReleaseRevoked`], [`AppError::ReleaseNotPublished`], and as [`create`].
pub async fn promote(
    context: &Context,
    caller: &Caller,
    id: ReleaseId,
    (channel, rollout): (Channel, Rollout),
    claim: Option<&Claim>,
) -> Result<Release, AppError> {
    let promoted = context.ids.release()?;
    retrying(|| async {
        let found = find(context, caller, id).await?;
        // Who revokes the source meanwhile does not know of this release yet.
        let mut batch = Batch::default();
        batch.check(keys::release(id), found.unchanged());
        let source = found.value;
        match source.status {
            ReleaseStatus::Published => {}
            ReleaseStatus::Revoked => return Err(AppError::ReleaseRevoked),
            other => return Err(AppError::ReleaseNotPublished(other.as_str())),
        }
        let new = NewRelease {
            product_id: source.product_id,
            version: source.version,
            channel: channel.clone(),
            artifacts: source.artifacts,
            release_notes: source.release_notes,
            rollout,
            min_from_version: source.min_from_version,
            floor: source.floor,
            critical: source.critical,
            require_platforms: Vec::new(),
            promoted_from: Some(source.channel),
        };
        create_once(context, caller, &new, promoted, claim, batch).await
    })
    .await
}

/// Changes who may have a release; a percentage alone does not resume a paused one.
///
/// # Errors
/// [`AppError::ReleaseRevoked`], [`AppError::ReleaseNotPublished`], [`AppError::NotFound`], and those of the store.
pub async fn set_rollout(
    context: &Context,
    caller: &Caller,
    id: ReleaseId,
    percentage: Option<Percentage>,
    paused: Option<bool>,
) -> Result<Release, AppError> {
    retrying(|| async {
        let found = find(context, caller, id).await?;
        match found.value.status {
            ReleaseStatus::Published | ReleaseStatus::PendingArtifacts => {}
            ReleaseStatus::Revoked => return Err(AppError::ReleaseRevoked),
            other @ ReleaseStatus::Rejected => return Err(AppError::ReleaseNotPublished(other.as_str())),
        }
        let mut release = found.value.clone();
        release.rollout.percentage = percentage.unwrap_or(release.rollout.percentage);
        release.rollout.paused = paused.unwrap_or(release.rollout.paused);
        let mut batch = Batch::default();
        batch.put(keys::release(id), &release, found.unchanged())?;
        publish::update(context, &mut batch, &release.product_id, std::slice::from_ref(&release)).await?;
        let (before, after) =
            (json!({ "rollout": found.value.rollout }), json!({ "rollout": release.rollout }));
        let entry = Entry {
            kind: "release.rollout",
            subject: id.to_string(),
            before: Some(before),
            after: Some(after),
        };
        audit::record(&mut batch, context, Some(caller), entry)?;
        context.store.commit(batch).await?;
        Ok(release)
    })
    .await
}
