//! Stores that write down what they would have asked of AWS: the action, and on what.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use shared::{
    adapters::{metadata::memory::MemoryItems, objects::memory::MemoryObjects},
    domain::{ids::UploadId, upload::ObjectKey},
    ports::{
        items::{CommitError, Expect, Item, Items, ItemsUnavailable, Key, Query, Write},
        large_objects::{Bytestream, Held, Large, LargeObjects, PartDoors, PartsGrant},
        objects::{
            Area, Download, DownloadRequest, Draft, Listing, ObjectError, ObjectStat, Objects, UploadDoors,
            UploadGrant,
        },
        tasks::{Task, Tasks, TasksUnavailable},
    },
};

/// What a call about the bucket itself is about.
pub(crate) const BUCKET: &str = "";

/// One call: the action, and the partition or object key that it is about.
pub(crate) type Call = (&'static str, String);

/// What was asked so far.
#[derive(Debug, Default)]
pub(crate) struct Calls(Mutex<BTreeSet<Call>>);

impl Calls {
    fn note(&self, action: &'static str, on: &impl ToString) {
        self.0.lock().unwrap().insert((action, on.to_string()));
    }

    /// Forgets what was asked, and tells it.
    pub(crate) fn take(&self) -> BTreeSet<Call> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// Records.
#[derive(Debug)]
pub(crate) struct RecordedItems(pub(crate) MemoryItems, pub(crate) Arc<Calls>);

#[async_trait]
impl Items for RecordedItems {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, ItemsUnavailable> {
        for key in keys {
            self.1.note("dynamodb:GetItem", &key.partition);
            if keys.len() > 1 {
                self.1.note("dynamodb:BatchGetItem", &key.partition);
            }
        }
        self.0.get(keys).await
    }

    async fn query(&self, query: &Query) -> Result<Vec<Item>, ItemsUnavailable> {
        self.1.note("dynamodb:Query", &query.partition);
        self.0.query(query).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        for write in &writes {
            let action = match write {
                Write::Put { expect: Expect::Anything, .. } => "dynamodb:UpdateItem",
                Write::Put { .. } => "dynamodb:PutItem",
                Write::Delete { .. } => "dynamodb:DeleteItem",
                Write::Check { .. } => "dynamodb:ConditionCheckItem",
            };
            self.1.note(action, &write.key().partition);
        }
        self.0.commit(writes).await
    }

    fn own_commits(&self) -> u64 {
        self.0.own_commits()
    }
}

/// Bytes.
#[derive(Debug)]
pub(crate) struct RecordedObjects(pub(crate) Arc<MemoryObjects>, pub(crate) Arc<Calls>);

#[async_trait]
impl Objects for RecordedObjects {
    async fn stat(&self, key: &ObjectKey) -> Result<ObjectStat, ObjectError> {
        self.1.note("s3:GetObject", key);
        self.0.stat(key).await
    }

    async fn presign_upload(&self, grant: &UploadGrant) -> Result<UploadDoors, ObjectError> {
        self.1.note("s3:PutObject", &ObjectKey::Staging(grant.upload_id));
        self.1.note("s3:PutObject", &ObjectKey::Locked(grant.upload_id));
        self.0.presign_upload(grant).await
    }

    async fn promote(&self, id: UploadId) -> Result<ObjectStat, ObjectError> {
        self.1.note("s3:GetObject", &ObjectKey::Copied(id));
        self.1.note("s3:GetObject", &ObjectKey::Staging(id));
        self.1.note("s3:GetObjectVersion", &ObjectKey::Staging(id));
        self.1.note("s3:PutObject", &ObjectKey::Copied(id));
        self.0.promote(id).await
    }

    async fn download(&self, request: &DownloadRequest) -> Result<Download, ObjectError> {
        self.1.note("s3:GetObject", &request.key);
        self.1.note("s3:GetObjectVersion", &request.key);
        self.0.download(request).await
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.1.note("s3:DeleteObject", key);
        self.0.delete(key).await
    }

    async fn erase(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.1.note("s3:ListBucketVersions", &BUCKET);
        self.1.note("s3:DeleteObjectVersion", key);
        self.0.erase(key).await
    }

    async fn keep(&self, key: &ObjectKey, size_bytes: u64) -> Result<Box<dyn Draft>, ObjectError> {
        self.1.note("s3:PutObject", key);
        self.1.note("s3:AbortMultipartUpload", key);
        self.0.keep(key, size_bytes).await
    }

    async fn list(&self, area: Area, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        let parts = area == Area::Parts;
        self.1.note(if parts { "s3:ListBucketMultipartUploads" } else { "s3:ListBucket" }, &BUCKET);
        self.0.list(area, after, limit).await
    }

    async fn discard(&self, key: &ObjectKey, store_id: &str) -> Result<(), ObjectError> {
        self.1.note("s3:AbortMultipartUpload", key);
        self.0.discard(key, store_id).await
    }

    fn large(&self) -> Option<&dyn LargeObjects> {
        self.0.large().map(|_| self as _)
    }
}

impl RecordedObjects {
    fn parts(&self) -> &dyn LargeObjects {
        self.0.large().unwrap()
    }
}

#[async_trait]
impl LargeObjects for RecordedObjects {
    async fn begin(&self, upload_id: UploadId, checksums: bool) -> Result<String, ObjectError> {
        self.1.note("s3:PutObject", &ObjectKey::Whole(upload_id));
        self.parts().begin(upload_id, checksums).await
    }

    async fn presign_parts(&self, grant: &PartsGrant) -> Result<PartDoors, ObjectError> {
        self.1.note("s3:PutObject", &ObjectKey::Whole(grant.large.upload_id));
        self.parts().presign_parts(grant).await
    }

    async fn held(&self, large: &Large) -> Result<Held, ObjectError> {
        self.1.note("s3:ListMultipartUploadParts", &ObjectKey::Whole(large.upload_id));
        self.parts().held(large).await
    }

    async fn assemble(&self, large: &Large) -> Result<Held, ObjectError> {
        self.1.note("s3:ListMultipartUploadParts", &ObjectKey::Whole(large.upload_id));
        self.1.note("s3:PutObject", &ObjectKey::Whole(large.upload_id));
        self.parts().assemble(large).await
    }

    async fn abort(&self, upload_id: UploadId, store_id: &str) -> Result<(), ObjectError> {
        self.1.note("s3:AbortMultipartUpload", &ObjectKey::Whole(upload_id));
        self.parts().abort(upload_id, store_id).await
    }

    async fn read(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        from: u64,
    ) -> Result<Bytestream, ObjectError> {
        self.1.note("s3:GetObject", key);
        self.1.note("s3:GetObjectVersion", key);
        self.parts().read(key, version, from).await
    }
}

/// Tasks, which nobody does.
#[derive(Debug)]
pub(crate) struct RecordedTasks(pub(crate) Arc<Calls>);

#[async_trait]
impl Tasks for RecordedTasks {
    async fn start(&self, task: &Task) -> Result<(), TasksUnavailable> {
        self.0.note("sqs:SendMessage", &serde_json::to_string(task).unwrap());
        Ok(())
    }
}
