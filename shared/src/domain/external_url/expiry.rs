//! The end that a URL carries in itself.

use time::{Date, Month, OffsetDateTime, PrimitiveDateTime, Time, format_description::well_known::Rfc3339};

use super::ExternalUrl;

/// What a URL says of its own end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// Nothing.
    Never,
    /// It ends then, in seconds since 1970.
    At(i64),
    /// It ends, but when cannot be read.
    Unreadable,
}

/// When the URL dies by its own word: a presigned S3 or Google URL, one with `Expires`, or with an Azure shared access
/// signature; the earliest where it says so several times.
pub fn expiry(url: &ExternalUrl) -> Expiry {
    let values = |wanted: &str| -> Vec<String> {
        let named = url.query_pairs().filter(|(name, _)| name.eq_ignore_ascii_case(wanted));
        named.map(|(_, value)| value.into_owned()).collect()
    };
    let said = |named: &str, read: fn(&str) -> Option<i64>| -> Vec<Option<i64>> {
        values(named).iter().map(|text| read(text)).collect()
    };
    let signed = |date: &str, lifetime: &str| -> Vec<Option<i64>> {
        let dates = values(date);
        // Of several dates nobody can tell which is meant.
        let begins = if let [date] = dates.as_slice() { basic_time(date) } else { None };
        values(lifetime).iter().map(|text| begins?.checked_add(seconds(text)?)).collect()
    };
    // A name as short as `se` may mean anything where there is no signature and no time in it.
    let is_signed = !values("sig").is_empty();
    let azure = said("se", extended_time).into_iter().filter(|end| is_signed || end.is_some());
    let ends = signed("X-Amz-Date", "X-Amz-Expires")
        .into_iter()
        .chain(signed("X-Goog-Date", "X-Goog-Expires"))
        .chain(said("Expires", seconds))
        .chain(azure);
    ends.fold(Expiry::Never, |found, end| match (found, end) {
        (Expiry::Unreadable, _) | (_, None) => Expiry::Unreadable,
        (Expiry::Never, Some(end)) => Expiry::At(end),
        (Expiry::At(earlier), Some(end)) => Expiry::At(earlier.min(end)),
    })
}

/// Digits alone; more of them than a time of this century has are another unit.
fn seconds(text: &str) -> Option<i64> {
    digits(text, text.len())?.parse::<u32>().ok().map(i64::from)
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
