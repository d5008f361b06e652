//! Base64url in its one spelling: no padding, no white space, no stray trailing bits.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// Appends the base64url of `bytes` to `text`.
pub(crate) fn append(bytes: &[u8], text: &mut String) {
    URL_SAFE_NO_PAD.encode_string(bytes, text);
}

/// The base64url of `bytes`.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of `text`, or nothing where it is not the canonical spelling.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// How many characters the base64url of `length` bytes takes, an upper bound.
pub(crate) fn encoded_len(length: usize) -> usize {
    length.div_ceil(3).saturating_mul(4)
}
