//! A file on this machine, as an upload declares it.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::output::Output;
use crate::progress;

/// How much of a file is hashed at a time.
const BUFFER_BYTES: usize = 256 * 1024;
/// The longest file name that the API takes.
const MAX_NAME: usize = 128;

/// A file with its size and digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalFile {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its name, as the API takes it.
    pub(crate) name: Option<String>,
    /// Its size.
    pub(crate) size_bytes: u64,
    /// Its SHA-256, lower-case hex.
    pub(crate) sha256: String,
}

impl LocalFile {
    /// Reads the file once, showing progress.
    pub(crate) async fn read(out: Output, path: PathBuf) -> Result<Self, Failure> {
        let length = std::fs::metadata(&path).map_err(Failure::file(&path))?.len();
        let bar = progress::bytes(out, "hashing", length);
        let (reading, counting) = (path.clone(), bar.clone());
        let hashed = tokio::task::spawn_blocking(move || hash(File::open(reading)?, &counting)).await;
        bar.finish_and_clear();
        let (size_bytes, sha256) = hashed
            .map_err(|error| Failure::file(&path)(io::Error::other(error)))?
            .map_err(Failure::file(&path))?;
        if size_bytes == 0 {
            return Err(Failure::usage(format!("`{}` is empty", path.display())));
        }
        Ok(Self { name: api_name(&path), path, size_bytes, sha256 })
    }
}

impl LocalFile {
    /// SHA-256 of some of its bytes, lower-case hex.
    pub(crate) async fn hash_piece(&self, from: u64, length: u64) -> Result<String, Failure> {
        let path = self.path.clone();
        let hashed = tokio::task::spawn_blocking(move || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::Start(from))?;
            hash(file.take(length), &ProgressBar::hidden())
        });
        let hashed = hashed.await.map_err(|error| Failure::file(&self.path)(io::Error::other(error)))?;
        Ok(hashed.map_err(Failure::file(&self.path))?.1)
    }
}

/// Size and SHA-256 of what is read.
fn hash(mut file: impl Read, bar: &ProgressBar) -> io::Result<(u64, String)> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0_u8; BUFFER_BYTES];
    let mut size: u64 = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        digest.update(buffer.get(..read).unwrap_or_default());
        let read = u64::try_from(read).unwrap_or(u64::MAX);
        size = size.saturating_add(read);
        bar.inc(read);
    }
    Ok((size, hex(&digest.finalize())))
}

/// Lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The name of the file with every character that the API does not take replaced by `-`.
fn api_name(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_string_lossy();
    let taken = |character: char| character.is_ascii_alphanumeric() || "._+ -".contains(character);
    let name: String = name.chars().map(|character| if taken(character) { character } else { '-' }).collect();
    let name: String = name.trim_start_matches('.').chars().take(MAX_NAME).collect();
    Some(name).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_becomes_one_that_the_api_takes() {
        let name = |path: &str| api_name(Path::new(path));
        assert_eq!(name("/a/editor-1.0 (x64).msi").as_deref(), Some("editor-1.0 -x64-.msi"));
        assert_eq!(name("/a/.hidden").as_deref(), Some("hidden"));
        assert_eq!(name("/a/ü.zip").as_deref(), Some("-.zip"));
        assert_eq!(name("...").as_deref(), None);
        assert_eq!(name(&"x".repeat(200)).map(|name| name.len()), Some(128));
    }

    #[tokio::test]
    async fn a_file_is_known_by_size_and_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        std::fs::write(&path, b"hello artifact\n").unwrap();
        let file = LocalFile::read(Output::new(true), path).await.unwrap();
        assert_eq!(file.size_bytes, 15);
        assert_eq!(file.sha256, "51bc0fc1f19104fa6e89ce50be9aa1f57c3346c1ca51ab49f5f00e14ce8f8076");
    }

    #[tokio::test]
    async fn an_empty_file_is_wrong_usage() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.zip");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(LocalFile::read(Output::new(true), path).await.unwrap_err().exit_code(), 2);
    }
}
