//! The writing side: a signed keyset grows by one signature at a time, wherever its keys lie.

use serde_json::{Value, json};

use super::envelope::{Content, Envelope};
use super::{Root, RootError, TYP_KEYSET};
use crate::base64url;
use crate::jwk::Alg;
use crate::keyset::Keyset;
use crate::sign::{LocalKey, SignError};

/// A signed keyset on its way around the holders of root keys. It is not trusted by having this type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Draft(Envelope);

impl Draft {
    /// A keyset of the deployment `issuer` under `root`, not signed yet.
    ///
    /// # Errors
    /// [`RootError`] where a client could not read what would be signed.
    pub fn new(issuer: &str, keyset: &Keyset, root: &Root) -> Result<Self, RootError> {
        let unwritten = |error: serde_json::Error| RootError::Form(error.to_string());
        let mut signed = serde_json::to_value(keyset).map_err(unwritten)?;
        if let Value::Object(members) = &mut signed {
            members.insert("iss".to_owned(), Value::from(issuer));
            members.insert("root".to_owned(), serde_json::to_value(root.to_json()).map_err(unwritten)?);
        }
        let bytes = signed.to_string().into_bytes();
        let content = Content::parse(&bytes)?;
        Ok(Self(Envelope { payload: base64url::encode(&bytes), signatures: Vec::new(), content }))
    }

    /// Reads a file, however many signatures it has.
    ///
    /// # Errors
    /// [`RootError`] where it is not well formed.
    pub fn parse(file: &[u8]) -> Result<Self, RootError> {
        Envelope::parse(file).map(Self)
    }

    /// The file with one more signature, by `key`; everything else stays byte for byte what it is.
    ///
    /// # Errors
    /// [`RootError::Signer`] where the key is no Ed25519 key, [`RootError::Twice`] where it has signed already.
    pub fn signed(&self, key: &LocalKey) -> Result<Self, RootError> {
        let kid = || key.kid().to_owned();
        if key.alg() != Alg::EdDsa {
            return Err(RootError::Signer { kid: kid() });
        }
        let header = json!({"alg": "EdDSA", "kid": key.kid(), "typ": TYP_KEYSET}).to_string();
        let protected = base64url::encode(header.as_bytes());
        let input = format!("{protected}.{}", self.0.payload);
        let signature =
            key.sign(input.as_bytes()).map_err(|_: SignError| RootError::Signer { kid: kid() })?;
        let mut signatures: Vec<Value> = self.signatures();
        signatures.push(json!({"protected": protected, "signature": base64url::encode(&signature)}));
        Self::parse(self.write(&signatures).as_bytes())
    }

    /// The deployment.
    pub fn issuer(&self) -> &str {
        &self.0.content.issuer
    }

    /// The keyset that is to be signed.
    pub const fn keyset(&self) -> &Keyset {
        &self.0.content.keyset
    }

    /// The root keys that it names.
    pub const fn root(&self) -> &Root {
        &self.0.content.root
    }

    /// The ids of the keys that have signed, whether or not their signatures are good.
    pub fn signers(&self) -> impl Iterator<Item = &str> {
        self.0.signatures.iter().map(|signature| signature.kid.as_str())
    }

    /// The file.
    pub fn to_file(&self) -> String {
        self.write(&self.signatures())
    }

    fn signatures(&self) -> Vec<Value> {
        let write = |one: &super::envelope::Signature| json!({"protected": one.protected, "signature": base64url::encode(&one.bytes)});
        self.0.signatures.iter().map(write).collect()
    }

    fn write(&self, signatures: &[Value]) -> String {
        format!("{}\n", json!({"payload": self.0.payload, "signatures": signatures}))
    }
}
