//! A signing key in AWS KMS: it never leaves there, so each signature is one call, and none is believed unproved.
//!
//! P-256 signs a digest made here, and the DER that comes back is turned into `r || s`. Ed25519 signs the message itself,
//! which KMS takes up to [`MAX_RAW_BYTES`]: a longer one is refused before the call.

use std::{error::Error, fmt, sync::Arc};

use async_trait::async_trait;
use aws_sdk_kms::{
    Client,
    primitives::Blob,
    types::{KeyUsageType, MessageType, SigningAlgorithmSpec},
};
use aws_types::SdkConfig;
use decision::{
    der::der_to_fixed,
    jwk::{Alg, JwkError, PublicKey},
};
use sha2::Digest;

use crate::ports::signer::{Keys, Signer, SignerError};

/// The longest message that KMS signs as it is.
pub const MAX_RAW_BYTES: usize = 4096;

/// Signs with a key in KMS.
pub struct KmsSigner {
    client: Client,
    key_id: String,
    public: PublicKey,
}

impl fmt::Debug for KmsSigner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A client prints all that the SDK knows, some hundred lines.
        f.debug_struct("KmsSigner").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// Why the key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KmsKeyError {
    /// KMS did not give out the public half; trying again may help.
    #[error("the public half of the KMS key `{key_id}` cannot be read")]
    Unavailable {
        /// The key, as configured.
        key_id: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// It is no key of a kind that signs decisions.
    #[error("the KMS key `{key_id}` is neither of P-256 nor of Ed25519")]
    Kind {
        /// The key, as configured.
        key_id: String,
        /// The cause.
        #[source]
        source: JwkError,
    },
    /// It has the right form but another use, such as agreeing on secrets.
    #[error("the KMS key `{0}` is not for signing")]
    Use(String),
}

/// The message is longer than KMS takes.
#[derive(Debug, thiserror::Error)]
#[error("a message of {0} bytes is too long to be signed with Ed25519: KMS takes {MAX_RAW_BYTES}")]
pub struct MessageTooLong(usize);

fn algorithm(alg: Alg) -> SigningAlgorithmSpec {
    match alg {
        Alg::Es256 => SigningAlgorithmSpec::EcdsaSha256,
        Alg::EdDsa => SigningAlgorithmSpec::Ed25519Sha512,
    }
}

impl KmsSigner {
    /// Asks KMS for the public half of a key, named by id, ARN or alias.
    ///
    /// From then on the key goes by its own ARN: an alias that is moved later changes nothing under a running process.
    ///
    /// # Errors
    /// [`KmsKeyError`]
    pub async fn open(config: &SdkConfig, key_id: &str) -> Result<Self, KmsKeyError> {
        let client = Client::new(config);
        let key_id = key_id.to_owned();
        let answer = match client.get_public_key().key_id(&key_id).send().await {
            Ok(answer) => answer,
            Err(error) => return Err(KmsKeyError::Unavailable { key_id, source: error.into() }),
        };
        let der = answer.public_key().map_or(&[][..], AsRef::as_ref);
        let public = match PublicKey::from_spki_der(der) {
            Ok(public) => public,
            Err(source) => return Err(KmsKeyError::Kind { key_id, source }),
        };
        let signs = answer.key_usage() == Some(&KeyUsageType::SignVerify);
        if !signs || !answer.signing_algorithms().contains(&algorithm(public.alg())) {
            return Err(KmsKeyError::Use(key_id));
        }
        Ok(Self { client, key_id: answer.key_id.unwrap_or(key_id), public })
    }

    /// A key whose public half is known already: no call is made.
    pub fn with_public_key(config: &SdkConfig, key_id: &str, public: PublicKey) -> Self {
        Self { client: Client::new(config), key_id: key_id.to_owned(), public }
    }

    /// The key's own name, by which it signs: its ARN where KMS was asked.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// What KMS answers to a request to sign this.
    async fn ask(&self, kind: MessageType, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let request = self
            .client
            .sign()
            .key_id(&self.key_id)
            .message(Blob::new(message))
            .message_type(kind)
            .signing_algorithm(algorithm(self.public.alg()));
        let answer = request.send().await.map_err(|error| SignerError::Unavailable(error.into()))?;
        Ok(answer.signature.map(Blob::into_inner).unwrap_or_default())
    }
}

#[async_trait]
impl Signer for KmsSigner {
    fn public_key(&self) -> &PublicKey {
        &self.public
    }

    async fn sign(&self, signing_input: &[u8]) -> Result<[u8; 64], SignerError> {
        let signature = match self.public.alg() {
            Alg::Es256 => {
                let digest = sha2::Sha256::digest(signing_input);
                let der = self.ask(MessageType::Digest, &digest).await?;
                der_to_fixed(&der).map_err(|_| SignerError::Unverified)?
            }
            Alg::EdDsa if signing_input.len() > MAX_RAW_BYTES => {
                return Err(SignerError::Unavailable(MessageTooLong(signing_input.len()).into()));
            }
            Alg::EdDsa => {
                let signature = self.ask(MessageType::Raw, signing_input).await?;
                signature.try_into().map_err(|_| SignerError::Unverified)?
            }
        };
        self.public.verify(signing_input, &signature).map_err(|_| SignerError::Unverified)?;
        Ok(signature)
    }
}

/// A key in KMS that is opened when it is needed.
pub struct KmsKeys {
    config: SdkConfig,
    key_id: String,
}

impl fmt::Debug for KmsKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KmsKeys").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

impl KmsKeys {
    /// The key of this id, ARN or alias. No call is made yet.
    pub fn new(config: SdkConfig, key_id: String) -> Self {
        Self { config, key_id }
    }
}

#[async_trait]
impl Keys for KmsKeys {
    async fn open(&self) -> Result<Arc<dyn Signer>, SignerError> {
        let opened = KmsSigner::open(&self.config, &self.key_id).await;
        opened.map(|signer| Arc::new(signer) as _).map_err(|error| SignerError::Unavailable(error.into()))
    }
}
