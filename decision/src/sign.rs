//! A private key in memory: for a local signer, and for the key of a process that a delegation names.

use std::fmt;

use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _};

use crate::jwk::{Alg, PublicKey};
use crate::jws::SIGNATURE_BYTES;

/// A key pair in memory. `Debug` shows its id and never the key.
pub struct LocalKey {
    pair: Pair,
    public: PublicKey,
    kid: String,
    random: SystemRandom,
}

enum Pair {
    P256(Box<EcdsaKeyPair>),
    Ed25519(Box<Ed25519KeyPair>),
}

/// What stands before an Ed25519 seed in a PKCS#8 document of version 1 (RFC 8410).
const ED25519_PKCS8_PREFIX: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];

/// What can go wrong with a key in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// The bytes are no unencrypted PKCS#8 document of a P-256 or Ed25519 key pair.
    #[error("not an unencrypted pkcs#8 document of a p-256 or ed25519 key")]
    NoKey,
    /// The system gave no random bytes, or the signature could not be made.
    #[error("the signature could not be made")]
    Failed,
}

impl LocalKey {
    /// Reads a key from an unencrypted PKCS#8 document in DER, version 1 or 2 (as `openssl genpkey` writes it).
    ///
    /// # Errors
    /// [`SignError::NoKey`] where it is anything else.
    pub fn from_pkcs8_der(der: &[u8]) -> Result<Self, SignError> {
        let random = SystemRandom::new();
        if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random) {
            let public =
                PublicKey::from_p256_point(pair.public_key().as_ref()).map_err(|_| SignError::NoKey)?;
            return Ok(Self { kid: public.thumbprint(), pair: Pair::P256(Box::new(pair)), public, random });
        }
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).map_err(|_| SignError::NoKey)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| SignError::NoKey)?;
        let public = PublicKey::from_ed25519(key);
        Ok(Self { kid: public.thumbprint(), pair: Pair::Ed25519(Box::new(pair)), public, random })
    }

    /// Makes a new key and gives it out as PKCS#8 in DER: the caller keeps it secret.
    ///
    /// # Errors
    /// [`SignError::Failed`] where the system gave no random bytes.
    pub fn generate(alg: Alg) -> Result<Vec<u8>, SignError> {
        let random = SystemRandom::new();
        match alg {
            Alg::Es256 => {
                let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
                Ok(document.map_err(|_| SignError::Failed)?.as_ref().to_vec())
            }
            Alg::EdDsa => {
                // Version 1: OpenSSL does not read the version 2 that ring writes.
                let mut seed = [0; 32];
                random.fill(&mut seed).map_err(|_| SignError::Failed)?;
                Ok([ED25519_PKCS8_PREFIX.as_slice(), &seed].concat())
            }
        }
    }

    /// The key's algorithm.
    pub const fn alg(&self) -> Alg {
        self.public.alg()
    }

    /// The public key.
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The key's id: the thumbprint of its public key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs `message`.
    ///
    /// # Errors
    /// [`SignError::Failed`] where the system gave no random bytes (P-256 only).
    pub fn sign(&self, message: &[u8]) -> Result<[u8; SIGNATURE_BYTES], SignError> {
        let signature = match &self.pair {
            Pair::P256(pair) => pair.sign(&self.random, message).map_err(|_| SignError::Failed)?,
            Pair::Ed25519(pair) => pair.sign(message),
        };
        signature.as_ref().try_into().map_err(|_| SignError::Failed)
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("LocalKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_key_signs_its_public_key_verifies() {
        for alg in [Alg::Es256, Alg::EdDsa] {
            let key = LocalKey::from_pkcs8_der(&LocalKey::generate(alg).unwrap()).unwrap();
            assert_eq!(key.alg(), alg);
            assert_eq!(key.kid(), key.public().thumbprint());
            let signature = key.sign(b"message").unwrap();
            key.public().verify(b"message", &signature).unwrap();
            key.public().verify(b"massage", &signature).unwrap_err();
        }
    }

    #[test]
    fn ed25519_keys_of_both_pkcs8_versions_are_the_same_key() {
        let second = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap().as_ref().to_vec();
        // Version 1 (RFC 8410, as openssl writes it): the same without the public key at the end.
        let seed = &second[second.iter().position(|byte| *byte == 0x04).unwrap()..][4..36];
        let first = [ED25519_PKCS8_PREFIX.as_slice(), seed].concat();
        assert_eq!(LocalKey::generate(Alg::EdDsa).unwrap()[..16], first[..16]);
        let kids = [first, second].map(|der| LocalKey::from_pkcs8_der(&der).unwrap().kid().to_owned());
        assert_eq!(kids[0], kids[1]);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let mut der = LocalKey::generate(Alg::Es256).unwrap();
        der.truncate(100);
        assert_eq!(LocalKey::from_pkcs8_der(&der).unwrap_err(), SignError::NoKey);
        assert_eq!(LocalKey::from_pkcs8_der(b"").unwrap_err(), SignError::NoKey);
    }

    #[test]
    fn debug_shows_the_id_and_no_key() {
        let key = LocalKey::from_pkcs8_der(&LocalKey::generate(Alg::EdDsa).unwrap()).unwrap();
        assert_eq!(format!("{key:?}"), format!("LocalKey {{ kid: {:?}, .. }}", key.kid()));
    }
}
