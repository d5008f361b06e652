//! Items as DynamoDB keeps them.

use std::{
    collections::HashMap,
    io::{Read as _, Write as _},
};

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use flate2::{Compression, read::DeflateDecoder, write::DeflateEncoder};

use super::DynamoError;
use crate::ports::items::{Item, Key};

/// The most bytes of an item, names of attributes included; DynamoDB's limit.
pub const MAX_ITEM_BYTES: usize = 400 * 1024;
/// What an item has besides its key and body: names of attributes and two numbers of at most 21 bytes.
const OVERHEAD_BYTES: usize = 96;

/// From so many bytes on a body is compressed: pages of a catalogue shrink to a third, and with them what is paid for.
const COMPRESS_FROM_BYTES: usize = 2_048;
/// The longest body that is unpacked: more than any that was written.
const MAX_BODY_BYTES: u64 = 16 << 20;

pub(super) const PARTITION: &str = "partition";
pub(super) const SORT: &str = "sort";
pub(super) const REVISION: &str = "revision";
pub(super) const BODY: &str = "body";
pub(super) const EXPIRES_AT: &str = "expires_at";

pub(super) type Row = HashMap<String, AttributeValue>;

pub(super) fn text(value: &str) -> AttributeValue {
    AttributeValue::S(value.to_owned())
}

pub(super) fn number(value: impl Into<i128>) -> AttributeValue {
    AttributeValue::N(value.into().to_string())
}

pub(super) fn key_row(key: &Key) -> Row {
    HashMap::from([(PARTITION.into(), text(&key.partition)), (SORT.into(), text(&key.sort))])
}

/// A body as it is stored: its text, or where that is shorter the text compressed.
pub(super) fn packed(body: &str) -> AttributeValue {
    if body.len() < COMPRESS_FROM_BYTES {
        return text(body);
    }
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    let compressed = encoder.write_all(body.as_bytes()).and_then(|()| encoder.finish());
    match compressed {
        Ok(compressed) if compressed.len() < body.len() => AttributeValue::B(Blob::new(compressed)),
        _ => text(body),
    }
}

fn unpacked(value: AttributeValue) -> Option<String> {
    match value {
        AttributeValue::S(text) => Some(text),
        AttributeValue::B(compressed) => {
            let mut body = String::new();
            let mut decoder = DeflateDecoder::new(compressed.as_ref()).take(MAX_BODY_BYTES);
            decoder.read_to_string(&mut body).ok().map(|_| body)
        }
        _ => None,
    }
}

/// The whole row of a put.
pub(super) fn row(key: &Key, revision: u64, body: AttributeValue, expires_at: Option<i64>) -> Row {
    let mut row = key_row(key);
    row.insert(REVISION.into(), number(revision));
    row.insert(BODY.into(), body);
    row.extend(expires_at.map(|at| (EXPIRES_AT.into(), number(at))));
    row
}

/// A body as it is stored; refuses what the table would refuse, before anything is sent.
pub(super) fn checked(key: &Key, body: &str) -> Result<AttributeValue, DynamoError> {
    let packed = packed(body);
    let length = match &packed {
        AttributeValue::B(compressed) => compressed.as_ref().len(),
        _ => body.len(),
    };
    let size = [key.partition.len(), key.sort.len(), length, OVERHEAD_BYTES]
        .into_iter()
        .fold(0, usize::saturating_add);
    if size > MAX_ITEM_BYTES {
        return Err(DynamoError::TooLarge { key: key.clone(), size });
    }
    Ok(packed)
}

fn take_text(row: &mut Row, attribute: &str) -> Option<String> {
    match row.remove(attribute)? {
        AttributeValue::S(text) => Some(text),
        _ => None,
    }
}

/// The item of a row.
pub(super) fn item(mut row: Row) -> Result<Item, DynamoError> {
    let partition = take_text(&mut row, PARTITION).unwrap_or_default();
    let sort = take_text(&mut row, SORT).unwrap_or_default();
    let key = Key::new(partition, sort);
    let revision = match row.get(REVISION) {
        Some(AttributeValue::N(digits)) => digits.parse().ok(),
        _ => None,
    };
    match (revision, row.remove(BODY).and_then(unpacked)) {
        (Some(revision), Some(body)) => Ok(Item { key, revision, body }),
        (None, _) => Err(DynamoError::Attribute { key, attribute: REVISION }),
        (_, None) => Err(DynamoError::Attribute { key, attribute: BODY }),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_made() {
        let key = Key::new("p", "s");
        let made = row(&key, 7, packed("{}"), Some(5));
        assert_eq!(made[EXPIRES_AT], AttributeValue::N("5".into()));
        assert_eq!(item(made).unwrap(), Item { key: key.clone(), revision: 7, body: "{}".into() });
        assert!(!row(&key, 7, packed("{}"), None).contains_key(EXPIRES_AT));
    }

    #[test]
    fn a_row_without_revision_or_body_is_named() {
        for attribute in [REVISION, BODY] {
            let mut made = row(&Key::new("p", "s"), 1, packed("{}"), None);
            made.insert(attribute.into(), AttributeValue::Bool(true));
            let error = item(made).unwrap_err().to_string();
            assert_eq!(error, format!("the item `p/s` has no proper `{attribute}`"));
        }
    }

    #[test]
    fn a_long_body_is_compressed_and_reads_back() {
        let key = Key::new("p", "s");
        let body = r#"{"version":"1.2.3","channel":"stable"},"#.repeat(20_000);
        assert!(body.len() > MAX_ITEM_BYTES);
        let packed = checked(&key, &body).unwrap();
        assert!(matches!(&packed, AttributeValue::B(bytes) if bytes.as_ref().len() < body.len() / 20));
        assert_eq!(item(row(&key, 1, packed, None)).unwrap().body, body);
        assert_eq!(checked(&key, "{}").unwrap(), text("{}"));
    }

    #[test]
    fn bytes_that_are_no_compressed_text_are_no_body() {
        let made = row(&Key::new("p", "s"), 1, AttributeValue::B(Blob::new([0xff; 9])), None);
        assert_eq!(item(made).unwrap_err().to_string(), "the item `p/s` has no proper `body`");
    }

    #[test]
    fn what_dynamodb_would_not_take_is_refused() {
        // Digits of digests of digits do not shrink below half: a body of any length can be too long.
        let mut noise = String::new();
        for index in 0..30_000_u32 {
            let word = u64::from(index).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(index % 64);
            write!(noise, "{word:016x}").unwrap();
        }
        let error = checked(&Key::new("p", "s"), &noise.repeat(4)).unwrap_err();
        assert!(matches!(error, DynamoError::TooLarge { size, .. } if size > MAX_ITEM_BYTES), "{error}");
    }
}
