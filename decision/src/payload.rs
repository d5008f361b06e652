//! The payload of a decision, as the server writes it.
//!
//! Members are written in the order of the fields. A verifying client does not read through these types' `Deserialize`
//! (it would let unknown words fail and duplicates pass): see [`verify`](mod@crate::verify).

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::version::Version;

/// What a decision says, member by member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Payload {
    /// Format version, always 1.
    pub v: u8,
    /// The deployment's base URL.
    pub iss: Arc<str>,
    /// Decision id, `dec_` and a ULID.
    pub jti: Arc<str>,
    /// Issued at, Unix seconds.
    pub iat: i64,
    /// Expires at, Unix seconds; at most 86 400 after `iat`.
    pub exp: i64,
    /// The client's nonce, echoed; only where the request sent one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nonce: Option<Arc<str>>,
    /// The product, as asked.
    pub product_id: Arc<str>,
    /// The channel as asked, `stable` where none was.
    pub channel: Arc<str>,
    /// The platform, as asked.
    pub platform: Arc<str>,
    /// The architecture, as asked.
    pub arch: Arc<str>,
    /// The client's version, as asked.
    pub from_version: Version,
    /// The tenant, where the question had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant_id: Option<Arc<str>>,
    /// The epoch of the keyset, at least 1.
    pub epoch: u64,
    /// The counter that never falls within an epoch, at least 1.
    pub seq: u64,
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: Reason,
    /// The release offered; present exactly where the action is not [`Action::None`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub release: Option<ReleaseRef>,
    /// The artifact offered; present exactly where the action is not [`Action::None`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<ArtifactRef>,
    /// Names of claims that a client must understand or refuse the token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crit_claims: Option<Vec<Arc<str>>>,
}

/// What a client should do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Action {
    /// Stay as it is.
    None,
    /// Tell the user.
    Notify,
    /// Fetch the artifact, and no more.
    Download,
    /// Fetch and install.
    Install,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 4] = [Self::None, Self::Notify, Self::Download, Self::Install];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Notify => "NOTIFY",
            Self::Download => "DOWNLOAD",
            Self::Install => "INSTALL",
        }
    }

    /// The action of a word on the wire.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// Why a decision is what it is: the closed list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Reason {
    /// A newer release is offered.
    NewRelease,
    /// A step in between is offered, or would be needed and is not there.
    StepRequired,
    /// The client's release was revoked: an older one is offered.
    Rollback,
    /// There is nothing newer.
    UpToDate,
    /// The product or the newer release's rollout is paused.
    Paused,
    /// The newer release is outside the pinned range.
    Pinned,
    /// The newer release is blocked.
    Blocked,
    /// The release is below the lowest version allowed.
    BelowMinimum,
    /// The client is not yet in the rollout.
    NotInRollout,
    /// The newer release has no artifact for this client.
    NoCompatibleArtifact,
    /// An artifact of the newer release is quarantined.
    ArtifactQuarantined,
    /// The customer's own tools install updates.
    ManagedByIt,
    /// The product is not known here.
    UnknownProduct,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::NewRelease,
        Self::StepRequired,
        Self::Rollback,
        Self::UpToDate,
        Self::Paused,
        Self::Pinned,
        Self::Blocked,
        Self::BelowMinimum,
        Self::NotInRollout,
        Self::NoCompatibleArtifact,
        Self::ArtifactQuarantined,
        Self::ManagedByIt,
        Self::UnknownProduct,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewRelease => "NEW_RELEASE",
            Self::StepRequired => "STEP_REQUIRED",
            Self::Rollback => "ROLLBACK",
            Self::UpToDate => "UP_TO_DATE",
            Self::Paused => "PAUSED",
            Self::Pinned => "PINNED",
            Self::Blocked => "BLOCKED",
            Self::BelowMinimum => "BELOW_MINIMUM",
            Self::NotInRollout => "NOT_IN_ROLLOUT",
            Self::NoCompatibleArtifact => "NO_COMPATIBLE_ARTIFACT",
            Self::ArtifactQuarantined => "ARTIFACT_QUARANTINED",
            Self::ManagedByIt => "MANAGED_BY_IT",
            Self::UnknownProduct => "UNKNOWN_PRODUCT",
        }
    }

    /// The reason of a word on the wire.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// The release that a decision offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseRef {
    /// The release's id.
    pub release_id: Arc<str>,
    /// The release's version.
    pub version: Version,
    /// The channel the release is in. Always set when writing; a verifier accepts a release without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Arc<str>>,
    /// No version below this one may ever be installed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Version>,
    /// Whether the release may be older than the installed version; written only where true.
    #[serde(default, skip_serializing_if = "is_false")]
    pub allow_downgrade: bool,
    /// Whether the release is critical; written only where true.
    #[serde(default, skip_serializing_if = "is_false")]
    pub critical: bool,
    /// Where the release notes are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes_url: Option<Arc<str>>,
}

/// The artifact that a decision offers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// The artifact's id.
    pub artifact_id: Arc<str>,
    /// SHA-256 of the bytes, 64 lower-case hex digits.
    pub sha256: Arc<str>,
    /// The exact number of bytes, at least 1.
    pub size_bytes: u64,
    /// Where the bytes are.
    pub url: Arc<str>,
    /// What kind of installer it is.
    pub installer_type: Arc<str>,
    /// Whether installing needs administrator rights, where the release says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requires_admin: Option<bool>,
    /// A name for the file. The verifier checks that it is text and no more: it is no path to write to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_name: Option<Arc<str>>,
    /// Who may download; absent means `public`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Arc<str>>,
    /// `DECLARED` where the service never saw the bytes, else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verification: Option<Arc<str>>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde calls")]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload() -> Payload {
        Payload {
            v: 1,
            iss: "https://updates.example.com".into(),
            jti: "dec_1".into(),
            iat: 10,
            exp: 20,
            nonce: None,
            product_id: "acme".into(),
            channel: "stable".into(),
            platform: "linux".into(),
            arch: "arm64".into(),
            from_version: Version::parse("1.0.0").unwrap(),
            tenant_id: None,
            epoch: 1,
            seq: 2,
            action: Action::None,
            reason: Reason::UpToDate,
            release: None,
            artifact: None,
            crit_claims: None,
        }
    }

    #[test]
    fn members_are_written_in_the_order_of_the_table_and_absent_ones_not_at_all() {
        let expected = concat!(
            r#"{"v":1,"iss":"https://updates.example.com","jti":"dec_1","iat":10,"exp":20,"product_id":"acme","#,
            r#""channel":"stable","platform":"linux","arch":"arm64","from_version":"1.0.0","epoch":1,"seq":2,"#,
            r#""action":"NONE","reason":"UP_TO_DATE"}"#
        );
        assert_eq!(serde_json::to_string(&payload()).unwrap(), expected);
        assert_eq!(serde_json::from_str::<Payload>(expected).unwrap(), payload());
    }

    #[test]
    fn a_release_says_only_what_is_set() {
        let release = ReleaseRef {
            release_id: "rel_1".into(),
            version: Version::parse("1.1.0").unwrap(),
            channel: Some("beta".into()),
            floor: None,
            allow_downgrade: false,
            critical: true,
            notes_url: None,
        };
        let expected = r#"{"release_id":"rel_1","version":"1.1.0","channel":"beta","critical":true}"#;
        assert_eq!(serde_json::to_string(&release).unwrap(), expected);
    }

    #[test]
    fn words_on_the_wire_are_those_that_serde_writes() {
        for action in Action::ALL {
            assert_eq!(serde_json::to_string(&action).unwrap(), format!("\"{action}\""));
            assert_eq!(Action::from_word(action.as_str()), Some(action));
        }
        for reason in Reason::ALL {
            assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
            assert_eq!(Reason::from_word(reason.as_str()), Some(reason));
        }
        assert_eq!(Action::from_word("install"), None);
    }
}
