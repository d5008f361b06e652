//! When a token says that it was issued, for telling a wrong clock from a bad token.

use super::Expected;
use super::token::step_2_segments;
use crate::json::{self, Value};
use crate::keyset::Keyset;

/// The time at which a token that was refused would have been accepted, if there is one: when it says it was issued.
///
/// Every check passes at that time and only the clock is against it. Where the token carries the nonce that was just
/// sent, it was made just now, and so the client's clock is wrong. Nothing else follows: the token stays refused.
pub fn accepted_when_issued(token: &str, keyset: &Keyset, expected: &Expected) -> Option<i64> {
    let parts = step_2_segments(token).ok()?;
    let payload = json::parse_object(&parts.payload).ok()?;
    let Some(Value::Integer(issued)) = payload.get("iat") else { return None };
    let then = Expected { now: *issued, ..expected.clone() };
    super::verify(token, keyset, &then).ok().map(|_| *issued)
}
