//! Objects that we write ourselves.

use std::{fmt, io, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::spawn_blocking;

use super::{BATCH_BYTES, disk::Disk, draft::Writer, settled, stat_of, unavailable};
use crate::{
    domain::upload::ObjectKey,
    ports::objects::{Draft, ObjectError, ObjectStat},
};

/// An object that is being written, a batch at a time.
pub(super) struct Keeping {
    disk: Arc<Disk>,
    key: ObjectKey,
    /// `None` after a batch that could not be written.
    writer: Option<Writer>,
    batch: Vec<Bytes>,
    gathered: usize,
}

impl Keeping {
    pub(super) fn new(disk: Arc<Disk>, key: ObjectKey, writer: Writer) -> Self {
        Self { disk, key, writer: Some(writer), batch: Vec::new(), gathered: 0 }
    }

    async fn flush(&mut self) -> io::Result<()> {
        let (writer, batch) = (self.writer.take(), std::mem::take(&mut self.batch));
        self.gathered = 0;
        let writer = writer.ok_or_else(|| io::Error::other("an earlier batch could not be written"))?;
        self.writer = Some(settled(spawn_blocking(move || writer.write(&batch))).await?);
        Ok(())
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
        self.gathered = self.gathered.saturating_add(piece.len());
        self.batch.push(piece);
        if self.gathered >= BATCH_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn publish(mut self: Box<Self>, now: i64) -> Result<ObjectStat, ObjectError> {
        self.flush().await.map_err(unavailable)?;
        let (disk, key, writer) = (self.disk, self.key, self.writer);
        let published = spawn_blocking(move || {
            let writer = writer.ok_or_else(|| io::Error::other("nothing was written"))?;
            let _ours_or_theirs = disk.publish(writer.seal(now)?, key)?;
            disk.look(key)
        });
        let meta = settled(published).await.map_err(unavailable)?;
        meta.as_ref().map(stat_of).ok_or(ObjectError::NotFound(key))
    }

    async fn discard(self: Box<Self>) {
        let Some(writer) = self.writer else { return };
        let _removed_at_the_next_start = spawn_blocking(move || writer.discard()).await;
    }
}
