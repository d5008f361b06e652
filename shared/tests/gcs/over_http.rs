//! The contract's view of Google Cloud Storage: its URLs are used over HTTP, and the words of its refusals are made those
//! of the contract.
//!
//! What a store of our own has and Google has not is added here, and only here: the time of the tests, paths as our own
//! server has them, digests (by reading the bytes, as the use cases do), and why a signature did not match (by looking at
//! what was granted). Whether something is refused, and what is kept, is the server's doing alone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use shared::{
    contract::objects::{Body, Fixture, NOW, digest},
    domain::{ids::UploadId, upload::ObjectKey},
    ports::{
        large_objects::{Bytestream, Held, Large, LargeObjects, PartDoors, PartsGrant},
        objects::{
            Area, Download, DownloadRequest, Draft, Listing, ObjectError, ObjectStat, Objects, ReceiveError,
            Receiver, SignedPut, UploadDoors, UploadGrant,
        },
    },
};

use crate::{
    wire::{self, Answer, Request},
    world::{World, now},
};

pub(crate) struct OverHttp(Arc<Store>);

impl OverHttp {
    pub(crate) async fn new(versions: bool) -> Self {
        let world = World::with_versions(versions).await;
        Self(Arc::new(Store { world, grants: Mutex::default(), later: now() - NOW }))
    }
}

impl Fixture for OverHttp {
    fn fresh(&self) -> (Arc<dyn Objects>, Arc<dyn Receiver>) {
        (Arc::clone(&self.0) as _, Arc::clone(&self.0) as _)
    }
}

struct Store {
    world: World,
    grants: Mutex<HashMap<UploadId, UploadGrant>>,
    /// How much later it is than in the tests, in milliseconds.
    later: i64,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Store")
    }
}

impl Store {
    fn base(&self) -> String {
        format!("{}/{}/", self.world.endpoint, self.world.bucket)
    }

    /// `http://server/bucket/key?…&X-Goog-Signature=…` as the contract reads it.
    fn as_ours(&self, url: &str) -> String {
        let rest = url.strip_prefix(&self.base()).unwrap();
        format!("http://ours/v1/objects/{}", rest.replace("X-Goog-Signature=", "X-Goog-signature="))
    }

    fn as_theirs(&self, put: &SignedPut<'_>) -> String {
        format!("{}{}?{}", self.base(), put.key, put.query.replace("X-Goog-signature=", "X-Goog-Signature="))
    }

    fn granted(&self, put: &SignedPut<'_>) -> Option<UploadGrant> {
        self.grants.lock().unwrap().get(&put.key.upload_id()).cloned()
    }

    fn refusal(&self, put: &SignedPut<'_>, answer: &Answer, sent: &[u8]) -> ReceiveError {
        match (answer.status, answer.code.as_deref(), self.granted(put)) {
            (400, Some("ContentSHA256Mismatch"), grant) => {
                let declared = grant.map_or_else(|| digest(b""), |grant| grant.sha256);
                ReceiveError::WrongDigest { declared, found: digest(sent) }
            }
            (400 | 403, _, Some(grant))
                if put.content_length.is_some_and(|told| told != grant.size_bytes) =>
            {
                let found = put.content_length.unwrap_or_default();
                ReceiveError::WrongSize { declared: grant.size_bytes, found }
            }
            (400 | 403 | 411, ..) => ReceiveError::AccessDenied("the server refuses it"),
            _ => ReceiveError::Unavailable(std::io::Error::other(format!("{answer:?}"))),
        }
    }

    /// What a store of our own says: without a version, and with the digest of what is read.
    async fn told(&self, key: ObjectKey, stat: ObjectStat) -> Result<ObjectStat, ObjectError> {
        assert!(stat.sha256.is_none(), "Google has no SHA-256");
        if matches!(key, ObjectKey::Whole(_)) {
            return Ok(ObjectStat { version: None, ..stat });
        }
        let bytes = self.world.objects.read(&key, stat.version.as_deref(), 0).await?;
        let bytes = bytes.try_collect::<Vec<_>>().await.unwrap().concat();
        Ok(ObjectStat { version: None, sha256: Some(digest(&bytes)), ..stat })
    }
}

#[async_trait]
impl Objects for Store {
    async fn stat(&self, key: &ObjectKey) -> Result<ObjectStat, ObjectError> {
        self.told(*key, self.world.objects.stat(key).await?).await
    }

    async fn presign_upload(&self, grant: &UploadGrant) -> Result<UploadDoors, ObjectError> {
        self.grants.lock().unwrap().insert(grant.upload_id, grant.clone());
        let later = UploadGrant { now: grant.now + self.later, ..grant.clone() };
        let mut doors = self.world.objects.presign_upload(&later).await?;
        doors.upload_url = self.as_ours(&doors.upload_url);
        assert_eq!(doors.checksum_locked, None, "no door can be locked");
        doors.expires_at -= self.later;
        Ok(doors)
    }

    async fn promote(&self, upload_id: UploadId) -> Result<ObjectStat, ObjectError> {
        self.told(ObjectKey::Copied(upload_id), self.world.objects.promote(upload_id).await?).await
    }

    async fn download(&self, request: &DownloadRequest) -> Result<Download, ObjectError> {
        let later = DownloadRequest { now: request.now + self.later, ..request.clone() };
        let response = wire::get(&self.world.download(&later).await, request.range).await;
        match response.status().as_u16() {
            200 | 206 => Ok(Download::Stream(response.into_body())),
            404 => Err(ObjectError::NotFound(request.key)),
            other => Err(ObjectError::Unavailable(other.to_string().into())),
        }
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.world.objects.delete(key).await
    }

    async fn erase(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.world.objects.erase(key).await
    }

    async fn list(&self, area: Area, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        let mut listing = self.world.objects.list(area, after, limit).await?;
        // A server has its own clock.
        listing.found.iter_mut().for_each(|listed| listed.at = listed.at.map(|at| at - self.later));
        Ok(listing)
    }

    async fn keep(&self, key: &ObjectKey, size_bytes: u64) -> Result<Box<dyn Draft>, ObjectError> {
        self.world.objects.keep(key, size_bytes).await
    }

    fn large(&self) -> Option<&dyn LargeObjects> {
        Some(self)
    }
}

#[async_trait]
impl LargeObjects for Store {
    async fn begin(&self, upload_id: UploadId, checksums: bool) -> Result<String, ObjectError> {
        self.world.objects.begin(upload_id, checksums).await
    }

    async fn presign_parts(&self, grant: &PartsGrant) -> Result<PartDoors, ObjectError> {
        let later = PartsGrant { now: grant.now + self.later, ..grant.clone() };
        let mut doors = self.world.objects.presign_parts(&later).await?;
        for door in &mut doors.parts {
            door.url = self.as_ours(&door.url);
            // The contract knows the header of its own server.
            if let Some(digest) = door.headers.remove("x-goog-content-sha256") {
                door.headers.insert("x-amz-checksum-sha256".to_owned(), digest);
            }
        }
        doors.expires_at -= self.later;
        Ok(doors)
    }

    async fn held(&self, large: &Large) -> Result<Held, ObjectError> {
        self.world.objects.held(large).await
    }

    async fn assemble(&self, large: &Large) -> Result<Held, ObjectError> {
        self.world.objects.assemble(large).await
    }

    async fn abort(&self, upload_id: UploadId, store_id: &str) -> Result<(), ObjectError> {
        self.world.objects.abort(upload_id, store_id).await
    }

    async fn read(
        &self,
        key: &ObjectKey,
        version: Option<&str>,
        from: u64,
    ) -> Result<Bytestream, ObjectError> {
        self.world.objects.read(key, version, from).await
    }
}

#[async_trait]
impl Receiver for Store {
    async fn receive(&self, put: SignedPut<'_>, body: Body) -> Result<(), ReceiveError> {
        assert_eq!(put.now, NOW, "nobody can set the clock of a server");
        let url = self.as_theirs(&put);
        let mut request = Request { headers: Vec::new(), content_length: put.content_length, url };
        if let Some(media) = put.content_type {
            request = request.header("Content-Type", media);
        }
        if let Some(checksum) = put.checksum {
            request = request.header("x-goog-content-sha256", checksum);
        }
        let sent = request.send_stream(body).await;
        match sent.answer {
            _ if sent.torn => Err(ReceiveError::Interrupted),
            Some(Answer { status: 200, .. }) => Ok(()),
            Some(answer) if answer.status != 400 || put.content_length == Some(sent.body.len() as u64) => {
                Err(self.refusal(&put, &answer, &sent.body))
            }
            // The server gave up on a body that ended early.
            _ => {
                // Of parts nobody asks the size.
                let declared = self.granted(&put).map_or(0, |grant| grant.size_bytes);
                let told = put.content_length.filter(|told| *told != declared);
                Err(ReceiveError::WrongSize { declared, found: told.unwrap_or(sent.body.len() as u64) })
            }
        }
    }
}
