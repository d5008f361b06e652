//! Who signs decisions.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use decision::jwk::PublicKey;

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The key could not be reached or is not to be used now; trying again may help.
    #[error("the signing key could not be used")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What came back is no signature by the key: it must not leave.
    #[error("the signature does not verify against the key's own public half")]
    Unverified,
}

/// Signs decisions with one key. Every sentence here has a test in the adapters.
#[async_trait]
pub trait Signer: fmt::Debug + Send + Sync {
    /// The public half of the key.
    fn public_key(&self) -> &PublicKey;

    /// Signs the bytes: 64 bytes, `r||s` for P-256, R||S for Ed25519. A signature that came from outside this process
    /// is verified against the public half before it is returned.
    ///
    /// # Errors
    /// [`SignerError`]
    async fn sign(&self, signing_input: &[u8]) -> Result<[u8; 64], SignerError>;
}

/// Where the signing key is had from. The process starts without it: it is opened when the first decision needs it.
#[async_trait]
pub trait Keys: fmt::Debug + Send + Sync {
    /// Opens the key. After a failure it may be asked again; the caller sees to the pauses.
    ///
    /// # Errors
    /// [`SignerError::Unavailable`]
    async fn open(&self) -> Result<Arc<dyn Signer>, SignerError>;
}

/// A key that is open already.
#[derive(Debug, Clone)]
pub struct Opened(pub Arc<dyn Signer>);

#[async_trait]
impl Keys for Opened {
    async fn open(&self) -> Result<Arc<dyn Signer>, SignerError> {
        Ok(Arc::clone(&self.0))
    }
}
