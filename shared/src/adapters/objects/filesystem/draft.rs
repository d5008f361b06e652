//! An object that is still being written: nobody sees it, and it goes away with whoever writes it.

use std::{
    fs::{self, File},
    io::{self, Read, Write as _},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use sha2::Digest as _;
use tokio::runtime::Handle;

use super::disk::Meta;
use crate::domain::digest::Sha256;

pub(super) const DATA: &str = "data";
pub(super) const META: &str = "meta.json";

/// A directory under `incoming`, removed when dropped unless it was published.
#[derive(Debug)]
pub(super) struct Draft {
    /// `None` once it is no longer ours.
    path: Option<PathBuf>,
}

impl Draft {
    pub(super) fn create(path: PathBuf) -> io::Result<Self> {
        fs::create_dir(&path)?;
        Ok(Self { path: Some(path) })
    }

    pub(super) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    pub(super) fn data(&self) -> PathBuf {
        self.path().join(DATA)
    }

    /// Adds what is known of the data, which must be synced already, and makes all of it durable.
    pub(super) fn seal(&self, meta: &Meta) -> io::Result<()> {
        let mut file = File::create_new(self.path().join(META))?;
        file.write_all(&serde_json::to_vec(meta)?)?;
        file.sync_all()?;
        sync_dir(self.path())
    }

    /// It has been renamed to its place.
    pub(super) fn published(mut self) {
        self.path = None;
    }

    /// Removes it here and now. What cannot be removed is removed when the store is opened again.
    pub(super) fn discard(mut self) {
        if let Some(path) = self.path.take() {
            let _later = fs::remove_dir_all(path);
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let Some(path) = self.path.take() else { return };
        let remove = move || {
            let _later = fs::remove_dir_all(path);
        };
        // An upload that is given up is dropped on an async thread, where freeing gigabytes would hold up others.
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(remove)),
            Err(_) => remove(),
        }
    }
}

/// Writes the data of a draft and hashes it on the way.
pub(super) struct Writer {
    draft: Draft,
    file: File,
    hash: sha2::Sha256,
    size_bytes: u64,
}

impl Writer {
    pub(super) fn begin(draft: Draft) -> io::Result<Self> {
        let file = File::create_new(draft.data())?;
        Ok(Self { draft, file, hash: sha2::Sha256::new(), size_bytes: 0 })
    }

    pub(super) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    pub(super) fn sha256(&self) -> Sha256 {
        Sha256::from_bytes(self.hash.clone().finalize().into())
    }

    /// Writes a batch and gives the writer back; after an error the draft is gone.
    pub(super) fn write(mut self, batch: &[Bytes]) -> io::Result<Self> {
        match batch.iter().try_for_each(|piece| self.append(piece)) {
            Ok(()) => Ok(self),
            Err(error) => {
                self.discard();
                Err(error)
            }
        }
    }

    pub(super) fn write_all_of(mut self, mut source: impl Read) -> io::Result<Self> {
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let read = source.read(&mut buffer)?;
            match buffer.get(..read) {
                Some(piece) if !piece.is_empty() => self.append(piece)?,
                _ => return Ok(self),
            }
        }
    }

    fn append(&mut self, piece: &[u8]) -> io::Result<()> {
        self.file.write_all(piece)?;
        self.hash.update(piece);
        self.size_bytes = self.size_bytes.saturating_add(piece.len() as u64);
        Ok(())
    }

    /// Makes what was written durable, together with its size and digest.
    pub(super) fn seal(self, stored_at: i64) -> io::Result<Draft> {
        let meta = Meta { size_bytes: self.size_bytes, sha256: Some(self.sha256()), stored_at };
        self.file.sync_all()?;
        self.draft.seal(&meta)?;
        Ok(self.draft)
    }

    pub(super) fn discard(self) {
        self.draft.discard();
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_without_hard_links_has_the_bytes_and_their_digest() {
        let dir = tempfile::tempdir().unwrap();
        let writer = Writer::begin(Draft::create(dir.path().join("draft")).unwrap()).unwrap();
        let bytes = vec![7_u8; 700_001];
        let writer = writer.write_all_of(bytes.as_slice()).unwrap();
        assert_eq!(writer.sha256(), Sha256::from_bytes(sha2::Sha256::digest(&bytes).into()));
        assert_eq!(writer.size_bytes(), 700_001);
        assert_eq!(fs::read(writer.seal(1).unwrap().data()).unwrap(), bytes);
    }

    #[test]
    fn a_dropped_draft_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        drop(Writer::begin(Draft::create(dir.path().join("draft")).unwrap()).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
