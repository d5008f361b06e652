//! Revoking releases: for one, or for a version wherever it is.

use serde_json::json;

use super::{
    audit::{self, Entry},
    context::{Caller, Context},
    error::AppError,
    keys, pending, publish, releases,
    store::{Batch, Stored, retrying},
};
use crate::{
    domain::{
        ids::ReleaseId,
        release::{Release, ReleaseStatus, Revocation, VersionUse},
    },
    ports::items::Expect,
};

/// How a release is taken back.
#[derive(Debug, Clone)]
pub struct Order {
    /// Why.
    pub reason: String,
    /// Whether clients on it are led back to an older release.
    pub allow_downgrade: bool,
    /// Whether the version is taken back wherever it is.
    pub all_channels: bool,
}

/// Takes a release back; doing it again changes nothing.
///
/// # Errors
/// [`AppError::NotFound`], [`AppError::ReleaseNotPublished`] for a rejected one, and those of the store.
pub async fn revoke(
    context: &Context,
    caller: &Caller,
    id: ReleaseId,
    order: &Order,
) -> Result<Release, AppError> {
    retrying(|| revoke_once(context, caller, id, order)).await
}

async fn revoke_once(
    context: &Context,
    caller: &Caller,
    id: ReleaseId,
    order: &Order,
) -> Result<Release, AppError> {
    let named = releases::find(context, caller, id).await?;
    if named.value.status == ReleaseStatus::Rejected {
        return Err(AppError::ReleaseNotPublished("rejected"));
    }
    let mut found = vec![named.clone()];
    let mut batch = Batch::default();
    if order.all_channels {
        found.extend(siblings(context, &mut batch, &named.value).await?);
    }
    let revocation = Revocation {
        at: context.clock.now_ms(),
        by: caller.token_id,
        reason: order.reason.clone(),
        allow_downgrade: order.allow_downgrade,
    };
    let mut changed = Vec::new();
    let live = |status| matches!(status, ReleaseStatus::Published | ReleaseStatus::PendingArtifacts);
    for stored in found {
        if live(stored.value.status) {
            changed.push(mark(context, caller, &mut batch, &stored, &revocation)?);
        } else if let Some(before) = stored.value.revocation.clone().filter(|_| order.allow_downgrade) {
            // Revoking again says nothing new, except that its clients may now be led back.
            if !before.allow_downgrade {
                let gained = Revocation { allow_downgrade: true, ..before };
                changed.push(mark(context, caller, &mut batch, &stored, &gained)?);
            }
        }
    }
    if changed.is_empty() {
        return Ok(named.value);
    }
    publish::update(context, &mut batch, &named.value.product_id, &changed).await?;
    context.store.commit(batch).await?;
    let revoked = changed.into_iter().find(|release| release.release_id == id);
    Ok(revoked.unwrap_or(named.value))
}

fn mark(
    context: &Context,
    caller: &Caller,
    batch: &mut Batch,
    stored: &Stored<Release>,
    revocation: &Revocation,
) -> Result<Release, AppError> {
    let id = stored.value.release_id;
    let mut release = stored.value.clone();
    release.status = ReleaseStatus::Revoked;
    release.revocation = Some(revocation.clone());
    batch.put(keys::release(id), &release, stored.unchanged())?;
    if stored.value.status == ReleaseStatus::PendingArtifacts {
        batch.delete(pending::key(id), Expect::Anything);
    }
    let before = Some(json!({ "status": stored.value.status }));
    let after = Some(json!({ "status": "revoked", "reason": revocation.reason,
        "allow_downgrade": revocation.allow_downgrade }));
    let entry = Entry { kind: "release.revoked", subject: id.to_string(), before, after };
    audit::record(batch, context, Some(caller), entry)?;
    Ok(release)
}

/// The releases of the same version in other channels, on condition that none is made meanwhile.
async fn siblings(
    context: &Context,
    batch: &mut Batch,
    release: &Release,
) -> Result<Vec<Stored<Release>>, AppError> {
    let key = keys::version(&release.product_id, &release.version);
    let Some(used) = context.store.get::<VersionUse>(key.clone()).await? else { return Ok(Vec::new()) };
    batch.check(key, used.unchanged());
    let others = used.value.channels.values().filter(|id| **id != release.release_id);
    let keys: Vec<_> = others.map(|id| keys::release(*id)).collect();
    Ok(context.store.get_all::<Release>(&keys).await?.into_iter().flatten().collect())
}
