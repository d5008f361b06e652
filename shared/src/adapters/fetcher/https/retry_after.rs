//! How long a host asks to wait.

use std::time::Duration;

use http::{
    HeaderMap, HeaderName, StatusCode,
    header::{DATE, RETRY_AFTER},
};
use time::{PrimitiveDateTime, macros::format_description};

/// The longest wait that is believed.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// `Retry-After`: seconds, or a date, which is measured from the `Date` of the same answer. Where a limit of requests is
/// used up, `X-RateLimit-Reset` says in Unix seconds when there are more. Of other answers than these about a limit, or a
/// host that is busy, it is not believed: what is gone is gone, whenever its host wants to be asked again.
pub(super) fn read(status: StatusCode, headers: &HeaderMap) -> Option<Duration> {
    match status {
        StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS => {
            retry_after(headers).or_else(|| reset(headers))
        }
        StatusCode::SERVICE_UNAVAILABLE => retry_after(headers),
        _ => None,
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit()) {
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    Some(between(date(headers, &DATE)?, date(headers, &RETRY_AFTER)?))
}

fn reset(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<i64>().ok();
    if number("x-ratelimit-remaining") != Some(0) {
        return None;
    }
    Some(between(date(headers, &DATE)?, number("x-ratelimit-reset")?))
}

fn between(now: i64, then: i64) -> Duration {
    let seconds = then.saturating_sub(now);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(LONGEST)
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<i64> {
    let format = format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let text = headers.get(name)?.to_str().ok()?;
    Some(PrimitiveDateTime::parse(text.trim(), format).ok()?.assume_utc().unix_timestamp())
}
