//! Copies of public bytes near those who download them.

use async_trait::async_trait;

use super::fetcher::Cause;
use crate::domain::upload::ObjectKey;

/// A network that has public bytes, read from the store on demand.
#[async_trait]
pub trait Cdn: std::fmt::Debug + Send + Sync {
    /// An address that leads to the bytes under a key, of this version where the store has versions. Where the network asks
    /// for signatures, it does so for some minutes from `now` (Unix milliseconds), for whoever has it.
    ///
    /// # Errors
    /// [`CdnError`]
    async fn url(&self, key: &ObjectKey, version: Option<&str>, now: i64) -> Result<String, CdnError>;
}

/// No address could be signed: the store has the bytes all the same.
#[derive(Debug, thiserror::Error)]
#[error("no address of the CDN can be signed")]
pub struct CdnError(#[source] pub Cause);
