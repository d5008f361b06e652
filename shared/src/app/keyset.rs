//! The keyset of the deployment: which keys sign its decisions, version by version.

use std::sync::Arc;

use decision::{
    jwk::PublicKey,
    keyset::{Keyset, KeysetKey},
};

use super::{
    context::Context,
    error::AppError,
    keys,
    store::{Batch, Stored, retrying},
};
use crate::ports::items::{Expect, Query};

const DAY: i64 = 86_400;
/// How long a keyset is good for.
const KEYSET_LIFETIME: i64 = 365 * DAY;
/// A keyset that ends sooner than this is renewed at start-up.
const RENEW_BEFORE: i64 = 60 * DAY;
/// How long a key may sign.
const KEY_LIFETIME: i64 = 5 * 365 * DAY;

/// The newest keyset; a first or a renewed one is written where that is needed, with the signing key in it.
///
/// # Errors
/// [`AppError::Internal`] where the signing key was revoked, and those of the store.
pub async fn ensure(context: &Context, key: &PublicKey) -> Result<Arc<Keyset>, AppError> {
    retrying(|| async {
        let newest = newest(context).await?;
        let now = context.clock.now();
        let kid = key.thumbprint();
        if let Some(keyset) = &newest {
            let listed = keyset.get(&kid);
            if listed.is_some_and(|listed| listed.revoked) {
                return Err(AppError::Internal(
                    "the signing key is revoked in the keyset: configure another one",
                ));
            }
            let fresh = keyset.expires.saturating_sub(now) > RENEW_BEFORE;
            if fresh && listed.is_some_and(|listed| listed.exp.saturating_sub(now) > RENEW_BEFORE) {
                return Ok(Arc::new(keyset.clone()));
            }
        }
        let next = renewed(newest, *key, &kid, now);
        let mut batch = Batch::default();
        batch.put(keys::keyset(next.version), &next, Expect::Absent)?;
        context.store.commit(batch).await?;
        Ok(Arc::new(next))
    })
    .await
}

fn renewed(newest: Option<Keyset>, key: PublicKey, kid: &str, now: i64) -> Keyset {
    let mut next =
        newest.unwrap_or(Keyset { v: 1, version: 0, epoch: 1, expires: 0, nonces: false, keys: Vec::new() });
    next.version = next.version.saturating_add(1);
    next.expires = now.saturating_add(KEYSET_LIFETIME);
    let end = now.saturating_add(KEY_LIFETIME);
    match next.keys.iter_mut().find(|listed| listed.kid == kid) {
        Some(listed) => listed.exp = end,
        // A little in the past, for clients whose clocks are behind.
        None => next.keys.push(KeysetKey::new(key, now.saturating_sub(300), end, vec!["*".into()])),
    }
    next
}

async fn newest(context: &Context) -> Result<Option<Keyset>, AppError> {
    let query = Query {
        partition: keys::KEYSETS.into(),
        prefix: String::new(),
        after: None,
        limit: 1,
        descending: true,
    };
    let found = context.store.query::<Keyset>(&query).await?;
    Ok(found.into_iter().next().map(|(_, stored)| stored.value))
}

/// A version of the keyset.
///
/// # Errors
/// [`AppError::NotFound`], and those of the store.
pub async fn version(context: &Context, version: u64) -> Result<Keyset, AppError> {
    let found: Option<Stored<Keyset>> = context.store.get(keys::keyset(version)).await?;
    Ok(found.ok_or(AppError::NotFound)?.value)
}
