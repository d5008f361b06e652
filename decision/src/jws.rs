//! JWS compact (RFC 7515), the writing side: what is signed is what is sent.

use crate::base64url;
use crate::jwk::Alg;

/// The `typ` of a decision.
pub const TYP_DECISION: &str = "update-decision+jws";

/// The `typ` of a delegation.
pub const TYP_DELEGATION: &str = "signing-delegation+jws";

/// The most bytes that a token may have.
pub const MAX_TOKEN_BYTES: usize = 65_536;

/// The most bytes that a header may have, decoded.
pub const MAX_HEADER_BYTES: usize = 4_096;

/// The most bytes that a payload may have when it is written, so that an Ed25519 signing input fits into a KMS call.
pub const MAX_PAYLOAD_BYTES: usize = 2_600;

/// The bytes of every signature: `r || s` for P-256, or Ed25519's own form.
pub const SIGNATURE_BYTES: usize = 64;

/// The base64url header of a decision; with `dlg` (a delegation in compact form) of a delegated one.
///
/// It depends on the key alone, so it can be kept and used for every token of that key.
pub fn encode_header(alg: Alg, kid: &str, dlg: Option<&str>) -> String {
    let dlg = dlg.map(|dlg| format!(r#""dlg":{},"#, json_string(dlg))).unwrap_or_default();
    let header = format!(r#"{{"alg":"{alg}",{dlg}"kid":{},"typ":"{TYP_DECISION}"}}"#, json_string(kid));
    base64url::encode(header.as_bytes())
}

/// The base64url header of a delegation.
pub fn encode_delegation_header(alg: Alg, kid: &str) -> String {
    let header = format!(r#"{{"alg":"{alg}","kid":{},"typ":"{TYP_DELEGATION}"}}"#, json_string(kid));
    base64url::encode(header.as_bytes())
}

/// What is signed: the base64url header, a dot, and the base64url of the payload.
///
/// The text has room for the signature that [`compact`] appends.
pub fn signing_input(header_b64: &str, payload_json: &[u8]) -> String {
    let lengths = [
        header_b64.len(),
        base64url::encoded_len(payload_json.len()),
        base64url::encoded_len(SIGNATURE_BYTES),
        2,
    ];
    let mut text = String::with_capacity(lengths.into_iter().fold(0, usize::saturating_add));
    text.push_str(header_b64);
    text.push('.');
    base64url::append(payload_json, &mut text);
    text
}

/// The token: the signing input, a dot, and the base64url of the signature over it.
#[must_use]
pub fn compact(signing_input: String, signature: &[u8; SIGNATURE_BYTES]) -> String {
    let mut token = signing_input;
    token.push('.');
    base64url::append(signature, &mut token);
    token
}

/// `text` as a JSON string, with whatever it needs escaped.
fn json_string(text: &str) -> serde_json::Value {
    serde_json::Value::String(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_exactly_their_members_in_alphabetical_order() {
        let decoded = |text: String| String::from_utf8(base64url::decode(&text).unwrap()).unwrap();
        assert_eq!(
            decoded(encode_header(Alg::Es256, "k", None)),
            r#"{"alg":"ES256","kid":"k","typ":"update-decision+jws"}"#
        );
        assert_eq!(
            decoded(encode_header(Alg::EdDsa, "k", Some("a.b.c"))),
            r#"{"alg":"EdDSA","dlg":"a.b.c","kid":"k","typ":"update-decision+jws"}"#
        );
        assert_eq!(
            decoded(encode_delegation_header(Alg::EdDsa, "k\"")),
            r#"{"alg":"EdDSA","kid":"k\"","typ":"signing-delegation+jws"}"#
        );
    }

    #[test]
    fn a_token_is_built_without_growing_its_text() {
        let input = signing_input("aGk", b"{\"v\":1}");
        assert_eq!(input, "aGk.eyJ2IjoxfQ");
        let capacity = input.capacity();
        let token = compact(input, &[0; 64]);
        assert_eq!(token, format!("aGk.eyJ2IjoxfQ.{}", "A".repeat(86)));
        assert_eq!(token.capacity(), capacity);
    }
}
