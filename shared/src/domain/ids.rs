//! Identifiers that this service makes: a prefix that says the kind, and a lower-case ULID.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

/// The text is not an identifier of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("an id here is `{prefix}` followed by 26 lower-case letters and digits")]
pub struct IdError {
    /// The prefix that was expected, such as `art_`.
    pub prefix: &'static str,
}

/// Reads the 26 characters of a lower-case ULID; `None` for any other text or spelling.
pub(crate) fn parse_ulid(text: &str) -> Option<Ulid> {
    let canonical = text.len() == 26 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let id = Ulid::from_string(text).ok().filter(|_| canonical)?;
    // Crockford's alphabet reads `i`, `l` as 1 and `o` as 0; one id has one spelling.
    (lower(id) == text).then_some(id)
}

/// The 26 lower-case characters of a ULID.
pub(crate) fn lower(id: Ulid) -> String {
    id.to_string().to_ascii_lowercase()
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Ulid);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id from a time (Unix milliseconds) and 80 random bits; ids sort by time.
            pub const fn from_parts(unix_ms: u64, random: u128) -> Self {
                Self(Ulid::from_parts(unix_ms, random))
            }

            /// Its 128 bits.
            pub const fn to_bits(self) -> u128 {
                self.0.0
            }

            /// When this id was made, Unix milliseconds.
            pub fn unix_ms(self) -> u64 {
                self.0.timestamp_ms()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}{}", $prefix, lower(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix($prefix).and_then(parse_ulid).map(Self).ok_or(IdError { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id_type!(
    /// An artifact: bytes with a fixed size and SHA-256, wherever they live.
    ArtifactId,
    "art_"
);
id_type!(
    /// An upload to managed storage, from initiate to complete.
    UploadId,
    "upl_"
);
id_type!(
    /// A release: artifacts tied to product, version and channel.
    ReleaseId,
    "rel_"
);
id_type!(
    /// A decision: one signed answer.
    DecisionId,
    "dec_"
);
id_type!(
    /// An API token (the id is public, the secret is not).
    TokenId,
    "tok_"
);
id_type!(
    /// An entry of the audit log.
    EventId,
    "evt_"
);
id_type!(
    /// A deployment: one set of records, and the store that belongs to it.
    DeploymentId,
    "dep_"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_as_it_was_written() {
        let id = ArtifactId::from_parts(1_700_000_000_000, 42);
        assert_eq!(id.to_string().parse::<ArtifactId>(), Ok(id));
        assert_eq!(id.to_string().len(), 30);
    }

    #[test]
    fn another_kind_or_spelling_is_refused() {
        let id = ArtifactId::from_parts(1_700_000_000_000, 42).to_string();
        for text in [
            id.replace("art_", "rel_"),
            id.to_uppercase(),
            id.replace('0', "o"),
            format!("{id}0"),
            String::new(),
        ] {
            assert!(text.parse::<ArtifactId>().is_err(), "{text}");
        }
    }
}
