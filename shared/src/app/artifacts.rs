//! Artifacts after they were registered: reading, checking again, withholding, revoking, deleting.

use std::sync::Arc;

use serde_json::json;

use super::{
    access,
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    external::{self, Check},
    keys,
    store::{Batch, Stored, retrying},
    unavailable,
};
use crate::{
    domain::{
        artifact::{Artifact, ArtifactState, Location, Use},
        digest::Sha256,
        ids::ArtifactId,
        release::{Release, ReleaseStatus},
    },
    ports::{
        items::{Expect, Key, Query},
        objects::Objects,
        tasks::Task,
    },
};

/// Which artifacts are wanted.
#[derive(Debug, Default)]
pub struct Filter {
    /// With these bytes.
    pub sha256: Option<Sha256>,
    /// In this state.
    pub state: Option<ArtifactState>,
    /// With this label.
    pub label: Option<(String, String)>,
    /// Beyond this artifact.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

impl Filter {
    fn matches(&self, artifact: &Artifact) -> bool {
        self.sha256.is_none_or(|sha256| sha256 == artifact.sha256)
            && self.state.is_none_or(|state| state == artifact.state)
            && self.label.as_ref().is_none_or(|(key, value)| artifact.labels.get(key) == Some(value))
    }
}

/// How many artifacts one page looks at, at most: a rare filter answers with a short page and a cursor.
const MAX_SCANNED: usize = 2_000;

/// Artifacts from the oldest to the newest, and the sort key to go on from.
///
/// # Errors
/// Those of the store.
pub async fn list(
    context: &Context,
    caller: &Caller,
    filter: &Filter,
) -> Result<(Vec<Artifact>, Option<String>), AppError> {
    if let Some(sha256) = &filter.sha256 {
        return with_bytes(context, caller, filter, sha256).await;
    }
    let mut query = Query {
        partition: keys::ARTIFACTS.into(),
        prefix: String::new(),
        after: filter.after.clone(),
        limit: 200,
        descending: false,
    };
    let (mut artifacts, mut scanned) = (Vec::new(), 0_usize);
    loop {
        let page = context.store.query::<Artifact>(&query).await?;
        let exhausted = page.len() < query.limit;
        for (sort, stored) in page {
            query.after = Some(sort);
            scanned = scanned.saturating_add(1);
            if filter.matches(&stored.value) && access::sees_artifact(context, caller, &stored.value).await? {
                artifacts.push(stored.value);
            }
            if artifacts.len() >= filter.limit || scanned >= MAX_SCANNED {
                return Ok((artifacts, query.after));
            }
        }
        if exhausted {
            return Ok((artifacts, None));
        }
    }
}

/// The artifacts with some bytes: found by their digest, whatever the number of others.
async fn with_bytes(
    context: &Context,
    caller: &Caller,
    filter: &Filter,
    sha256: &Sha256,
) -> Result<(Vec<Artifact>, Option<String>), AppError> {
    let known = context.store.query_all::<serde_json::Value>(&keys::of_bytes(sha256), "").await?;
    let ids = known.into_iter().filter(|(sort, _)| sort == "managed" || sort.starts_with("external#"));
    let mut ids: Vec<ArtifactId> = ids.filter_map(|(_, id)| serde_json::from_value(id.value).ok()).collect();
    ids.sort();
    let beyond = |id: &ArtifactId| filter.after.as_ref().is_none_or(|after| id.to_string() > *after);
    let mut artifacts = Vec::new();
    for id in ids.into_iter().filter(beyond) {
        let Some(found) = context.store.get::<Artifact>(keys::artifact(id)).await? else { continue };
        if filter.matches(&found.value) && access::sees_artifact(context, caller, &found.value).await? {
            artifacts.push(found.value);
        }
        if artifacts.len() >= filter.limit {
            return Ok((artifacts, Some(id.to_string())));
        }
    }
    Ok((artifacts, None))
}

/// Every check made of an artifact, oldest first; the newest thousand are kept in sight.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn checks(context: &Context, caller: &Caller, id: ArtifactId) -> Result<Vec<Check>, AppError> {
    access::artifact(context, caller, id).await?;
    let query = Query {
        partition: keys::of_artifact(id),
        prefix: keys::CHECK.into(),
        after: None,
        limit: 1_000,
        descending: true,
    };
    let mut checks: Vec<_> =
        context.store.query::<Check>(&query).await?.into_iter().map(|(_, stored)| stored.value).collect();
    checks.reverse();
    Ok(checks)
}

/// Asks for another check; a rejected external artifact is being verified again.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::ArtifactNotAvailable`] for a revoked one, and those of the store.
pub async fn verify_again(context: &Context, caller: &Caller, id: ArtifactId) -> Result<Artifact, AppError> {
    let artifact = retrying(|| async {
        let found = access::artifact(context, caller, id).await?;
        if found.value.state == ArtifactState::Revoked {
            return Err(AppError::ArtifactRevoked(id));
        }
        if found.value.removed_at.is_some() {
            return Err(state_refusal(&found.value, "its bytes were removed: upload them again"));
        }
        let mut artifact = found.value.clone();
        let now = context.clock.now_ms();
        if artifact.state == ArtifactState::Rejected {
            artifact.state = ArtifactState::Verifying;
            artifact.reason = None;
        }
        artifact.attempts = crate::domain::artifact::Attempts { made: 0, since: now, next_at: now };
        let mut batch = Batch::default();
        batch.put(keys::artifact(id), &artifact, found.unchanged())?;
        external::schedule(&mut batch, id, Expect::Anything)?;
        let before = Some(json!({ "state": found.value.state }));
        let after = Some(json!({ "state": artifact.state }));
        let entry = Entry { kind: "artifact.verification_requested", subject: id.to_string(), before, after };
        audit::record(&mut batch, context, Some(caller), entry)?;
        context.store.commit(batch).await?;
        Ok(artifact)
    })
    .await?;
    context.start(&Task::Check { artifact_id: id }).await;
    Ok(artifact)
}

/// How the reason of an artifact begins that was AVAILABLE until its bytes were removed.
pub const REMOVED: &str = "REMOVED: ";

fn state_refusal(artifact: &Artifact, hint: &'static str) -> AppError {
    AppError::ArtifactNotAvailable { id: artifact.artifact_id, state: artifact.state.as_str(), hint }
}

/// What an operator does to an artifact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Intervention {
    /// Withhold it.
    Quarantine,
    /// Offer it again.
    Restore,
    /// Withhold it for ever.
    Revoke,
}

impl Intervention {
    fn target(self) -> ArtifactState {
        match self {
            Self::Quarantine => ArtifactState::Quarantined,
            Self::Restore => ArtifactState::Available,
            Self::Revoke => ArtifactState::Revoked,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Quarantine => "artifact.quarantined",
            Self::Restore => "artifact.restored",
            Self::Revoke => "artifact.revoked",
        }
    }

    fn refusal(self, state: ArtifactState) -> Option<&'static str> {
        match (self, state) {
            (Self::Revoke, _)
            | (Self::Quarantine, ArtifactState::Available | ArtifactState::Quarantined)
            | (Self::Restore, ArtifactState::Quarantined) => None,
            (Self::Quarantine, _) => Some("only an AVAILABLE artifact can be quarantined"),
            (Self::Restore, _) => Some("only a QUARANTINED artifact can be restored"),
        }
    }
}

/// Quarantines, restores or revokes an artifact; doing it again changes nothing.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::ArtifactNotAvailable`], [`AppError::Invalid`] for a reason that only a check
/// gives, and those of the store.
pub async fn intervene(
    context: &Context,
    caller: &Caller,
    id: ArtifactId,
    intervention: Intervention,
    reason: &str,
) -> Result<Artifact, AppError> {
    let removed = reason.starts_with(REMOVED).then_some(REMOVED);
    if let Some(beginning) = external::of_a_check(reason).or(removed) {
        let rule = format!("only a reason of the service itself begins with `{beginning}`");
        return Err(AppError::invalid("reason", rule));
    }
    retrying(|| async {
        let found = access::artifact(context, caller, id).await?;
        let checks_own = found.value.reason.as_deref().and_then(external::of_a_check).is_some();
        // An operator's order stands over a check's: no later check lifts it.
        if found.value.state == intervention.target()
            && !(intervention == Intervention::Quarantine && checks_own)
        {
            return Ok(found.value);
        }
        if found.value.state == ArtifactState::Revoked {
            return Err(AppError::ArtifactRevoked(id));
        }
        if let Some(hint) = intervention.refusal(found.value.state) {
            return Err(state_refusal(&found.value, hint));
        }
        if intervention == Intervention::Restore {
            let bytes = keys::revoked_bytes(&found.value.sha256);
            if let Some(revoked) = context.store.get::<ArtifactId>(bytes).await? {
                return Err(AppError::ArtifactRevoked(revoked.value));
            }
        }
        if intervention == Intervention::Restore && found.value.removed_at.is_some() {
            return Err(state_refusal(&found.value, "its bytes were removed: upload them again"));
        }
        let mut artifact = found.value.clone();
        artifact.state = intervention.target();
        let now = Some(context.clock.now_ms());
        match intervention {
            Intervention::Revoke => artifact.revoked_at = now,
            Intervention::Restore => artifact.wanted_at = now,
            Intervention::Quarantine => {}
        }
        artifact.reason = (intervention != Intervention::Restore).then(|| reason.to_owned());
        let mut batch = Batch::default();
        let before = Some(json!({ "state": found.value.state, "reason": found.value.reason }));
        let after = Some(json!({ "state": artifact.state, "reason": reason }));
        let entry = Entry { kind: intervention.kind(), subject: id.to_string(), before, after };
        audit::record(&mut batch, context, Some(caller), entry)?;
        set_state(context, &mut batch, &found, artifact.clone()).await?;
        context.store.commit(batch).await?;
        Ok(artifact)
    })
    .await
}

/// Stores an artifact whose state changed, and with it whether decisions may name it: two small writes, however many
/// releases use it.
///
/// # Errors
/// Those of the store.
pub async fn set_state(
    context: &Context,
    batch: &mut Batch,
    found: &Stored<Artifact>,
    artifact: Artifact,
) -> Result<(), AppError> {
    let id = artifact.artifact_id;
    batch.put(keys::artifact(id), &artifact, found.unchanged())?;
    if artifact.state == ArtifactState::Available {
        batch.check(keys::revoked_bytes(&artifact.sha256), Expect::Absent);
    }
    if artifact.state == ArtifactState::Revoked {
        batch.put(keys::revoked_bytes(&artifact.sha256), &id, Expect::Anything)?;
    }
    unavailable::change(context, batch, &found.value, Some(&artifact)).await
}

/// Deletes an artifact that no live release names, and with it the bytes in managed storage.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::ArtifactInUse`], and those of the stores.
pub async fn delete(
    context: &Context,
    objects: &Arc<dyn Objects>,
    caller: &Caller,
    id: ArtifactId,
) -> Result<(), AppError> {
    let artifact = retrying(|| delete_record(context, caller, id)).await?;
    let copy = artifact.escrow.as_ref().map(|escrow| escrow.key);
    let managed = match artifact.location {
        Location::Managed { key, .. } => Some(key),
        Location::External { .. } => copy,
    };
    if let Some(key) = managed {
        objects.delete(&key).await?;
    }
    Ok(())
}

/// With the last artifact that has some bytes goes what was said of who may download them.
async fn free_access(
    context: &Context,
    batch: &mut Batch,
    artifact: &Artifact,
    own: &Key,
) -> Result<(), AppError> {
    let access = keys::access_of_bytes(&artifact.sha256);
    let known = context.store.query_all::<serde_json::Value>(&access.partition, "").await?;
    let others =
        known.iter().any(|(sort, _)| ![&access.sort, &own.sort].contains(&sort) && sort != "revoked");
    if let Some((_, claimed)) = known.iter().find(|(sort, _)| !others && *sort == access.sort) {
        batch.delete(access, claimed.unchanged());
    }
    Ok(())
}

async fn delete_record(context: &Context, caller: &Caller, id: ArtifactId) -> Result<Artifact, AppError> {
    let found = access::artifact(context, caller, id).await?;
    for (_, used) in context.store.query_all::<Use>(&keys::of_artifact(id), keys::USE).await? {
        let release: Option<Stored<Release>> =
            context.store.get(keys::release(used.value.release_id)).await?;
        let live = |status| matches!(status, ReleaseStatus::Published | ReleaseStatus::PendingArtifacts);
        if release.is_some_and(|release| live(release.value.status)) {
            return Err(AppError::ArtifactInUse(used.value.release_id));
        }
    }
    let artifact = found.value.clone();
    let mut batch = Batch::default();
    batch.delete(keys::artifact(id), found.unchanged());
    batch.delete(keys::verifying(id), Expect::Anything);
    unavailable::change(context, &mut batch, &artifact, None).await?;
    let bytes = artifact.external_url().map_or_else(
        || keys::managed_bytes(&artifact.sha256),
        |url| keys::external_bytes(&artifact.sha256, url),
    );
    free_access(context, &mut batch, &artifact, &bytes).await?;
    batch.delete(bytes, Expect::Anything);
    let before =
        json!({ "sha256": artifact.sha256, "size_bytes": artifact.size_bytes, "state": artifact.state });
    let entry =
        Entry { kind: "artifact.deleted", subject: id.to_string(), before: Some(before), after: None };
    audit::record(&mut batch, context, Some(caller), entry)?;
    context.store.commit(batch).await?;
    Ok(artifact)
}
