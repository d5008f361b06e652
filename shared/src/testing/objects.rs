//! An object store that fails on demand.

use std::{
    collections::VecDeque,
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::gate::Trouble;
use crate::{
    domain::{digest::Sha256, ids::UploadId, upload::ObjectKey},
    ports::{
        large_objects::{Bytestream, Held, Large, LargeObjects, PartDoors, PartsGrant},
        objects::{
            Area, Download, DownloadRequest, Draft, Listed, Listing, ObjectError, ObjectStat, Objects, Thing,
            UploadDoors, UploadGrant,
        },
    },
};

/// What is asked of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// [`Objects::stat`]
    Stat,
    /// [`Objects::presign_upload`]
    Presign,
    /// [`Objects::promote`]
    Promote,
    /// [`Objects::download`]
    Download,
    /// [`Objects::delete`]
    Delete,
    /// [`Objects::erase`]
    Erase,
    /// [`Objects::list`]
    List,
    /// [`Objects::list`] of the marks that say whose the store is
    ListMarks,
    /// [`Objects::keep`]
    Keep,
    /// [`LargeObjects::begin`]
    Begin,
    /// [`LargeObjects::held`]
    Held,
    /// [`LargeObjects::assemble`]
    Assemble,
    /// [`LargeObjects::abort`]
    Abort,
    /// [`LargeObjects::read`]
    Read,
}

/// An object store that fails where it is told to.
#[derive(Debug)]
pub struct FailingObjects {
    inner: Arc<dyn Objects>,
    plan: Mutex<Plan>,
}

#[derive(Debug, Default)]
struct Plan {
    orders: Vec<(Step, Trouble)>,
    /// What the next copies are said to have as their digests.
    proofs: VecDeque<Option<Sha256>>,
    /// After how many bytes the next reads break off.
    torn: VecDeque<u64>,
    /// From which bytes on was read.
    reads: Vec<u64>,
    /// Whether it tells no digest, and sends clients elsewhere.
    mute: bool,
    /// Drafts that somebody has left, and when (Unix milliseconds).
    left: Vec<(ObjectKey, i64)>,
}

impl FailingObjects {
    /// A store without trouble so far.
    pub fn new(inner: Arc<dyn Objects>) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// Troubles the next call of this kind; ordered twice, the one after it too.
    pub fn on(&self, step: Step, trouble: Trouble) {
        self.plan().orders.push((step, trouble));
    }

    /// Answers the next promote with a copy of another digest, or of none.
    pub fn next_copy_proves(&self, sha256: Option<Sha256>) {
        self.plan().proofs.push_back(sha256);
    }

    /// It has a draft that somebody began then, and left.
    pub fn has_left(&self, key: ObjectKey, at: i64) {
        self.plan().left.push((key, at));
    }

    /// The drafts that were left and are still there.
    pub fn left(&self) -> Vec<ObjectKey> {
        self.plan().left.iter().map(|(key, _)| *key).collect()
    }

    /// From now on it tells the digest of nothing and hands out URLs, as some stores that speak S3 do.
    pub fn becomes_mute(&self) {
        self.plan().mute = true;
    }

    fn told(&self, stat: ObjectStat) -> ObjectStat {
        let sha256 = stat.sha256.filter(|_| !self.plan().mute);
        ObjectStat { sha256, ..stat }
    }

    /// Breaks the next read off after so many bytes, which come one by one.
    pub fn next_read_breaks_after(&self, bytes: u64) {
        self.plan().torn.push_back(bytes);
    }

    /// From which bytes on was read so far, in this order.
    pub fn reads(&self) -> Vec<u64> {
        self.plan().reads.clone()
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn troubled<T: Send>(
        &self,
        step: Step,
        work: impl Future<Output = Result<T, ObjectError>> + Send,
    ) -> Result<T, ObjectError> {
        let trouble = {
            let mut plan = self.plan();
            let place = plan.orders.iter().position(|(ordered, _)| *ordered == step);
            place.map(|place| plan.orders.remove(place).1)
        };
        if !Trouble::before(trouble.as_ref()).await {
            return Err(ObjectError::Unavailable("the store did nothing".into()));
        }
        let outcome = work.await;
        let heard = Trouble::after(trouble.as_ref()).await;
        if heard { outcome } else { Err(ObjectError::Unavailable("the answer was lost".into())) }
    }
}

#[async_trait]
impl Objects for FailingObjects {
    async fn stat(&self, key: &ObjectKey) -> Result<ObjectStat, ObjectError> {
        self.troubled(Step::Stat, self.inner.stat(key)).await.map(|stat| self.told(stat))
    }

    async fn presign_upload(&self, grant: &UploadGrant) -> Result<UploadDoors, ObjectError> {
        self.troubled(Step::Presign, self.inner.presign_upload(grant)).await
    }

    async fn promote(&self, upload_id: UploadId) -> Result<ObjectStat, ObjectError> {
        let mut stat = self.told(self.troubled(Step::Promote, self.inner.promote(upload_id)).await?);
        if let Some(sha256) = self.plan().proofs.pop_front() {
            stat.sha256 = sha256;
        }
        Ok(stat)
    }

    async fn download(&self, request: &DownloadRequest) -> Result<Download, ObjectError> {
        let download = self.troubled(Step::Download, self.inner.download(request)).await?;
        if self.plan().mute {
            return Ok(Download::Redirect("https://bucket.example.com/signed".into()));
        }
        Ok(download)
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.troubled(Step::Delete, self.inner.delete(key)).await
    }

    async fn erase(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.troubled(Step::Erase, self.inner.erase(key)).await
    }

    async fn keep(&self, key: &ObjectKey, size_bytes: u64) -> Result<Box<dyn Draft>, ObjectError> {
        self.troubled(Step::Keep, self.inner.keep(key, size_bytes)).await
    }

    async fn list(&self, area: Area, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        let step = if area == Area::Deployment { Step::ListMarks } else { Step::List };
        let mut listing = self.troubled(step, self.inner.list(area, after, limit)).await?;
        if area == Area::Parts && after.is_none() {
            listing.found.extend(self.plan().left.iter().map(|(key, at)| Listed {
                thing: Thing::Draft { key: *key, store_id: "left".into() },
                name: key.to_string(),
                size_bytes: 0,
                at: Some(*at),
            }));
        }
        Ok(listing)
    }

    async fn discard(&self, key: &ObjectKey, _: &str) -> Result<(), ObjectError> {
        self.plan().left.retain(|(left, _)| left != key);
        Ok(())
    }

    fn large(&self) -> Option<&dyn LargeObjects> {
        self.inner.large().map(|_| self as _)
    }
}

fn no_parts() -> ObjectError {
    ObjectError::Unavailable("the store takes no parts".into())
}

#[async_trait]
impl LargeObjects for FailingObjects {
    async fn begin(&self, upload_id: UploadId, checksums: bool) -> Result<String, ObjectError> {
        let inner = self.inner.large().ok_or_else(no_parts)?;
        self.troubled(Step::Begin, inner.begin(upload_id, checksums)).await
    }

    async fn presign_parts(&self, grant: &PartsGrant) -> Result<PartDoors, ObjectError> {
        let inner = self.inner.large().ok_or_else(no_parts)?;
        self.troubled(Step::Presign, inner.presign_parts(grant)).await
    }

    async fn held(&self, large: &Large) -> Result<Held, ObjectError> {
        let inner = self.inner.large().ok_or_else(no_parts)?;
        self.troubled(Step::Held, inner.held(large)).await
    }

    async fn assemble(&self, large: &Large) -> Result<Held, ObjectError> {
        let inner = self.inner.large().ok_or_else(no_parts)?;
        self.troubled(Step::Assemble, inner.assemble(large)).await
    }

    async fn abort(&self, upload_id: UploadId, store_id: &str) -> Result<(), ObjectError> {
        let inner = self.inner.large().ok_or_else(no_parts)?;
        self.troubled(Step::Abort, inner.abort(upload_id, store_id)).await
    }

    async fn read(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        from: u64,
    ) -> Result<Bytestream, ObjectError> {
        let inner = self.inner.large().ok_or_else(no_parts)?;
        let torn = {
            let mut plan = self.plan();
            plan.reads.push(from);
            plan.torn.pop_front()
        };
        let bytes = self.troubled(Step::Read, inner.read(key, version, from)).await?;
        // One by one, so that slices may end anywhere.
        let single = |piece: Result<Bytes, _>| match piece {
            Ok(piece) => (0..piece.len()).map(|at| Ok(piece.slice(at..=at))).collect(),
            Err(error) => vec![Err(error)],
        };
        let bytes = bytes.flat_map(move |piece| stream::iter(single(piece)));
        let Some(torn) = torn else { return Ok(bytes.boxed()) };
        let end = stream::once(async { Err(io::ErrorKind::ConnectionReset.into()) });
        Ok(bytes.take(usize::try_from(torn).unwrap_or(usize::MAX)).chain(end).boxed())
    }
}
