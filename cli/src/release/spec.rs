//! How an artifact of a release is written on the command line.

use serde_json::{Map, Value};

use crate::words::{ARCHES, INSTALLER_TYPES, PLATFORMS};

/// The form, for messages.
const FORM: &str = "art_…:platform/arch/installer_type[:min_os=10.0][:admin]";

/// One entry of a release's artifacts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArtifactSpec {
    artifact_id: String,
    platform: String,
    arch: String,
    installer_type: String,
    min_os_version: Option<String>,
    requires_admin: bool,
}

/// The parser of `--artifact`.
pub(crate) fn artifact_spec(text: &str) -> Result<ArtifactSpec, String> {
    let mut parts = text.split(':');
    let (Some(id), Some(target)) = (parts.next(), parts.next()) else {
        return Err(format!("expected {FORM}"));
    };
    if !id.starts_with("art_") {
        return Err(format!("`{id}` is no artifact id; expected {FORM}"));
    }
    let mut words = target.split('/');
    let mut next = |known: &[&str], what: &str| match words.next() {
        Some(word) if known.contains(&word) => Ok(word.to_owned()),
        found => Err(format!("`{}` is no {what}: {}", found.unwrap_or_default(), known.join(", "))),
    };
    let mut spec = ArtifactSpec {
        artifact_id: id.to_owned(),
        platform: next(&PLATFORMS, "platform")?,
        arch: next(&ARCHES, "arch")?,
        installer_type: next(&INSTALLER_TYPES, "installer type")?,
        min_os_version: None,
        requires_admin: false,
    };
    if let Some(more) = words.next() {
        return Err(format!("`{more}` is one word too many; expected {FORM}"));
    }
    for option in parts {
        match option.split_once('=') {
            Some(("min_os", version)) if !version.is_empty() => {
                spec.min_os_version = Some(version.to_owned());
            }
            None if option == "admin" => spec.requires_admin = true,
            _ => return Err(format!("`{option}` is no option of an artifact: min_os=VERSION, admin")),
        }
    }
    Ok(spec)
}

/// The parser of `--require`.
pub(crate) fn platform_arch(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some((platform, arch)) if PLATFORMS.contains(&platform) && ARCHES.contains(&arch) => {
            Ok(text.to_owned())
        }
        _ => Err(format!(
            "expected platform/arch: one of {} / one of {}",
            PLATFORMS.join(", "),
            ARCHES.join(", ")
        )),
    }
}

impl From<ArtifactSpec> for Value {
    fn from(spec: ArtifactSpec) -> Self {
        let mut entry = Map::new();
        for (name, value) in [
            ("artifact_id", spec.artifact_id),
            ("platform", spec.platform),
            ("arch", spec.arch),
            ("installer_type", spec.installer_type),
        ] {
            entry.insert(name.to_owned(), Self::from(value));
        }
        if let Some(version) = spec.min_os_version {
            entry.insert("min_os_version".to_owned(), Self::from(version));
        }
        if spec.requires_admin {
            entry.insert("requires_admin".to_owned(), Self::from(true));
        }
        Self::Object(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sent(text: &str) -> Value {
        Value::from(artifact_spec(text).unwrap())
    }

    #[test]
    fn an_artifact_is_written_with_its_target_and_options() {
        assert_eq!(
            sent("art_1:windows/x86_64/msi"),
            json!({"artifact_id": "art_1", "platform": "windows", "arch": "x86_64", "installer_type": "msi"})
        );
        assert_eq!(
            sent("art_1:linux/arm64/tar.gz:admin:min_os=10.0.19045"),
            json!({"artifact_id": "art_1", "platform": "linux", "arch": "arm64", "installer_type": "tar.gz",
                   "requires_admin": true, "min_os_version": "10.0.19045"})
        );
    }

    #[test]
    fn what_is_not_of_the_form_is_refused_with_the_reason() {
        for (text, reason) in [
            ("art_1", "expected art_…"),
            ("rel_1:windows/x86_64/msi", "`rel_1` is no artifact id"),
            ("art_1:plan9/x86_64/msi", "`plan9` is no platform"),
            ("art_1:windows/mips/msi", "`mips` is no arch"),
            ("art_1:windows/x86_64", "`` is no installer type"),
            ("art_1:windows/x86_64/msi/x", "`x` is one word too many"),
            ("art_1:windows/x86_64/msi:min_os=", "`min_os=` is no option"),
            ("art_1:windows/x86_64/msi:root", "`root` is no option"),
        ] {
            let said = artifact_spec(text).unwrap_err();
            assert!(said.starts_with(reason), "{text}: {said}");
        }
    }

    #[test]
    fn a_required_platform_names_both_parts() {
        assert_eq!(platform_arch("windows/arm64").as_deref(), Ok("windows/arm64"));
        assert!(platform_arch("windows").is_err());
        assert!(platform_arch("windows/arm64/msi").is_err());
    }
}
