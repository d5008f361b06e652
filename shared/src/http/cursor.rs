//! Cursors of lists: opaque, and good only for the token and the query that they were given to.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::Digest;

use super::error::ApiError;
use crate::app::context::Caller;

const TAG_BYTES: usize = 16;

fn tag(caller: &Caller, scope: &str, sort: &str) -> Vec<u8> {
    let text = format!("{}\n{scope}\n{sort}", caller.token_id);
    let mut digest = sha2::Sha256::digest(text.as_bytes()).to_vec();
    digest.truncate(TAG_BYTES);
    digest
}

/// The cursor to go on from a sort key; `scope` is the list and its filters.
pub fn write(caller: &Caller, scope: &str, sort: &str) -> String {
    let mut bytes = tag(caller, scope, sort);
    bytes.extend_from_slice(sort.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The sort key of a cursor.
///
/// # Errors
/// 422 for a cursor that was given to another token or query, or to none.
pub fn read(caller: &Caller, scope: &str, cursor: &str) -> Result<String, ApiError> {
    let refusal =
        || ApiError::invalid("cursor", "it belongs to another token or query: begin the list again");
    let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| refusal())?;
    let (found, sort) = bytes.split_at_checked(TAG_BYTES).ok_or_else(refusal)?;
    let sort = String::from_utf8(sort.to_vec()).map_err(|_| refusal())?;
    if found == tag(caller, scope, &sort) { Ok(sort) } else { Err(refusal()) }
}
