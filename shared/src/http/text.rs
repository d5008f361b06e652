//! Turning the texts of a request into values of the domain, with an error that names the member.

use std::{collections::BTreeMap, fmt::Display, str::FromStr};

use super::error::ApiError;

/// Reads a member's text.
///
/// # Errors
/// 422 naming the member and the rule.
pub fn read<T: FromStr<Err: Display>>(member: &str, text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error| ApiError::invalid(member, error))
}

/// Reads the text of a member that may be absent.
///
/// # Errors
/// 422 naming the member and the rule.
pub fn read_option<T: FromStr<Err: Display>>(
    member: &str,
    text: Option<&str>,
) -> Result<Option<T>, ApiError> {
    text.map(|text| read(member, text)).transpose()
}

/// Reads an id out of a path; what is no id names nothing.
///
/// # Errors
/// 404.
pub fn read_path<T: FromStr>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|_| ApiError::not_found())
}

/// Checks the length of a text in bytes.
///
/// # Errors
/// 422 naming the member and the rule.
pub fn check_length(
    member: &str,
    text: &str,
    range: std::ops::RangeInclusive<usize>,
) -> Result<(), ApiError> {
    if range.contains(&text.len()) {
        return Ok(());
    }
    let rule = format!("{} to {} bytes are allowed, it has {}", range.start(), range.end(), text.len());
    Err(ApiError::invalid(member, rule))
}

/// Checks a file name: `[A-Za-z0-9._+ -]{1,128}` without a leading dot.
///
/// # Errors
/// 422.
pub fn check_file_name(name: Option<&str>) -> Result<(), ApiError> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._+ -".contains(&byte);
    match name {
        Some(name)
            if !(1..=128).contains(&name.len()) || name.starts_with('.') || !name.bytes().all(allowed) =>
        {
            let rule = "a file name is 1 to 128 of `A-Z a-z 0-9 . _ + -` and space, without a leading dot";
            Err(ApiError::invalid("file_name", rule))
        }
        Some(_) | None => Ok(()),
    }
}

/// Checks a media type: `type/subtype`, with parameters if need be, at most 255 visible ASCII characters.
///
/// # Errors
/// 422.
pub fn check_content_type(media: Option<&str>) -> Result<(), ApiError> {
    let token = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let good = |media: &str| {
        let essence = media.split(';').next().unwrap_or_default().trim_end();
        let printable = media.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        media.len() <= 255
            && printable
            && essence.split_once('/').is_some_and(|(kind, subtype)| token(kind) && token(subtype))
    };
    match media {
        Some(media) if !good(media) => {
            Err(ApiError::invalid("content_type", "expected a media type such as `application/octet-stream`"))
        }
        Some(_) | None => Ok(()),
    }
}

/// Checks labels: at most 20, keys of 1 to 64 and values of at most 256 characters.
///
/// # Errors
/// 422.
pub fn check_labels(labels: &BTreeMap<String, String>) -> Result<(), ApiError> {
    if labels.len() > 20 {
        return Err(ApiError::invalid("labels", "at most 20 labels are allowed"));
    }
    let key = |key: &str| (1..=64).contains(&key.chars().count());
    if labels.iter().all(|(name, value)| key(name) && value.chars().count() <= 256) {
        return Ok(());
    }
    Err(ApiError::invalid("labels", "a label's key has 1 to 64 characters, its value at most 256"))
}

/// Checks a size: 1 to `max` bytes.
///
/// # Errors
/// 422.
pub fn check_size(size: i64, max: u64) -> Result<u64, ApiError> {
    let rule = || ApiError::invalid("size_bytes", format!("expected a number of bytes from 1 to {max}"));
    u64::try_from(size).ok().filter(|size| (1..=max).contains(size)).ok_or_else(rule)
}

/// An integer of a request; `15.0` is one too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole(pub i64);

impl<'de> serde::Deserialize<'de> for Whole {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use serde::de::Error;
        const LIMIT: f64 = 9_007_199_254_740_991.0;
        let number = serde_json::Number::deserialize(deserializer)?;
        if let Some(whole) = number.as_i64() {
            return Ok(Self(whole));
        }
        let float = number.as_f64().filter(|float| float.fract() == 0.0);
        let float = float.ok_or_else(|| D::Error::custom("expected an integer"))?;
        // Beyond 2^53 every rule refuses it anyway: what matters is the side it is on.
        #[expect(clippy::cast_possible_truncation, reason = "within the limits of exact integers")]
        Ok(Self(if float.abs() <= LIMIT {
            float as i64
        } else if float > 0.0 {
            i64::MAX
        } else {
            i64::MIN
        }))
    }
}
