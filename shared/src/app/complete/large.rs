//! Uploads whose proof takes longer than their uploader waits: a task goes on with what `complete` began.

use std::sync::Arc;

use super::{Completed, Free, LEASE_MS, conclude, fail, finish, free, lease, parts, proof};
use crate::{
    app::{
        context::{Caller, Context},
        error::AppError,
        keys,
        store::{Batch, Stored},
        uploads,
    },
    domain::{
        ids::UploadId,
        upload::{Failure, FailureCode, ObjectKey, Upload, UploadState},
    },
    ports::{objects::Objects, tasks::Task},
};

/// How long a task has for an upload: longer than a function may run.
pub(super) const TASK_LEASE_MS: i64 = 960_000;

/// Completes an upload that is proved already, and leaves any other to a task.
pub(super) async fn complete(
    context: &Context,
    objects: &Arc<dyn Objects>,
    caller: &Caller,
    leased: Stored<Upload>,
) -> Result<Completed, AppError> {
    let id = leased.value.upload_id;
    match proof::at_hand(objects, &leased.value).await {
        Ok(Some(proof)) if proof.wants_reading(objects, &leased.value) => {
            return put_off(context, leased).await;
        }
        Ok(Some(proof)) => {
            let artifact = conclude(context, objects, Some(caller), &leased, proof).await?;
            return Ok(Completed::Artifact(Box::new(artifact)));
        }
        Ok(None) => {}
        Err(error) => {
            free(context, &leased, Free::ToAnybody).await?;
            return Err(error.into());
        }
    }
    let staged = match proof::found(objects, ObjectKey::Staging(id)).await {
        Ok(Some(staged)) => staged,
        Ok(None) => {
            free(context, &leased, Free::ToAnybody).await?;
            return Err(AppError::ObjectNotUploaded);
        }
        Err(error) => {
            free(context, &leased, Free::ToAnybody).await?;
            return Err(error.into());
        }
    };
    if staged.size_bytes != leased.value.size_bytes {
        let message = proof::wrong_size(&leased.value, staged.size_bytes);
        let failure = Failure { code: FailureCode::SizeMismatch, message };
        return Err(fail(context, objects, Some(caller), &leased, failure).await);
    }
    put_off(context, leased).await
}

/// Gives the lease to whichever task comes first.
pub(super) async fn put_off(context: &Context, leased: Stored<Upload>) -> Result<Completed, AppError> {
    let mut upload = leased.value.clone();
    upload.state = UploadState::Completing;
    upload.deferred = true;
    upload.lease = None;
    let mut batch = Batch::default();
    uploads::put(&mut batch, &upload, leased.unchanged())?;
    match context.store.commit(batch).await {
        Ok(()) => Ok(later(context, &upload, true).await),
        Err(AppError::Raced) => Err(AppError::UploadInProgress),
        Err(other) => Err(other),
    }
}

/// The answer to whoever completes an upload that is left to a task; `untouched` where no task is at work.
pub(super) async fn later(context: &Context, upload: &Upload, untouched: bool) -> Completed {
    if untouched {
        context.start(&Task::Finish { upload_id: upload.upload_id }).await;
    }
    Completed::Later(Box::new(upload.clone()))
}

/// Goes on with an upload whose completion was begun, unless somebody is at it. How the upload ends is not told here:
/// its record says so.
///
/// # Errors
/// Those of the stores: trying again may help.
pub async fn resume(context: &Context, objects: &Arc<dyn Objects>, id: UploadId) -> Result<(), AppError> {
    let Some(found) = context.store.get::<Upload>(keys::upload(id)).await? else { return Ok(()) };
    let now = context.clock.now_ms();
    let held = found.value.lease.is_some_and(|lease| lease.until > now);
    if found.value.state != UploadState::Completing || held {
        return Ok(());
    }
    take_over(context, objects, &found).await
}

/// Takes the lease from whoever held it and is gone.
pub(in crate::app) async fn let_go(context: &Context, found: &Stored<Upload>) -> Result<(), AppError> {
    let mut upload = found.value.clone();
    upload.lease = None;
    let mut batch = Batch::default();
    uploads::put(&mut batch, &upload, found.unchanged())?;
    context.store.commit(batch).await
}

/// Takes a lease that nobody holds, and finishes.
pub(in crate::app) async fn take_over(
    context: &Context,
    objects: &Arc<dyn Objects>,
    found: &Stored<Upload>,
) -> Result<(), AppError> {
    let lasting = if found.value.deferred { TASK_LEASE_MS } else { LEASE_MS };
    let leased = match lease(context, found, lasting).await {
        Err(AppError::UploadInProgress) => return Ok(()),
        leased => leased?,
    };
    let done = if leased.value.multipart.is_some() {
        parts::work(context, objects, leased).await
    } else {
        finish(context, objects, None, leased).await.map(drop)
    };
    match done {
        Err(error @ (AppError::Items(_) | AppError::Objects(_) | AppError::Busy)) => Err(error),
        // Whatever else came of it was written down.
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The store says that an object is there, which may be true or not, late, or said before: its proof is begun, so that
/// complete mostly finds it done, and what complete has begun is finished. Nobody's upload is completed by this.
///
/// # Errors
/// Those of the stores: trying again may help.
pub async fn arrived(context: &Context, objects: &Arc<dyn Objects>, key: ObjectKey) -> Result<(), AppError> {
    let id = key.upload_id();
    let Some(found) = context.store.get::<Upload>(keys::upload(id)).await? else { return Ok(()) };
    match (found.value.state, key) {
        (UploadState::Completing, _) => resume(context, objects, id).await,
        (UploadState::Initiated, ObjectKey::Staging(_)) => {
            if found.value.expires_at <= context.clock.now_ms() {
                return Ok(());
            }
            let staged = proof::found(objects, key).await?;
            if staged.is_some_and(|staged| staged.size_bytes == found.value.size_bytes) {
                proof::prove(objects, &found.value).await?;
            }
            Ok(())
        }
        _ => Ok(()),
    }
}
