//! The directory itself: its layout, and how it changes from whole to whole. Everything here blocks.
//!
//! ```text
//! {root}/lock                                   locked while in use; see `Disk::open`
//! {root}/incoming/{random}/{data,meta.json}     being written, or on its way out; nobody looks in here
//! {root}/staging/{upload id}/{data,meta.json}
//! {root}/objects/{upload id}/{locked,copy,whole}/{data,meta.json}
//! {root}/parts/{upload id}/{number}/{data,meta.json}
//! {root}/deployment/{deployment id}/{data,meta.json}
//! ```
//!
//! An object is a directory. It is written and synced under `incoming` and then renamed to its place in one step.
//! A rename onto a directory that has something in it fails, so each key is written once, whoever comes at the same
//! time; a part that is put again takes the old one away first. The digest was computed while the bytes were written and
//! is never computed again; what was put together from parts has none here.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use ring::rand::{SecureRandom as _, SystemRandom};
use serde::{Deserialize, Serialize};

use super::draft::{DATA, Draft, META, Writer, sync_dir};
use crate::domain::{digest::Sha256, ids::UploadId, upload::ObjectKey};

/// How often publishing starts over when the folder it publishes into is tidied away under it.
const ATTEMPTS: u32 = 16;

/// What is known of an object beside its bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Meta {
    pub(super) size_bytes: u64,
    /// None of what was put together from parts.
    #[serde(default)]
    pub(super) sha256: Option<Sha256>,
    /// When its PUT came, Unix milliseconds.
    pub(super) stored_at: i64,
}

#[derive(Debug)]
pub(super) struct Disk {
    pub(super) root: PathBuf,
    /// Held as long as we live; the system lets go of it however we end.
    _lock: File,
}

impl Disk {
    /// Makes what is missing, and cleans up unless another process is at work in here.
    pub(super) fn open(root: PathBuf) -> io::Result<Self> {
        let is_new = !root.exists();
        for folder in ["incoming", "staging", "objects", "parts", "deployment"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let lock = File::options().create(true).append(true).open(root.join("lock"))?;
        match lock.try_lock() {
            Ok(()) => {
                clean(&root.join("incoming"))?;
                lock.unlock()?;
            }
            // Somebody is at work in here, and what is incoming may be theirs.
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // INVARIANT: nothing is written before this is ours, and nobody cleans while it is.
        lock.lock_shared()?;
        sync_dir(&root)?;
        if is_new && let Some(parent) = fs::canonicalize(&root)?.parent() {
            // A folder that we may write to but not read cannot be synced.
            let _unreadable = sync_dir(parent);
        }
        Ok(Self { root, _lock: lock })
    }

    fn path(&self, key: ObjectKey) -> PathBuf {
        self.root.join(key.to_string())
    }

    /// Where the parts of an upload are.
    pub(super) fn parts(&self, id: UploadId) -> PathBuf {
        self.root.join("parts").join(id.to_string())
    }

    /// A name under `incoming` that nobody else has.
    pub(super) fn fresh_path(&self) -> io::Result<PathBuf> {
        let mut random = [0_u8; 32];
        SystemRandom::new().fill(&mut random).map_err(|_| io::Error::other("no randomness"))?;
        Ok(self.root.join("incoming").join(Sha256::from_bytes(random).to_string()))
    }

    pub(super) fn draft(&self) -> io::Result<Draft> {
        Draft::create(self.fresh_path()?)
    }

    /// Begins a new object.
    pub(super) fn writer(&self) -> io::Result<Writer> {
        Writer::begin(self.draft()?)
    }

    /// What is stored under the key, if it is whole; reads no data.
    pub(super) fn look(&self, key: ObjectKey) -> io::Result<Option<Meta>> {
        let place = self.path(key);
        let Some(text) = if_found(fs::read(place.join(META)))? else { return Ok(None) };
        let Some(data) = if_found(fs::metadata(place.join(DATA)))? else { return Ok(None) };
        let meta = serde_json::from_slice::<Meta>(&text).ok();
        Ok(meta.filter(|meta| data.is_file() && data.len() == meta.size_bytes))
    }

    /// A file that stands at the first wanted byte, and how many are wanted. Both ends of the range are inclusive.
    pub(super) fn part(&self, key: ObjectKey, range: Option<(u64, u64)>) -> io::Result<Option<(File, u64)>> {
        let Some(meta) = self.look(key)? else { return Ok(None) };
        let Some(mut file) = if_found(File::open(self.path(key).join(DATA)))? else { return Ok(None) };
        let Some((first, last)) = range else { return Ok(Some((file, meta.size_bytes))) };
        if first > last || last >= meta.size_bytes {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the range lies outside the object"));
        }
        file.seek(SeekFrom::Start(first))?;
        Ok(Some((file, last.saturating_sub(first).saturating_add(1))))
    }

    /// A file that stands at a byte, and how many come from there on.
    pub(super) fn rest(&self, key: ObjectKey, from: u64) -> io::Result<Option<(File, u64)>> {
        let Some((mut file, size)) = self.part(key, None)? else { return Ok(None) };
        file.seek(SeekFrom::Start(from))?;
        Ok(Some((file, size.saturating_sub(from))))
    }

    /// Puts a sealed draft in its place, durably; `false` where the key holds an object already, which stays.
    pub(super) fn publish(&self, draft: Draft, key: ObjectKey) -> io::Result<bool> {
        let place = self.path(key);
        let folder = place.parent().unwrap_or(&self.root);
        let mut attempt = 0;
        let renamed = loop {
            attempt += 1;
            match fs::create_dir(folder) {
                // Not `create_dir_all`, which fails when what was there is gone at its second look.
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            match fs::rename(draft.path(), &place) {
                // `remove` tidied the empty folder away in between.
                Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < ATTEMPTS => {}
                done => break done,
            }
        };
        match renamed {
            Ok(()) => draft.published(),
            Err(error) => {
                draft.discard();
                // Something that is not whole may be in the way: that is not "already there".
                return if self.look(key)?.is_some() { Ok(false) } else { Err(error) };
            }
        }
        self.sync_up(folder)?;
        Ok(true)
    }

    /// Makes the names in a folder durable, and its own: another may have made it and not yet synced it, or be tidying
    /// it away.
    fn sync_up(&self, folder: &Path) -> io::Result<()> {
        for level in folder.ancestors().take_while(|level| *level != self.root) {
            if_found(sync_dir(level))?;
        }
        Ok(())
    }

    /// Copies staging to the place that may be served; `None` where neither is there.
    pub(super) fn promote(&self, upload_id: UploadId) -> io::Result<Option<Meta>> {
        let (from, to) = (ObjectKey::Staging(upload_id), ObjectKey::Copied(upload_id));
        if let Some(copy) = self.look(to)? {
            return Ok(Some(copy));
        }
        if let Some(staged) = self.look(from)? {
            let draft = self.draft()?;
            let source = self.path(from).join(DATA);
            let sealed = if fs::hard_link(&source, draft.data()).is_ok() {
                draft.seal(&staged)?;
                Some(draft)
            } else {
                // A file system without hard links, or with too many of them; or it is gone by now.
                if_found(File::open(source))?
                    .map(|source| Writer::begin(draft)?.write_all_of(source)?.seal(staged.stored_at))
                    .transpose()?
            };
            // The digest is that of the linked bytes only if nobody replaced them in between.
            let unchanged = self.look(from)? == Some(staged);
            if let Some(draft) = sealed.filter(|_| unchanged) {
                self.publish(draft, to)?;
            }
        }
        // Ours, or that of whoever was faster.
        self.look(to)
    }

    /// Takes an object out of sight in one step, and then away.
    pub(super) fn remove(&self, key: ObjectKey) -> io::Result<()> {
        let place = self.path(key);
        let trash = self.fresh_path()?;
        if if_found(fs::rename(&place, &trash))?.is_none() {
            return Ok(());
        }
        if let Some(folder) = place.parent() {
            self.sync_up(folder)?;
            if folder.parent() != Some(self.root.as_path()) {
                // Fails while the other key of the upload is in there, and then it should.
                let _kept = fs::remove_dir(folder);
            }
        }
        fs::remove_dir_all(trash)
    }
}

fn clean(incoming: &Path) -> io::Result<()> {
    for leftover in fs::read_dir(incoming)? {
        let leftover = leftover?;
        if leftover.file_type()?.is_dir() {
            fs::remove_dir_all(leftover.path())?;
        } else {
            fs::remove_file(leftover.path())?;
        }
    }
    Ok(())
}

pub(super) fn if_found<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
