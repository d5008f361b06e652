//! Why a token is refused: one variant per kind of failure, each with a stable code.

use super::location::LocationError;
use super::members::MemberError;
use crate::json::JsonError;
use crate::jwk::{BadSignature, JwkError};
use crate::version::VersionError;

/// Why a token is refused.
///
/// Texts that come from the token are escaped and cut, so that a message is one line of bounded length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "fields are named as their message says")]
pub enum Refusal {
    /// Step 1: the token is too long.
    #[error("token has {bytes} bytes, expected at most {}", crate::jws::MAX_TOKEN_BYTES)]
    TokenTooLong { bytes: usize },
    /// Step 2: the token does not have three segments, or one is empty.
    #[error("token does not have three non-empty segments")]
    Segments,
    /// Step 2: a segment is not canonical base64url.
    #[error("{segment} of the token is not canonical base64url without padding")]
    Base64 { segment: &'static str },
    /// Step 3: the header is too long.
    #[error("header has {bytes} bytes, expected at most {}", crate::jws::MAX_HEADER_BYTES)]
    HeaderTooLong { bytes: usize },
    /// Step 3: the header is no strict JSON object.
    #[error("header: {0}")]
    HeaderJson(JsonError),
    /// Step 3: the header does not have exactly its members, or one is no text.
    #[error("header member {0}")]
    HeaderMember(MemberError),
    /// Step 3: the token is of another type.
    #[error("header has typ `{found}`, expected `{expected}`")]
    HeaderType { found: String, expected: &'static str },
    /// Step 4: no key of the keyset has this id.
    #[error("key `{kid}` is not in the keyset")]
    UnknownKid { kid: String },
    /// Step 4: the header names another algorithm than the key's.
    #[error("header has alg `{found}`, expected `{expected}` as its key has")]
    AlgMismatch { found: String, expected: &'static str },
    /// Step 4: the delegation is no well-formed token of its type.
    #[error("the delegation is not well formed")]
    DelegationForm(#[source] Box<Refusal>),
    /// Step 4: the delegation's signature does not verify.
    #[error("the delegation was not signed by key `{kid}`")]
    DelegationSignature {
        kid: String,
        #[source]
        source: BadSignature,
    },
    /// Step 4: the delegation's payload is no strict JSON object.
    #[error("delegation: {0}")]
    DelegationJson(JsonError),
    /// Step 4: a member of the delegation is missing or of the wrong type.
    #[error("delegation member {0}")]
    DelegationMember(MemberError),
    /// Step 4: the delegation has another format version.
    #[error("delegation has format version {found}, expected 1")]
    DelegationVersion { found: i64 },
    /// Step 4: the delegation is another deployment's.
    #[error("delegation has issuer `{found}`, expected `{expected}`")]
    DelegationIssuer { found: String, expected: String },
    /// Step 4: the delegation is for another purpose.
    #[error("delegation has scope `{found}`, expected `{}`", crate::delegation::SCOPE)]
    DelegationScope { found: String },
    /// Step 4: the delegation has a critical claim that this client does not understand.
    #[error("critical claim `{claim}` of the delegation is not understood")]
    DelegationCriticalClaim { claim: String },
    /// Step 4: the delegation lasts too long, or not at all.
    #[error("delegation lasts {seconds} seconds, expected 1 to {}", crate::delegation::MAX_LIFETIME_SECONDS)]
    DelegationLifetime { seconds: i64 },
    /// Step 4: the delegation has not begun.
    #[error("delegation begins at {nbf}, expected at most 300 seconds after now ({now})")]
    DelegationNotYetValid { nbf: i64, now: i64 },
    /// Step 4: the delegation is over.
    #[error("delegation ended at {exp}, now is {now}")]
    DelegationExpired { exp: i64, now: i64 },
    /// Step 4: the delegated key is no public key with exactly its members.
    #[error("the delegated key is not well formed")]
    DelegationKey(#[source] JwkError),
    /// Step 4: the delegated key has another algorithm than the decision's header names.
    #[error("header has alg `{found}`, expected `{expected}` as the delegated key has")]
    DelegationAlg { found: String, expected: &'static str },
    /// Step 4: the delegated key is not the one that the decision names.
    #[error("header has kid `{found}`, expected the delegated key's thumbprint `{expected}`")]
    DelegationThumbprint { found: String, expected: String },
    /// Step 5: the signature does not verify.
    #[error("the token was not signed by the key that it names")]
    Signature(#[source] BadSignature),
    /// Step 6: the payload is no strict JSON object.
    #[error("payload: {0}")]
    PayloadJson(JsonError),
    /// Step 6: a member of the payload is missing or of the wrong type.
    #[error("payload member {0}")]
    PayloadMember(MemberError),
    /// Step 6: the payload has another format version.
    #[error("payload has format version {found}, expected 1")]
    FormatVersion { found: i64 },
    /// Step 6: the token has a critical claim that this client does not understand.
    #[error("critical claim `{claim}` is not understood")]
    CriticalClaim { claim: String },
    /// Step 7: the keyset has expired.
    #[error("keyset expired at {expires}, now is {now}")]
    KeysetExpired { expires: i64, now: i64 },
    /// Step 7: the key was revoked.
    #[error("key `{kid}` is revoked")]
    KeyRevoked { kid: String },
    /// Step 7: the key may not be used yet.
    #[error("key `{kid}` may be used from {nbf}, now is {now}")]
    KeyNotYetValid { kid: String, nbf: i64, now: i64 },
    /// Step 7: the key may no longer be used.
    #[error("key `{kid}` ended at {exp}, now is {now}")]
    KeyExpired { kid: String, exp: i64, now: i64 },
    /// Step 7: the key may not sign for this product.
    #[error("key `{kid}` may not sign for product `{product}`")]
    KeyNotForProduct { kid: String, product: String },
    /// Step 8: the decision is another deployment's.
    #[error("decision has issuer `{found}`, expected `{expected}`")]
    Issuer { found: String, expected: String },
    /// Step 8: the decision answers another question.
    #[error("decision has `{member}` {found}, expected {expected} as asked")]
    Question { member: &'static str, found: String, expected: String },
    /// Step 9: the decision was issued in the future.
    #[error("decision was issued at {iat}, expected at most 300 seconds after now ({now})")]
    IssuedInFuture { iat: i64, now: i64 },
    /// Step 9: the decision has expired.
    #[error("decision expired at {exp}, now is {now}")]
    Expired { exp: i64, now: i64 },
    /// Step 9: the decision lasts too long, or not at all.
    #[error("decision lasts {seconds} seconds, expected 1 to 86400")]
    Lifetime { seconds: i64 },
    /// Step 9: the decision was issued outside the delegation's window.
    #[error("decision was issued at {iat}, expected from {nbf} until before {exp} as delegated")]
    OutsideDelegation { iat: i64, nbf: i64, exp: i64 },
    /// Step 10: the decision does not carry the nonce that was sent.
    #[error("decision does not carry the nonce that was sent")]
    Nonce,
    /// Step 10: the decision carries a nonce although none was sent: it is the answer to another request.
    #[error("decision carries a nonce, none was sent")]
    NonceUnasked,
    /// Step 11: `epoch` or `seq` is below 1.
    #[error("decision has `{member}` {found}, expected at least 1")]
    NotPositive { member: &'static str, found: i64 },
    /// Step 11: the epoch is not the keyset's.
    #[error("decision has epoch {found}, expected {expected} as the keyset has")]
    Epoch { found: u64, expected: u64 },
    /// Step 11: the decision is older than one that was accepted before.
    #[error("decision has seq {found}, expected at least {stored} in epoch {epoch}")]
    Replayed { epoch: u64, found: u64, stored: u64 },
    /// Step 11: a decision of a later epoch was accepted before.
    #[error("decision has epoch {found}, expected at least {stored} as stored")]
    EpochReplayed { found: u64, stored: u64 },
    /// Step 12: the action is no word that this client knows.
    #[error("action `{found}` is not known")]
    Action { found: String },
    /// Step 12: the action does not go with what the decision holds.
    #[error("decision with action {action} has {what}")]
    Shape { action: &'static str, what: &'static str },
    /// Step 12: a version of the release is no version.
    #[error("release member `{member}` is no version")]
    Version {
        member: &'static str,
        #[source]
        source: VersionError,
    },
    /// Step 12: the release is the installed one.
    #[error("release {offered} is the installed {installed}")]
    SameVersion { offered: String, installed: String },
    /// Step 12: the release is older and does not say that it may be.
    #[error("release {offered} is older than the installed {installed} without `allow_downgrade`")]
    Downgrade { offered: String, installed: String },
    /// Step 12: the release is below its own floor.
    #[error("release {offered} is below the floor {floor}")]
    BelowFloor { offered: String, floor: String },
    /// Step 13: the installer is of a type that was not asked for.
    #[error("installer type `{found}` was not asked for (`{asked}`)")]
    InstallerType { found: String, asked: String },
    /// Step 13: the size is out of range.
    #[error("artifact has {found} bytes, expected 1 to {max}")]
    Size { found: i64, max: u64 },
    /// Step 13: the digest is not in its form.
    #[error("sha256 `{found}` is not 64 lower-case hex digits")]
    Sha256 { found: String },
    /// Step 13: what is said of how the bytes were proved is no word that this client knows.
    #[error("verification `{found}` is not known, expected `DECLARED` or none")]
    Verification { found: String },
    /// Step 13: the URL may not be used.
    #[error("url `{found}` may not be used")]
    Location {
        found: String,
        #[source]
        source: LocationError,
    },
}

impl Refusal {
    /// The stable code of this kind of failure.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TokenTooLong { .. } => "TOKEN_TOO_LONG",
            Self::Segments => "TOKEN_SEGMENTS",
            Self::Base64 { .. } => "TOKEN_BASE64",
            Self::HeaderTooLong { .. } => "HEADER_TOO_LONG",
            Self::HeaderJson(_) => "HEADER_JSON",
            Self::HeaderMember(_) => "HEADER_MEMBER",
            Self::HeaderType { .. } => "HEADER_TYPE",
            Self::UnknownKid { .. } => "KID_UNKNOWN",
            Self::AlgMismatch { .. } => "ALG_MISMATCH",
            Self::DelegationForm(_) => "DELEGATION_FORM",
            Self::DelegationSignature { .. } => "DELEGATION_SIGNATURE",
            Self::DelegationJson(_) => "DELEGATION_JSON",
            Self::DelegationMember(_) => "DELEGATION_MEMBER",
            Self::DelegationVersion { .. } => "DELEGATION_VERSION",
            Self::DelegationIssuer { .. } => "DELEGATION_ISSUER",
            Self::DelegationScope { .. } => "DELEGATION_SCOPE",
            Self::DelegationCriticalClaim { .. } => "DELEGATION_CRITICAL_CLAIM",
            Self::DelegationLifetime { .. } => "DELEGATION_LIFETIME",
            Self::DelegationNotYetValid { .. } => "DELEGATION_NOT_YET_VALID",
            Self::DelegationExpired { .. } => "DELEGATION_EXPIRED",
            Self::DelegationKey(_) => "DELEGATION_KEY",
            Self::DelegationAlg { .. } => "DELEGATION_ALG",
            Self::DelegationThumbprint { .. } => "DELEGATION_THUMBPRINT",
            Self::Signature(_) => "SIGNATURE",
            Self::PayloadJson(_) => "PAYLOAD_JSON",
            Self::PayloadMember(_) => "PAYLOAD_MEMBER",
            Self::FormatVersion { .. } => "FORMAT_VERSION",
            Self::CriticalClaim { .. } => "CRITICAL_CLAIM",
            Self::KeysetExpired { .. } => "KEYSET_EXPIRED",
            Self::KeyRevoked { .. } => "KEY_REVOKED",
            Self::KeyNotYetValid { .. } => "KEY_NOT_YET_VALID",
            Self::KeyExpired { .. } => "KEY_EXPIRED",
            Self::KeyNotForProduct { .. } => "KEY_NOT_FOR_PRODUCT",
            Self::Issuer { .. } => "ISSUER",
            Self::Question { .. } => "QUESTION",
            Self::IssuedInFuture { .. } => "ISSUED_IN_FUTURE",
            Self::Expired { .. } => "EXPIRED",
            Self::Lifetime { .. } => "LIFETIME",
            Self::OutsideDelegation { .. } => "OUTSIDE_DELEGATION",
            Self::Nonce => "NONCE",
            Self::NonceUnasked => "NONCE_UNASKED",
            Self::NotPositive { .. } => "NOT_POSITIVE",
            Self::Epoch { .. } => "EPOCH",
            Self::Replayed { .. } => "REPLAYED",
            Self::EpochReplayed { .. } => "EPOCH_REPLAYED",
            Self::Action { .. } => "ACTION",
            Self::Shape { .. } => "SHAPE",
            Self::Version { .. } => "VERSION",
            Self::SameVersion { .. } => "SAME_VERSION",
            Self::Downgrade { .. } => "DOWNGRADE",
            Self::BelowFloor { .. } => "BELOW_FLOOR",
            Self::InstallerType { .. } => "INSTALLER_TYPE",
            Self::Size { .. } => "SIZE",
            Self::Sha256 { .. } => "SHA256",
            Self::Verification { .. } => "VERIFICATION",
            Self::Location { .. } => "URL",
        }
    }

    /// The number of the step that failed, as the description of the format counts them.
    pub const fn step(&self) -> u8 {
        match self {
            Self::TokenTooLong { .. } => 1,
            Self::Segments | Self::Base64 { .. } => 2,
            Self::HeaderTooLong { .. }
            | Self::HeaderJson(_)
            | Self::HeaderMember(_)
            | Self::HeaderType { .. } => 3,
            Self::UnknownKid { .. }
            | Self::AlgMismatch { .. }
            | Self::DelegationForm(_)
            | Self::DelegationSignature { .. }
            | Self::DelegationJson(_)
            | Self::DelegationMember(_)
            | Self::DelegationVersion { .. }
            | Self::DelegationIssuer { .. }
            | Self::DelegationScope { .. }
            | Self::DelegationCriticalClaim { .. }
            | Self::DelegationLifetime { .. }
            | Self::DelegationNotYetValid { .. }
            | Self::DelegationExpired { .. }
            | Self::DelegationKey(_)
            | Self::DelegationAlg { .. }
            | Self::DelegationThumbprint { .. } => 4,
            Self::Signature(_) => 5,
            Self::PayloadJson(_)
            | Self::PayloadMember(_)
            | Self::FormatVersion { .. }
            | Self::CriticalClaim { .. } => 6,
            Self::KeysetExpired { .. }
            | Self::KeyRevoked { .. }
            | Self::KeyNotYetValid { .. }
            | Self::KeyExpired { .. }
            | Self::KeyNotForProduct { .. } => 7,
            Self::Issuer { .. } | Self::Question { .. } => 8,
            Self::IssuedInFuture { .. }
            | Self::Expired { .. }
            | Self::Lifetime { .. }
            | Self::OutsideDelegation { .. } => 9,
            Self::Nonce | Self::NonceUnasked => 10,
            Self::NotPositive { .. }
            | Self::Epoch { .. }
            | Self::Replayed { .. }
            | Self::EpochReplayed { .. } => 11,
            Self::Action { .. }
            | Self::Shape { .. }
            | Self::Version { .. }
            | Self::SameVersion { .. }
            | Self::Downgrade { .. }
            | Self::BelowFloor { .. } => 12,
            Self::InstallerType { .. }
            | Self::Size { .. }
            | Self::Sha256 { .. }
            | Self::Verification { .. }
            | Self::Location { .. } => 13,
        }
    }

    /// Whether a time did not fit: the clock that was looked at may be wrong. At another time the verdict may be another.
    pub const fn is_about_time(&self) -> bool {
        matches!(
            self,
            Self::DelegationNotYetValid { .. }
                | Self::DelegationExpired { .. }
                | Self::KeysetExpired { .. }
                | Self::KeyNotYetValid { .. }
                | Self::KeyExpired { .. }
                | Self::IssuedInFuture { .. }
                | Self::Expired { .. }
        )
    }

    /// Whether a newer keyset could change the verdict: fetch it once, verify it, ask once more, then fail.
    pub const fn wants_newer_keyset(&self) -> bool {
        let epoch_ahead = matches!(self, Self::Epoch { found, expected } if *found > *expected);
        epoch_ahead || matches!(self, Self::UnknownKid { .. })
    }

    /// Whether an older server may have answered, one that has not heard yet of a change or of a new epoch: keep the
    /// state, ask again after 30 seconds, twice at most.
    pub const fn may_be_older_server(&self) -> bool {
        let epoch_behind = matches!(self, Self::Epoch { found, expected } if *found < *expected);
        epoch_behind || matches!(self, Self::Replayed { .. } | Self::EpochReplayed { .. })
    }
}

/// A text of the token for a message: escaped, and at most 80 characters of it.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 80;
    let mut shown: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        shown.push('…');
    }
    shown
}
