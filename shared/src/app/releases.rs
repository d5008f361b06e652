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
    keys,
    publish::{self, Artifacts},
    store::{Batch, Stored, retrying, unchanged},
};
use crate::{
    domain::{
        artifact::{Artifact, ArtifactState, Use},
        digest::Sha256,
        external_url::{ExternalUrl, UrlRules, pick},
        ids::{ArtifactId, ReleaseId},
        names::{Channel, ProductId},
        platform::{Arch, OsVersion, Platform},
        release::{Release, ReleaseArtifact, ReleaseStatus, VersionUse},
        rollout::{Percentage, Rollout},
        version::Version,
    },
    ports::items::{Expect, Query},
};

/// The partition of the releases that wait for artifacts.
pub const PENDING: &str = "pending_releases";

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
        return Err(AppError::NotFound);
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
        batch.put(pending_key(id), &json!({}), Expect::Absent)?;
    }
    batch.put(keys::release(id), &release, Expect::Absent)?;
    batch.put(
        keys::product_release(&new.product_id, id),
        &json!({ "channel": release.channel }),
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

fn pending_key(id: ReleaseId) -> crate::ports::items::Key {
    crate::ports::items::Key::new(PENDING, id.to_string())
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
        let found = access::artifact(context, caller, part.artifact_id).await?;
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
    let barred = |products: &Vec<ProductId>| !products.contains(product);
    if entry.and_then(|entry| entry.products.as_ref()).is_some_and(barred) {
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

/// Publishes or rejects a release that waits for artifacts, as soon as that is clear.
///
/// # Errors
/// Those of the store.
pub async fn advance(context: &Context, id: ReleaseId) -> Result<(), AppError> {
    retrying(|| advance_once(context, id)).await
}

async fn advance_once(context: &Context, id: ReleaseId) -> Result<(), AppError> {
    let Some(found) = context.store.get::<Release>(keys::release(id)).await? else { return Ok(()) };
    if found.value.status != ReleaseStatus::PendingArtifacts {
        return Ok(());
    }
    let mut release = found.value.clone();
    let mut batch = Batch::default();
    let artifacts = current(context, &release).await?;
    let kind = match hopeless(&release, &artifacts) {
        Some(reason) => {
            release.status = ReleaseStatus::Rejected;
            release.rejected_reason = Some(reason);
            free_version(context, &mut batch, &release).await?;
            "release.rejected"
        }
        None if artifacts.values().any(|found| found.value.state != ArtifactState::Available) => {
            return Ok(());
        }
        None => {
            release.status = ReleaseStatus::Published;
            release.published_at = Some(context.clock.now_ms());
            for (artifact_id, found) in &artifacts {
                batch.check(keys::artifact(*artifact_id), found.unchanged());
            }
            publish::append(context, &mut batch, &mut release, &artifacts).await?;
            "release.published"
        }
    };
    batch.put(keys::release(id), &release, found.unchanged())?;
    batch.delete(pending_key(id), Expect::Anything);
    let before = Some(json!({ "status": found.value.status }));
    let after = Some(json!({ "status": release.status, "reason": release.rejected_reason }));
    audit::record(&mut batch, context, None, Entry { kind, subject: id.to_string(), before, after })?;
    context.store.commit(batch).await
}

/// The artifacts of a release, as they are now; those that are gone are not in it.
async fn current(context: &Context, release: &Release) -> Result<Artifacts, AppError> {
    let ids: BTreeSet<ArtifactId> = release.artifacts.iter().map(|part| part.artifact_id).collect();
    let keys: Vec<_> = ids.iter().map(|id| keys::artifact(*id)).collect();
    let found = context.store.get_all::<Artifact>(&keys).await?;
    Ok(found.into_iter().flatten().map(|found| (found.value.artifact_id, found)).collect())
}

fn hopeless(release: &Release, artifacts: &Artifacts) -> Option<String> {
    release.artifacts.iter().find_map(|part| match artifacts.get(&part.artifact_id) {
        None => Some(format!("{} was deleted", part.artifact_id)),
        Some(found) if matches!(found.value.state, ArtifactState::Rejected | ArtifactState::Revoked) => {
            let reason = found.value.reason.as_deref().unwrap_or("no reason was given");
            Some(format!("{} is {}: {reason}", part.artifact_id, found.value.state))
        }
        Some(_) => None,
    })
}

/// A rejected release burns nothing: its version is free again, unless another channel has it.
async fn free_version(context: &Context, batch: &mut Batch, release: &Release) -> Result<(), AppError> {
    let key = keys::version(&release.product_id, &release.version);
    let Some(found) = context.store.get::<VersionUse>(key.clone()).await? else { return Ok(()) };
    let expect = found.unchanged();
    let mut used = found.value;
    used.channels.remove(&release.channel);
    if used.channels.is_empty() {
        batch.delete(key, expect);
        return Ok(());
    }
    batch.put(key, &used, expect)
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

/// Which releases of a product are wanted.
#[derive(Debug, Default)]
pub struct Filter {
    /// In this channel.
    pub channel: Option<Channel>,
    /// With this status.
    pub status: Option<ReleaseStatus>,
    /// Beyond this release.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Releases of a product from the newest made to the oldest, and the sort key to go on from.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn list(
    context: &Context,
    caller: &Caller,
    product: &ProductId,
    filter: &Filter,
) -> Result<(Vec<Release>, Option<String>), AppError> {
    super::products::find(context, caller, product).await?;
    let mut query = Query {
        partition: keys::of_product(product),
        prefix: keys::RELEASE.into(),
        after: filter.after.clone(),
        limit: 100,
        descending: true,
    };
    let mut releases = Vec::new();
    loop {
        let page = context.store.query::<serde_json::Value>(&query).await?;
        let exhausted = page.len() < query.limit;
        let ids = page.iter().filter_map(|(sort, _)| sort.strip_prefix(keys::RELEASE)?.parse().ok());
        let wanted: Vec<_> = ids.map(keys::release).collect();
        for (found, (sort, _)) in context.store.get_all::<Release>(&wanted).await?.into_iter().zip(page) {
            query.after = Some(sort);
            let Some(Stored { value: release, .. }) = found else { continue };
            if filter.channel.as_ref().is_none_or(|channel| *channel == release.channel)
                && filter.status.is_none_or(|status| status == release.status)
            {
                releases.push(release);
            }
            if releases.len() >= filter.limit {
                return Ok((releases, query.after));
            }
        }
        if exhausted {
            return Ok((releases, None));
        }
    }
}

/// The published release with the highest version in a channel.
///
/// # Errors
/// [`AppError::NotFound`] where there is none, and those of the store.
pub async fn latest(
    context: &Context,
    caller: &Caller,
    product: &ProductId,
    channel: &Channel,
) -> Result<Release, AppError> {
    super::products::find(context, caller, product).await?;
    let pages = context
        .store
        .query_all::<Vec<crate::domain::catalogue::CatalogueRelease>>(&keys::catalogue(product), "")
        .await?;
    let published = |entry: &crate::domain::catalogue::CatalogueRelease| {
        entry.channel == *channel && entry.status == crate::domain::catalogue::CatalogueStatus::Published
    };
    let newest = pages
        .into_iter()
        .flat_map(|(_, page)| page.value)
        .filter(published)
        .max_by(|a, b| a.version.cmp_precedence(&b.version))
        .ok_or(AppError::NotFound)?;
    Ok(find(context, caller, newest.release_id).await?.value)
}
