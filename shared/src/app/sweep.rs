//! What is done every minute: uploads whose window closed, leases that lapsed, releases that were left waiting.

use std::sync::Arc;

use serde_json::json;

use super::{
    audit::{self, Entry},
    complete,
    context::Context,
    error::AppError,
    keys, pending,
    store::{Batch, Stored, all},
    uploads::{self, discard},
};
use crate::{
    domain::{
        artifact::{Artifact, Location},
        ids::{ReleaseId, UploadId},
        upload::{ObjectKey, Upload, UploadState},
    },
    ports::{
        items::{Expect, Query},
        objects::Objects,
        tasks::Task,
    },
};

/// How long after an upload's end its URLs could still be in use by somebody who began in time.
pub(super) const GRACE_MS: i64 = 3_600_000;
/// How many uploads are asked for at once.
const PAGE: usize = 100;
/// How many times one sweep asks for more: what is left is due in the next, a minute later.
const PAGES_A_SWEEP: usize = 10;
/// How long after a look that did not end an upload which is due it is looked at again, in milliseconds.
const RETRY_MS: i64 = 50_000;

/// Whether leases that have not lapsed are respected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leases {
    /// Somebody may be working under them.
    Held,
    /// At the start of the only process: whoever held them is gone.
    Abandoned,
}

/// Looks at every upload for which it is time and every release that waits. One that fails does not stop the others.
///
/// # Errors
/// Those of the store, where nothing could be looked at.
pub async fn sweep(context: &Context, objects: &Arc<dyn Objects>, leases: Leases) -> Result<(), AppError> {
    sweep_uploads(context, objects, leases).await?;
    for (sort, _) in context.store.query_all::<serde_json::Value>(pending::PENDING, "").await? {
        let Ok(id) = sort.parse::<ReleaseId>() else { continue };
        if let Err(error) = pending::advance(context, id).await {
            tracing::warn!(release.id = %id, error = %error, "a waiting release could not be looked at");
        }
    }
    Ok(())
}

/// Looks at the uploads that are due, the longest first, and at so many that the next sweep is not waited for.
async fn sweep_uploads(
    context: &Context,
    objects: &Arc<dyn Objects>,
    leases: Leases,
) -> Result<(), AppError> {
    let now = context.clock.now_ms();
    let mut query = Query { limit: PAGE, ..all(keys::OPEN_UPLOADS, "") };
    for _ in 0..if leases == Leases::Held { PAGES_A_SWEEP } else { usize::MAX } {
        let page = context.store.query::<serde_json::Value>(&query).await?;
        for (sort, mark) in &page {
            let Some((due, id)) = keys::read_open_upload(sort) else { continue };
            if due > now && leases == Leases::Held {
                return Ok(());
            }
            sweep_marked(context, objects, (id, due, mark.unchanged()), leases).await;
        }
        if page.len() < query.limit {
            break;
        }
        query.after = page.last().map(|(sort, _)| sort.clone());
    }
    Ok(())
}

/// Looks at one upload, and notes when it is to be looked at again.
async fn sweep_marked(
    context: &Context,
    objects: &Arc<dyn Objects>,
    (id, due, unchanged): (UploadId, i64, Expect),
    leases: Leases,
) {
    let next = sweep_upload(context, objects, id, leases).await.unwrap_or_else(|error| {
        tracing::warn!(upload.id = %id, error = %error, "an upload could not be swept");
        // Those behind it are not to wait for it.
        Some(context.clock.now_ms().saturating_add(RETRY_MS))
    });
    if next == Some(due) {
        return;
    }
    let mut batch = Batch::default();
    batch.delete(keys::open_upload(id, due), unchanged);
    let marked = next.map(|next| batch.put(keys::open_upload(id, next), &json!({}), Expect::Anything));
    let moved = match marked.transpose() {
        Ok(_) => context.store.commit(batch).await,
        Err(error) => Err(error),
    };
    match moved {
        // Somebody has marked it anew meanwhile: then it is looked at once more.
        Ok(()) | Err(AppError::Raced) => {}
        Err(error) => tracing::warn!(upload.id = %id, error = %error, "an upload will be swept again"),
    }
}

/// Brings one upload to its end, if it is time; when it is to be looked at again, Unix milliseconds, or `None` for never.
///
/// # Errors
/// Those of the stores.
pub(super) async fn sweep_upload(
    context: &Context,
    objects: &Arc<dyn Objects>,
    id: UploadId,
    leases: Leases,
) -> Result<Option<i64>, AppError> {
    let now = context.clock.now_ms();
    let Some(found) = context.store.get::<Upload>(keys::upload(id)).await? else {
        discard(objects, id, None, None).await;
        return Ok(None);
    };
    let upload = &found.value;
    match upload.state {
        UploadState::Initiated if upload.expires_at <= now => expire(context, &found).await.map(Some),
        UploadState::Completing
            if leases == Leases::Abandoned || upload.lease.is_none_or(|lease| lease.until <= now) =>
        {
            // A copy that takes long holds up no other upload where there is somebody else to make it.
            if upload.deferred && context.tasks.is_some() {
                if upload.lease.is_some() {
                    complete::let_go(context, &found).await?;
                }
                context.start(&Task::Finish { upload_id: id }).await;
                return Ok(Some(now.saturating_add(RETRY_MS)));
            }
            complete::take_over(context, objects, &found).await?;
            let left = context.store.get::<Upload>(keys::upload(id)).await?;
            Ok(left.map(|left| uploads::due(&left.value)))
        }
        UploadState::Initiated | UploadState::Completing => Ok(Some(uploads::due(upload))),
        UploadState::Completed | UploadState::Failed | UploadState::Expired | UploadState::Aborted => {
            let due = uploads::due(upload);
            if due > now {
                return Ok(Some(due));
            }
            let served = served(context, upload).await?;
            discard(objects, id, upload.multipart.as_ref(), served).await;
            Ok(None)
        }
    }
}

async fn expire(context: &Context, found: &Stored<Upload>) -> Result<i64, AppError> {
    let mut upload = found.value.clone();
    upload.state = UploadState::Expired;
    let mut batch = Batch::default();
    uploads::put(&mut batch, &upload, found.unchanged())?;
    let subject = upload.upload_id.to_string();
    let (before, after) = (json!({ "state": "INITIATED" }), json!({ "state": "EXPIRED" }));
    let entry = Entry { kind: "upload.expired", subject, before: Some(before), after: Some(after) };
    audit::record(&mut batch, context, None, entry)?;
    context.store.commit(batch).await?;
    Ok(uploads::due(&upload))
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
