//! The file beside, while it is not proved to be the signed one.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use ring::digest;

use super::{Artifact, Downloaded, hex};
use crate::state::sync_folder;
use crate::{ClientError, fresh_nonce};

/// How much of a file is hashed at a time.
const HASH_BUFFER_BYTES: usize = 128 * 1024;
/// The longest entity tag that is kept.
const MAX_ETAG_BYTES: usize = 1_024;

/// A partly downloaded file, locked against other updaters. Unless it is to be kept and has something in it, it is
/// removed when dropped.
#[derive(Debug)]
pub(super) struct Part {
    file: File,
    path: PathBuf,
    length: u64,
    keep: bool,
}

impl Part {
    /// Opens the file beside `path`: to go on with it where `resume`, else a new one of a name nobody else has.
    pub(super) fn open(path: &Path, artifact: &Artifact, resume: bool) -> Result<Self, ClientError> {
        let tag = if resume {
            // Named after the bytes, so that those of another release never come before the rest of this one's.
            artifact.sha256.chars().filter(char::is_ascii_hexdigit).take(16).collect()
        } else {
            fresh_nonce()?
        };
        let aside = beside(path, &tag)?;
        let failed = |source| ClientError::File { path: aside.clone(), source };
        remove_unless_file(&aside).map_err(failed)?;
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&aside);
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ClientError::Busy { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        if !is_same(&file, &aside).map_err(failed)? {
            // Another updater has finished between the two lines above: this handle is that of its proved file.
            return Err(ClientError::Busy { path: path.to_owned() });
        }
        let length = file.metadata().map_err(failed)?.len();
        Ok(Self { file, path: aside, length, keep: resume })
    }

    /// How many bytes are there.
    pub(super) const fn len(&self) -> u64 {
        self.length
    }

    /// The entity tag that the bytes came with, where one was kept.
    pub(super) fn etag(&self) -> Option<String> {
        let found = fs::read_to_string(self.etag_path()).ok();
        found.filter(|etag| is_strong(etag))
    }

    /// Begins anew, with bytes that come with this entity tag.
    pub(super) fn restart(&mut self, etag: Option<&str>) -> Result<(), ClientError> {
        self.file.set_len(0).and_then(|()| self.file.rewind()).map_err(|source| self.failed(source))?;
        self.length = 0;
        let kept = match etag.filter(|etag| self.keep && is_strong(etag)) {
            Some(etag) => fs::write(self.etag_path(), etag),
            None => remove(&self.etag_path()),
        };
        kept.map_err(|source| self.failed(source))
    }

    /// Adds bytes at the end.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Result<(), ClientError> {
        let written = self.file.seek(SeekFrom::Start(self.length)).and_then(|_| self.file.write_all(bytes));
        written.map_err(|source| self.failed(source))?;
        self.length = self.length.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Compares the size and then the SHA-256 of what the file holds with what was signed.
    pub(super) fn prove(&mut self, artifact: &Artifact) -> Result<(), ClientError> {
        self.file.sync_all().map_err(|source| self.failed(source))?;
        let (found, digest) = hash(&mut self.file).map_err(|source| self.failed(source))?;
        if found != artifact.size_bytes {
            return Err(ClientError::SizeMismatch { signed: artifact.size_bytes, found });
        }
        if digest != artifact.sha256 {
            return Err(ClientError::DigestMismatch { signed: artifact.sha256.clone(), found: digest });
        }
        Ok(())
    }

    /// Gives the proved file its name. The last thing that can fail is what makes the name survive a power cut.
    pub(super) fn place(mut self, path: &Path) -> Result<Downloaded, ClientError> {
        let failed = |source| ClientError::File { path: path.to_owned(), source };
        if !is_same(&self.file, &self.path).map_err(failed)? {
            return Err(failed(io::Error::other("the file beside it was replaced while it was written")));
        }
        fs::rename(&self.path, path).map_err(failed)?;
        (self.keep, self.length) = (true, self.length.max(1));
        remove(&self.etag_path()).map_err(failed)?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        sync_folder(folder.unwrap_or_else(|| Path::new("."))).map_err(failed)?;
        // A handle that can write would keep some systems from running the file.
        let file = File::open(path).map_err(failed)?;
        if !is_same(&self.file, path).map_err(failed)? || !is_same(&file, path).map_err(failed)? {
            return Err(failed(io::Error::other("the file was replaced as soon as it had its name")));
        }
        Ok(Downloaded { path: path.to_owned(), file })
    }

    /// Forgets the bytes: they are not the signed ones.
    pub(super) fn discard(mut self) {
        self.keep = false;
    }

    fn etag_path(&self) -> PathBuf {
        self.path.with_extension("etag")
    }

    fn failed(&self, source: io::Error) -> ClientError {
        ClientError::File { path: self.path.clone(), source }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.keep || self.length == 0 {
            // The error that led here is the one that tells.
            _ = fs::remove_file(&self.path);
            _ = fs::remove_file(self.etag_path());
        }
    }
}

/// Whether an entity tag promises the same bytes: a weak one does not.
fn is_strong(etag: &str) -> bool {
    let quoted = etag.len() >= 2 && etag.starts_with('"') && etag.ends_with('"');
    quoted && etag.len() <= MAX_ETAG_BYTES && etag.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A name in the directory of `path`, so that the rename stays on one file system.
fn beside(path: &Path, tag: &str) -> Result<PathBuf, ClientError> {
    let name = path.file_name().ok_or_else(|| {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
        ClientError::File { path: path.to_owned(), source }
    })?;
    Ok(path.with_file_name(format!(".{}.{tag}.part", name.to_string_lossy())))
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Removes a symbolic link that waits where the file is to be.
fn remove_unless_file(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_file() => Ok(()),
        Ok(_) => remove(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether the path still leads to the open file.
#[cfg(unix)]
fn is_same(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let named = match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        named => named?,
    };
    let open = file.metadata()?;
    Ok((open.dev(), open.ino()) == (named.dev(), named.ino()))
}

/// Whether the path still leads to the open file: Windows replaces no file that is open and locked.
#[cfg(not(unix))]
fn is_same(_file: &File, path: &Path) -> io::Result<bool> {
    fs::symlink_metadata(path).map(|named| named.file_type().is_file())
}

/// Size and SHA-256 (lower-case hex) of an open file, from its beginning.
fn hash(file: &mut File) -> io::Result<(u64, String)> {
    file.rewind()?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0_u8; HASH_BUFFER_BYTES];
    let mut size: u64 = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        size = size.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        context.update(buffer.get(..read).unwrap_or_default());
    }
    Ok((size, hex(context.finish().as_ref())))
}
