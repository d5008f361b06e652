//! The one place of `bp` that reads the clock.

use std::time::{SystemTime, UNIX_EPOCH};

/// The time, Unix seconds.
#[expect(clippy::disallowed_methods, reason = "the binary's one clock; everything else is passed the time")]
pub(crate) fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
