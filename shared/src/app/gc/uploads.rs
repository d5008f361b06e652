//! Records of uploads. The sweep ends uploads and removes what they left; here go the records that are left of them.

use std::sync::Arc;

use super::{Outcome, Seen, Verdict, What, page};
use crate::{
    app::{
        context::Context,
        error::AppError,
        keys,
        store::{Batch, Stored},
        sweep::{Leases, sweep_upload},
        uploads::{due, kept_until},
    },
    domain::{
        artifact::{Artifact, Location},
        ids::UploadId,
        upload::{Upload, UploadState},
    },
    ports::{items::Expect, objects::Objects},
};

pub(super) async fn look(
    context: &Context,
    after: Option<String>,
    limit: usize,
) -> Result<(Seen, Option<String>), AppError> {
    let (found, next) = page(context, keys::UPLOADS, after, limit).await?;
    let mut seen = Seen::default();
    for (name, value) in found {
        let (Ok(id), Ok(upload)) = (name.parse::<UploadId>(), serde_json::from_value::<Upload>(value)) else {
            let why = Verdict::Unclear("the record of the upload cannot be read".into());
            seen.note(name, None, 0, why);
            continue;
        };
        let verdict = judge(context, &upload).await;
        seen.note(name, Some(What::Upload(id)), 0, verdict);
    }
    Ok((seen, next))
}

async fn judge(context: &Context, upload: &Upload) -> Verdict {
    let now = context.clock.now_ms();
    match upload.state {
        UploadState::Initiated if upload.expires_at <= now => Verdict::Spare("its time is over".into()),
        UploadState::Initiated | UploadState::Completing => Verdict::Needed,
        _ if kept_until(upload) > now.div_euclid(1_000) => Verdict::Needed,
        UploadState::Failed | UploadState::Expired | UploadState::Aborted => {
            Verdict::Spare("it has ended without an artifact".into())
        }
        UploadState::Completed => completed(context, upload).await,
    }
}

/// The record of a completed upload tells whose its bytes are, and is needed as long as there are any.
async fn completed(context: &Context, upload: &Upload) -> Verdict {
    let Some(id) = upload.artifact_id else {
        return Verdict::Unclear("it is COMPLETED without an artifact".into());
    };
    match context.store.get::<Artifact>(keys::artifact(id)).await {
        Err(_) => Verdict::Unclear(format!("the record of {id} cannot be read")),
        Ok(None) => Verdict::Spare("its artifact was deleted".into()),
        Ok(Some(found)) => match found.value.location {
            Location::Managed { upload_id, .. } if upload_id == upload.upload_id => Verdict::Needed,
            Location::Managed { .. } => Verdict::Spare("its artifact has the bytes of another upload".into()),
            Location::External { .. } => Verdict::Unclear(format!("{id} is not of this upload")),
        },
    }
}

/// Ends an upload whose time is over; removes the record of one that has ended.
pub(super) async fn remove(
    context: &Context,
    objects: &Arc<dyn Objects>,
    id: UploadId,
) -> Result<Outcome, AppError> {
    let Some(found) = context.store.get::<Upload>(keys::upload(id)).await? else {
        return Ok(Outcome::Needed);
    };
    match judge(context, &found.value).await {
        Verdict::Needed => return Ok(Outcome::Needed),
        Verdict::Unclear(why) => return Ok(Outcome::Kept(why)),
        Verdict::Spare(_) => {}
    }
    if found.value.state == UploadState::Initiated {
        return match sweep_upload(context, objects, id, Leases::Held).await {
            Err(AppError::Raced) => Ok(Outcome::Needed),
            swept => swept.map(|_| Outcome::Removed),
        };
    }
    forget(context, id, &found).await
}

async fn forget(context: &Context, id: UploadId, found: &Stored<Upload>) -> Result<Outcome, AppError> {
    let mut batch = Batch::default();
    batch.delete(keys::upload(id), found.unchanged());
    // The sweep may still have to look whether it left something.
    for due in [found.value.expires_at, due(&found.value)] {
        batch.check(keys::open_upload(id, due), Expect::Absent);
    }
    match context.store.commit(batch).await {
        Ok(()) => Ok(Outcome::Removed),
        Err(AppError::Raced) => Ok(Outcome::Needed),
        Err(other) => Err(other),
    }
}
