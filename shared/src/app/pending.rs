//! Releases that wait for artifacts: published when every one is AVAILABLE, rejected when one never will be.

use std::collections::BTreeSet;

use serde_json::json;

use super::{
    audit::{self, Entry},
    context::Context,
    error::AppError,
    keys,
    publish::{self, Artifacts},
    store::{Batch, retrying},
};
use crate::{
    domain::{
        artifact::{Artifact, ArtifactState},
        ids::{ArtifactId, ReleaseId},
        release::{Release, ReleaseStatus, VersionUse},
    },
    ports::items::{Expect, Key},
};

/// The partition of the releases that wait for artifacts.
pub const PENDING: &str = "pending_releases";

/// That a release waits.
pub fn key(id: ReleaseId) -> Key {
    Key::new(PENDING, id.to_string())
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
    batch.delete(key(id), Expect::Anything);
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
