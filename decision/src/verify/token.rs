//! Steps 1 to 3 and 5: what the token is made of, for a decision and for the delegation inside it.

use super::members::{MemberError, Members};
use super::refusal::{Refusal, shown};
use crate::base64url;
use crate::json;
use crate::jwk::{BadSignature, PublicKey};
use crate::jws::{MAX_HEADER_BYTES, MAX_TOKEN_BYTES, TYP_DECISION};

/// The three parts, decoded, and the received text that the signature is over.
///
/// INVARIANT: the payload leaves this module through [`Parts::signed_by`] alone, so nobody can read one whose signature
/// does not hold.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    signing_input: &'a str,
    pub(super) header: Vec<u8>,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl Parts<'_> {
    /// The payload, once its signature was found to be of `key`, over the bytes as they were received.
    pub(super) fn signed_by(self, key: &PublicKey) -> Result<Vec<u8>, BadSignature> {
        key.verify(self.signing_input.as_bytes(), &self.signature)?;
        Ok(self.payload)
    }
}

/// The members of a header, read and not yet believed.
#[derive(Debug)]
pub(super) struct Header {
    pub(super) alg: String,
    pub(super) kid: String,
    pub(super) dlg: Option<String>,
}

/// Step 1: the size, before anything is decoded.
pub(super) fn step_1_size(token: &str) -> Result<(), Refusal> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(Refusal::TokenTooLong { bytes: token.len() });
    }
    Ok(())
}

/// Step 2: three non-empty segments in the one spelling of base64url.
pub(super) fn step_2_segments(token: &str) -> Result<Parts<'_>, Refusal> {
    let (signing_input, signature) = token.rsplit_once('.').ok_or(Refusal::Segments)?;
    let (header, payload) = signing_input.split_once('.').ok_or(Refusal::Segments)?;
    if payload.contains('.') || [header, payload, signature].iter().any(|segment| segment.is_empty()) {
        return Err(Refusal::Segments);
    }
    let decode = |segment, text| base64url::decode(text).ok_or(Refusal::Base64 { segment });
    Ok(Parts {
        signing_input,
        header: decode("header", header)?,
        payload: decode("payload", payload)?,
        signature: decode("signature", signature)?,
    })
}

/// Step 3: the header has exactly its members, each a string, and the type asked for. Only a decision may have `dlg`.
pub(super) fn step_3_header(bytes: &[u8], typ: &'static str) -> Result<Header, Refusal> {
    if bytes.len() > MAX_HEADER_BYTES {
        return Err(Refusal::HeaderTooLong { bytes: bytes.len() });
    }
    let object = json::parse_object(bytes).map_err(Refusal::HeaderJson)?;
    let members = Members::of(&object);
    let (header, found) = read_header(&members, typ).map_err(Refusal::HeaderMember)?;
    if found != typ {
        return Err(Refusal::HeaderType { found: shown(found), expected: typ });
    }
    Ok(header)
}

fn read_header<'a>(members: &Members<'a>, typ: &str) -> Result<(Header, &'a str), MemberError> {
    let names =
        if typ == TYP_DECISION { ["alg", "kid", "typ", "dlg"].as_slice() } else { &["alg", "kid", "typ"] };
    members.only(names)?;
    let dlg = members.text_if("dlg")?.map(str::to_owned);
    let header = Header { alg: members.text("alg")?.to_owned(), kid: members.text("kid")?.to_owned(), dlg };
    Ok((header, members.text("typ")?))
}
