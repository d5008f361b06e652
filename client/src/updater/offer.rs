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
    ///
    /// Harmless is a name of at most 128 letters, digits, spaces and `._+-` that begins with neither a dot nor a space,
    /// ends with neither, and is not that of a device of Windows.
    pub fn file_name(&self) -> &str {
        let names = [self.artifact.file_name.as_deref(), Some(&*self.artifact.artifact_id)];
        names.into_iter().flatten().find(|name| is_harmless(name)).unwrap_or("artifact")
    }

    pub(super) fn wanted(&self) -> Artifact {
        Artifact {
            url: self.artifact.url.to_string(),
            size_bytes: self.artifact.size_bytes,
            sha256: self.artifact.sha256.to_string(),
        }
    }
}

/// Whether a file of this name is an ordinary one, in the folder that it is put into, on every system.
fn is_harmless(name: &str) -> bool {
    let fits = (1..=MAX_FILE_NAME).contains(&name.len());
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._+- ".contains(&byte);
    let edges = ['.', ' '];
    fits && name.bytes().all(plain) && !name.starts_with(edges) && !name.ends_with(edges) && !is_device(name)
}

/// Whether Windows takes a name for a device: what stands before the first dot counts, in any case and without the
/// spaces at its end, in every folder and whatever the extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end_matches(' ').to_ascii_lowercase();
    let port = stem.strip_prefix("com").or_else(|| stem.strip_prefix("lpt"));
    let has_number = |number: &str| number.len() == 1 && number.bytes().all(|byte| byte.is_ascii_digit());
    matches!(stem.as_str(), "con" | "prn" | "aux" | "nul") || port.is_some_and(has_number)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Table {
        file_names: Names,
    }

    /// What both clients keep of the names that a decision may bring, and what neither does.
    #[derive(Deserialize)]
    struct Names {
        kept: Vec<String>,
        not_kept: Vec<String>,
    }

    fn offer(file_name: Option<&str>, artifact_id: &str) -> Offer {
        let artifact = ArtifactRef {
            artifact_id: artifact_id.into(),
            sha256: "5a".repeat(32).into(),
            size_bytes: 1,
            url: "https://dl.example.com/x".into(),
            installer_type: "msi".into(),
            requires_admin: None,
            file_name: file_name.map(Into::into),
            access: None,
            verification: None,
        };
        let release = ReleaseRef {
            release_id: "rel_1".into(),
            version: "1.5.0".parse().unwrap(),
            channel: None,
            floor: None,
            allow_downgrade: false,
            critical: false,
            notes_url: None,
        };
        Offer { action: Action::Install, release, artifact, expires: 1 }
    }

    #[test]
    fn a_file_has_the_publishers_name_where_that_is_harmless_on_every_system() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/both-clients.json");
        let table: Table = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let Names { kept, not_kept } = table.file_names;
        assert!(kept.len() > 9 && not_kept.len() > 40, "the table was not read");
        for name in &kept {
            assert_eq!(offer(Some(name), "art_1").file_name(), name);
        }
        for name in &not_kept {
            assert_eq!(offer(Some(name), "art_1").file_name(), "art_1", "{name:?}");
            assert_eq!(offer(Some(name), name).file_name(), "artifact", "{name:?}");
        }
        assert_eq!(offer(None, "art_1").file_name(), "art_1");
    }

    #[test]
    fn every_device_of_windows_is_known_in_any_case_and_whatever_follows_it() {
        let ports = ["com", "lpt"].into_iter().flat_map(|kind| (0..10).map(move |n| format!("{kind}{n}")));
        let devices = ["con", "prn", "aux", "nul"].into_iter().map(str::to_owned).chain(ports);
        for device in devices.flat_map(|device| [device.to_uppercase(), device]) {
            for end in ["", ".msi", ".", " ", " .msi", "...", ".tar.gz"] {
                assert!(is_device(&format!("{device}{end}")), "{device}{end}");
            }
            assert!(!is_device(&format!("{device}x.msi")) && !is_device(&format!("x.{device}")), "{device}");
        }
    }
}
