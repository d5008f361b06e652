//! Objects in a directory of this machine. What is on disk, and why a crash cannot tear it, is told in `disk`.
//!
//! A download is a stream, and an upload comes through [`Receiver`], hashed while it is written in constant memory.
//! Everything that may block runs away from the async threads, a batch at a time: a slow sender holds no thread.

mod disk;
mod draft;
mod keeping;
mod large;
mod listing;
mod reading;

use std::{io, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{
    StreamExt,
    stream::{BoxStream, Fuse},
};
use tokio::task::{JoinHandle, spawn_blocking};

use self::{
    disk::{Disk, Meta},
    draft::Writer,
    reading::chunks,
};
use super::signed_url::{Allowed, SignedUrls, UrlKey};
use crate::{
    domain::{ids::UploadId, upload::ObjectKey},
    ports::{
        large_objects::LargeObjects,
        objects::{
            Area, Download, DownloadRequest, Draft, Listing, ObjectError, ObjectStat, Objects, ReceiveError,
            Receiver, SignedPut, UploadDoors, UploadGrant,
        },
    },
};

/// How much of a body goes to the disk at once; two batches are in memory, one being gathered, one being written.
const BATCH_BYTES: usize = 1024 * 1024;
/// Bounds a batch of tiny pieces, each of which may keep a larger buffer alive.
const BATCH_PIECES: usize = 128;
/// The most that a download holds in memory.
const CHUNK_BYTES: u64 = 256 * 1024;

type Body = BoxStream<'static, Result<Bytes, io::Error>>;

/// A store in a directory, which several processes of one machine may share.
#[derive(Debug)]
pub struct FilesystemObjects {
    disk: Arc<Disk>,
    urls: SignedUrls,
}

impl FilesystemObjects {
    /// Opens the store under `root`, making it where it is missing, and removes what killed processes left half-done.
    ///
    /// Upload URLs begin with `base_url` and are signed with `url_key`. Blocks: call it once, at start-up.
    ///
    /// # Errors
    /// The directory cannot be made, locked or cleaned.
    pub fn open(root: PathBuf, base_url: &str, url_key: UrlKey) -> io::Result<Self> {
        Ok(Self { disk: Arc::new(Disk::open(root)?), urls: SignedUrls::new(base_url, url_key) })
    }

    /// Runs what may block where it may.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Disk) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let disk = Arc::clone(&self.disk);
        settled(spawn_blocking(move || work(&disk))).await
    }
}

async fn settled<T>(task: JoinHandle<io::Result<T>>) -> io::Result<T> {
    task.await.map_err(io::Error::other)?
}

fn unavailable(error: io::Error) -> ObjectError {
    ObjectError::Unavailable(error.into())
}

fn stat_of(meta: &Meta) -> ObjectStat {
    ObjectStat { size_bytes: meta.size_bytes, sha256: meta.sha256, version: None }
}

#[async_trait]
impl Objects for FilesystemObjects {
    async fn stat(&self, key: &ObjectKey) -> Result<ObjectStat, ObjectError> {
        let key = *key;
        let meta = self.on_disk(move |disk| disk.look(key)).await.map_err(unavailable)?;
        meta.as_ref().map(stat_of).ok_or(ObjectError::NotFound(key))
    }

    async fn presign_upload(&self, grant: &UploadGrant) -> Result<UploadDoors, ObjectError> {
        Ok(self.urls.doors(grant))
    }

    async fn promote(&self, upload_id: UploadId) -> Result<ObjectStat, ObjectError> {
        let meta = self.on_disk(move |disk| disk.promote(upload_id)).await.map_err(unavailable)?;
        meta.as_ref().map(stat_of).ok_or(ObjectError::NotFound(ObjectKey::Staging(upload_id)))
    }

    async fn download(&self, request: &DownloadRequest) -> Result<Download, ObjectError> {
        let (key, range) = (request.key, request.range);
        let part = self.on_disk(move |disk| disk.part(key, range)).await.map_err(unavailable)?;
        let (file, left) = part.ok_or(ObjectError::NotFound(key))?;
        Ok(Download::Stream(chunks(file, left, CHUNK_BYTES)))
    }

    async fn delete(&self, key: &ObjectKey) -> Result<(), ObjectError> {
        let key = *key;
        self.on_disk(move |disk| disk.remove(key)).await.map_err(unavailable)
    }

    async fn keep(&self, key: &ObjectKey, _: u64) -> Result<Box<dyn Draft>, ObjectError> {
        let writer = self.on_disk(Disk::writer).await.map_err(unavailable)?;
        Ok(Box::new(keeping::Keeping::new(Arc::clone(&self.disk), *key, writer)))
    }

    async fn list(&self, area: Area, after: Option<&str>, limit: usize) -> Result<Listing, ObjectError> {
        let after = after.map(str::to_owned);
        self.on_disk(move |disk| disk.list(area, after.as_deref(), limit)).await.map_err(unavailable)
    }

    fn large(&self) -> Option<&dyn LargeObjects> {
        Some(self)
    }
}

#[async_trait]
impl Receiver for FilesystemObjects {
    async fn receive(&self, put: SignedPut<'_>, body: Body) -> Result<(), ReceiveError> {
        let allowed = self.urls.verify(&put)?;
        let (stored_at, again) = (put.now, is_part(allowed.key));
        let writer = self
            .on_disk(move |disk| {
                if !again && disk.look(allowed.key)?.is_some() { Ok(None) } else { disk.writer().map(Some) }
            })
            .await
            .map_err(ReceiveError::Unavailable)?
            .ok_or(ReceiveError::AlreadyThere)?;
        let (writer, poured) =
            pour(body.fuse(), writer, &allowed).await.map_err(ReceiveError::Unavailable)?;
        self.on_disk(move |disk| Ok(keep(disk, writer, poured, &allowed, stored_at)))
            .await
            .map_err(ReceiveError::Unavailable)?
    }
}

/// Whether what is put here takes the place of what is there.
fn is_part(key: ObjectKey) -> bool {
    matches!(key, ObjectKey::Part(..))
}

/// Publishes what was written if it is all that was allowed; else, the writer removes it when it is dropped here.
fn keep(
    disk: &Disk,
    writer: Writer,
    poured: Result<(), ReceiveError>,
    allowed: &Allowed,
    stored_at: i64,
) -> Result<(), ReceiveError> {
    let checked = poured.and_then(|()| allowed.check(writer.size_bytes(), writer.sha256()));
    if let Err(refusal) = checked {
        writer.discard();
        return Err(refusal);
    }
    let published = writer.seal(stored_at).and_then(|draft| {
        if is_part(allowed.key) { disk.replace(draft, allowed.key) } else { disk.publish(draft, allowed.key) }
    });
    if published.map_err(ReceiveError::Unavailable)? { Ok(()) } else { Err(ReceiveError::AlreadyThere) }
}

/// Writes the body batch by batch, gathering the next one meanwhile. A refusal comes back beside the writer, so that
/// whoever has both can tidy up off the async threads.
async fn pour(
    mut body: Fuse<Body>,
    writer: Writer,
    allowed: &Allowed,
) -> io::Result<(Writer, Result<(), ReceiveError>)> {
    let mut writing: JoinHandle<io::Result<Writer>> = spawn_blocking(move || Ok(writer));
    let mut so_far = 0_u64;
    loop {
        let gathered = match gather(&mut body).await {
            Ok(batch) => {
                let bytes = batch.iter().fold(0_u64, |sum, piece| sum.saturating_add(piece.len() as u64));
                so_far = so_far.saturating_add(bytes);
                allowed.check_room(so_far).map(|()| batch)
            }
            Err(refusal) => Err(refusal),
        };
        let writer = settled(writing).await?;
        match gathered {
            Ok(batch) if batch.is_empty() => return Ok((writer, Ok(()))),
            Ok(batch) => writing = spawn_blocking(move || writer.write(&batch)),
            Err(refusal) => return Ok((writer, Err(refusal))),
        }
    }
}

/// The next batch, empty only at the end of the body.
async fn gather(body: &mut Fuse<Body>) -> Result<Vec<Bytes>, ReceiveError> {
    let mut batch = Vec::new();
    let mut room = BATCH_BYTES;
    while room > 0 && batch.len() < BATCH_PIECES {
        let Some(piece) = body.next().await else { break };
        let piece = piece.map_err(|_| ReceiveError::Interrupted)?;
        room = room.saturating_sub(piece.len());
        if !piece.is_empty() {
            batch.push(piece);
        }
    }
    Ok(batch)
}
