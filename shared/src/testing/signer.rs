//! A signing key of its own for each test.

use async_trait::async_trait;
use decision::{
    jwk::{Alg, PublicKey},
    sign::LocalKey,
};

use crate::ports::signer::{Signer, SignerError};

/// Signs with a fresh P-256 key.
#[derive(Debug)]
pub struct TestSigner(LocalKey);

impl TestSigner {
    /// A signer with a key that was just made.
    pub fn fresh() -> Self {
        Self(LocalKey::from_pkcs8_der(&LocalKey::generate(Alg::Es256).unwrap()).unwrap())
    }
}

#[async_trait]
impl Signer for TestSigner {
    fn public_key(&self) -> &PublicKey {
        self.0.public()
    }

    async fn sign(&self, signing_input: &[u8]) -> Result<[u8; 64], SignerError> {
        self.0.sign(signing_input).map_err(|error| SignerError::Unavailable(error.into()))
    }
}
