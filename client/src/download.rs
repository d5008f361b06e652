//! Downloading what a verified decision names, and nothing else.
//!
//! The bytes go to a file beside, which gets its final name only after its size and SHA-256 were found to be the
//! signed ones, through the very handle that is then handed out.

mod pace;
mod part;
mod transfer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::Url;

pub(crate) use self::transfer::Transfer;
use crate::{Client, ClientError, SystemClock};

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

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes are on the disk, those of earlier tries included.
    pub bytes: u64,
    /// How many there will be.
    pub of: u64,
}

/// A file that holds the signed bytes.
#[derive(Debug)]
pub struct Downloaded {
    path: PathBuf,
    file: File,
}

impl Downloaded {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The file through which the bytes were proved, open for reading from its beginning.
    ///
    /// Whoever can replace the file at [`path`](Self::path) cannot replace this one.
    pub fn into_file(self) -> File {
        self.file
    }
}

/// What a download may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The largest artifact that is accepted, in bytes; 5 GiB by default. A decision about a larger one is refused.
    pub max_artifact_bytes: u64,
    /// How slow a transfer may be, in bytes per second over each [`window`](Self::window); 1 024 by default.
    pub min_bytes_per_second: u64,
    /// Over which time the rate is measured, the wait for the first byte included; 30 seconds by default.
    pub window: Duration,
    /// How long one call may take in all, pauses between its tries included; six hours by default. A pause that would
    /// end later is not begun: a busy mirror that says nothing asks for 30 to 40 seconds, so with less than that left
    /// its refusal is the outcome at once.
    pub max_duration: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_artifact_bytes: 5 * 1024 * 1024 * 1024,
            min_bytes_per_second: 1_024,
            window: Duration::from_secs(30),
            max_duration: Duration::from_secs(6 * 60 * 60),
        }
    }
}

impl Client {
    /// Downloads `artifact` to `path`, which changes only once the file beside it was found to be the signed one.
    ///
    /// The bytes go to a new file in the directory of `path`; the download stops past `size_bytes`; the file is
    /// synced, its size and then the SHA-256 of what it holds are compared, and it is renamed to `path`, replacing
    /// what was there. Whatever fails, the file beside is removed. One try, without resuming: an
    /// [`Updater`](crate::Updater) does more.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`], [`ClientError::Refused`] and [`ClientError::TooSlow`] for the transfer,
    /// [`ClientError::SizeMismatch`] and [`ClientError::DigestMismatch`] where the bytes are not the signed ones,
    /// [`ClientError::DiskSpace`] and [`ClientError::File`] for the disk.
    pub async fn download(&self, artifact: &Artifact, path: &Path) -> Result<(), ClientError> {
        let transfer = Transfer {
            client: self,
            artifact,
            limits: Limits::default(),
            clock: &SystemClock,
            resume: false,
        };
        transfer.run(path, &mut |_| ()).await.map(drop)
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0'));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
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
