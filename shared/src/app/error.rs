//! Why a use case said no. One list for all of them; `http::error` gives each its status and stable code.

use crate::{
    domain::{
        digest::Sha256,
        external_url::UrlError,
        ids::{ArtifactId, ReleaseId},
        token::Scope,
        upload::FailureCode,
    },
    ports::{clock::NoEntropy, items::ItemsUnavailable, links::LinkError, objects::ObjectError},
};

/// Why a use case said no.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// There is no such thing, or the token may not see it.
    #[error("there is nothing of this name that this token can see")]
    NotFound,
    /// What a member of the request names is not there, or the token may not see it.
    #[error("`{0}`: there is nothing of this name that this token can see")]
    NotFoundMember(String),
    /// The token is missing, unknown, ended or mistyped.
    #[error("{0}")]
    Unauthorized(&'static str),
    /// The token lacks a scope.
    #[error("this needs a token with the scope `{0}`")]
    ScopeMissing(Scope),
    /// The token is limited to a tenant or product, and this is beyond it.
    #[error("this token is limited to {0}, and this is beyond it")]
    BeyondLimit(&'static str),
    /// Well formed, but not acceptable.
    #[error("`{member}`: {rule}")]
    Invalid {
        /// The member of the request.
        member: String,
        /// The rule it breaks.
        rule: String,
    },
    /// A URL that cannot be registered.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// The digest given at complete is not the one given at initiate.
    #[error(
        "`checksum` is `{given}`, but the upload was initiated for `{declared}`; the upload is unchanged"
    )]
    OtherChecksum {
        /// The digest given at initiate.
        declared: Sha256,
        /// The digest given now.
        given: Sha256,
    },
    /// The upload failed for good: initiate a new one.
    #[error("{message}")]
    UploadFailed {
        /// The kind of failure.
        code: FailureCode,
        /// What was found.
        message: String,
    },
    /// Nothing was PUT yet.
    #[error("nothing has been stored through the upload's URLs yet: PUT the bytes, then complete again")]
    ObjectNotUploaded,
    /// Parts of the upload are missing, or of another size than they should have; in order and never empty.
    #[error(
        "the parts of the upload are not all there: {} missing or of another size, the first of them part {}; PUT them, then complete again",
        .0.len(), .0.first().copied().unwrap_or(1)
    )]
    PartsMissing(Vec<u32>),
    /// Somebody else is completing it.
    #[error("the upload is being completed: ask again in a moment")]
    UploadInProgress,
    /// The window closed.
    #[error("the upload has expired: initiate a new one")]
    UploadExpired,
    /// It was aborted.
    #[error("the upload was aborted: initiate a new one")]
    UploadAborted,
    /// It is complete already, so it cannot be aborted.
    #[error("the upload is complete already; revoke or delete its artifact instead")]
    UploadCompleted,
    /// The same bytes are registered with something else that cannot change.
    #[error("these bytes are registered as `{id}` with {difference}: use that artifact, or delete it first")]
    ArtifactExists {
        /// The artifact that has them.
        id: ArtifactId,
        /// What differs.
        difference: &'static str,
    },
    /// The artifact, or the one that has the same bytes, was revoked.
    #[error("`{0}` was revoked, which is final: neither it nor its bytes can come back")]
    ArtifactRevoked(ArtifactId),
    /// A live release names the artifact.
    #[error("the release `{0}` names this artifact: revoke the release first")]
    ArtifactInUse(ReleaseId),
    /// The artifact is in a state that does not allow this.
    #[error("the artifact `{id}` is {state}: {hint}")]
    ArtifactNotAvailable {
        /// The artifact.
        id: ArtifactId,
        /// Its state.
        state: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The product exists.
    #[error("the product `{0}` exists already")]
    ProductExists(String),
    /// The product has this version in this channel.
    #[error("`{id}` is version {version} in the channel `{channel}` already")]
    ReleaseExists {
        /// The release that has it.
        id: ReleaseId,
        /// The version.
        version: String,
        /// The channel.
        channel: String,
    },
    /// The version was made of other bytes.
    #[error(
        "version {0} was released with other bytes, and a version means one set of bytes for ever: raise the version"
    )]
    VersionUsed(String),
    /// The release is revoked.
    #[error("the release is revoked, which is final")]
    ReleaseRevoked,
    /// The release is not published.
    #[error("the release is {0}, and this needs a published one")]
    ReleaseNotPublished(&'static str),
    /// The store seems not to be that of the records.
    #[error("nothing is cleaned up: {0}")]
    CleaningRefused(String),
    /// `If-Match` names another state.
    #[error("the policy has changed since: read it again, then decide")]
    PreconditionFailed,
    /// The idempotency key was used with another body.
    #[error("this Idempotency-Key was used with another body: use a new key for a new request")]
    IdempotencyKeyReused,
    /// The first request with this key has not ended.
    #[error("the first request with this Idempotency-Key has not ended: ask again in a moment")]
    IdempotencyInProgress,
    /// Others changed the same records again and again.
    #[error("others are changing the same records: try again")]
    Busy,
    /// Something changed between reading and writing; the use case tries again by itself.
    #[error("the records changed meanwhile")]
    Raced,
    /// The metadata store could not be used.
    #[error(transparent)]
    Items(#[from] ItemsUnavailable),
    /// The object store could not be used.
    #[error(transparent)]
    Objects(#[from] ObjectError),
    /// No link to an external artifact could be had.
    #[error("no link to the repository can be given")]
    Link(#[source] LinkError),
    /// What is asked of a key or of the keyset cannot be.
    #[error("{0}")]
    Key(&'static str),
    /// A key that is to sign is not configured.
    #[error(
        "the service does not have the key `{0}`, so there would be no decision any more: configure it as the next key \
         everywhere, or say `force=true`"
    )]
    KeyNotConfigured(String),
    /// Clients would refuse this signed keyset.
    #[error(transparent)]
    SignedKeyset(#[from] decision::root::RootError),
    /// The signing key could not be used.
    #[error("no decision could be signed")]
    Signer(#[source] crate::ports::signer::SignerError),
    /// The signing budget is used up, and the answer is not in memory.
    #[error("the signing budget is used up for the moment: ask again after `Retry-After`")]
    SigningBudget,
    /// No randomness.
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    /// A stored record does not read back: a broken invariant.
    #[error("the record `{key}` cannot be read")]
    Corrupt {
        /// Where it is.
        key: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A broken invariant.
    #[error("{0}")]
    Internal(&'static str),
}

impl AppError {
    /// A member that breaks a rule.
    pub fn invalid(member: impl Into<String>, rule: impl std::fmt::Display) -> Self {
        Self::Invalid { member: member.into(), rule: rule.to_string() }
    }
}
