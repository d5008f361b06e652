//! How long a host asks to wait.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName,
    header::{DATE, RETRY_AFTER},
};
use time::{PrimitiveDateTime, macros::format_description};

/// The longest wait that is believed.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// `Retry-After`: seconds, or a date, which is measured from the `Date` of the same answer.
pub(super) fn read(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let seconds = date(headers, &RETRY_AFTER)?.saturating_sub(date(headers, &DATE)?);
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(LONGEST))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let text = headers.get(name)?.to_str().ok()?;
    Some(PrimitiveDateTime::parse(text.trim(), format).ok()?.assume_utc().unix_timestamp())
}
