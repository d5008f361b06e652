//! Objects that we write ourselves, with Google's own library: an upload that is begun, gets its bytes a part at a time, one of
//! which is in memory, and is nothing before it is ended.
//!
//! It ends at a word of ours alone, on condition that nothing is there: a writer that is gone ends no upload. One that is
//! not ended is in no list, and Google forgets it after a week.

use std::{error::Error, fmt, io, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use google_cloud_storage::{
    error::WriteError, model::Object, retry_policy::RetryableErrors, streaming_source::StreamingSource,
};
use tokio::{sync::mpsc, task::JoinSet, time::timeout};

use super::{
    GcsObjects,
    api::{OCTETS, Refusal, Stored},
    unavailable,
};
use crate::{
    domain::upload::ObjectKey,
    ports::objects::{Draft, ObjectError, ObjectStat, Objects as _},
};

/// The size of a part; Google takes multiples of 256 KiB.
const PART_BYTES: usize = 8 << 20;
/// How long the store may take for a part, tries of the library included.
const PATIENCE: Duration = Duration::from_secs(300);

type Written = Result<Object, google_cloud_storage::Error>;
type Failure = Box<dyn Error + Send + Sync>;

/// What is uploaded, as it comes; `None` says that it is all.
struct Source(Option<mpsc::Receiver<Option<Bytes>>>);

impl StreamingSource for Source {
    type Error = io::Error;

    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        // Whoever asks again after the end is told of it again.
        match self.0.as_mut()?.recv().await {
            Some(Some(piece)) => Some(Ok(piece)),
            Some(None) => {
                self.0 = None;
                None
            }
            None => Some(Err(io::Error::other("whoever wrote is gone"))),
        }
    }
}

/// An object that is being written.
pub(super) struct Keeping {
    store: GcsObjects,
    key: ObjectKey,
    pieces: mpsc::Sender<Option<Bytes>>,
    /// One upload, which ends with this; none after it has failed.
    upload: JoinSet<Written>,
}

impl Keeping {
    pub(super) fn begin(store: GcsObjects, key: ObjectKey) -> Self {
        let (pieces, source) = mpsc::channel(1);
        let bucket = format!("projects/_/buckets/{}", store.bucket);
        let request = store.storage.write_object(bucket, key.to_string(), Source(Some(source)));
        let request = request
            .set_if_generation_match(0_i64)
            .set_content_type(OCTETS)
            .with_resumable_upload_buffer_size(PART_BYTES)
            // The library counts its limit from the first byte on; here the wait for each part has one.
            .with_retry_policy(RetryableErrors);
        let mut upload = JoinSet::new();
        upload.spawn(request.send_buffered());
        Self { store, key, pieces, upload }
    }

    /// Hands something to the upload, as soon as it takes it.
    async fn hand(&mut self, piece: Option<Bytes>) -> Result<(), Failure> {
        match timeout(PATIENCE, self.pieces.send(piece)).await? {
            Ok(()) => Ok(()),
            // It has failed, and says why.
            Err(_) => match self.written().await {
                Ok(_) => Err("the upload has ended by itself".into()),
                Err(failure) => Err(failure),
            },
        }
    }

    /// What became of the upload.
    async fn written(&mut self) -> Result<Object, Failure> {
        let ended = timeout(PATIENCE, self.upload.join_next()).await?;
        Ok(ended.ok_or("the upload has failed before")???)
    }

    /// Ends the upload.
    async fn end(&mut self) -> Result<(), Failure> {
        self.hand(None).await?;
        let Err(failure) = self.written().await else { return Ok(()) };
        let cause = failure.source().and_then(|cause| cause.downcast_ref());
        if let Some(WriteError::ChecksumMismatch { object, .. }) = cause {
            self.take_back(object).await?;
        }
        Err(failure)
    }

    /// Removes what Google has taken with other bytes than were sent.
    async fn take_back(&self, object: &Object) -> Result<(), Failure> {
        let stored = Stored {
            name: self.key.to_string(),
            size_bytes: 0,
            generation: object.generation.to_string(),
            at: None,
        };
        match self.store.api.delete_generation(&stored).await {
            Ok(()) | Err(Refusal::NotFound) => Ok(()),
            Err(refusal) => Err(refusal.of(self.key).into()),
        }
    }
}

impl fmt::Debug for Keeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeping").field("key", &self.key).finish_non_exhaustive()
    }
}

#[async_trait]
impl Draft for Keeping {
    async fn write(&mut self, piece: Bytes) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        self.hand(Some(piece)).await.map_err(io::Error::other)
    }

    async fn publish(mut self: Box<Self>, _: i64) -> Result<ObjectStat, ObjectError> {
        let done = self.end().await;
        // Whether or not it was we who did it: what is there is the same.
        match (self.store.stat(&self.key).await, done) {
            (Err(ObjectError::NotFound(_)), Err(failure)) => Err(unavailable(failure)),
            (looked, _) => looked,
        }
    }

    async fn discard(mut self: Box<Self>) {
        self.upload.shutdown().await;
    }
}
