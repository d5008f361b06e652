//! Downloading what a verified decision names, and nothing else.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use reqwest::{StatusCode, Url, header};
use ring::digest;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt as _;

use crate::ask::{refused, unreachable};
use crate::{Client, ClientError, fresh_nonce};

/// How much of a file is hashed at a time.
const HASH_BUFFER_BYTES: usize = 128 * 1024;

/// Which bytes to download: the `artifact` of a verified decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    /// Where the bytes are.
    pub url: String,
    /// How many there are.
    pub size_bytes: u64,
    /// Their SHA-256, lower-case hex.
    pub sha256: String,
}

impl Client {
    /// Downloads `artifact` to `path`, which changes only once the file beside it was found to be the signed one.
    ///
    /// The bytes go to a new file in the directory of `path`; the download stops past `size_bytes`; the file is
    /// synced, its size and then the SHA-256 of what it holds are compared, and it is renamed to `path`, replacing
    /// what was there. Whatever fails, the file beside is removed.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] and [`ClientError::Refused`] for the download, [`ClientError::SizeMismatch`] and
    /// [`ClientError::DigestMismatch`] where the bytes are not the signed ones, [`ClientError::File`] for the disk.
    pub async fn download(&self, artifact: &Artifact, path: &Path) -> Result<(), ClientError> {
        let aside = beside(path)?;
        let done = match self.fetch(artifact, &aside).await {
            Ok(()) => check_and_place(artifact, &aside, path).await,
            Err(error) => Err(error),
        };
        if done.is_err() {
            // It may never have been made, and the first error is the one that tells.
            let _ = fs::remove_file(&aside).await;
        }
        done
    }

    /// Writes at most the signed number of bytes to the new file `aside`, and syncs it.
    async fn fetch(&self, artifact: &Artifact, aside: &Path) -> Result<(), ClientError> {
        let url = without_query(&artifact.url);
        let request = self.http.get(&artifact.url).header(header::ACCEPT_ENCODING, "identity");
        let mut response = self
            .authorized(&artifact.url, request)
            .send()
            .await
            .map_err(|source| unreachable(&url, source))?;
        if response.status() != StatusCode::OK {
            return Err(refused(&url, response).await);
        }
        let signed = artifact.size_bytes;
        if let Some(found) = response.content_length().filter(|length| *length != signed) {
            return Err(ClientError::SizeMismatch { signed, found });
        }
        let failed = |source| ClientError::File { path: aside.to_owned(), source };
        let mut file: File =
            OpenOptions::new().write(true).create_new(true).open(aside).await.map_err(failed)?;
        let mut found: u64 = 0;
        while let Some(chunk) = response.chunk().await.map_err(|source| unreachable(&url, source))? {
            found = found.saturating_add(u64::try_from(chunk.len()).unwrap_or(u64::MAX));
            if found > signed {
                return Err(ClientError::SizeMismatch { signed, found });
            }
            file.write_all(&chunk).await.map_err(failed)?;
        }
        file.flush().await.map_err(failed)?;
        file.sync_all().await.map_err(failed)
    }
}

/// Compares the written file with what was signed, then puts it in its place.
async fn check_and_place(artifact: &Artifact, aside: &Path, path: &Path) -> Result<(), ClientError> {
    let failed = |source| ClientError::File { path: path.to_owned(), source };
    let reading = aside.to_owned();
    let hashed = tokio::task::spawn_blocking(move || hash(&reading)).await;
    let (found_bytes, found) = hashed.map_err(|error| failed(io::Error::other(error)))?.map_err(failed)?;
    if found_bytes != artifact.size_bytes {
        return Err(ClientError::SizeMismatch { signed: artifact.size_bytes, found: found_bytes });
    }
    if found != artifact.sha256 {
        return Err(ClientError::DigestMismatch { signed: artifact.sha256.clone(), found });
    }
    fs::rename(aside, path).await.map_err(failed)
}

/// Size and SHA-256 (lower-case hex) of the file as it is on disk.
fn hash(path: &Path) -> io::Result<(u64, String)> {
    let mut file = std::fs::File::open(path)?;
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

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// A new name in the directory of `path`, so that the rename stays on one file system.
fn beside(path: &Path) -> Result<PathBuf, ClientError> {
    let name = path.file_name().ok_or_else(|| {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the path names no file");
        ClientError::File { path: path.to_owned(), source }
    })?;
    Ok(path.with_file_name(format!(".{}.{}.part", name.to_string_lossy(), fresh_nonce()?)))
}

/// The URL as it may be shown: a signed one is a key to the bytes.
fn without_query(url: &str) -> String {
    Url::parse(url).map_or_else(
        |_| url.to_owned(),
        |mut url| {
            url.set_query(None);
            url.to_string()
        },
    )
}
