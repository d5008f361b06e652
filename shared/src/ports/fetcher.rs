//! Proving the bytes of an external artifact: by reading them, or by what their repository says of them.

use std::{error::Error, time::Duration};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::domain::{
    artifact::{Validators, Verification},
    digest::Sha256,
    external_url::{ExternalUrl, UrlError},
    hashing::SavedHash,
};

/// Proves external artifacts, by reading them or by the word of their repository.
#[async_trait]
pub trait Fetcher: std::fmt::Debug + Send + Sync {
    /// Proves the artifact by the cheapest means that its repository offers; [`Reading::Whole`] means that its size and
    /// digest are the declared ones.
    ///
    /// # Errors
    /// [`FetchError`], whose [`FetchError::definite`] tells a wrong artifact from a bad day of its host.
    async fn fetch(&self, request: &FetchRequest) -> Result<Reading, FetchError>;

    /// Asks what is said of the artifact, without reading its bytes: what its repository or its host answers is neither
    /// compared nor to be shown.
    ///
    /// # Errors
    /// [`FetchError`]
    async fn probe(&self, url: &ExternalUrl, now: i64) -> Result<Validators, FetchError>;
}

/// What is to be read, and what it is said to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchRequest {
    /// Where the artifact is. With `http:` only where a managed copy is kept.
    pub url: ExternalUrl,
    /// The digest it must have.
    pub declared_sha256: Sha256,
    /// The size it must have, in bytes.
    pub declared_size: u64,
    /// When this is, Unix milliseconds: what is signed is signed for now.
    pub now: i64,
    /// Where an earlier reading stopped.
    pub resume: Option<Progress>,
    /// How long may be read before the rest is left to another reading; nothing: to the end.
    pub budget: Option<Duration>,
    /// Who is given the bytes while they are read. Then they are read, whatever the repository says of them, and all at
    /// once: what takes longer than the budget fails.
    pub keep: Option<Keep>,
}

/// Who is given the bytes of an artifact while they are read.
#[async_trait]
pub trait Sink: std::fmt::Debug + Send + Sync {
    /// The bytes begin, perhaps anew.
    ///
    /// # Errors
    /// They cannot be taken.
    async fn begin(&self) -> std::io::Result<()>;

    /// The next bytes. Whether all of them are the declared ones is known only at the end.
    ///
    /// # Errors
    /// They cannot be taken.
    async fn take(&self, piece: bytes::Bytes) -> std::io::Result<()>;
}

/// A sink of one reading.
#[derive(Debug, Clone)]
pub struct Keep(pub std::sync::Arc<dyn Sink>);

impl PartialEq for Keep {
    fn eq(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Keep {}

/// How far a reading came, and of which bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// What was hashed so far.
    pub hash: SavedHash,
    /// What the host said of the bytes.
    pub validators: Validators,
}

/// What became of a reading that did not fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reading {
    /// The artifact is the declared one.
    Whole(Fetched),
    /// The time is over; another reading can go on from here.
    Part(Progress),
}

/// An artifact whose size and digest are the declared ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// By which means that is known: [`Verification::Fetched`] or [`Verification::Repository`].
    pub verification: Verification,
    /// What the host or the repository said of the bytes.
    pub validators: Validators,
    /// The host that sent the bytes or vouched for them, after all redirects.
    pub final_url_host: String,
    /// How many bytes were read by this reading.
    pub bytes_read: u64,
    /// Whether credentials were used, so that nothing of this may be shown to who asked.
    pub concealed: bool,
}

/// How long after credentials could not be read it is tried again.
const CREDENTIALS_PAUSE: Duration = Duration::from_secs(30);

/// How long a host is left alone that limits requests and does not say until when.
const LIMITED_PAUSE: Duration = Duration::from_secs(300);

/// A time to wait, and who asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The host does, of everybody and about everything that it has.
    OfHost(Duration),
    /// Something of ours is not to be had: the host was not asked.
    OfOurs(Duration),
}

impl Wait {
    /// How long.
    pub const fn time(self) -> Duration {
        match self {
            Self::OfHost(wait) | Self::OfOurs(wait) => wait,
        }
    }
}

/// The cause of a failure, for the log.
pub type Cause = Box<dyn Error + Send + Sync>;

/// Why an external artifact was not proved. No message has a query, a header's value or a body.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The bytes have another digest.
    #[error("the digest of the fetched bytes is `{found}`, not the declared `{declared}`")]
    ChecksumMismatch {
        /// The digest as declared.
        declared: Sha256,
        /// The digest of what was read.
        found: Sha256,
    },
    /// There are more or fewer bytes.
    #[error("the artifact has {found}, not the declared {declared} bytes")]
    SizeMismatch {
        /// The size as declared.
        declared: u64,
        /// What was seen.
        found: SizeFound,
    },
    /// The bytes are not the declared ones, and no more may be said, since they were read with credentials.
    #[error("the artifact differs from what was declared")]
    Differs,
    /// The chain of redirects did not end.
    #[error("there were more than {limit} redirects")]
    TooManyRedirects {
        /// How many are followed.
        limit: u8,
    },
    /// The URL, or the target of a redirect, breaks the rules.
    #[error("{}", place(*hop))]
    Url {
        /// How many redirects led here; 0 is the registered URL itself.
        hop: u8,
        /// The stable code of the rule.
        code: &'static str,
        /// The rule; nothing where it may not be shown.
        #[source]
        source: Option<UrlError>,
    },
    /// The name leads to an address that is not of the public internet.
    #[error("{} resolves to an address that is not public", host.as_deref().map_or("a host".to_owned(), |host| format!("`{host}`")))]
    AddressNotAllowed {
        /// The host; nothing where it may not be shown.
        host: Option<String>,
    },
    /// Something took longer than its limit.
    #[error("{0} took too long")]
    Timeout(&'static str),
    /// The answer is not one of HTTP, breaks off, or is not the plain bytes.
    #[error("the answer cannot be used: {reason}")]
    Invalid {
        /// What is wrong with it.
        reason: &'static str,
        /// The cause.
        #[source]
        source: Option<Cause>,
    },
    /// The certificate or the handshake was refused.
    #[error("no trusted TLS connection could be made")]
    Tls(#[source] Cause),
    /// The answer has another status than 200.
    #[error("the host answered with status {status}")]
    Status {
        /// The status.
        status: u16,
        /// How long the host asks to wait.
        retry_after: Option<Duration>,
    },
    /// No connection could be made.
    #[error("the host could not be reached")]
    Unreachable(#[source] Cause),
    /// What opens the repository is kept elsewhere and cannot be had: nothing was asked of the host.
    #[error("the credentials of the repository cannot be read now")]
    Credentials(#[source] Cause),
}

/// What is known of a size that is not the declared one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SizeFound {
    /// The size, as announced or as read to the end.
    Exactly(u64),
    /// Reading stopped behind this many bytes.
    MoreThan(u64),
}

impl std::fmt::Display for SizeFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exactly(size) => write!(f, "{size}"),
            Self::MoreThan(size) => write!(f, "more than {size}"),
        }
    }
}

fn place(hop: u8) -> String {
    if hop == 0 {
        "the URL is not allowed".to_owned()
    } else {
        format!("redirect {hop} leads to a URL that is not allowed")
    }
}

impl FetchError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ChecksumMismatch { .. } | Self::Differs => "CHECKSUM_MISMATCH",
            Self::SizeMismatch { .. } => "SIZE_MISMATCH",
            Self::TooManyRedirects { .. } => "TOO_MANY_REDIRECTS",
            Self::Url { code, .. } => code,
            Self::AddressNotAllowed { .. } => "URL_HOST_NOT_ALLOWED",
            Self::Timeout(_) => "UPSTREAM_TIMEOUT",
            Self::Invalid { .. } => "UPSTREAM_INVALID",
            Self::Tls(_) => "UPSTREAM_TLS",
            Self::Status { .. } => "UPSTREAM_STATUS",
            Self::Unreachable(_) => "UPSTREAM_UNREACHABLE",
            Self::Credentials(_) => "CREDENTIALS_UNREADABLE",
        }
    }

    /// Whether the artifact is proved wrong, so that trying again is of no use. Anything else may pass.
    pub const fn definite(&self) -> bool {
        match self {
            Self::ChecksumMismatch { .. } | Self::SizeMismatch { .. } | Self::Differs => true,
            Self::TooManyRedirects { .. }
            | Self::Url { .. }
            | Self::AddressNotAllowed { .. }
            | Self::Timeout(_)
            | Self::Invalid { .. }
            | Self::Tls(_)
            | Self::Status { .. }
            | Self::Unreachable(_)
            | Self::Credentials(_) => false,
        }
    }

    /// How long the host asks to wait before it is asked again.
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            // It says nothing about the artifact, which must not be withheld for it.
            Self::Credentials(_) => Some(CREDENTIALS_PAUSE),
            Self::ChecksumMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::Differs
            | Self::TooManyRedirects { .. }
            | Self::Url { .. }
            | Self::AddressNotAllowed { .. }
            | Self::Timeout(_)
            | Self::Invalid { .. }
            | Self::Tls(_)
            | Self::Unreachable(_) => None,
        }
    }

    /// How long to leave it alone, where the failure says nothing of the artifact: its host limits requests, or asks to
    /// come again, or what opens it cannot be read. Nothing may be withheld for it alone.
    pub const fn later(&self) -> Option<Wait> {
        match self {
            Self::Status { status: 429, retry_after: None } => Some(Wait::OfHost(LIMITED_PAUSE)),
            Self::Status { retry_after: Some(wait), .. } => Some(Wait::OfHost(*wait)),
            Self::Credentials(_) => Some(Wait::OfOurs(CREDENTIALS_PAUSE)),
            Self::Status { retry_after: None, .. }
            | Self::ChecksumMismatch { .. }
            | Self::SizeMismatch { .. }
            | Self::Differs
            | Self::TooManyRedirects { .. }
            | Self::Url { .. }
            | Self::AddressNotAllowed { .. }
            | Self::Timeout(_)
            | Self::Invalid { .. }
            | Self::Tls(_)
            | Self::Unreachable(_) => None,
        }
    }

    /// The same failure without anything that was found: for a repository that is read with credentials.
    #[must_use]
    pub fn concealed(self) -> Self {
        match self {
            Self::ChecksumMismatch { .. } | Self::SizeMismatch { .. } => Self::Differs,
            Self::Url { hop, code, .. } => Self::Url { hop, code, source: None },
            Self::AddressNotAllowed { .. } => Self::AddressNotAllowed { host: None },
            Self::Invalid { .. } => Self::Invalid { reason: "it is malformed", source: None },
            Self::Differs
            | Self::TooManyRedirects { .. }
            | Self::Timeout(_)
            | Self::Tls(_)
            | Self::Status { .. }
            | Self::Unreachable(_)
            | Self::Credentials(_) => self,
        }
    }
}
