//! What a believed decision says, in types that nothing else makes.

use decision::payload::{Action, ArtifactRef, ReleaseRef};
use decision::verify::Verified;

use crate::Artifact;

/// The longest file name that is taken from a decision.
const MAX_FILE_NAME: usize = 128;

/// A decision that passed every check and is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    token: String,
    verified: Verified,
    offer: Option<Offer>,
}

/// A release that the client may download, and perhaps install.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    action: Action,
    release: ReleaseRef,
    artifact: ArtifactRef,
    expires: i64,
}

impl Checked {
    pub(super) fn new(token: String, verified: Verified) -> Self {
        let facts = &verified.payload;
        let offer = match (&facts.release, &facts.artifact) {
            (Some(release), Some(artifact)) => Some(Offer {
                action: facts.action,
                release: release.clone(),
                artifact: artifact.clone(),
                expires: facts.exp,
            }),
            _ => None,
        };
        Self { token, verified, offer }
    }

    /// What to do.
    pub const fn action(&self) -> Action {
        self.verified.payload.action
    }

    /// Why: a word of [`Reason`](decision::payload::Reason), or a newer one. Only `UP_TO_DATE` means just that.
    pub fn reason(&self) -> &str {
        &self.verified.payload.reason
    }

    /// The release, where one is offered.
    pub const fn offer(&self) -> Option<&Offer> {
        self.offer.as_ref()
    }

    /// Everything that the decision says.
    pub const fn decision(&self) -> &Verified {
        &self.verified
    }

    /// The token, for whoever wants to verify it again.
    pub fn token(&self) -> &str {
        &self.token
    }
}

impl Offer {
    /// Whether to tell the user, to download, or to install too.
    pub const fn action(&self) -> Action {
        self.action
    }

    /// The release.
    pub const fn release(&self) -> &ReleaseRef {
        &self.release
    }

    /// The artifact.
    pub const fn artifact(&self) -> &ArtifactRef {
        &self.artifact
    }

    /// Until when a download may begin, Unix seconds.
    pub const fn expires(&self) -> i64 {
        self.expires
    }

    /// A name for the file: the publisher's where it is harmless on every system, else the artifact's id.
    pub fn file_name(&self) -> &str {
        let harmless = |name: &&str| {
            let fits = (1..=MAX_FILE_NAME).contains(&name.len()) && !name.starts_with(['.', ' ']);
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+- ".contains(&byte);
            fits && !name.ends_with(['.', ' ']) && name.bytes().all(plain)
        };
        self.artifact.file_name.as_deref().filter(harmless).unwrap_or_else(|| {
            let id: &str = &self.artifact.artifact_id;
            if harmless(&id) { id } else { "artifact" }
        })
    }

    pub(super) fn wanted(&self) -> Artifact {
        Artifact {
            url: self.artifact.url.to_string(),
            size_bytes: self.artifact.size_bytes,
            sha256: self.artifact.sha256.to_string(),
        }
    }
}
