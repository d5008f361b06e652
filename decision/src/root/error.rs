//! Why a signed keyset is refused, each kind with a stable code.

use crate::json::JsonError;
use crate::jwk::JwkError;
use crate::keyset::KeysetError;

/// Why a signed keyset is refused. The one that was trusted before stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RootError {
    /// The file is too long.
    #[error("signed keyset has {bytes} bytes, expected at most {}", super::MAX_FILE_BYTES)]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The file, a header or the signed part is no strict JSON object.
    #[error("signed keyset: {0}")]
    Json(JsonError),
    /// A member is missing, of the wrong type or not expected.
    #[error("signed keyset: {0}")]
    Form(String),
    /// The keyset inside is none.
    #[error("the signed part is no keyset")]
    Keyset(#[source] KeysetError),
    /// A root key is not well formed.
    #[error("a root key is not well formed")]
    Key(#[source] JwkError),
    /// The root is none that could sign.
    #[error("root: {0}")]
    Root(String),
    /// A key signed twice.
    #[error("key `{kid}` has two signatures")]
    Twice {
        /// The key's id.
        kid: String,
    },
    /// A signature by a known root key does not verify.
    #[error("the signature of root key `{kid}` does not verify")]
    Signature {
        /// The key's id.
        kid: String,
    },
    /// Fewer root keys have signed than it takes.
    #[error("{found} root keys of version {of} have signed version {version}, expected {expected}")]
    TooFew {
        /// The version that was to be trusted.
        version: u64,
        /// The version whose root keys are counted.
        of: u64,
        /// How many have signed.
        found: usize,
        /// How many have to.
        expected: usize,
    },
    /// The version is not the next one.
    #[error("signed keyset has version {found}, expected {expected}")]
    Version {
        /// The version found.
        found: u64,
        /// The version after the trusted one.
        expected: u64,
    },
    /// The keyset is another deployment's.
    #[error("signed keyset has issuer `{found}`, expected `{expected}`")]
    Issuer {
        /// The issuer found.
        found: String,
        /// The issuer of the trusted one.
        expected: String,
    },
    /// The epoch is lower than before.
    #[error("signed keyset has epoch {found}, expected at least {expected}")]
    EpochFalls {
        /// The epoch found.
        found: u64,
        /// The epoch of the trusted one.
        expected: u64,
    },
    /// The newest version is over.
    #[error("signed keyset {version} expired at {expires}, now is {now}")]
    Expired {
        /// The version.
        version: u64,
        /// When it ended, Unix seconds.
        expires: i64,
        /// The time of the check, Unix seconds.
        now: i64,
    },
    /// There are more versions than one walk may have.
    #[error("more than {} versions in one walk", super::MAX_STEPS)]
    TooManySteps,
    /// The key that is to sign is none of the root's, new or old.
    #[error("key `{kid}` is no Ed25519 key and cannot sign a keyset")]
    Signer {
        /// The key's id.
        kid: String,
    },
}

impl RootError {
    /// The stable code of this kind of failure.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLong { .. } | Self::Json(_) | Self::Form(_) | Self::Keyset(_) => "ROOT_FORM",
            Self::Key(_) | Self::Root(_) | Self::Signer { .. } => "ROOT_KEYS",
            Self::Twice { .. } | Self::Signature { .. } | Self::TooFew { .. } => "ROOT_SIGNATURES",
            Self::Version { .. } => "ROOT_VERSION",
            Self::Issuer { .. } => "ROOT_ISSUER",
            Self::EpochFalls { .. } => "ROOT_EPOCH",
            Self::Expired { .. } => "ROOT_EXPIRED",
            Self::TooManySteps => "ROOT_STEPS",
        }
    }
}
