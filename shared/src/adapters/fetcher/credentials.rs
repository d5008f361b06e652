//! The header that opens a private repository.

use http::{HeaderName, HeaderValue, header::AUTHORIZATION};

use crate::domain::secret::Secret;

/// One header with a secret value; `Debug` hides the value.
#[derive(Debug, Clone)]
pub struct Credentials {
    name: HeaderName,
    value: Secret,
}

/// The name or the value cannot stand in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the credentials cannot be sent as a header")]
pub struct CredentialsError;

impl Credentials {
    /// The value of an `Authorization` header, such as `Bearer …`.
    ///
    /// # Errors
    /// [`CredentialsError`] where the value has line breaks or other characters that no header has.
    pub fn authorization(value: Secret) -> Result<Self, CredentialsError> {
        Self::header(AUTHORIZATION.as_str(), value)
    }

    /// The value of a header of the repository's own.
    ///
    /// # Errors
    /// [`CredentialsError`] where name or value has characters that no header has.
    pub fn header(name: &str, value: Secret) -> Result<Self, CredentialsError> {
        let name = name.parse().map_err(|_| CredentialsError)?;
        HeaderValue::from_str(value.reveal()).map_err(|_| CredentialsError)?;
        Ok(Self { name, value })
    }

    /// The header, marked as sensitive; nothing where the value is none, which the constructors rule out.
    pub fn to_header(&self) -> Option<(HeaderName, HeaderValue)> {
        let mut value = HeaderValue::from_str(self.value.reveal()).ok()?;
        value.set_sensitive(true);
        Some((self.name.clone(), value))
    }
}
