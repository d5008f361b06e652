//! Uploads to managed storage: initiate, look, abort.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use serde_json::json;

use super::{
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    idempotency::{Claim, Made},
    keys,
    register::same_bytes,
    store::{Batch, Stored, retrying},
    sweep::GRACE_MS,
};
use crate::{
    domain::{
        artifact::Access,
        digest::Sha256,
        ids::UploadId,
        multipart::{MAX_WHOLE_BYTES, Multipart},
        upload::{ObjectKey, Upload, UploadState},
    },
    ports::{
        items::Expect,
        large_objects::{Large, LargeObjects},
        objects::{Objects, UploadDoors, UploadGrant},
    },
};

/// The longest that an upload's URLs are asked to live.
const URL_LIFETIME_MS: i64 = 3_600_000;
/// How long an ended upload can still be looked at, in seconds, before it may be cleaned away.
pub(super) const KEPT_SECONDS: i64 = 30 * 86_400;

/// What an uploader says.
#[derive(Debug, Clone)]
pub struct Initiation {
    /// The digest of the bytes.
    pub sha256: Sha256,
    /// Their size.
    pub size_bytes: u64,
    /// The name a download gets.
    pub file_name: Option<String>,
    /// The media type that the bare PUT must send, and that a download gets.
    pub content_type: Option<String>,
    /// The uploader's own notes.
    pub labels: BTreeMap<String, String>,
    /// Who may download.
    pub access: Access,
    /// Whether its bytes are to come in parts, however few they are.
    pub multipart: bool,
}

/// Begins an upload.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::ArtifactRevoked`], [`AppError::ArtifactExists`], and those of the stores.
pub async fn initiate(
    context: &Context,
    objects: &Arc<dyn Objects>,
    caller: &Caller,
    initiation: &Initiation,
    claim: Option<&Claim>,
) -> Result<(Upload, Option<UploadDoors>), AppError> {
    let largest = context.settings.upload_max_size_bytes;
    if initiation.size_bytes > largest {
        return Err(AppError::invalid("size_bytes", format!("an upload has at most {largest} bytes here")));
    }
    same_bytes(context, &initiation.sha256, initiation.access, None).await?;
    let mut upload = make(context, caller, initiation)?;
    if initiation.multipart {
        in_parts(objects)?;
    }
    // Whatever is larger than every store takes at once comes in parts, where there are any.
    if initiation.multipart || (initiation.size_bytes > MAX_WHOLE_BYTES && objects.large().is_some()) {
        upload.multipart = Some(Multipart::cut(upload.size_bytes, context.settings.least_part_bytes));
    }
    let doors = doors(context, objects, &upload).await?;
    let mut batch = Batch::default();
    put(&mut batch, &upload, Expect::Absent)?;
    batch.put(keys::open_upload(upload.upload_id, upload.expires_at), &json!({}), Expect::Absent)?;
    let after = json!({ "sha256": upload.sha256, "size_bytes": upload.size_bytes, "file_name": upload.file_name,
        "access": upload.access });
    let subject = upload.upload_id.to_string();
    let entry = Entry { kind: "upload.initiated", subject, before: None, after: Some(after) };
    audit::record(&mut batch, context, Some(caller), entry)?;
    if let Some(claim) = claim {
        claim.made(&mut batch, context, Made::Upload(upload.upload_id))?;
    }
    context.store.commit(batch).await?;
    Ok((upload, doors))
}

/// Stores an upload. It may be cleaned away a while after its time, but not once it is COMPLETED: by then it tells which
/// artifact its bytes belong to. The sweep is told of one that is being completed: whoever does may never come to an end.
/// Of all others it knows since they were initiated.
///
/// # Errors
/// [`AppError::Corrupt`]
pub(super) fn put(batch: &mut Batch, upload: &Upload, expect: Expect) -> Result<(), AppError> {
    if upload.state == UploadState::Completing {
        batch.put(keys::open_upload(upload.upload_id, due(upload)), &json!({}), Expect::Anything)?;
    }
    let until = (upload.state != UploadState::Completed).then(|| kept_until(upload));
    batch.put_until(keys::upload(upload.upload_id), upload, expect, until)
}

/// When the sweep has something to do about an upload, Unix milliseconds.
pub(super) fn due(upload: &Upload) -> i64 {
    match upload.state {
        UploadState::Initiated => upload.expires_at,
        // One that nobody holds has been due all along.
        UploadState::Completing => upload.lease.map_or(upload.created_at, |lease| lease.until),
        UploadState::Completed | UploadState::Failed | UploadState::Expired | UploadState::Aborted => {
            upload.expires_at.saturating_add(GRACE_MS)
        }
    }
}

/// Until when the record of an upload is kept at least, Unix seconds.
pub(super) fn kept_until(upload: &Upload) -> i64 {
    upload.expires_at.div_euclid(1_000).saturating_add(KEPT_SECONDS)
}

fn make(context: &Context, caller: &Caller, initiation: &Initiation) -> Result<Upload, AppError> {
    let now = context.clock.now_ms();
    Ok(Upload {
        upload_id: context.ids.upload()?,
        state: UploadState::Initiated,
        sha256: initiation.sha256,
        size_bytes: initiation.size_bytes,
        file_name: initiation.file_name.clone(),
        content_type: initiation.content_type.clone(),
        access: initiation.access,
        labels: initiation.labels.clone(),
        initiated_by: caller.token_id,
        initiated_for: caller.product_id.clone(),
        created_at: now,
        expires_at: now.saturating_add(context.settings.upload_expires_in_ms),
        lease: None,
        fence: 0,
        deferred: false,
        multipart: None,
        hashed: None,
        artifact_id: None,
        failure: None,
    })
}

/// Makes fresh URLs for an upload, which end with it at the latest; none for one that comes in parts.
///
/// # Errors
/// [`AppError::Objects`]
pub async fn doors(
    context: &Context,
    objects: &Arc<dyn Objects>,
    upload: &Upload,
) -> Result<Option<UploadDoors>, AppError> {
    if upload.multipart.is_some() {
        return Ok(None);
    }
    let now = context.clock.now_ms();
    let grant = UploadGrant {
        upload_id: upload.upload_id,
        size_bytes: upload.size_bytes,
        sha256: upload.sha256,
        content_type: upload.content_type.clone(),
        now,
        expires_in: lifetime(upload, now),
    };
    Ok(Some(objects.presign_upload(&grant).await?))
}

/// How long URLs of an upload are asked to live.
pub(super) fn lifetime(upload: &Upload, now: i64) -> Duration {
    let left = upload.expires_at.saturating_sub(now).clamp(0, URL_LIFETIME_MS);
    Duration::from_millis(u64::try_from(left).unwrap_or(0))
}

/// The side of the store that takes uploads in parts.
///
/// # Errors
/// [`AppError::Invalid`] where it takes none.
pub(super) fn in_parts(objects: &Arc<dyn Objects>) -> Result<&dyn LargeObjects, AppError> {
    objects
        .large()
        .ok_or_else(|| AppError::invalid("multipart", "the object store takes no uploads in parts"))
}

/// An upload in parts as its store knows it; `None` while it was not begun.
pub(super) fn large(upload: &Upload) -> Option<Large> {
    let cut = upload.multipart.clone()?;
    let begun = cut.begun.clone()?;
    Some(Large { upload_id: upload.upload_id, size_bytes: upload.size_bytes, cut, begun })
}

/// Asks that an upload has not ended without an artifact: no URL is made for one that has.
///
/// # Errors
/// [`AppError::UploadAborted`], [`AppError::UploadExpired`], [`AppError::UploadFailed`]
pub fn check_not_over(upload: &Upload) -> Result<(), AppError> {
    match upload.state {
        UploadState::Initiated | UploadState::Completing | UploadState::Completed => Ok(()),
        UploadState::Aborted => Err(AppError::UploadAborted),
        UploadState::Expired => Err(AppError::UploadExpired),
        UploadState::Failed => Err(super::complete::failed(upload)),
    }
}

/// Reads an upload that the caller may see; one whose window has closed shows as EXPIRED whatever the record says.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn find(context: &Context, caller: &Caller, id: UploadId) -> Result<Stored<Upload>, AppError> {
    let mut found = context.store.get::<Upload>(keys::upload(id)).await?.ok_or(AppError::NotFound)?;
    let upload = &mut found.value;
    let own = caller.product_id.is_none()
        || upload.initiated_by == caller.token_id
        || upload.initiated_for == caller.product_id;
    if !own {
        return Err(AppError::NotFound);
    }
    if upload.state == UploadState::Initiated && upload.expires_at <= context.clock.now_ms() {
        upload.state = UploadState::Expired;
    }
    Ok(found)
}

/// Ends an upload; aborting an aborted one changes nothing.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::UploadInProgress`], [`AppError::UploadCompleted`], [`AppError::UploadExpired`],
/// [`AppError::UploadFailed`], and those of the stores.
pub async fn abort(
    context: &Context,
    objects: &Arc<dyn Objects>,
    caller: &Caller,
    id: UploadId,
) -> Result<Upload, AppError> {
    let (upload, changed) = retrying(|| async {
        let found = find(context, caller, id).await?;
        match found.value.state {
            UploadState::Initiated => {}
            UploadState::Aborted => return Ok((found.value, false)),
            UploadState::Completing => return Err(AppError::UploadInProgress),
            UploadState::Completed => return Err(AppError::UploadCompleted),
            UploadState::Expired => return Err(AppError::UploadExpired),
            UploadState::Failed => return Err(super::complete::failed(&found.value)),
        }
        let mut upload = found.value.clone();
        upload.state = UploadState::Aborted;
        let mut batch = Batch::default();
        put(&mut batch, &upload, found.unchanged())?;
        let (before, after) = (json!({ "state": "INITIATED" }), json!({ "state": "ABORTED" }));
        let entry = Entry {
            kind: "upload.aborted",
            subject: id.to_string(),
            before: Some(before),
            after: Some(after),
        };
        audit::record(&mut batch, context, Some(caller), entry)?;
        context.store.commit(batch).await?;
        Ok((upload, true))
    })
    .await?;
    if changed {
        discard(objects, id, upload.multipart.as_ref(), None).await;
    }
    Ok(upload)
}

/// Removes what an ended upload has left in the store, but for the key that is served. What cannot be removed now is
/// only a loss of space, so it is logged and no error.
pub async fn discard(
    objects: &Arc<dyn Objects>,
    id: UploadId,
    multipart: Option<&Multipart>,
    served: Option<ObjectKey>,
) {
    if let Some(cut) = multipart {
        discard_parts(objects, id, cut).await;
    }
    let whole = ObjectKey::Whole(id);
    let keys = [ObjectKey::Staging(id), ObjectKey::Locked(id), ObjectKey::Copied(id)];
    let keys = if multipart.is_some() { &[whole][..] } else { &keys[..] };
    for &key in keys {
        if Some(key) == served {
            continue;
        }
        remove(objects, id, key).await;
    }
}

/// Removes what a completed upload has left beside the key that is served. What came through the locked door has no copy,
/// unless its bytes came through the other as well: then the copy is left to the sweep, so that a call is spared.
pub(super) async fn discard_beside(objects: &Arc<dyn Objects>, upload: &Upload, served: ObjectKey) {
    let id = upload.upload_id;
    if served != ObjectKey::Locked(id) {
        return discard(objects, id, upload.multipart.as_ref(), Some(served)).await;
    }
    remove(objects, id, ObjectKey::Staging(id)).await;
}

async fn remove(objects: &Arc<dyn Objects>, id: UploadId, key: ObjectKey) {
    if let Err(error) = objects.delete(&key).await {
        tracing::warn!(upload.id = %id, error = %error, "stored bytes of an ended upload could not be removed");
    }
}

/// What was begun in parts is ended, and the parts with it.
async fn discard_parts(objects: &Arc<dyn Objects>, id: UploadId, cut: &Multipart) {
    let (Some(store), Some(begun)) = (objects.large(), &cut.begun) else { return };
    if let Err(error) = store.abort(id, &begun.store_id).await {
        tracing::warn!(upload.id = %id, error = %error, "stored parts of an ended upload could not be removed");
    }
}
