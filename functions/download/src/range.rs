//! `Range`, `If-Range` and `If-None-Match` (RFC 9110, sections 13 and 14): one range of bytes.

use axum::http::{HeaderMap, HeaderName, header};

/// Which bytes are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// All of them.
    Whole,
    /// From the first to the last, both inclusive.
    Part(u64, u64),
    /// A range beyond the end.
    Nothing,
}

impl Wanted {
    /// First and last byte of a part.
    pub(crate) fn bounds(self) -> Option<(u64, u64)> {
        match self {
            Self::Part(first, last) => Some((first, last)),
            Self::Whole | Self::Nothing => None,
        }
    }

    /// How many bytes are sent.
    pub(crate) fn length(self, size: u64) -> u64 {
        match self {
            Self::Whole => size,
            Self::Part(first, last) => last.saturating_sub(first).saturating_add(1),
            Self::Nothing => 0,
        }
    }
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Whether the caller has these very bytes already.
pub(crate) fn not_modified(headers: &HeaderMap, etag: &str) -> bool {
    let matches = |tag: &str| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag;
    text(headers, header::IF_NONE_MATCH).is_some_and(|tags| tags.split(',').any(|tag| matches(tag.trim())))
}

/// Which bytes of an artifact of this size are wanted. A malformed or multiple range is ignored, as RFC 9110 allows.
pub(crate) fn wanted(headers: &HeaderMap, size: u64, etag: &str) -> Wanted {
    let Some(range) = text(headers, header::RANGE) else { return Wanted::Whole };
    if text(headers, header::IF_RANGE).is_some_and(|tag| tag != etag) {
        return Wanted::Whole;
    }
    let spec = range.strip_prefix("bytes=").filter(|spec| !spec.contains(','));
    let Some((first, last)) = spec.and_then(|spec| spec.trim().split_once('-')) else { return Wanted::Whole };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number too large for 64 bits is beyond every end.
        digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX))
    };
    let end = size.saturating_sub(1);
    match (number(first), number(last)) {
        (Some(first), _) if first > end && (last.is_empty() || number(last).is_some()) => Wanted::Nothing,
        (Some(first), None) if last.is_empty() => Wanted::Part(first, end),
        (Some(first), Some(last)) if first <= last => Wanted::Part(first, last.min(end)),
        (None, Some(0)) if first.is_empty() => Wanted::Nothing,
        (None, Some(suffix)) if first.is_empty() => Wanted::Part(size.saturating_sub(suffix), end),
        _ => Wanted::Whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(range: &str) -> Wanted {
        let headers = HeaderMap::from_iter([(header::RANGE, range.parse().unwrap())]);
        wanted(&headers, 100, "\"tag\"")
    }

    #[test]
    fn one_range_is_exactly_that_range() {
        assert_eq!(of("bytes=0-0"), Wanted::Part(0, 0));
        assert_eq!(of("bytes=10-"), Wanted::Part(10, 99));
        assert_eq!(of("bytes=90-1000"), Wanted::Part(90, 99));
        assert_eq!(of("bytes=-5"), Wanted::Part(95, 99));
        assert_eq!(of("bytes=-500"), Wanted::Part(0, 99));
    }

    #[test]
    fn a_range_beyond_the_end_is_unsatisfiable() {
        for range in ["bytes=100-", "bytes=100-200", "bytes=-0", "bytes=99999999999999999999-"] {
            assert_eq!(of(range), Wanted::Nothing, "{range}");
        }
    }

    #[test]
    fn malformed_and_multiple_ranges_are_ignored() {
        for range in
            ["bytes=", "bytes=-", "bytes=5-1", "bytes=a-b", "items=0-1", "bytes=0-1,5-6", "bytes=+1-2"]
        {
            assert_eq!(of(range), Wanted::Whole, "{range}");
        }
    }

    #[test]
    fn a_range_of_other_bytes_is_answered_with_the_whole() {
        let mut headers = HeaderMap::from_iter([(header::RANGE, "bytes=1-2".parse().unwrap())]);
        headers.insert(header::IF_RANGE, "\"other\"".parse().unwrap());
        assert_eq!(wanted(&headers, 100, "\"tag\""), Wanted::Whole);
        headers.insert(header::IF_RANGE, "\"tag\"".parse().unwrap());
        assert_eq!(wanted(&headers, 100, "\"tag\""), Wanted::Part(1, 2));
    }
}
