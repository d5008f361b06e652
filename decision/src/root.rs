//! The root of trust: keysets that a threshold of offline Ed25519 keys has signed, one version after the other.
//!
//! A file `N.keyset` is a JWS in general JSON form (RFC 7515, 7.2.1): the base64url of a keyset that has two more
//! members, `iss` and `root`, and a list of signatures over exactly those bytes. A client ships with one such file and
//! walks from there: from `N` to `N + 1` only where a threshold of the root keys of both has signed `N + 1`.
//!
//! Pure: files come in as bytes, the time as a value.

mod draft;
mod envelope;
mod error;
mod walk;

pub use self::draft::Draft;
pub use self::error::RootError;
pub use self::walk::{TrustedKeyset, Walk};

use serde::Serialize;

use crate::json::{self, Object, Value};
use crate::jwk::{Alg, PublicKey};

/// The `typ` of each signature's protected header.
pub const TYP_KEYSET: &str = "signed-keyset+jws";

/// The most bytes that a signed keyset may have.
pub const MAX_FILE_BYTES: usize = 1_048_576;

/// The most root keys, and the most signatures, in one file.
pub const MAX_ROOT_KEYS: usize = 32;

/// The most versions that a client walks at a time.
pub const MAX_STEPS: u32 = 1_000;

/// Which offline keys sign keysets, and how many of them it takes.
///
/// However it was made: 1 to [`MAX_ROOT_KEYS`] Ed25519 keys, none twice, and a threshold that they can reach.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    threshold: usize,
    keys: Vec<PublicKey>,
}

impl Root {
    /// A root of these keys, of which `threshold` have to sign.
    ///
    /// # Errors
    /// [`RootError::Root`] where a key is of another kind or there twice, or the threshold cannot be.
    pub fn new(threshold: usize, keys: Vec<PublicKey>) -> Result<Self, RootError> {
        let refused = |what: String| Err(RootError::Root(what));
        if keys.iter().any(|key| key.alg() != Alg::EdDsa) {
            return refused("a root key is no Ed25519 key".to_owned());
        }
        let mut before = keys.iter().enumerate().map(|(index, key)| (key, keys.iter().take(index)));
        if let Some((twice, _)) = before.find(|(key, earlier)| earlier.clone().any(|other| other == *key)) {
            return refused(format!("key `{}` is there twice", twice.thumbprint()));
        }
        if keys.is_empty() || keys.len() > MAX_ROOT_KEYS || !(1..=keys.len()).contains(&threshold) {
            let (count, most) = (keys.len(), MAX_ROOT_KEYS);
            return refused(format!(
                "a threshold of {threshold} with {count} keys, at most {most}, cannot be"
            ));
        }
        Ok(Self { threshold, keys })
    }

    /// Reads a description of a root: `{"threshold","keys":[JWK, …]}`, each JWK with exactly its public members.
    ///
    /// # Errors
    /// [`RootError::Json`], [`RootError::Form`] and [`RootError::Root`].
    pub fn parse(bytes: &[u8]) -> Result<Self, RootError> {
        Self::read(&json::parse_object(bytes).map_err(RootError::Json)?)
    }

    /// How many of the keys have to sign.
    pub const fn threshold(&self) -> usize {
        self.threshold
    }

    /// The keys.
    pub fn keys(&self) -> &[PublicKey] {
        &self.keys
    }

    /// The description, as it is written.
    pub fn to_json(&self) -> impl Serialize + use<> {
        let keys: Vec<_> = self.keys.iter().map(PublicKey::to_jwk).collect();
        serde_json::json!({"threshold": self.threshold, "keys": keys})
    }

    fn read(object: &Object) -> Result<Self, RootError> {
        let form = |what: &str| RootError::Form(what.to_owned());
        let threshold = match object.get("threshold") {
            Some(Value::Integer(number)) => usize::try_from(*number).unwrap_or(0),
            _ => return Err(form("`root.threshold` is no integer")),
        };
        let Some(Value::Array(written)) = object.get("keys") else {
            return Err(form("`root.keys` is no array"));
        };
        let mut keys = Vec::new();
        for key in written {
            let Value::Object(key) = key else { return Err(form("a root key is no object")) };
            keys.push(PublicKey::from_json(key).map_err(RootError::Key)?);
        }
        Self::new(threshold, keys)
    }
}
