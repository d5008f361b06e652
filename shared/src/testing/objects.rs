//! An object store that fails on demand.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use super::gate::Trouble;
use crate::{
    domain::{digest::Sha256, ids::UploadId, upload::ObjectKey},
    ports::objects::{Download, DownloadRequest, ObjectError, ObjectStat, Objects, UploadDoors, UploadGrant},
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
        self.troubled(Step::Stat, self.inner.stat(key)).await
    }

    async fn presign_upload(&self, grant: &UploadGrant) -> Result<UploadDoors, ObjectError> {
        self.troubled(Step::Presign, self.inner.presign_upload(grant)).await
    }

    async fn promote(&self, upload_id: UploadId) -> Result<ObjectStat, ObjectError> {
        let mut stat = self.troubled(Step::Promote, self.inner.promote(upload_id)).await?;
        if let Some(sha256) = self.plan().proofs.pop_front() {
            stat.sha256 = sha256;
        }
        Ok(stat)
    }

    async fn download(&self, request: &DownloadRequest) -> Result<Download, ObjectError> {
        self.troubled(Step::Download, self.inner.download(request)).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.troubled(Step::Delete, self.inner.delete(key)).await
    }
}
