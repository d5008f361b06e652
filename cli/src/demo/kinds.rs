//! What a file is, by its name.

use std::path::Path;

use crate::words::{ARCHES, INSTALLER_TYPES, PLATFORMS};

/// Where an installer runs and how it is packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    pub(crate) platform: String,
    pub(crate) arch: String,
    pub(crate) installer_type: String,
}

/// File endings, the platform where the ending says it, and the installer type.
const ENDINGS: [(&str, Option<&str>, &str); 13] = [
    (".msi", Some("windows"), "msi"),
    (".msix", Some("windows"), "msix"),
    (".exe", Some("windows"), "exe"),
    (".dmg", Some("macos"), "dmg"),
    (".pkg", Some("macos"), "pkg"),
    (".deb", Some("linux"), "deb"),
    (".rpm", Some("linux"), "rpm"),
    (".appimage", Some("linux"), "appimage"),
    (".zip", None, "zip"),
    (".whl", None, "zip"),
    (".tar.gz", None, "tar.gz"),
    (".tgz", None, "tar.gz"),
    (".crate", None, "tar.gz"),
];
/// Words in a name that tell the platform.
const PLATFORM_WORDS: [(&str, &str); 6] = [
    ("darwin", "macos"),
    ("macos", "macos"),
    ("osx", "macos"),
    ("windows", "windows"),
    ("win32", "windows"),
    ("win64", "windows"),
];
/// Words in a name that tell the architecture; the longer ones first.
const ARCH_WORDS: [(&str, &str); 7] = [
    ("x86_64", "x86_64"),
    ("amd64", "x86_64"),
    ("aarch64", "arm64"),
    ("arm64", "arm64"),
    ("i386", "x86"),
    ("i686", "x86"),
    ("x86", "x86"),
];

/// What the file is, where its ending is known.
pub(crate) fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    let (_, platform, installer_type) = ENDINGS.iter().find(|(ending, ..)| name.ends_with(ending))?;
    let told = |words: &[(&str, &'static str)]| {
        words.iter().find(|(word, _)| name.contains(word)).map(|(_, told)| *told)
    };
    let platform = platform.or_else(|| told(&PLATFORM_WORDS)).unwrap_or("linux");
    let arch = told(&ARCH_WORDS).unwrap_or("x86_64");
    Some(Kind {
        platform: platform.to_owned(),
        arch: arch.to_owned(),
        installer_type: (*installer_type).to_owned(),
    })
}

/// The endings that are known, for messages.
pub(crate) fn endings() -> String {
    ENDINGS.map(|(ending, ..)| ending).join(" ")
}

/// The parser of `--as`.
pub(crate) fn written(text: &str) -> Result<Kind, String> {
    match text.split('/').collect::<Vec<_>>().as_slice() {
        [platform, arch, installer_type]
            if PLATFORMS.contains(platform)
                && ARCHES.contains(arch)
                && INSTALLER_TYPES.contains(installer_type) =>
        {
            Ok(Kind {
                platform: (*platform).to_owned(),
                arch: (*arch).to_owned(),
                installer_type: (*installer_type).to_owned(),
            })
        }
        _ => Err("expected platform/arch/type, such as windows/x86_64/msi".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> String {
        kind(Path::new(name)).map_or_else(String::new, |kind| {
            format!("{}/{}/{}", kind.platform, kind.arch, kind.installer_type)
        })
    }

    #[test]
    fn a_file_is_known_by_its_ending_and_the_words_in_its_name() {
        for (name, expected) in [
            ("Editor-1.0.MSI", "windows/x86_64/msi"),
            ("setup.exe", "windows/x86_64/exe"),
            ("a.msix", "windows/x86_64/msix"),
            ("tool-arm64.dmg", "macos/arm64/dmg"),
            ("tool.pkg", "macos/x86_64/pkg"),
            ("tool_1.0_i386.deb", "linux/x86/deb"),
            ("tool.aarch64.rpm", "linux/arm64/rpm"),
            ("Tool-x86_64.AppImage", "linux/x86_64/appimage"),
            ("tool-darwin-amd64.zip", "macos/x86_64/zip"),
            ("tool-1.0.tar.gz", "linux/x86_64/tar.gz"),
            ("tool.tgz", "linux/x86_64/tar.gz"),
            ("serde-1.0.0.crate", "linux/x86_64/tar.gz"),
            ("numpy-2.0-win32.whl", "windows/x86_64/zip"),
        ] {
            assert_eq!(told(name), expected, "{name}");
        }
    }

    #[test]
    fn an_unknown_ending_is_nothing() {
        assert_eq!(told("notes.txt"), "");
        assert_eq!(told("notes.gz"), "");
        assert_eq!(told("msi"), "");
    }

    #[test]
    fn every_known_ending_leads_to_words_of_the_api() {
        for (ending, platform, installer_type) in ENDINGS {
            assert!(platform.is_none_or(|platform| PLATFORMS.contains(&platform)), "{ending}");
            assert!(INSTALLER_TYPES.contains(&installer_type), "{ending}");
        }
    }

    #[test]
    fn a_kind_can_be_written() {
        assert_eq!(written("windows/x86_64/msi").ok(), kind(Path::new("a.msi")));
        assert!(written("windows/x86_64").is_err());
        assert!(written("windows/x86_64/tar").is_err());
    }
}
