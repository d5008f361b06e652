//! The keyset: what a client pins, and what says which keys may sign for which products and when.

use serde::{Deserialize, Serialize};

use crate::json::{self, JsonError};
use crate::jwk::{Jwk, JwkError, PublicKey};

/// The keys that a client trusts.
///
/// However it was read, its keys are well formed, each `kid` is its key's thumbprint, and no key is there twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Keyset {
    /// Format version, always 1.
    pub v: u8,
    /// Which edition of the keyset this is, at least 1.
    pub version: u64,
    /// The epoch of all decisions under this keyset, at least 1. Raising it restarts `seq`.
    pub epoch: u64,
    /// When the whole keyset ends, Unix seconds.
    pub expires: i64,
    /// Whether clients should send a nonce.
    pub nonces: bool,
    /// The keys.
    pub keys: Vec<KeysetKey>,
}

/// One key of the keyset and the limits of what it may sign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(into = "WrittenKey")]
pub struct KeysetKey {
    /// The key itself.
    pub key: PublicKey,
    /// The key's thumbprint.
    pub kid: String,
    /// First second in which it may be used, Unix seconds.
    pub nbf: i64,
    /// First second in which it may no longer be used, Unix seconds.
    pub exp: i64,
    /// The products it may sign for; `*` means all.
    pub products: Vec<String>,
    /// Whether it was revoked.
    pub revoked: bool,
}

/// Why something is no keyset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysetError {
    /// The bytes are no strict JSON object.
    #[error("keyset: {0}")]
    Json(JsonError),
    /// A member is missing or of the wrong type; the text says which.
    #[error("keyset: {0}")]
    Member(String),
    /// The keyset has another format version.
    #[error("keyset has format version {0}, expected 1")]
    FormatVersion(u64),
    /// `version` or `epoch` is 0.
    #[error("keyset member `{0}` is 0, expected at least 1")]
    Zero(&'static str),
    /// A key is not well formed.
    #[error("key `{kid}` of the keyset is not well formed")]
    Key {
        /// The key id found.
        kid: String,
        /// What is wrong with the key.
        #[source]
        source: JwkError,
    },
    /// A private key stands in the keyset.
    #[error("key `{0}` of the keyset has its private part in it: it is no longer secret")]
    Private(String),
    /// A key is for another use.
    #[error("key `{kid}` of the keyset is for use `{found}`, expected `sig`")]
    Use {
        /// The key id.
        kid: String,
        /// The use found.
        found: String,
    },
    /// A key id is not the thumbprint of its key.
    #[error("key id `{found}` of the keyset is not its key's thumbprint `{expected}`")]
    Thumbprint {
        /// The key id found.
        found: String,
        /// The thumbprint of the key.
        expected: String,
    },
    /// A key is there twice.
    #[error("key `{0}` is in the keyset twice")]
    Duplicate(String),
}

/// A plain JWKS (RFC 7517) for standard JOSE tools.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<JwksKey>,
}

/// A key of a plain JWKS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct JwksKey {
    #[serde(flatten)]
    jwk: Jwk,
    #[serde(rename = "use")]
    purpose: &'static str,
    kid: String,
}

impl Keyset {
    /// Reads and checks a keyset. Members that are not known are ignored.
    ///
    /// # Errors
    /// [`KeysetError`]; any failure makes the whole keyset unusable.
    pub fn parse(bytes: &[u8]) -> Result<Self, KeysetError> {
        // The strict reader is only a gate here: duplicates, floats and large numbers end before serde reads again.
        json::parse_object(bytes).map_err(KeysetError::Json)?;
        let written: Written =
            serde_json::from_slice(bytes).map_err(|error| KeysetError::Member(error.to_string()))?;
        Self::try_from(written)
    }

    /// The key of that id, whether or not it may be used.
    pub fn get(&self, kid: &str) -> Option<&KeysetKey> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// The keys that are active at `now` (Unix seconds) and not revoked, as a plain JWKS.
    pub fn jwks(&self, now: i64) -> Jwks {
        let usable = self.keys.iter().filter(|key| !key.revoked && key.nbf <= now && now < key.exp);
        Jwks {
            keys: usable
                .map(|key| JwksKey { jwk: key.key.to_jwk(), purpose: "sig", kid: key.kid.clone() })
                .collect(),
        }
    }
}

impl KeysetKey {
    /// A key that is not revoked, under its thumbprint.
    pub fn new(key: PublicKey, nbf: i64, exp: i64, products: Vec<String>) -> Self {
        Self { key, kid: key.thumbprint(), nbf, exp, products, revoked: false }
    }

    /// Whether it may sign for `product`.
    pub fn allows(&self, product: &str) -> bool {
        self.products.iter().any(|allowed| allowed == "*" || allowed == product)
    }
}

/// The keyset as it is written, unchecked.
#[derive(Debug, Deserialize)]
struct Written {
    v: u64,
    version: u64,
    epoch: u64,
    expires: i64,
    #[serde(default)]
    nonces: bool,
    keys: Vec<WrittenKey>,
}

/// A key as it is written, unchecked.
#[derive(Debug, Serialize, Deserialize)]
struct WrittenKey {
    crv: String,
    kty: String,
    x: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    y: Option<String>,
    alg: String,
    #[serde(rename = "use")]
    purpose: String,
    kid: String,
    nbf: i64,
    exp: i64,
    products: Vec<String>,
    revoked: bool,
    #[serde(default, skip_serializing)]
    d: Option<serde::de::IgnoredAny>,
}

impl TryFrom<Written> for Keyset {
    type Error = KeysetError;

    fn try_from(written: Written) -> Result<Self, KeysetError> {
        let Written { v, version, epoch, expires, nonces, keys: unchecked } = written;
        if v != 1 {
            return Err(KeysetError::FormatVersion(v));
        }
        for (name, number) in [("version", version), ("epoch", epoch)] {
            if number == 0 {
                return Err(KeysetError::Zero(name));
            }
        }
        let mut keyset = Self { v: 1, version, epoch, expires, nonces, keys: Vec::new() };
        for key in unchecked {
            let key = KeysetKey::try_from(key)?;
            if keyset.get(&key.kid).is_some() {
                return Err(KeysetError::Duplicate(key.kid));
            }
            keyset.keys.push(key);
        }
        Ok(keyset)
    }
}

impl TryFrom<WrittenKey> for KeysetKey {
    type Error = KeysetError;

    fn try_from(written: WrittenKey) -> Result<Self, KeysetError> {
        let WrittenKey { crv, kty, x, y, alg, purpose, kid: found, nbf, exp, products, revoked, d } = written;
        let shown = || found.escape_debug().to_string();
        if d.is_some() {
            return Err(KeysetError::Private(shown()));
        }
        if purpose != "sig" {
            return Err(KeysetError::Use { kid: shown(), found: purpose.escape_debug().to_string() });
        }
        let jwk = Jwk { crv, kty, x, y, alg };
        let key = PublicKey::try_from(&jwk).map_err(|source| KeysetError::Key { kid: shown(), source })?;
        let kid = key.thumbprint();
        if kid != found {
            return Err(KeysetError::Thumbprint { found: shown(), expected: kid });
        }
        Ok(Self { key, kid, nbf, exp, products, revoked })
    }
}

impl From<KeysetKey> for WrittenKey {
    fn from(key: KeysetKey) -> Self {
        let Jwk { crv, kty, x, y, alg } = key.key.to_jwk();
        let KeysetKey { key: _, kid, nbf, exp, products, revoked } = key;
        Self { crv, kty, x, y, alg, purpose: "sig".to_owned(), kid, nbf, exp, products, revoked, d: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED: &str = r#"{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","alg":"EdDSA","use":"sig","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k","nbf":10,"exp":20,"products":["acme"],"revoked":false}"#;
    const EC: &str = r#"{"crv":"P-256","kty":"EC","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","alg":"ES256","use":"sig","kid":"oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U","nbf":10,"exp":30,"products":["*"],"revoked":false}"#;

    fn text(keys: &[&str]) -> String {
        format!(r#"{{"v":1,"version":7,"epoch":3,"expires":100,"nonces":true,"keys":[{}]}}"#, keys.join(","))
    }

    fn refusal(text: &str) -> KeysetError {
        Keyset::parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn what_is_read_is_written_again_byte_for_byte() {
        let text = text(&[ED, EC]);
        let keyset = Keyset::parse(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&keyset).unwrap(), text);
        assert!(keyset.nonces);
    }

    #[test]
    fn unknown_members_and_a_missing_nonces_are_fine() {
        let text = text(&[ED]).replace(r#""nonces":true"#, r#""later":{"x":1}"#);
        assert!(!Keyset::parse(text.as_bytes()).unwrap().nonces);
    }

    #[test]
    fn a_key_allows_its_products_and_a_star_all() {
        let keyset = Keyset::parse(text(&[ED, EC]).as_bytes()).unwrap();
        let allows: Vec<_> = keyset
            .keys
            .iter()
            .map(|key| (key.allows("acme"), key.allows("other"), key.allows("*")))
            .collect();
        assert_eq!(allows, [(true, false, false), (true, true, true)]);
    }

    #[test]
    fn the_jwks_holds_keys_that_are_active_and_not_revoked() {
        let mut keyset = Keyset::parse(text(&[ED, EC]).as_bytes()).unwrap();
        let kids =
            |keyset: &Keyset, now| keyset.jwks(now).keys.into_iter().map(|key| key.kid).collect::<Vec<_>>();
        let (ed, ec) = (keyset.keys[0].kid.clone(), keyset.keys[1].kid.clone());
        assert_eq!(kids(&keyset, 9), Vec::<String>::new());
        assert_eq!(kids(&keyset, 10), [ed, ec.clone()]);
        assert_eq!(kids(&keyset, 20), [ec]);
        keyset.keys[1].revoked = true;
        assert_eq!(kids(&keyset, 20), Vec::<String>::new());
        let json = serde_json::to_value(keyset.jwks(10)).unwrap();
        let expected = serde_json::json!({"keys":[{"crv":"Ed25519","kty":"OKP","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "alg":"EdDSA","use":"sig","kid":"kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"}]});
        assert_eq!(json, expected);
    }

    #[test]
    fn a_keyset_with_anything_wrong_is_refused_whole() {
        assert_eq!(refusal(&text(&[ED]).replace(r#""v":1"#, r#""v":2"#)), KeysetError::FormatVersion(2));
        assert_eq!(refusal(&text(&[ED]).replace(r#""epoch":3"#, r#""epoch":0"#)), KeysetError::Zero("epoch"));
        assert!(matches!(refusal(&text(&[ED, ED])), KeysetError::Duplicate(_)));
        assert!(matches!(refusal(&text(&[&ED.replace("kPrK", "kPrL")])), KeysetError::Thumbprint { .. }));
        assert!(matches!(refusal(&text(&[&ED.replace("EdDSA", "ES256")])), KeysetError::Key { .. }));
        assert!(matches!(refusal(&text(&[&ED.replace(r#""sig""#, r#""enc""#)])), KeysetError::Use { .. }));
        assert!(matches!(
            refusal(&text(&[&ED.replace(r#""nbf""#, r#""d":"AAAA","nbf""#)])),
            KeysetError::Private(_)
        ));
        assert!(matches!(
            refusal(&text(&[&ED.replace(r#""revoked":false"#, r#""revoked":"no""#)])),
            KeysetError::Member(_)
        ));
        assert!(matches!(refusal(&text(&[&ED.replace(r#","revoked":false"#, "")])), KeysetError::Member(_)));
        assert!(matches!(refusal(&text(&[&ED.replace("20", "2e1")])), KeysetError::Json(_)));
        assert!(matches!(
            refusal(&text(&[&ED.replace(r#""nbf":10"#, r#""nbf":10,"nbf":11"#)])),
            KeysetError::Json(_)
        ));
        assert!(matches!(refusal("[]"), KeysetError::Json(_)));
    }

    #[test]
    fn reading_by_serde_checks_the_same() {
        assert!(serde_json::from_str::<Keyset>(&text(&[ED, EC])).is_ok());
        assert!(serde_json::from_str::<Keyset>(&text(&[ED, ED])).is_err());
    }
}
