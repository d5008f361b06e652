//! What can go wrong between an updater and the service, an artifact or its own disk.

use std::{io, path::PathBuf, time::Duration};

/// What 429 and 503 without `Retry-After` ask for: a gateway's own ones have none.
const UNSAID_PAUSE: Duration = Duration::from_secs(30);

/// Why asking or downloading failed. None of these ever means "no update".
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The base URL is none.
    #[error("`{url}` is no base url: https (or http), a host, perhaps a path")]
    BaseUrl {
        /// What was given.
        url: String,
    },
    /// TLS could not be set up.
    #[error("cannot set up tls")]
    Tls(#[source] reqwest::Error),
    /// The system gave no random bytes for a nonce.
    #[error("the system gives no random bytes")]
    Randomness,
    /// The installed version is none.
    #[error("the installed version is no SemVer version")]
    Version(#[source] decision::version::VersionError),
    /// Nobody answered, or the answer broke off.
    #[error("`{url}` cannot be reached")]
    Unreachable {
        /// Where the request went, without its query.
        url: String,
        /// What the network said.
        #[source]
        source: reqwest::Error,
    },
    /// The service refused the question, or the store the download.
    #[error("`{url}` answered {status}{}", said(code, message))]
    Refused {
        /// Where the request went, without its query.
        url: String,
        /// The HTTP status.
        status: u16,
        /// The stable code of the refusal, empty where the answer has none.
        code: String,
        /// What the refusal says, empty where it says nothing.
        message: String,
        /// The id under which the service logged the request, where it gave one.
        request_id: Option<String>,
        /// After how many seconds to ask again, where the answer says so.
        retry_after_seconds: Option<u64>,
    },
    /// The answer is not what the interface promises.
    #[error("the answer of `{url}` is not understood: {what}")]
    NotUnderstood {
        /// Where the request went.
        url: String,
        /// What is wrong with it.
        what: String,
    },
    /// The bytes were more or fewer than signed.
    #[error("the download has {found} bytes or more, not the signed {signed}")]
    SizeMismatch {
        /// The signed size.
        signed: u64,
        /// How many bytes there were when the download ended.
        found: u64,
    },
    /// The bytes are not the signed ones.
    #[error("the downloaded file has the digest `{found}`, not the signed `{signed}`")]
    DigestMismatch {
        /// The signed SHA-256, lower-case hex.
        signed: String,
        /// The SHA-256 of the downloaded file.
        found: String,
    },
    /// The transfer was slower than the least that is accepted, or took too long in all.
    #[error("`{url}` sends too slowly")]
    TooSlow {
        /// Where the request went, without its query.
        url: String,
    },
    /// The disk has not enough room.
    #[error("`{}` has {available} bytes free, and {needed} are needed", path.display())]
    DiskSpace {
        /// The folder that the file was to be in.
        path: PathBuf,
        /// How many bytes are still to come.
        needed: u64,
        /// How many there is room for.
        available: u64,
    },
    /// Another updater is downloading the same file.
    #[error("`{}` is being downloaded already", path.display())]
    Busy {
        /// Which file.
        path: PathBuf,
    },
    /// A file could not be written, read or put in its place.
    #[error("cannot write `{}`", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl ClientError {
    /// Whether the same call may succeed later, with nothing changed.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::TooSlow { .. } => true,
            Self::Refused { status, .. } => matches!(status, 429 | 500 | 502 | 503 | 504),
            Self::BaseUrl { .. }
            | Self::Tls(_)
            | Self::Randomness
            | Self::Version(_)
            | Self::NotUnderstood { .. }
            | Self::SizeMismatch { .. }
            | Self::DigestMismatch { .. }
            | Self::DiskSpace { .. }
            | Self::Busy { .. }
            | Self::File { .. } => false,
        }
    }

    /// How long to wait before the same call where the other side is busy (429 or 503): what `Retry-After` says, half a
    /// minute where it says nothing. Who comes back by itself adds some seconds of chance.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { status: 429 | 503, retry_after_seconds, .. } => {
                Some(retry_after_seconds.map_or(UNSAID_PAUSE, Duration::from_secs))
            }
            _ => None,
        }
    }

    /// Whether the bytes are not the signed ones.
    pub(crate) fn is_mismatch(&self) -> bool {
        matches!(self, Self::SizeMismatch { .. } | Self::DigestMismatch { .. })
    }
}

fn said(code: &str, message: &str) -> String {
    match (code, message) {
        ("", "") => String::new(),
        ("", message) => format!(": {message}"),
        (code, message) => format!(" `{code}`: {message}"),
    }
}
