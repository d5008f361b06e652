//! Uploads that come in parts: the store puts them together, and a task hashes the whole by reading it, slice by slice.
//! After each slice the hash is put down in the upload's record, under the fence, so that another goes on from there.

use std::sync::Arc;

use futures_util::StreamExt as _;

use super::{
    Completed, Free, conclude, free,
    large::{TASK_LEASE_MS, put_off},
    proof::Proof,
};
use crate::{
    app::{
        context::Context,
        error::AppError,
        store::{Batch, Stored},
        uploads::{self, in_parts, large},
    },
    domain::{
        artifact::Verification,
        digest::Sha256,
        hashing::Hashing,
        upload::{Hashed, Lease, ObjectKey, Upload},
    },
    ports::{
        items::Expect,
        large_objects::{Bytestream, Held, LargeObjects},
        objects::{ObjectError, ObjectStat, Objects},
        tasks::Task,
    },
};

/// Leaves an upload to a task if all its parts are there.
pub(super) async fn complete(
    context: &Context,
    objects: &Arc<dyn Objects>,
    found: Stored<Upload>,
) -> Result<Completed, AppError> {
    let held = if let Some(large) = large(&found.value) {
        in_parts(objects)?.held(&large).await?
    } else {
        // No URL was asked for yet.
        let parts = found.value.multipart.as_ref().map_or(0, |cut| cut.part_count);
        Held::Lacks((1..=parts).collect())
    };
    match held {
        Held::Whole(_) | Held::AllParts => put_off(context, found).await,
        Held::Lacks(parts) => Err(AppError::PartsMissing(parts)),
    }
}

/// What became of a turn at reading.
enum Turn {
    /// The upload, still leased, and what its bytes have as their digest.
    Done(Box<Stored<Upload>>, Sha256),
    /// Another task goes on: time was up, or somebody has taken over.
    Over,
}

/// When a turn that begins now ends, Unix milliseconds.
pub(super) fn ends(context: &Context) -> i64 {
    context.clock.now_ms().saturating_add(context.settings.slice_budget_ms)
}

/// Assembles and hashes, as far as the time of one turn allows.
pub(super) async fn work(
    context: &Context,
    objects: &Arc<dyn Objects>,
    leased: Stored<Upload>,
) -> Result<(), AppError> {
    let (store, ends) = (in_parts(objects)?, ends(context));
    let large =
        large(&leased.value).ok_or(AppError::Internal("an upload was completed before it was begun"))?;
    let stat = match store.assemble(&large).await {
        Ok(Held::Whole(stat)) => stat,
        Ok(Held::AllParts | Held::Lacks(_)) => return free(context, &leased, Free::ToAnybody).await,
        Err(error) => {
            free(context, &leased, Free::ToTasks).await?;
            return Err(error.into());
        }
    };
    // Stores tell no digest of what came in parts, so that it is always read.
    let proof = Proof { key: ObjectKey::Whole(large.upload_id), stat, means: Verification::Fetched };
    match read(context, objects, leased, proof, ends).await? {
        Some((leased, proof)) => conclude(context, objects, None, &leased, proof).await.map(drop),
        None => Ok(()),
    }
}

/// Reads what is stored where only that can prove it, as far as the time of one turn allows. Answers with nothing where
/// another goes on: time was up, or somebody has taken over.
pub(super) async fn read(
    context: &Context,
    objects: &Arc<dyn Objects>,
    leased: Stored<Upload>,
    proof: Proof,
    ends: i64,
) -> Result<Option<(Stored<Upload>, Proof)>, AppError> {
    // Bytes of another number need not be read.
    if !proof.wants_reading(objects, &leased.value) {
        return Ok(Some((leased, proof)));
    }
    let store = in_parts(objects)?;
    match hash(context, store, leased, &proof, ends).await? {
        Turn::Over => Ok(None),
        Turn::Done(leased, sha256) => {
            let stat = ObjectStat { sha256: Some(sha256), ..proof.stat };
            Ok(Some((*leased, Proof { stat, means: Verification::Fetched, ..proof })))
        }
    }
}

/// Hashes from where the last turn has ended.
async fn hash(
    context: &Context,
    store: &dyn LargeObjects,
    leased: Stored<Upload>,
    Proof { key, stat, .. }: &Proof,
    ends: i64,
) -> Result<Turn, AppError> {
    let hashing = taken_up(&leased.value, stat);
    match store.read(key, stat.version.as_deref(), hashing.bytes()).await {
        Ok(bytes) => Slices { context, stat, leased, hashing, ends }.run(bytes).await,
        Err(error) => {
            free(context, &leased, Free::ToTasks).await?;
            Err(error.into())
        }
    }
}

fn taken_up(upload: &Upload, stat: &ObjectStat) -> Hashing {
    let same = upload.hashed.as_ref().filter(|hashed| hashed.version == stat.version);
    same.and_then(|hashed| Hashing::resume(&hashed.saved)).unwrap_or_default()
}

struct Slices<'a> {
    context: &'a Context,
    stat: &'a ObjectStat,
    leased: Stored<Upload>,
    hashing: Hashing,
    /// When the turn ends, Unix milliseconds.
    ends: i64,
}

impl Slices<'_> {
    async fn run(mut self, mut bytes: Bytestream) -> Result<Turn, AppError> {
        let slice = self.context.settings.slice_bytes;
        let mut next = self.hashing.bytes().saturating_add(slice);
        let torn = loop {
            match bytes.next().await {
                Some(Ok(piece)) => self.hashing.update(&piece),
                Some(Err(error)) => break Some(error),
                None => break None,
            }
            if self.hashing.bytes() >= next {
                let time_is_up = self.context.clock.now_ms() >= self.ends;
                if !self.put_down(!time_is_up).await? {
                    return Ok(Turn::Over);
                }
                if time_is_up {
                    let upload_id = self.leased.value.upload_id;
                    self.context.start(&Task::Finish { upload_id }).await;
                    return Ok(Turn::Over);
                }
                next = self.hashing.bytes().saturating_add(slice);
            }
        };
        if torn.is_none() && self.hashing.bytes() == self.stat.size_bytes {
            return Ok(Turn::Done(Box::new(self.leased), self.hashing.finish()));
        }
        self.put_down(false).await?;
        let cause = torn.unwrap_or_else(|| std::io::ErrorKind::UnexpectedEof.into());
        Err(ObjectError::Unavailable(cause.into()).into())
    }

    /// Writes down how far the hash has come, and keeps the lease or gives it back; `false` where it is not ours any more.
    async fn put_down(&mut self, keep: bool) -> Result<bool, AppError> {
        let upload = &mut self.leased.value;
        upload.hashed = Some(Hashed { saved: self.hashing.save(), version: self.stat.version.clone() });
        let until = self.context.clock.now_ms().saturating_add(TASK_LEASE_MS);
        upload.lease = keep.then_some(Lease { until });
        let mut batch = Batch::default();
        uploads::put(&mut batch, upload, Expect::Revision(self.leased.revision))?;
        match self.context.store.commit(batch).await {
            Ok(()) => {
                self.leased.revision = self.leased.revision.saturating_add(1);
                Ok(true)
            }
            Err(AppError::Raced) => Ok(false),
            Err(other) => Err(other),
        }
    }
}
