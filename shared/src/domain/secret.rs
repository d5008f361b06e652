//! Text that must never be printed, and where it is kept.

use std::fmt;

/// A secret; `Debug` hides it, and there is no `Display`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text into keeping.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself: hand it to the one who needs it, never to a log or an answer.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Where a secret is kept that this process reads over the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretReference {
    /// A secret of AWS Secrets Manager, by its ARN.
    SecretsManager(String),
    /// A parameter of AWS Systems Manager, by its name or its ARN.
    Ssm(String),
}

impl SecretReference {
    /// Reads `secretsmanager:ARN` or `ssm:NAME`; nothing where it is neither.
    pub fn parse(text: &str) -> Option<Self> {
        let (store, name) = text.split_once(':')?;
        if name.is_empty() || name.len() > 2048 || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        match store {
            "secretsmanager" => Some(Self::SecretsManager(name.to_owned())),
            "ssm" => Some(Self::Ssm(name.to_owned())),
            _ => None,
        }
    }

    /// The name or the ARN, without the store.
    pub fn name(&self) -> &str {
        match self {
            Self::SecretsManager(name) | Self::Ssm(name) => name,
        }
    }

    /// The region that an ARN names.
    pub fn region(&self) -> Option<&str> {
        let mut parts = self.name().strip_prefix("arn:")?.split(':');
        parts.nth(2).filter(|region| !region.is_empty())
    }
}

impl fmt::Display for SecretReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SecretsManager(name) => write!(f, "secretsmanager:{name}"),
            Self::Ssm(name) => write!(f, "ssm:{name}"),
        }
    }
}
