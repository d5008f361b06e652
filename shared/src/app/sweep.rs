//! What is done every minute: uploads whose window closed, leases that lapsed, releases that were left waiting.

use std::sync::Arc;

use serde_json::json;

use super::{
    audit::{self, Entry},
    complete,
    context::Context,
    error::AppError,
    keys, pending,
    store::{Batch, Stored},
    uploads::{self, discard},
};
use crate::{
    domain::{
        artifact::{Artifact, Location},
        ids::{ReleaseId, UploadId},
        multipart::Multipart,
        upload::{ObjectKey, Upload, UploadState},
    },
    ports::{items::Expect, objects::Objects, tasks::Task},
};

/// How long after an upload's end its URLs could still be in use by somebody who began in time.
pub(super) const GRACE_MS: i64 = 3_600_000;

/// Whether leases that have not lapsed are respected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leases {
    /// Somebody may be working under them.
    Held,
    /// At the start of the only process: whoever held them is gone.
    Abandoned,
}

/// Looks at every upload that has not ended and every release that waits. One that fails does not stop the others.
///
/// # Errors
/// Those of the store, where nothing could be looked at.
pub async fn sweep(context: &Context, objects: &Arc<dyn Objects>, leases: Leases) -> Result<(), AppError> {
    for (sort, _) in context.store.query_all::<serde_json::Value>(keys::OPEN_UPLOADS, "").await? {
        let Ok(id) = sort.parse::<UploadId>() else { continue };
        if let Err(error) = sweep_upload(context, objects, id, leases).await {
            tracing::warn!(upload.id = %id, error = %error, "an upload could not be swept");
        }
    }
    for (sort, _) in context.store.query_all::<serde_json::Value>(pending::PENDING, "").await? {
        let Ok(id) = sort.parse::<ReleaseId>() else { continue };
        if let Err(error) = pending::advance(context, id).await {
            tracing::warn!(release.id = %id, error = %error, "a waiting release could not be looked at");
        }
    }
    Ok(())
}

/// Brings one upload to its end, if it is time.
///
/// # Errors
/// Those of the stores.
pub(super) async fn sweep_upload(
    context: &Context,
    objects: &Arc<dyn Objects>,
    id: UploadId,
    leases: Leases,
) -> Result<(), AppError> {
    let now = context.clock.now_ms();
    let Some(found) = context.store.get::<Upload>(keys::upload(id)).await? else {
        return close(context, objects, id, None, None).await;
    };
    let upload = &found.value;
    match upload.state {
        UploadState::Initiated if upload.expires_at <= now => expire(context, &found).await,
        UploadState::Completing
            if leases == Leases::Abandoned || upload.lease.is_none_or(|lease| lease.until <= now) =>
        {
            // A copy that takes long holds up no other upload where there is somebody else to make it.
            if upload.deferred && context.tasks.is_some() {
                if upload.lease.is_some() {
                    complete::let_go(context, &found).await?;
                }
                context.start(&Task::Finish { upload_id: id }).await;
                return Ok(());
            }
            complete::take_over(context, objects, &found).await
        }
        UploadState::Initiated | UploadState::Completing => Ok(()),
        UploadState::Completed | UploadState::Failed | UploadState::Expired | UploadState::Aborted => {
            if upload.expires_at.saturating_add(GRACE_MS) > now {
                return Ok(());
            }
            let served = served(context, upload).await?;
            close(context, objects, id, upload.multipart.as_ref(), served).await
        }
    }
}

async fn expire(context: &Context, found: &Stored<Upload>) -> Result<(), AppError> {
    let mut upload = found.value.clone();
    upload.state = UploadState::Expired;
    let mut batch = Batch::default();
    uploads::put(&mut batch, &upload, found.unchanged())?;
    let subject = upload.upload_id.to_string();
    let (before, after) = (json!({ "state": "INITIATED" }), json!({ "state": "EXPIRED" }));
    let entry = Entry { kind: "upload.expired", subject, before: Some(before), after: Some(after) };
    audit::record(&mut batch, context, None, entry)?;
    context.store.commit(batch).await
}

/// The key of an upload that an artifact is served from, if any.
async fn served(context: &Context, upload: &Upload) -> Result<Option<ObjectKey>, AppError> {
    let Some(id) = upload.artifact_id else { return Ok(None) };
    let artifact = context.store.get::<Artifact>(keys::artifact(id)).await?;
    Ok(artifact.and_then(|artifact| match artifact.value.location {
        Location::Managed { upload_id, key, .. } if upload_id == upload.upload_id => Some(key),
        Location::Managed { .. } | Location::External { .. } => None,
    }))
}

async fn close(
    context: &Context,
    objects: &Arc<dyn Objects>,
    id: UploadId,
    multipart: Option<&Multipart>,
    served: Option<ObjectKey>,
) -> Result<(), AppError> {
    discard(objects, id, multipart, served).await;
    let mut batch = Batch::default();
    batch.delete(keys::open_upload(id), Expect::Anything);
    context.store.commit(batch).await
}
