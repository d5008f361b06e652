//! The file around a keyset: its payload as it was sent, and the signatures over it. Nothing here is believed yet.

use super::{MAX_FILE_BYTES, MAX_ROOT_KEYS, Root, RootError, TYP_KEYSET};
use crate::base64url;
use crate::json::{self, Object, Value};
use crate::jwk::Alg;
use crate::jws::MAX_HEADER_BYTES;
use crate::keyset::Keyset;

/// A signed keyset as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Envelope {
    /// The base64url of the signed part, exactly as it was received.
    pub(super) payload: String,
    pub(super) signatures: Vec<Signature>,
    pub(super) content: Content,
}

/// One signature, and the header that it covers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Signature {
    /// The base64url of the header, exactly as it was received.
    pub(super) protected: String,
    pub(super) kid: String,
    pub(super) bytes: Vec<u8>,
}

/// What the signed part says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) issuer: String,
    pub(super) keyset: Keyset,
    pub(super) root: Root,
}

impl Envelope {
    pub(super) fn parse(file: &[u8]) -> Result<Self, RootError> {
        if file.len() > MAX_FILE_BYTES {
            return Err(RootError::TooLong { bytes: file.len() });
        }
        let object = json::parse_object(file).map_err(RootError::Json)?;
        only(&object, &["payload", "signatures"])?;
        let payload = text(&object, "payload")?.to_owned();
        let content = Content::parse(&decoded("payload", &payload)?)?;
        let Some(Value::Array(written)) = object.get("signatures") else {
            return Err(RootError::Form("`signatures` is no array".to_owned()));
        };
        if written.len() > MAX_ROOT_KEYS {
            return Err(RootError::Form(format!("more than {MAX_ROOT_KEYS} signatures")));
        }
        let mut signatures: Vec<Signature> = Vec::new();
        for one in written {
            let signature = Signature::read(one)?;
            if signatures.iter().any(|other| other.kid == signature.kid) {
                return Err(RootError::Twice { kid: shown(&signature.kid) });
            }
            signatures.push(signature);
        }
        Ok(Self { payload, signatures, content })
    }

    /// Whether a threshold of `root`, which is that of version `of`, has signed.
    ///
    /// Signatures of keys that are not of this root are passed over: the old root's and the new one's stand side by
    /// side. One that names a key of this root has to be good.
    pub(super) fn signed_by(&self, root: &Root, of: u64) -> Result<(), RootError> {
        let mut found: usize = 0;
        for key in root.keys() {
            let kid = key.thumbprint();
            let Some(signature) = self.signatures.iter().find(|signature| signature.kid == kid) else {
                continue;
            };
            let input = format!("{}.{}", signature.protected, self.payload);
            if key.verify(input.as_bytes(), &signature.bytes).is_err() {
                return Err(RootError::Signature { kid });
            }
            found = found.saturating_add(1);
        }
        let (version, expected) = (self.content.keyset.version, root.threshold());
        if found < expected {
            return Err(RootError::TooFew { version, of, found, expected });
        }
        Ok(())
    }
}

impl Signature {
    fn read(value: &Value) -> Result<Self, RootError> {
        let Value::Object(object) = value else {
            return Err(RootError::Form("a signature is no object".to_owned()));
        };
        only(object, &["protected", "signature"])?;
        let protected = text(object, "protected")?.to_owned();
        let header = decoded("protected", &protected)?;
        if header.len() > MAX_HEADER_BYTES {
            return Err(RootError::Form("a header is too long".to_owned()));
        }
        let header = json::parse_object(&header).map_err(RootError::Json)?;
        only(&header, &["alg", "kid", "typ"])?;
        let (alg, typ) = (text(&header, "alg")?, text(&header, "typ")?);
        if alg != Alg::EdDsa.as_str() || typ != TYP_KEYSET {
            return Err(RootError::Form(format!("a header is not of alg `EdDSA` and typ `{TYP_KEYSET}`")));
        }
        let bytes = decoded("signature", text(object, "signature")?)?;
        Ok(Self { kid: text(&header, "kid")?.to_owned(), protected, bytes })
    }
}

impl Content {
    /// Reads the signed part: a keyset with `iss` and `root`. Other members are let be, as in every keyset.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, RootError> {
        let object = json::parse_object(bytes).map_err(RootError::Json)?;
        let keyset = Keyset::parse(bytes).map_err(RootError::Keyset)?;
        let Some(Value::Object(root)) = object.get("root") else {
            return Err(RootError::Form("`root` is no object".to_owned()));
        };
        Ok(Self { issuer: text(&object, "iss")?.to_owned(), keyset, root: Root::read(root)? })
    }
}

fn only(object: &Object, names: &[&str]) -> Result<(), RootError> {
    match object.keys().find(|name| !names.contains(&name.as_str())) {
        None => Ok(()),
        Some(other) => Err(RootError::Form(format!("member `{}` is not expected", shown(other)))),
    }
}

fn text<'a>(object: &'a Object, name: &str) -> Result<&'a str, RootError> {
    if let Some(Value::String(text)) = object.get(name) {
        return Ok(text);
    }
    Err(RootError::Form(format!("`{name}` is no text")))
}

fn decoded(name: &str, text: &str) -> Result<Vec<u8>, RootError> {
    base64url::decode(text).ok_or_else(|| RootError::Form(format!("`{name}` is not canonical base64url")))
}

/// A text of the file for a message: escaped, and at most 80 characters of it.
pub(super) fn shown(text: &str) -> String {
    text.chars().take(80).flat_map(char::escape_debug).collect()
}
