//! The end that a URL carries in itself.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, format_description::well_known::Rfc3339};

use super::ExternalUrl;

/// When the URL dies by its own word, in seconds since 1970: of a presigned S3 or Google URL, of `Expires`, or of an
/// Azure shared access signature; the earliest where there are several, nothing where there is none that can be read.
pub fn expiry(url: &ExternalUrl) -> Option<i64> {
    let value = |wanted: &str| {
        url.query_pairs()
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.into_owned())
    };
    let signed = |date: &str, expires: &str| {
        let seconds = value(expires)?.parse::<u32>().ok()?;
        basic_time(&value(date)?)?.checked_add(i64::from(seconds))
    };
    [
        signed("X-Amz-Date", "X-Amz-Expires"),
        signed("X-Goog-Date", "X-Goog-Expires"),
        value("Expires").and_then(|seconds| seconds.parse::<u32>().ok()).map(i64::from),
        value("se").and_then(|text| extended_time(&text)),
    ]
    .into_iter()
    .flatten()
    .min()
}

/// `20260801T120000Z`.
fn basic_time(text: &str) -> Option<i64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let (date, time) = (digits(date, 8)?, digits(time, 6)?);
    let (year, month, day) = (date.get(..4)?, date.get(4..6)?, date.get(6..)?);
    let (hour, minute, second) = (time.get(..2)?, time.get(2..4)?, time.get(4..)?);
    let date = calendar_date(year, month, day)?;
    let time = Time::from_hms(hour.parse().ok()?, minute.parse().ok()?, second.parse().ok()?).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

/// RFC 3339, or the two shorter spellings that Azure takes: `2026-08-01` and `2026-08-01T12:00Z`.
fn extended_time(text: &str) -> Option<i64> {
    if let Ok(time) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(time.unix_timestamp());
    }
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00Z"));
    let mut parts = date.splitn(3, '-');
    let date =
        calendar_date(digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?)?;
    let (hour, minute) = time.strip_suffix('Z')?.split_once(':')?;
    let time = Time::from_hms(digits(hour, 2)?.parse().ok()?, digits(minute, 2)?.parse().ok()?, 0).ok()?;
    Some(PrimitiveDateTime::new(date, time).assume_utc().unix_timestamp())
}

fn calendar_date(year: &str, month: &str, day: &str) -> Option<Date> {
    let month = Month::try_from(month.parse::<u8>().ok()?).ok()?;
    Date::from_calendar_date(year.parse().ok()?, month, day.parse().ok()?).ok()
}

fn digits(text: &str, count: usize) -> Option<&str> {
    (text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit())).then_some(text)
}
