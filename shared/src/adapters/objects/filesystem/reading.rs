//! A file as a stream of chunks, of which one is read ahead while another is hashed or sent.

use std::{
    fs::File,
    io::{self, Read as _},
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream, stream::BoxStream};
use tokio::task::{JoinHandle, spawn_blocking};

use super::settled;

/// The memory of chunks that were used up: each is filled again, since fresh memory costs as much as half a read.
#[derive(Clone, Default)]
struct Pool(Arc<Mutex<Vec<Vec<u8>>>>);

/// A chunk, which goes back to where it came from.
struct Chunk {
    bytes: Vec<u8>,
    pool: Pool,
}

impl Pool {
    fn with<T>(&self, of: impl FnOnce(&mut Vec<Vec<u8>>) -> T) -> T {
        of(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        self.pool.with(|free| free.push(bytes));
    }
}

/// The next `left` bytes of the file in chunks of this size; an end before that is an error, never a short success.
pub(super) fn chunks(file: File, left: u64, size: u64) -> BoxStream<'static, io::Result<Bytes>> {
    stream::try_unfold(read_ahead(file, left, size, Pool::default()), move |reading| async move {
        let Some(reading) = reading else { return Ok(None) };
        let (chunk, file, left) = settled(reading).await?;
        let next = read_ahead(file, left, size, chunk.pool.clone());
        Ok(Some((Bytes::from_owner(chunk), next)))
    })
    .boxed()
}

/// Begins to read the next chunk, unless that was all.
fn read_ahead(
    mut file: File,
    left: u64,
    size: u64,
    pool: Pool,
) -> Option<JoinHandle<io::Result<(Chunk, File, u64)>>> {
    let wanted = left.min(size);
    (wanted > 0).then(|| {
        spawn_blocking(move || {
            let size = usize::try_from(wanted).map_err(io::Error::other)?;
            let bytes = pool.with(Vec::pop).unwrap_or_else(|| Vec::with_capacity(size));
            let mut chunk = Chunk { bytes, pool };
            if (&mut file).take(wanted).read_to_end(&mut chunk.bytes)? as u64 != wanted {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            Ok((chunk, file, left.saturating_sub(wanted)))
        })
    })
}
