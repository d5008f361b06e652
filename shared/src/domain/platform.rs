//! What a client runs on, and how an installer is packed.

use std::{cmp::Ordering, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! word_type {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name {
            $(#[doc = concat!("`", $word, "`")] #[serde(rename = $word)] $variant),+
        }

        impl $name {
            /// Every value, in the order of the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = WordError;

            fn from_str(text: &str) -> Result<Self, WordError> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(WordError { expected: concat!($("`", $word, "` "),+) }),
                }
            }
        }
    };
}
pub(crate) use word_type;

/// The text is none of the words that are known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one of {}", expected.trim_end())]
pub struct WordError {
    /// The words that are known, each in backticks.
    pub expected: &'static str,
}

word_type!(
    /// An operating system family.
    Platform { Windows = "windows", Macos = "macos", Linux = "linux" }
);
word_type!(
    /// A processor architecture.
    Arch { X86_64 = "x86_64", X86 = "x86", Arm64 = "arm64" }
);
word_type!(
    /// The format of an installer.
    InstallerType {
        Msi = "msi", Msix = "msix", Exe = "exe", Dmg = "dmg", Pkg = "pkg", Deb = "deb", Rpm = "rpm",
        AppImage = "appimage", Zip = "zip", TarGz = "tar.gz",
    }
);

/// An operating system version: dotted numbers, compared number by number, missing ones are 0.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct OsVersion(Box<str>);

/// The text is not an operating system version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an os version is one to eight dotted numbers, such as `10.0.19045`")]
pub struct OsVersionError;

impl OsVersion {
    /// The version as it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its numbers, trailing zeros left out, so that equal versions are equal here.
    pub fn canonical(&self) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.numbers().collect();
        while numbers.last() == Some(&0) {
            numbers.pop();
        }
        numbers
    }

    fn numbers(&self) -> impl Iterator<Item = u64> {
        self.0.split('.').filter_map(|part| part.parse().ok())
    }

    /// Compares number by number; `11` equals `11.0`.
    pub fn compare(&self, other: &Self) -> Ordering {
        let (mut left, mut right) = (self.numbers(), other.numbers());
        loop {
            match (left.next(), right.next()) {
                (None, None) => return Ordering::Equal,
                (a, b) => {
                    let order = a.unwrap_or(0).cmp(&b.unwrap_or(0));
                    if order.is_ne() {
                        return order;
                    }
                }
            }
        }
    }
}

impl FromStr for OsVersion {
    type Err = OsVersionError;

    fn from_str(text: &str) -> Result<Self, OsVersionError> {
        let number =
            |part: &str| (1..=18).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
        let good = text.split('.').count() <= 8 && text.split('.').all(number);
        if good { Ok(Self(text.into())) } else { Err(OsVersionError) }
    }
}

impl fmt::Debug for OsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for OsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for OsVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for OsVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_versions_compare_number_by_number() {
        let compare = |a: &str, b: &str| a.parse::<OsVersion>().unwrap().compare(&b.parse().unwrap());
        assert_eq!(compare("10.0.19045", "11"), Ordering::Less);
        assert_eq!(compare("10.10", "10.9"), Ordering::Greater);
        assert_eq!(compare("11", "11.0.0"), Ordering::Equal);
        assert_eq!(compare("011", "11"), Ordering::Equal);
    }

    #[test]
    fn other_forms_of_os_versions_are_refused() {
        for text in ["", ".", "1.", "10-beta", "v10", "1..2", " 1", "1.2.3.4.5.6.7.8.9"] {
            assert!(text.parse::<OsVersion>().is_err(), "{text}");
        }
    }
}
