//! `Idempotency-Key`: the same request again gives the same thing again, for 24 hours.

use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::{
    context::{Caller, Context},
    error::AppError,
    keys,
    store::{Batch, Stored, unchanged},
};
use crate::{
    domain::{
        digest::Sha256,
        ids::{ArtifactId, ReleaseId, UploadId},
        names::ProductId,
    },
    ports::items::{Expect, Key},
};

const KEPT_MS: i64 = 24 * 3_600_000;
const LEASE_MS: i64 = 60_000;

/// What a request made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// An artifact.
    Artifact(ArtifactId),
    /// Nothing new: the artifact was there.
    KnownArtifact(ArtifactId),
    /// An upload.
    Upload(UploadId),
    /// A product.
    Product(ProductId),
    /// A release.
    Release(ReleaseId),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    body: Sha256,
    /// What was made; `None` while the first request has not ended.
    made: Option<Made>,
    /// When this ends: the lease of a request in progress, or the memory of one that ended. Unix milliseconds.
    until: i64,
}

/// How a request with a key begins.
#[derive(Debug)]
pub enum Begun {
    /// It is the first: do it, with this claim in the creating transaction.
    First(Claim),
    /// It was done before, and made this.
    Again(Made),
}

/// The right to be the first.
#[derive(Debug, Clone)]
pub struct Claim {
    key: Key,
    body: Sha256,
    revision: u64,
}

/// Begins a request that carries a key.
///
/// # Errors
/// [`AppError::IdempotencyKeyReused`], [`AppError::IdempotencyInProgress`], and those of the store.
pub async fn begin(
    context: &Context,
    caller: &Caller,
    (method, path): (&str, &str),
    key: &str,
    body: &[u8],
) -> Result<Begun, AppError> {
    let key = keys::idempotency(caller.token_id, method, path, key);
    let body = Sha256::from_bytes(sha2::Sha256::digest(body).into());
    let now = context.clock.now_ms();
    let found: Option<Stored<Record>> = context.store.get(key.clone()).await?;
    if let Some(Stored { value, .. }) = found.as_ref().filter(|record| record.value.until > now) {
        return match &value.made {
            Some(_) | None if value.body != body => Err(AppError::IdempotencyKeyReused),
            Some(made) => Ok(Begun::Again(made.clone())),
            None => Err(AppError::IdempotencyInProgress),
        };
    }
    let record = Record { body, made: None, until: now.saturating_add(LEASE_MS) };
    let mut batch = Batch::default();
    put(&mut batch, key.clone(), &record, unchanged(found.as_ref()))?;
    match context.store.commit(batch).await {
        Err(AppError::Raced) => Err(AppError::IdempotencyInProgress),
        Err(other) => Err(other),
        Ok(()) => {
            let revision = found.map_or(1, |record| record.revision.saturating_add(1));
            Ok(Begun::First(Claim { key, body, revision }))
        }
    }
}

fn put(batch: &mut Batch, key: Key, record: &Record, expect: Expect) -> Result<(), AppError> {
    batch.put_until(key, record, expect, Some(record.until.div_euclid(1000).saturating_add(1)))
}

impl Claim {
    /// Adds to the creating transaction what it makes.
    ///
    /// # Errors
    /// [`AppError::Corrupt`]
    pub fn made(&self, batch: &mut Batch, context: &Context, made: Made) -> Result<(), AppError> {
        let until = context.clock.now_ms().saturating_add(KEPT_MS);
        let record = Record { body: self.body, made: Some(made), until };
        put(batch, self.key.clone(), &record, Expect::Revision(self.revision))
    }

    /// Gives the key back after a request that made nothing: refusals are not kept.
    pub async fn release(self, context: &Context) {
        let mut batch = Batch::default();
        batch.delete(self.key, Expect::Revision(self.revision));
        if let Err(error) = context.store.commit(batch).await {
            tracing::warn!(error = %error, "an idempotency key stays claimed until its lease ends");
        }
    }
}
