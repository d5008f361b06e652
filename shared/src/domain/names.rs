//! Names that users choose: products, tenants and channels.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The text is not a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit")]
pub struct NameError;

fn is_name(text: &str) -> bool {
    let first = text.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    first && text.len() <= 64 && text.bytes().all(inner)
}

macro_rules! name_type {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                if is_name(text) { Ok(Self(text.into())) } else { Err(NameError) }
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
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

name_type!(
    /// A product: one thing that clients install and update.
    ProductId
);
name_type!(
    /// A tenant: a customer organisation of the publisher.
    TenantId
);
name_type!(
    /// A channel of a product, such as `stable` or `beta`.
    Channel
);

impl Channel {
    /// The channel of clients that name none.
    pub fn stable() -> Self {
        Self("stable".into())
    }

    /// Whether this is the `stable` channel, which takes no pre-releases.
    pub fn is_stable(&self) -> bool {
        &*self.0 == "stable"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_lower_case_and_begin_with_a_letter_or_digit() {
        for text in ["a", "0", "acme-editor", "ten_a", "x.y", &"a".repeat(64)] {
            assert!(text.parse::<ProductId>().is_ok(), "{text}");
        }
        for text in ["", "-a", "_a", ".a", "A", "a b", "ä", "a/b", &"a".repeat(65)] {
            assert!(text.parse::<ProductId>().is_err(), "{text}");
        }
    }
}
