//! Versions: Semantic Versioning 2.0 with bounded numbers.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::MAX_INTEGER;

/// The most characters that a version may have.
pub const MAX_VERSION_CHARACTERS: usize = 64;

/// A Semantic Versioning 2.0 version, kept exactly as it was written.
///
/// Equality and hashing are of the whole text, build metadata included. There is no `Ord` on purpose: say
/// [`cmp_precedence`](Self::cmp_precedence) or [`same_release`](Self::same_release), neither of which counts build
/// metadata. Cheap to clone.
#[derive(Clone)]
pub struct Version {
    text: Arc<str>,
    parsed: semver::Version,
}

/// Why a text is no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// The text is longer than [`MAX_VERSION_CHARACTERS`].
    #[error("version has more than {MAX_VERSION_CHARACTERS} characters")]
    TooLong,
    /// The text does not follow the grammar of Semantic Versioning 2.0.
    #[error("`{0}` is no semantic version (as in `1.2.3` or `1.2.3-rc.1+build`)")]
    Grammar(String),
    /// A number of the version is above 2^53-1.
    #[error("version `{0}` has a number above {MAX_INTEGER}")]
    NumberTooLarge(String),
}

impl Version {
    /// Reads a version.
    ///
    /// # Errors
    /// - [`VersionError::TooLong`]: more than 64 characters.
    /// - [`VersionError::Grammar`]: not Semantic Versioning 2.0, such as `1.2`, `v1.2.3` or `01.2.3`.
    /// - [`VersionError::NumberTooLarge`]: a number, also a numeric pre-release identifier, is above 2^53-1.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        if text.len() > MAX_VERSION_CHARACTERS {
            return Err(VersionError::TooLong);
        }
        let grammar = |_| VersionError::Grammar(text.escape_debug().to_string());
        let parsed = semver::Version::parse(text).map_err(grammar)?;
        let numbers = [parsed.major, parsed.minor, parsed.patch];
        if numbers.iter().any(|number| *number > MAX_INTEGER) || !parsed.pre.split('.').all(is_bounded) {
            return Err(VersionError::NumberTooLarge(text.to_owned()));
        }
        Ok(Self { text: text.into(), parsed })
    }

    /// The version exactly as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Compares by precedence: pre-releases come before their release, build metadata does not count.
    pub fn cmp_precedence(&self, other: &Self) -> Ordering {
        self.parsed.cmp_precedence(&other.parsed)
    }

    /// Whether both name the same release: equal but for build metadata.
    pub fn same_release(&self, other: &Self) -> bool {
        self.cmp_precedence(other) == Ordering::Equal
    }

    /// Whether the version has a pre-release part.
    pub fn is_prerelease(&self) -> bool {
        !self.parsed.pre.is_empty()
    }

    /// The pre-release part without its hyphen, empty where there is none.
    pub fn prerelease(&self) -> &str {
        self.parsed.pre.as_str()
    }

    /// The first number.
    pub fn major(&self) -> u64 {
        self.parsed.major
    }

    /// The second number.
    pub fn minor(&self) -> u64 {
        self.parsed.minor
    }

    /// The third number.
    pub fn patch(&self) -> u64 {
        self.parsed.patch
    }

    /// The same version without its build metadata.
    #[must_use]
    pub fn without_build(&self) -> Self {
        match self.text.split_once('+') {
            None => self.clone(),
            Some((text, _)) => {
                let parsed = semver::Version { build: semver::BuildMetadata::EMPTY, ..self.parsed.clone() };
                Self { text: text.into(), parsed }
            }
        }
    }
}

/// Whether a pre-release identifier, where it is a number, is at most 2^53-1.
fn is_bounded(identifier: &str) -> bool {
    let is_number = !identifier.is_empty() && identifier.bytes().all(|byte| byte.is_ascii_digit());
    !is_number || identifier.parse::<u64>().is_ok_and(|number| number <= MAX_INTEGER)
}

impl fmt::Debug for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Version({})", self.text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(&self.text)
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, VersionError> {
        Self::parse(text)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Version {}

impl Hash for Version {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        Version::parse(text).unwrap()
    }

    #[test]
    fn precedence_follows_the_example_of_the_specification() {
        let ascending = [
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.9.0",
            "1.10.0",
            "2.0.0",
        ];
        for pair in ascending.windows(2) {
            assert_eq!(version(pair[0]).cmp_precedence(&version(pair[1])), Ordering::Less, "{pair:?}");
        }
    }

    #[test]
    fn build_metadata_makes_no_other_release_but_another_text() {
        let (plain, built) = (version("1.2.3"), version("1.2.3+build.07"));
        assert!(plain.same_release(&built));
        assert_ne!(plain, built);
        assert_eq!(built.without_build(), plain);
        assert_eq!(built.to_string(), "1.2.3+build.07");
        assert_eq!(version("1.2.3-rc-1+b").without_build().to_string(), "1.2.3-rc-1");
    }

    #[test]
    fn numbers_end_at_two_to_the_53_minus_one() {
        for good in [
            "9007199254740991.0.0",
            "1.0.0-9007199254740991",
            "1.0.0+9007199254740992",
            "1.0.0-a9007199254740992",
        ] {
            assert_eq!(version(good).to_string(), good);
        }
        for bad in [
            "9007199254740992.0.0",
            "0.9007199254740992.0",
            "0.0.9007199254740992",
            "1.0.0-rc.9007199254740992",
        ] {
            assert_eq!(Version::parse(bad), Err(VersionError::NumberTooLarge(bad.to_owned())));
        }
        assert!(Version::parse("1.0.0-99999999999999999999999").is_err());
        assert!(Version::parse("99999999999999999999999.0.0").is_err());
    }

    #[test]
    fn what_is_no_semantic_version_is_refused() {
        for bad in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "v1.2.3",
            " 1.2.3",
            "1.2.3 ",
            "01.2.3",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3+",
            "1.2.3-a..b",
            "1.2.3-ä",
            "１.2.3",
            "-1.2.3",
            "1.2.x",
            "1.2.3\n",
        ] {
            assert!(Version::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_version_has_at_most_64_characters() {
        let long = format!("1.0.0-{}", "a".repeat(58));
        assert_eq!(version(&long).as_str(), long);
        assert_eq!(Version::parse(&format!("{long}a")), Err(VersionError::TooLong));
    }

    #[test]
    fn json_holds_the_text_as_written() {
        let read: Version = serde_json::from_str("\"1.2.3-rc.1+x\"").unwrap();
        assert!(read.is_prerelease());
        assert_eq!((read.major(), read.minor(), read.patch(), read.prerelease()), (1, 2, 3, "rc.1"));
        assert_eq!(serde_json::to_string(&read).unwrap(), "\"1.2.3-rc.1+x\"");
        assert!(serde_json::from_str::<Version>("\"1.2\"").is_err());
    }
}
