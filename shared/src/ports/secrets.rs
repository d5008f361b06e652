//! Secrets that are kept elsewhere, by reference.

use async_trait::async_trait;

use crate::domain::secret::{Secret, SecretReference};

/// Who reads secrets.
#[async_trait]
pub trait Secrets: std::fmt::Debug + Send + Sync {
    /// What is kept there now, without the line break at its end. Nothing is remembered. `now` is in Unix milliseconds.
    ///
    /// # Errors
    /// [`SecretUnreadable`]
    async fn read(&self, reference: &SecretReference, now: i64) -> Result<Secret, SecretUnreadable>;
}

/// A secret cannot be read. It names the reference, and nothing of what was answered.
#[derive(Debug, thiserror::Error)]
#[error("`{reference}` cannot be read: {reason}")]
pub struct SecretUnreadable {
    /// Where it is kept.
    pub reference: SecretReference,
    /// What went wrong, for the operator.
    pub reason: String,
}
