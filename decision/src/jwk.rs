//! Public keys: P-256 for `ES256` and Ed25519 for `EdDSA`, as JSON Web Keys (RFC 7517, RFC 8037).
//!
//! The algorithm is a property of the key and never of a token.

use std::fmt;

use ring::signature::{ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

use crate::base64url;
use crate::json::{Object, Value};
use crate::{p256, small_order};

/// A signature algorithm, and with it a kind of key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Alg {
    /// ECDSA on P-256 with SHA-256.
    #[serde(rename = "ES256")]
    Es256,
    /// Ed25519.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl Alg {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::EdDsa => "EdDSA",
        }
    }

    const fn kty(self) -> &'static str {
        match self {
            Self::Es256 => "EC",
            Self::EdDsa => "OKP",
        }
    }

    const fn crv(self) -> &'static str {
        match self {
            Self::Es256 => "P-256",
            Self::EdDsa => "Ed25519",
        }
    }
}

impl fmt::Display for Alg {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

/// A public key that can verify signatures.
///
/// A P-256 key is a point of the curve. Whether an Ed25519 key is a point that a private key can belong to is found out
/// when verifying, where it was not read from a keyset: under others nothing verifies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(Form);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    P256 { x: [u8; 32], y: [u8; 32] },
    Ed25519([u8; 32]),
}

/// Why something is no public key of ours.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwkError {
    /// A member is missing, is not one of a public key, or is not a string.
    #[error("key member `{0}` is missing, or not text, or none of a public key's")]
    Member(String),
    /// `kty`, `crv` and `alg` do not name one of the two kinds of key.
    #[error(
        "kty `{kty}` with crv `{crv}` and alg `{alg}` is no key of ours (EC, P-256, ES256 or OKP, Ed25519, EdDSA)"
    )]
    Kind {
        /// The key type found.
        kty: String,
        /// The curve found.
        crv: String,
        /// The algorithm found.
        alg: String,
    },
    /// A coordinate is not the canonical base64url of 32 bytes.
    #[error("key member `{0}` is not the base64url of 32 bytes")]
    Coordinate(&'static str),
    /// The coordinates are not those of a point that a private key can belong to, in their one spelling.
    #[error("the key is no point of its curve that a private key can belong to")]
    Point,
    /// The bytes are not an uncompressed P-256 point, an Ed25519 key or their `SubjectPublicKeyInfo`.
    #[error("the bytes are no P-256 or Ed25519 public key")]
    Bytes,
}

/// The signature does not belong to this message and key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not verify")]
pub struct BadSignature;

/// The public members of a JSON Web Key and its `alg`, as written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    /// The curve.
    pub crv: String,
    /// The key type.
    pub kty: String,
    /// The first coordinate, or the whole Ed25519 key.
    pub x: String,
    /// The second coordinate of a P-256 key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub y: Option<String>,
    /// The algorithm.
    pub alg: String,
}

/// What stands before a P-256 point in a DER `SubjectPublicKeyInfo` (RFC 5480).
const P256_SPKI_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
    0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// What stands before an Ed25519 key in a DER `SubjectPublicKeyInfo` (RFC 8410).
const ED25519_SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

impl PublicKey {
    /// A P-256 key from its uncompressed point, `04 || x || y`.
    ///
    /// # Errors
    /// [`JwkError::Bytes`] where that is not its form, [`JwkError::Point`] where it is not on the curve.
    pub fn from_p256_point(point: &[u8]) -> Result<Self, JwkError> {
        let (&[4], coordinates) = point.split_first_chunk::<1>().ok_or(JwkError::Bytes)? else {
            return Err(JwkError::Bytes);
        };
        let (x, y) = coordinates.split_first_chunk::<32>().ok_or(JwkError::Bytes)?;
        Self::from_coordinates(*x, y.try_into().map_err(|_| JwkError::Bytes)?)
    }

    fn from_coordinates(x: [u8; 32], y: [u8; 32]) -> Result<Self, JwkError> {
        if p256::has_point(&x, &y) { Ok(Self(Form::P256 { x, y })) } else { Err(JwkError::Point) }
    }

    /// An Ed25519 key from its 32 bytes.
    pub const fn from_ed25519(key: [u8; 32]) -> Self {
        Self(Form::Ed25519(key))
    }

    /// A key from its DER `SubjectPublicKeyInfo`, the form in which a KMS gives it out.
    ///
    /// # Errors
    /// [`JwkError::Bytes`] where it is another kind of key or another form, [`JwkError::Point`] where no private key can
    /// belong to it.
    pub fn from_spki_der(der: &[u8]) -> Result<Self, JwkError> {
        if let Some(point) = der.strip_prefix(&P256_SPKI_PREFIX) {
            return Self::from_p256_point(point);
        }
        let key = der.strip_prefix(&ED25519_SPKI_PREFIX).ok_or(JwkError::Bytes)?;
        Self::from_ed25519(key.try_into().map_err(|_| JwkError::Bytes)?).not_weak()
    }

    /// The key, unless it is of small order or in a second spelling.
    fn not_weak(self) -> Result<Self, JwkError> {
        match &self.0 {
            Form::Ed25519(key) if small_order::contains(key) => Err(JwkError::Point),
            Form::P256 { .. } | Form::Ed25519(_) => Ok(self),
        }
    }

    /// A key from a strictly read JWK that has exactly the public members and `alg`. An Ed25519 key of small order is one
    /// under which nothing verifies.
    ///
    /// # Errors
    /// - [`JwkError::Member`]: a member is missing or is no string, or there is another one, such as the private `d`.
    /// - [`JwkError::Kind`], [`JwkError::Coordinate`], [`JwkError::Point`]: as for [`TryFrom<&Jwk>`](Self#impl-TryFrom<%26Jwk>-for-PublicKey).
    pub fn from_json(object: &Object) -> Result<Self, JwkError> {
        let is_public = |name: &String| matches!(name.as_str(), "crv" | "kty" | "x" | "y" | "alg");
        if let Some(other) = object.keys().find(|name| !is_public(name)) {
            return Err(JwkError::Member(other.escape_debug().to_string()));
        }
        let text = |name: &str| match object.get(name) {
            Some(Value::String(text)) => Ok(text.clone()),
            Some(Value::Null | Value::Bool(_) | Value::Integer(_) | Value::Array(_) | Value::Object(_))
            | None => Err(JwkError::Member(name.to_owned())),
        };
        let y = object.contains_key("y").then(|| text("y")).transpose()?;
        Self::read(&Jwk { crv: text("crv")?, kty: text("kty")?, x: text("x")?, y, alg: text("alg")? })
    }

    /// The key's algorithm.
    pub const fn alg(&self) -> Alg {
        match self.0 {
            Form::P256 { .. } => Alg::Es256,
            Form::Ed25519(_) => Alg::EdDsa,
        }
    }

    /// The key as a JWK.
    pub fn to_jwk(&self) -> Jwk {
        let alg = self.alg();
        let (x, y) = match &self.0 {
            Form::P256 { x, y } => (x, Some(base64url::encode(y))),
            Form::Ed25519(x) => (x, None),
        };
        Jwk {
            crv: alg.crv().to_owned(),
            kty: alg.kty().to_owned(),
            x: base64url::encode(x),
            y,
            alg: alg.as_str().to_owned(),
        }
    }

    /// The RFC 7638 thumbprint: base64url of SHA-256 over the required members in alphabetical order. This is the `kid`.
    pub fn thumbprint(&self) -> String {
        let Jwk { crv, kty, x, y, alg: _ } = self.to_jwk();
        let y = y.map(|y| format!(r#","y":"{y}""#)).unwrap_or_default();
        let members = format!(r#"{{"crv":"{crv}","kty":"{kty}","x":"{x}"{y}}}"#);
        base64url::encode(ring::digest::digest(&ring::digest::SHA256, members.as_bytes()).as_ref())
    }

    /// Verifies a 64-byte signature (`r || s` for P-256) over `message`.
    ///
    /// # Errors
    /// [`BadSignature`] where the signature has another length, is out of range or is not this key's over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        let outcome = match &self.0 {
            Form::P256 { x, y } => {
                let point = [[4].as_slice(), x, y].concat();
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            // Under a point of small order anybody can make a signature that fits any message.
            Form::Ed25519(key) if small_order::contains(key) => return Err(BadSignature),
            Form::Ed25519(key) => UnparsedPublicKey::new(&ED25519, key).verify(message, signature),
        };
        outcome.map_err(|_| BadSignature)
    }
}

impl TryFrom<&Jwk> for PublicKey {
    type Error = JwkError;

    /// Checks that the members agree with each other and have the right lengths, and that a private key can belong to them.
    fn try_from(jwk: &Jwk) -> Result<Self, JwkError> {
        Self::read(jwk)?.not_weak()
    }
}

impl PublicKey {
    fn read(jwk: &Jwk) -> Result<Self, JwkError> {
        let kind = || {
            let [kty, crv, alg] = [&jwk.kty, &jwk.crv, &jwk.alg].map(|text| text.escape_debug().to_string());
            JwkError::Kind { kty, crv, alg }
        };
        let coordinate = |name, text: &str| -> Result<[u8; 32], JwkError> {
            let bytes = base64url::decode(text).ok_or(JwkError::Coordinate(name))?;
            bytes.try_into().map_err(|_| JwkError::Coordinate(name))
        };
        let is = |alg: Alg| jwk.alg == alg.as_str() && jwk.kty == alg.kty() && jwk.crv == alg.crv();
        match &jwk.y {
            Some(y) if is(Alg::Es256) => {
                Self::from_coordinates(coordinate("x", &jwk.x)?, coordinate("y", y)?)
            }
            None if is(Alg::EdDsa) => Ok(Self::from_ed25519(coordinate("x", &jwk.x)?)),
            None if is(Alg::Es256) => Err(JwkError::Member("y".to_owned())),
            Some(_) if is(Alg::EdDsa) => Err(JwkError::Member("y".to_owned())),
            Some(_) | None => Err(kind()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::parse_object;

    /// The example key of RFC 8037, appendix A.2, with the thumbprint of A.3.
    const ED: &str =
        r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo","alg":"EdDSA"}"#;
    /// The example key of RFC 7515, appendix A.3.
    const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","alg":"ES256"}"#;

    fn read(text: &str) -> Result<PublicKey, JwkError> {
        PublicKey::from_json(&parse_object(text.as_bytes()).unwrap())
    }

    #[test]
    fn thumbprints_are_those_of_the_rfcs() {
        assert_eq!(read(ED).unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
        assert_eq!(read(EC).unwrap().thumbprint(), "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U");
    }

    #[test]
    fn the_example_signature_of_rfc_7515_verifies() {
        let message = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature =
            "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
        let signature = base64url::decode(signature).unwrap();
        let key = read(EC).unwrap();
        assert_eq!(key.verify(message.as_bytes(), &signature), Ok(()));
        assert_eq!(key.verify(b"another message", &signature), Err(BadSignature));
        assert_eq!(read(ED).unwrap().verify(message.as_bytes(), &signature), Err(BadSignature));
    }

    #[test]
    fn a_jwk_read_and_written_is_the_same() {
        for text in [EC, ED] {
            let key = read(text).unwrap();
            assert_eq!(PublicKey::try_from(&key.to_jwk()), Ok(key));
            assert_eq!(read(&serde_json::to_string(&key.to_jwk()).unwrap()), Ok(key));
        }
    }

    #[test]
    fn private_and_unknown_members_are_refused() {
        for extra in [r#""d":"AAAA""#, r#""k":"AAAA""#, r#""x5u":"https://e""#, r#""kid":"a""#] {
            assert!(
                matches!(read(&ED.replace('}', &format!(",{extra}}}"))), Err(JwkError::Member(_))),
                "{extra}"
            );
        }
    }

    #[test]
    fn members_that_disagree_or_are_missing_are_refused() {
        let bad = [
            ED.replace("EdDSA", "ES256"),
            ED.replace("OKP", "EC"),
            ED.replace("Ed25519", "P-256"),
            ED.replace("Ed25519", "X25519"),
            EC.replace("ES256", "EdDSA"),
            EC.replace("ES256", "ES384"),
            EC.replace("P-256", "secp256k1"),
            EC.replace(r#","alg":"ES256""#, ""),
            EC.replace(r#""ES256""#, "null"),
            EC.replace(r#","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0""#, ""),
            ED.replace('}', r#","y":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#),
        ];
        for text in bad {
            assert!(matches!(read(&text), Err(JwkError::Kind { .. } | JwkError::Member(_))), "{text}");
        }
    }

    #[test]
    fn coordinates_are_canonical_base64url_of_32_bytes() {
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        for bad in
            ["", "AAAA", &format!("{x}="), &format!("{x}A"), &x.replace("HURo", "HURp"), &x.replace('_', "/")]
        {
            assert_eq!(read(&ED.replace(x, bad)), Err(JwkError::Coordinate("x")), "{bad}");
        }
    }

    #[test]
    fn a_subject_public_key_info_gives_the_same_key() {
        for text in [EC, ED] {
            let key = read(text).unwrap();
            let der = match key.0 {
                Form::P256 { x, y } => [P256_SPKI_PREFIX.as_slice(), &[4], &x, &y].concat(),
                Form::Ed25519(x) => [ED25519_SPKI_PREFIX.as_slice(), &x].concat(),
            };
            assert_eq!(PublicKey::from_spki_der(&der), Ok(key));
            assert_eq!(PublicKey::from_spki_der(&[der.as_slice(), &[0]].concat()), Err(JwkError::Bytes));
            assert_eq!(PublicKey::from_spki_der(&der[..der.len() - 1]), Err(JwkError::Bytes));
        }
        assert_eq!(PublicKey::from_p256_point(&[2; 33]), Err(JwkError::Bytes));
        assert_eq!(PublicKey::from_p256_point(&[]), Err(JwkError::Bytes));
    }
}
