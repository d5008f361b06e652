//! Artifacts that only revoked releases name: after a while their bytes go. Record and audit stay, and the same bytes may
//! be uploaded again, unless it is they that were revoked.

use serde_json::json;

use super::{Outcome, Seen, Verdict, What, page};
use crate::{
    app::{
        artifacts::{REMOVED, set_state},
        audit::{self, Entry},
        context::Context,
        error::AppError,
        keys,
        store::{Batch, Stored},
    },
    domain::{
        artifact::{Artifact, ArtifactState, Location, Use},
        ids::{ArtifactId, TokenId},
        release::{Release, ReleaseStatus},
        upload::ObjectKey,
    },
    ports::objects::Objects,
};

pub(super) async fn look(
    context: &Context,
    after: Option<String>,
    limit: usize,
) -> Result<(Seen, Option<String>), AppError> {
    let (found, next) = page(context, keys::ARTIFACTS, after, limit).await?;
    let mut seen = Seen::default();
    for (name, value) in found {
        let (Ok(id), Ok(artifact)) = (name.parse::<ArtifactId>(), serde_json::from_value::<Artifact>(value))
        else {
            let why = Verdict::Unclear("the record of the artifact cannot be read".into());
            seen.note(name, None, 0, why);
            continue;
        };
        let verdict = judge(context, &artifact).await;
        seen.note(name, Some(What::Bytes(id)), artifact.size_bytes, verdict);
    }
    Ok((seen, next))
}

/// Where the bytes of an artifact are with us.
fn bytes(artifact: &Artifact) -> Option<ObjectKey> {
    match &artifact.location {
        Location::Managed { key, .. } if artifact.removed_at.is_none() => Some(*key),
        Location::Managed { .. } => None,
        Location::External { .. } => artifact.copy().map(|copy| copy.key),
    }
}

async fn judge(context: &Context, artifact: &Artifact) -> Verdict {
    let (now, pause) = (context.clock.now_ms(), context.settings.gc.revoked_after_ms);
    // Whoever made it, or asked for it again, has as long to name it in a release.
    let asked = artifact.created_at.max(artifact.wanted_at.unwrap_or(0));
    if bytes(artifact).is_none() || asked.saturating_add(pause) > now {
        return Verdict::Needed;
    }
    match revoked_since(context, artifact).await {
        Err(why) => Verdict::Unclear(why),
        Ok(Some(at)) if at.saturating_add(pause) <= now => {
            Verdict::Spare("every release that names it was revoked, or it was itself".into())
        }
        Ok(_) => Verdict::Needed,
    }
}

/// Since when nothing that is not revoked names it; `None` where something does, or nothing ever was revoked.
async fn revoked_since(context: &Context, artifact: &Artifact) -> Result<Option<i64>, String> {
    let id = artifact.artifact_id;
    let uses = context.store.query_all::<Use>(&keys::of_artifact(id), keys::USE).await;
    let uses = uses.map_err(|_| "which releases name it cannot be read".to_owned())?;
    let mut since = artifact.revoked_at.filter(|_| artifact.state == ArtifactState::Revoked);
    for (_, used) in uses {
        let id = used.value.release_id;
        let found = context.store.get::<Release>(keys::release(id)).await;
        let Ok(Some(release)) = found else { return Err(format!("{id}, which names it, cannot be read")) };
        match (release.value.status, release.value.revocation) {
            (ReleaseStatus::Rejected, _) => {}
            (ReleaseStatus::Revoked, Some(revocation)) => since = since.max(Some(revocation.at)),
            (ReleaseStatus::Revoked, None) => {
                return Err(format!("when {id}, which names it, was revoked is not known"));
            }
            (ReleaseStatus::Published | ReleaseStatus::PendingArtifacts, _) => return Ok(None),
        }
    }
    Ok(since)
}

/// Takes the bytes of an artifact: first it is written down that it has none, on condition that nothing came to name it;
/// then they are removed.
pub(super) async fn remove(
    context: &Context,
    objects: &dyn Objects,
    id: ArtifactId,
    by: Option<TokenId>,
) -> Result<Outcome, AppError> {
    let Some(found) = context.store.get::<Artifact>(keys::artifact(id)).await? else {
        return Ok(Outcome::Needed);
    };
    match judge(context, &found.value).await {
        Verdict::Needed => return Ok(Outcome::Needed),
        Verdict::Unclear(why) => return Ok(Outcome::Kept(why)),
        Verdict::Spare(_) => {}
    }
    let Some(key) = bytes(&found.value) else { return Ok(Outcome::Needed) };
    match write_down(context, &found, by).await {
        Ok(()) => {}
        // A release that is made writes its artifacts, too.
        Err(AppError::Raced) => return Ok(Outcome::Kept("it has changed meanwhile".into())),
        Err(other) => return Err(other),
    }
    match objects.erase(&key).await {
        Ok(()) => Ok(Outcome::Removed),
        // Nothing refers to them any more, so that they are found again as what they are.
        Err(error) => Ok(Outcome::Kept(format!("its bytes at {key} could not be removed: {error}"))),
    }
}

async fn write_down(
    context: &Context,
    found: &Stored<Artifact>,
    by: Option<TokenId>,
) -> Result<(), AppError> {
    let mut artifact = found.value.clone();
    artifact.removed_at = Some(context.clock.now_ms());
    if artifact.state == ArtifactState::Available {
        artifact.state = ArtifactState::Quarantined;
        artifact.reason =
            Some(format!("{REMOVED}every release that named it was revoked, and its bytes are gone"));
    }
    let mut batch = Batch::default();
    let before = json!({ "state": found.value.state, "reason": found.value.reason });
    let after = json!({ "state": artifact.state, "reason": artifact.reason, "size_bytes": artifact.size_bytes,
        "asked_by": by });
    let subject = artifact.artifact_id.to_string();
    let entry = Entry { kind: "artifact.bytes_removed", subject, before: Some(before), after: Some(after) };
    audit::record(&mut batch, context, None, entry)?;
    set_state(context, &mut batch, found, artifact).await?;
    context.store.commit(batch).await
}
