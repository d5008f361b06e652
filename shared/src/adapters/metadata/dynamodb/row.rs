//! Items as DynamoDB keeps them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue;

use super::DynamoError;
use crate::ports::items::{Item, Key};

/// The most bytes of an item, names of attributes included; DynamoDB's limit.
pub const MAX_ITEM_BYTES: usize = 400 * 1024;
/// What an item has besides its key and body: names of attributes and two numbers of at most 21 bytes.
const OVERHEAD_BYTES: usize = 96;

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

/// The whole row of a put.
pub(super) fn row(key: &Key, revision: u64, body: &str, expires_at: Option<i64>) -> Row {
    let mut row = key_row(key);
    row.insert(REVISION.into(), number(revision));
    row.insert(BODY.into(), text(body));
    row.extend(expires_at.map(|at| (EXPIRES_AT.into(), number(at))));
    row
}

/// Refuses what the table would refuse, before anything is sent.
pub(super) fn check_size(key: &Key, body: &str) -> Result<(), DynamoError> {
    let size = [key.partition.len(), key.sort.len(), body.len(), OVERHEAD_BYTES]
        .into_iter()
        .fold(0, usize::saturating_add);
    if size > MAX_ITEM_BYTES {
        return Err(DynamoError::TooLarge { key: key.clone(), size });
    }
    Ok(())
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
    match (revision, take_text(&mut row, BODY)) {
        (Some(revision), Some(body)) => Ok(Item { key, revision, body }),
        (None, _) => Err(DynamoError::Attribute { key, attribute: REVISION }),
        (_, None) => Err(DynamoError::Attribute { key, attribute: BODY }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_as_it_was_made() {
        let key = Key::new("p", "s");
        let made = row(&key, 7, "{}", Some(5));
        assert_eq!(made[EXPIRES_AT], AttributeValue::N("5".into()));
        assert_eq!(item(made).unwrap(), Item { key: key.clone(), revision: 7, body: "{}".into() });
        assert!(!row(&key, 7, "{}", None).contains_key(EXPIRES_AT));
    }

    #[test]
    fn a_row_without_revision_or_body_is_named() {
        for attribute in [REVISION, BODY] {
            let mut made = row(&Key::new("p", "s"), 1, "{}", None);
            made.insert(attribute.into(), AttributeValue::Bool(true));
            let error = item(made).unwrap_err().to_string();
            assert_eq!(error, format!("the item `p/s` has no proper `{attribute}`"));
        }
    }

    #[test]
    fn what_dynamodb_would_not_take_is_refused() {
        let key = Key::new("p", "s");
        let largest = MAX_ITEM_BYTES - OVERHEAD_BYTES - 2;
        check_size(&key, &"x".repeat(largest)).unwrap();
        let error = check_size(&key, &"x".repeat(largest + 1)).unwrap_err();
        assert!(matches!(error, DynamoError::TooLarge { size, .. } if size == MAX_ITEM_BYTES + 1));
    }
}
