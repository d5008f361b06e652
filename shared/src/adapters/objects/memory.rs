//! Objects in memory: for tests and try-outs, with the same URLs and the same promises as every other store.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use sha2::Digest as _;

use super::signed_url::{SignedUrls, UrlKey};
use crate::{
    domain::{digest::Sha256, ids::UploadId, upload::ObjectKey},
    ports::{
        large_objects::{Bytestream, Held, Large, LargeObjects, PartDoors, PartsGrant},
        objects::{
            Area, Download, DownloadRequest, Draft, Listed, Listing, ObjectError, ObjectStat, Objects,
            ReceiveError, Receiver, SignedPut, Thing, UploadDoors, UploadGrant,
        },
    },
};

const CHUNK_BYTES: usize = 256 * 1024;

/// A store that forgets everything when it is dropped.
pub struct MemoryObjects {
    urls: SignedUrls,
    objects: Arc<Mutex<HashMap<ObjectKey, Stored>>>,
}

/// Bytes that are gathered.
struct Gathered {
    objects: Arc<Mutex<HashMap<ObjectKey, Stored>>>,
    key: ObjectKey,
    bytes: Vec<u8>,
}

impl fmt::Debug for Gathered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gathered").field("key", &self.key).finish_non_exhaustive()
    }
}

#[async_trait]
impl Draft for Gathered {
    async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        self.bytes.extend_from_slice(&piece);
        Ok(())
    }

    async fn publish(self: Box<Self>, now: i64) -> Result<ObjectStat, ObjectError> {
        let sha256 = Some(Sha256::from_bytes(sha2::Sha256::digest(&self.bytes).into()));
        let fresh = Stored { bytes: self.bytes.into(), sha256, at: now };
        let mut objects = self.objects.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(objects.entry(self.key).or_insert(fresh).stat())
    }

    async fn discard(self: Box<Self>) {}
}

#[derive(Clone)]
struct Stored {
    bytes: Bytes,
    /// None where nobody has hashed the whole.
    sha256: Option<Sha256>,
    /// When it came, Unix milliseconds.
    at: i64,
}

impl Stored {
    fn stat(&self) -> ObjectStat {
        ObjectStat { size_bytes: self.bytes.len() as u64, sha256: self.sha256, version: None }
    }

    fn part(&self, range: Option<(u64, u64)>) -> Option<Bytes> {
        let Some((first, last)) = range else { return Some(self.bytes.clone()) };
        let (first, last) = (usize::try_from(first).ok()?, usize::try_from(last).ok()?);
        self.bytes.get(first..=last).map(|part| self.bytes.slice_ref(part)).filter(|part| !part.is_empty())
    }
}

impl MemoryObjects {
    /// An empty store, whose upload URLs begin with `base_url` and are signed with `url_key`.
    pub fn new(base_url: &str, url_key: UrlKey) -> Self {
        Self { urls: SignedUrls::new(base_url, url_key), objects: Arc::default() }
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<ObjectKey, Stored>> {
        // Nothing in here panics half-way through a change, so what a poisoned lock guards is whole.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stored(&self, key: ObjectKey) -> Result<Stored, ObjectError> {
        self.objects().get(&key).cloned().ok_or(ObjectError::NotFound(key))
    }
}

impl fmt::Debug for MemoryObjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryObjects").field("urls", &self.urls).finish_non_exhaustive()
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn stat(&self, key: &ObjectKey) -> Result<ObjectStat, ObjectError> {
        self.stored(*key).map(|stored| stored.stat())
    }

    async fn presign_upload(&self, grant: &UploadGrant) -> Result<UploadDoors, ObjectError> {
        Ok(self.urls.doors(grant))
    }

    async fn promote(&self, upload_id: UploadId) -> Result<ObjectStat, ObjectError> {
        let (from, to) = (ObjectKey::Staging(upload_id), ObjectKey::Copied(upload_id));
        let mut objects = self.objects();
        if let Some(copy) = objects.get(&to) {
            return Ok(copy.stat());
        }
        let staged = objects.get(&from).cloned().ok_or(ObjectError::NotFound(from))?;
        let stat = staged.stat();
        objects.insert(to, staged);
        Ok(stat)
    }

    async fn download(&self, request: &DownloadRequest) -> Result<Download, ObjectError> {
        let part = self.stored(request.key)?.part(request.range).ok_or_else(|| {
            ObjectError::Unavailable(
                io::Error::new(io::ErrorKind::InvalidInput, "the range lies outside the object").into(),
            )
        })?;
        Ok(Download::Stream(chunks(part)))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        self.objects().remove(key);
        Ok(())
    }

    async fn keep(&self, key: &ObjectKey, _: u64) -> Result<Box<dyn Draft>, ObjectError> {
        Ok(Box::new(Gathered { objects: Arc::clone(&self.objects), key: *key, bytes: Vec::new() }))
    }

    async fn list(&self, area: Area, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        let mut named: BTreeMap<String, Listed> = BTreeMap::new();
        for (key, stored) in self.objects().iter().filter(|(key, _)| area_of(**key) == area) {
            let (name, thing) = match key {
                ObjectKey::Part(upload_id, _) => (
                    format!("parts/{upload_id}"),
                    Thing::Parts { upload_id: *upload_id, store_id: String::new() },
                ),
                key => (key.to_string(), Thing::Object(*key)),
            };
            let fresh = Listed { thing, name: name.clone(), size_bytes: 0, at: Some(i64::MIN) };
            let listed = named.entry(name).or_insert(fresh);
            listed.size_bytes = listed.size_bytes.saturating_add(stored.bytes.len() as u64);
            listed.at = listed.at.max(Some(stored.at));
        }
        let mut rest =
            named.into_values().filter(|listed| after.is_none_or(|after| listed.name.as_str() > after));
        let found: Vec<Listed> = rest.by_ref().take(limit).collect();
        let next = rest.next().and_then(|_| found.last().map(|last| last.name.clone()));
        Ok(Listing { found, next })
    }

    fn large(&self) -> Option<&dyn LargeObjects> {
        Some(self)
    }
}

fn area_of(key: ObjectKey) -> Area {
    match key {
        ObjectKey::Staging(_) => Area::Staging,
        ObjectKey::Part(..) => Area::Parts,
        ObjectKey::Deployment(_) => Area::Deployment,
        ObjectKey::Locked(_) | ObjectKey::Copied(_) | ObjectKey::Whole(_) | ObjectKey::Escrow(..) => {
            Area::Objects
        }
    }
}

fn chunks(bytes: Bytes) -> Bytestream {
    stream::unfold(bytes, |mut rest| async {
        let chunk = rest.split_to(rest.len().min(CHUNK_BYTES));
        (!chunk.is_empty()).then_some((Ok(chunk), rest))
    })
    .boxed()
}

fn held(objects: &HashMap<ObjectKey, Stored>, large: &Large) -> Held {
    if let Some(whole) = objects.get(&ObjectKey::Whole(large.upload_id)) {
        return Held::Whole(whole.stat());
    }
    let size =
        |number| Some((number, objects.get(&ObjectKey::Part(large.upload_id, number))?.stat().size_bytes));
    Held::of_parts(large, &(1..=large.cut.part_count).filter_map(size).collect())
}

#[async_trait]
impl LargeObjects for MemoryObjects {
    async fn begin(&self, _: UploadId, _: bool) -> Result<String, ObjectError> {
        Ok(String::new())
    }

    async fn presign_parts(&self, grant: &PartsGrant) -> Result<PartDoors, ObjectError> {
        Ok(self.urls.parts(grant))
    }

    async fn held(&self, large: &Large) -> Result<Held, ObjectError> {
        Ok(held(&self.objects(), large))
    }

    async fn assemble(&self, large: &Large) -> Result<Held, ObjectError> {
        let mut objects = self.objects();
        let found = held(&objects, large);
        if found != Held::AllParts {
            return Ok(found);
        }
        let (mut bytes, mut at) = (Vec::new(), 0);
        for number in 1..=large.cut.part_count {
            let Some(part) = objects.remove(&ObjectKey::Part(large.upload_id, number)) else { continue };
            bytes.extend_from_slice(&part.bytes);
            at = part.at.max(at);
        }
        let whole = Stored { bytes: bytes.into(), sha256: None, at };
        let stat = whole.stat();
        objects.insert(ObjectKey::Whole(large.upload_id), whole);
        Ok(Held::Whole(stat))
    }

    async fn abort(&self, upload_id: UploadId, _: &str) -> Result<(), ObjectError> {
        self.objects().retain(|key, _| !matches!(key, ObjectKey::Part(id, _) if *id == upload_id));
        Ok(())
    }

    async fn read(&self, key: &ObjectKey, _: Option<&str>, from: u64) -> Result<Bytestream, ObjectError> {
        let bytes = self.stored(*key)?.bytes;
        let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
        Ok(chunks(bytes.slice(from..)))
    }
}

#[async_trait]
impl Receiver for MemoryObjects {
    async fn receive(
        &self,
        put: SignedPut<'_>,
        mut body: BoxStream<'static, Result<Bytes, io::Error>>,
    ) -> Result<(), ReceiveError> {
        let allowed = self.urls.verify(&put)?;
        let again = matches!(allowed.key, ObjectKey::Part(..));
        if !again && self.objects().contains_key(&allowed.key) {
            return Err(ReceiveError::AlreadyThere);
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.map_err(|_| ReceiveError::Interrupted)?);
            allowed.check_room(bytes.len() as u64)?;
        }
        let sha256 = Sha256::from_bytes(sha2::Sha256::digest(&bytes).into());
        allowed.check(bytes.len() as u64, sha256)?;
        match self.objects().entry(allowed.key) {
            Entry::Occupied(_) if !again => Err(ReceiveError::AlreadyThere),
            place => {
                place.insert_entry(Stored { bytes: bytes.into(), sha256: Some(sha256), at: put.now });
                Ok(())
            }
        }
    }
}
