//! URLs for the parts of an upload, asked for whenever the last ones have died.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    context::{Caller, Context},
    error::AppError,
    store::{Batch, Stored, retrying},
    uploads::{check_not_over, find, in_parts, large, lifetime, put},
};
use crate::{
    domain::{
        digest::Sha256,
        ids::UploadId,
        multipart::{Begun, Multipart},
        upload::{Upload, UploadState},
    },
    ports::{
        large_objects::{PartDoors, PartsGrant, WantedPart},
        objects::Objects,
    },
};

/// A part that somebody wants to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Its number, from 1.
    pub part_number: i64,
    /// Its digest, where the store is to take nothing else.
    pub sha256: Option<Sha256>,
}

/// Makes URLs for parts of an upload. With the first ones the store begins the upload, and it is settled whether its parts
/// come with their digests: no store takes both kinds in one upload.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::Invalid`], [`AppError::UploadInProgress`], [`AppError::UploadCompleted`],
/// [`AppError::UploadExpired`], [`AppError::UploadAborted`], [`AppError::UploadFailed`], and those of the stores.
pub async fn doors(
    context: &Context,
    objects: &Arc<dyn Objects>,
    caller: &Caller,
    id: UploadId,
    wanted: &[Wanted],
) -> Result<PartDoors, AppError> {
    let store = in_parts(objects)?;
    let (upload, parts) = retrying(|| async {
        let found = find(context, caller, id).await?;
        check_not_over(&found.value)?;
        match found.value.state {
            UploadState::Completing => return Err(AppError::UploadInProgress),
            UploadState::Completed => return Err(AppError::UploadCompleted),
            _ => {}
        }
        let cut = found.value.multipart.as_ref().ok_or_else(|| {
            AppError::invalid("parts", "this upload takes its bytes at once: PUT them to its `upload_url`")
        })?;
        let parts = read(&found.value, cut, wanted)?;
        let checksums = parts.iter().all(|part| part.sha256.is_some());
        if cut.begun.is_some() {
            return Ok((found.value, parts));
        }
        // Of two at once one is written down; the other's beginning, of which nobody hears, stays empty.
        let store_id = store.begin(id, checksums).await?;
        let begun = begin(context, found, Begun { store_id, checksums }).await?;
        Ok((begun, parts))
    })
    .await?;
    let now = context.clock.now_ms();
    let large = large(&upload).ok_or(AppError::Internal("an upload was begun and is not"))?;
    let grant = PartsGrant { large, parts, now, expires_in: lifetime(&upload, now) };
    Ok(store.presign_parts(&grant).await?)
}

async fn begin(context: &Context, found: Stored<Upload>, begun: Begun) -> Result<Upload, AppError> {
    let unchanged = found.unchanged();
    let mut upload = found.value;
    if let Some(cut) = &mut upload.multipart {
        cut.begun = Some(begun);
    }
    let mut batch = Batch::default();
    put(&mut batch, &upload, unchanged)?;
    context.store.commit(batch).await?;
    Ok(upload)
}

/// Holds what is wanted to how the upload is cut.
fn read(upload: &Upload, cut: &Multipart, wanted: &[Wanted]) -> Result<Vec<WantedPart>, AppError> {
    let mut seen = BTreeSet::new();
    let checksums = cut.begun.as_ref().map(|begun| begun.checksums);
    let checksums = checksums.or_else(|| wanted.first().map(|part| part.sha256.is_some()));
    let part = |(place, part): (usize, &Wanted)| {
        let refused = |member, rule: String| Err(AppError::invalid(format!("parts[{place}].{member}"), rule));
        let known = u32::try_from(part.part_number).ok();
        let size = known.and_then(|number| Some((number, cut.part_bytes(upload.size_bytes, number)?)));
        let Some((part_number, size_bytes)) = size else {
            return refused("part_number", format!("this upload has the parts 1 to {}", cut.part_count));
        };
        if !seen.insert(part_number) {
            return refused("part_number", "each part is named once in a request".into());
        }
        if Some(part.sha256.is_some()) != checksums {
            return refused(
                "sha256",
                "either every part of an upload comes with its digest, or none does".into(),
            );
        }
        Ok(WantedPart { part_number, size_bytes, sha256: part.sha256 })
    };
    wanted.iter().enumerate().map(part).collect()
}
