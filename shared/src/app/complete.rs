//! Completing an upload: under a lease, with a fence, after the store has proved the digest.

use std::sync::Arc;

use serde_json::json;

use super::{
    access,
    artifacts::{REMOVED, set_state},
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    keys,
    register::{claim_access, same_bytes},
    store::{Batch, Stored},
    uploads::{self, discard, discard_beside, find},
};
use crate::{
    domain::{
        artifact::{Artifact, ArtifactState, Attempts, Location},
        digest::Sha256,
        ids::{ArtifactId, UploadId},
        upload::{Failure, FailureCode, Lease, Upload, UploadState},
    },
    ports::{items::Expect, objects::Objects},
};

mod large;
mod parts;
mod proof;

pub use self::large::{arrived, resume};
pub(super) use self::large::{let_go, take_over};
use self::proof::Proof;

/// How long whoever completes an upload has for it.
const LEASE_MS: i64 = 120_000;
const DAY_MS: i64 = 86_400_000;

/// What completing an upload came to.
#[derive(Debug)]
pub enum Completed {
    /// The artifact it became.
    Artifact(Box<Artifact>),
    /// The proof takes longer; look at the upload again.
    Later(Box<Upload>),
}

/// The error of an upload that has failed for good.
pub fn failed(upload: &Upload) -> AppError {
    match &upload.failure {
        Some(failure) => AppError::UploadFailed { code: failure.code, message: failure.message.clone() },
        None => AppError::Internal("a failed upload without its failure"),
    }
}

/// Completes an upload, or says why not.
///
/// # Errors
/// [`AppError::OtherChecksum`], [`AppError::ObjectNotUploaded`], [`AppError::PartsMissing`], [`AppError::UploadFailed`],
/// [`AppError::UploadInProgress`], [`AppError::UploadExpired`], [`AppError::UploadAborted`],
/// [`AppError::ArtifactExists`], [`AppError::ArtifactRevoked`], and those of the stores.
pub async fn complete(
    context: &Context,
    objects: &Arc<dyn Objects>,
    caller: &Caller,
    id: UploadId,
    checksum: Option<Sha256>,
) -> Result<Completed, AppError> {
    let found = find(context, caller, id).await?;
    if let Some(answer) = ended(context, &found.value).await? {
        return Ok(answer);
    }
    if let Some(given) = checksum.filter(|given| *given != found.value.sha256) {
        return Err(AppError::OtherChecksum { declared: found.value.sha256, given });
    }
    if found.value.multipart.is_some() {
        return parts::complete(context, objects, found).await;
    }
    let leased = lease(context, &found, LEASE_MS).await?;
    if leased.value.size_bytes > context.settings.copy_at_once_max_bytes {
        return large::complete(context, objects, caller, leased).await;
    }
    finish(context, objects, Some(caller), leased)
        .await
        .map(|artifact| Completed::Artifact(Box::new(artifact)))
}

/// The answer that an upload has already, if any.
async fn ended(context: &Context, upload: &Upload) -> Result<Option<Completed>, AppError> {
    match upload.state {
        UploadState::Initiated => Ok(None),
        UploadState::Completing => {
            let lapsed = upload.lease.is_none_or(|lease| lease.until <= context.clock.now_ms());
            match (upload.deferred, lapsed) {
                (true, lapsed) => Ok(Some(large::later(context, upload, lapsed).await)),
                (false, true) => Ok(None),
                (false, false) => Err(AppError::UploadInProgress),
            }
        }
        UploadState::Failed => Err(failed(upload)),
        UploadState::Expired => Err(AppError::UploadExpired),
        UploadState::Aborted => Err(AppError::UploadAborted),
        UploadState::Completed => {
            let id =
                upload.artifact_id.ok_or(AppError::Internal("a completed upload without its artifact"))?;
            let artifact =
                context.store.get::<Artifact>(keys::artifact(id)).await?.ok_or(AppError::NotFound)?;
            Ok(Some(Completed::Artifact(Box::new(artifact.value))))
        }
    }
}

/// Takes the lease with one conditional write: of many at once, one has it.
async fn lease(
    context: &Context,
    found: &Stored<Upload>,
    lasting_ms: i64,
) -> Result<Stored<Upload>, AppError> {
    let mut upload = found.value.clone();
    upload.state = UploadState::Completing;
    upload.fence = upload.fence.saturating_add(1);
    upload.lease = Some(Lease { until: context.clock.now_ms().saturating_add(lasting_ms) });
    let mut batch = Batch::default();
    uploads::put(&mut batch, &upload, found.unchanged())?;
    match context.store.commit(batch).await {
        Ok(()) => Ok(Stored { value: upload, revision: found.revision.saturating_add(1) }),
        Err(AppError::Raced) => Err(AppError::UploadInProgress),
        Err(other) => Err(other),
    }
}

/// Proves the digest and writes what came of it, under the lease; also the sweep's way to take over a lapsed one.
///
/// # Errors
/// As [`complete`].
pub async fn finish(
    context: &Context,
    objects: &Arc<dyn Objects>,
    caller: Option<&Caller>,
    leased: Stored<Upload>,
) -> Result<Artifact, AppError> {
    let ends = parts::ends(context);
    let proof = match proof::prove(objects, &leased.value).await {
        Ok(Some(proof)) => proof,
        Ok(None) => {
            free(context, &leased, Free::ToAnybody).await?;
            return Err(AppError::ObjectNotUploaded);
        }
        Err(error) => {
            free(context, &leased, Free::ToTasks).await?;
            return Err(error.into());
        }
    };
    match parts::read(context, objects, leased, proof, ends).await? {
        Some((leased, proof)) => conclude(context, objects, caller, &leased, proof).await,
        None => Err(AppError::UploadInProgress),
    }
}

/// Compares what the store says with what was declared, and writes what came of it.
async fn conclude(
    context: &Context,
    objects: &Arc<dyn Objects>,
    caller: Option<&Caller>,
    leased: &Stored<Upload>,
    proof: Proof,
) -> Result<Artifact, AppError> {
    if let Some(failure) = proof::judge(&leased.value, &proof.stat) {
        return Err(fail(context, objects, caller, leased, failure).await);
    }
    settle(context, objects, caller, leased, &proof).await
}

/// To whom a lease is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Free {
    /// Whoever completes next: nothing was stored yet.
    ToAnybody,
    /// Whoever completes next; where a task was to, a task again.
    ToTasks,
}

/// Gives the lease back, so that the next complete need not wait for it to lapse.
async fn free(context: &Context, leased: &Stored<Upload>, whom: Free) -> Result<(), AppError> {
    let mut upload = leased.value.clone();
    upload.deferred &= whom == Free::ToTasks;
    if !upload.deferred {
        upload.state = UploadState::Initiated;
    }
    upload.lease = None;
    let mut batch = Batch::default();
    uploads::put(&mut batch, &upload, leased.unchanged())?;
    match context.store.commit(batch).await {
        // Somebody took over after the lease had lapsed: it is theirs now.
        Ok(()) | Err(AppError::Raced) => Ok(()),
        Err(other) => Err(other),
    }
}

async fn fail(
    context: &Context,
    objects: &Arc<dyn Objects>,
    caller: Option<&Caller>,
    leased: &Stored<Upload>,
    failure: Failure,
) -> AppError {
    let mut upload = leased.value.clone();
    upload.state = UploadState::Failed;
    upload.lease = None;
    upload.deferred = false;
    upload.failure = Some(failure);
    let error = failed(&upload);
    let after = json!({ "state": "FAILED", "reason": error.to_string() });
    match write_end(context, caller, leased, &upload, "upload.failed", after, Batch::default()).await {
        Ok(()) => {
            let code = upload.failure.as_ref().map(|failure| failure.code.as_str());
            tracing::warn!(event = "upload_rejected", upload.id = %upload.upload_id, code, "an upload is rejected");
            discard(objects, upload.upload_id, upload.multipart.as_ref(), None).await;
            error
        }
        Err(AppError::Raced) => AppError::UploadInProgress,
        Err(other) => other,
    }
}

/// Writes how an upload ended, on condition that the lease is still ours: this is the fence.
async fn write_end(
    context: &Context,
    caller: Option<&Caller>,
    leased: &Stored<Upload>,
    upload: &Upload,
    kind: &str,
    after: serde_json::Value,
    mut batch: Batch,
) -> Result<(), AppError> {
    // The sweep looks at it once more: while its URLs live, somebody can still put bytes into staging.
    uploads::put(&mut batch, upload, leased.unchanged())?;
    let before = Some(json!({ "state": "INITIATED" }));
    let entry = Entry { kind, subject: upload.upload_id.to_string(), before, after: Some(after) };
    audit::record(&mut batch, context, caller, entry)?;
    context.store.commit(batch).await
}

/// The one transaction: upload COMPLETED, artifact AVAILABLE, audit entry.
async fn settle(
    context: &Context,
    objects: &Arc<dyn Objects>,
    caller: Option<&Caller>,
    leased: &Stored<Upload>,
    proof: &Proof,
) -> Result<Artifact, AppError> {
    for _ in 0..8 {
        match settle_once(context, caller, leased, proof).await {
            Ok((artifact, served)) => {
                let upload = &leased.value;
                if served {
                    discard_beside(objects, upload, proof.key).await;
                } else {
                    discard(objects, upload.upload_id, upload.multipart.as_ref(), None).await;
                }
                return Ok(artifact);
            }
            // Either another upload of the same bytes was first, or the lease is gone: look again.
            Err(AppError::Raced) => {
                let now = context.store.get::<Upload>(keys::upload(leased.value.upload_id)).await?;
                if now.is_none_or(|now| now.revision != leased.revision) {
                    return Err(AppError::UploadInProgress);
                }
            }
            Err(error @ (AppError::ArtifactExists { .. } | AppError::ArtifactRevoked(_))) => {
                let failure = Failure { code: FailureCode::UploadFailed, message: error.to_string() };
                fail(context, objects, caller, leased, failure).await;
                return Err(error);
            }
            Err(other) => return Err(other),
        }
    }
    Err(AppError::Busy)
}

async fn settle_once(
    context: &Context,
    caller: Option<&Caller>,
    leased: &Stored<Upload>,
    proof: &Proof,
) -> Result<(Artifact, bool), AppError> {
    let mut upload = leased.value.clone();
    upload.state = UploadState::Completed;
    upload.lease = None;
    upload.deferred = false;
    upload.hashed = None;
    let mut batch = Batch::default();
    let existing = same_bytes(context, &upload.sha256, upload.access, None).await?;
    let (artifact, fresh) = match existing {
        Some(existing) if existing.value.removed_at.is_some() => {
            access::note_registrant(&mut batch, upload.initiated_for.as_ref(), existing.value.artifact_id)?;
            (bring_back(context, &mut batch, &existing, &upload, proof).await?, true)
        }
        Some(existing) => {
            access::note_registrant(&mut batch, upload.initiated_for.as_ref(), existing.value.artifact_id)?;
            (want(context, &mut batch, existing)?, false)
        }
        None => {
            let artifact = make(context, &upload, context.ids.artifact()?, proof);
            batch.put(keys::artifact(artifact.artifact_id), &artifact, Expect::Absent)?;
            batch.put(keys::managed_bytes(&artifact.sha256), &artifact.artifact_id, Expect::Absent)?;
            batch.check(keys::revoked_bytes(&artifact.sha256), Expect::Absent);
            claim_access(context, &mut batch, &artifact).await?;
            (artifact, true)
        }
    };
    upload.artifact_id = Some(artifact.artifact_id);
    if fresh {
        let check = super::external::Check {
            checked_at: context.clock.now_ms(),
            means: proof.means,
            result: super::external::CheckResult::Match,
            code: None,
            message: None,
        };
        batch.put(keys::check(artifact.artifact_id, context.ids.event()?), &check, Expect::Absent)?;
    }
    let after = json!({ "state": "COMPLETED", "artifact_id": artifact.artifact_id, "sha256": artifact.sha256,
        "size_bytes": artifact.size_bytes });
    write_end(context, caller, leased, &upload, "upload.completed", after, batch).await?;
    Ok((artifact, fresh))
}

/// Notes once a day that somebody asked for an artifact that is there: its bytes are not to go while they are wanted.
fn want(context: &Context, batch: &mut Batch, found: Stored<Artifact>) -> Result<Artifact, AppError> {
    let (now, unchanged, mut artifact) = (context.clock.now_ms(), found.unchanged(), found.value);
    let key = keys::artifact(artifact.artifact_id);
    if artifact.created_at.max(artifact.wanted_at.unwrap_or(0)).saturating_add(DAY_MS) > now {
        batch.check(key, unchanged);
    } else {
        artifact.wanted_at = Some(now);
        batch.put(key, &artifact, unchanged)?;
    }
    Ok(artifact)
}

/// Gives an artifact whose bytes were removed those of this upload. What an operator had withheld stays so.
async fn bring_back(
    context: &Context,
    batch: &mut Batch,
    existing: &Stored<Artifact>,
    upload: &Upload,
    proof: &Proof,
) -> Result<Artifact, AppError> {
    let fresh = make(context, upload, existing.value.artifact_id, proof);
    let mut artifact = existing.value.clone();
    artifact.location = fresh.location;
    artifact.verification = fresh.verification;
    artifact.verified_at = fresh.verified_at;
    artifact.removed_at = None;
    artifact.wanted_at = fresh.verified_at;
    if artifact.reason.as_ref().is_some_and(|reason| reason.starts_with(REMOVED)) {
        artifact.state = ArtifactState::Available;
        artifact.reason = None;
    }
    set_state(context, batch, existing, artifact.clone()).await?;
    Ok(artifact)
}

fn make(context: &Context, upload: &Upload, id: ArtifactId, proof: &Proof) -> Artifact {
    let now = context.clock.now_ms();
    Artifact {
        artifact_id: id,
        state: ArtifactState::Available,
        verification: Some(proof.means),
        sha256: upload.sha256,
        size_bytes: upload.size_bytes,
        location: Location::Managed {
            upload_id: upload.upload_id,
            key: proof.key,
            version: proof.stat.version.clone(),
        },
        file_name: upload.file_name.clone(),
        content_type: upload.content_type.clone(),
        access: upload.access,
        labels: upload.labels.clone(),
        registered_by: upload.initiated_by,
        registered_for: upload.initiated_for.clone(),
        created_at: now,
        verified_at: Some(now),
        reason: None,
        revoked_at: None,
        wanted_at: None,
        removed_at: None,
        escrow: None,
        warnings: Vec::new(),
        attempts: Attempts::default(),
        validators: None,
    }
}
