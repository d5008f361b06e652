//! Writing in transactions.

use std::time::Duration;

use aws_sdk_dynamodb::{
    Client,
    error::BuildError,
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, CancellationReason, ConditionCheck, Delete, Put, TransactWriteItem, Update},
};

use super::{
    failed,
    row::{BODY, EXPIRES_AT, REVISION, checked, key_row, number, row},
    service_error, unavailable,
};
use crate::ports::items::{CommitError, Expect, ItemsUnavailable, Key, Write};

/// Tries of a transaction that meets another one under way.
const MAX_TRIES: u32 = 4;
/// One more of it before each further try.
const PAUSE: Duration = Duration::from_millis(8);

/// A condition in DynamoDB's words, about `#r`, and the value of `:r`.
fn condition(expect: Expect) -> Option<(&'static str, Option<AttributeValue>)> {
    match expect {
        Expect::Anything => None,
        Expect::Absent => Some(("attribute_not_exists(#r)", None)),
        Expect::Revision(revision) => Some(("#r = :r", Some(number(revision)))),
    }
}

/// Adds the condition to a builder of any of the four writes, which have no trait in common.
macro_rules! under {
    ($builder:expr, $expect:expr) => {{
        let mut builder = $builder;
        if let Some((expression, revision)) = condition($expect) {
            builder = builder.condition_expression(expression).expression_attribute_names("#r", REVISION);
            if let Some(revision) = revision {
                builder = builder.expression_attribute_values(":r", revision);
            }
        }
        builder
    }};
}

/// A put whatever is there: only the store knows the revision that it follows.
fn put_over(
    table: &str,
    key: &Key,
    body: AttributeValue,
    expires_at: Option<i64>,
) -> Result<Update, BuildError> {
    let update = Update::builder()
        .table_name(table)
        .set_key(Some(key_row(key)))
        .expression_attribute_names("#b", BODY)
        .expression_attribute_names("#e", EXPIRES_AT)
        .expression_attribute_names("#r", REVISION)
        .expression_attribute_values(":b", body)
        .expression_attribute_values(":one", number(1));
    match expires_at {
        Some(at) => update
            .update_expression("SET #b = :b, #e = :e ADD #r :one")
            .expression_attribute_values(":e", number(at)),
        None => update.update_expression("SET #b = :b REMOVE #e ADD #r :one"),
    }
    .build()
}

fn put(
    table: &str,
    (key, body, expires_at): (&Key, &str, Option<i64>),
    expect: Expect,
) -> Result<TransactWriteItem, ItemsUnavailable> {
    let item = TransactWriteItem::builder();
    let body = checked(key, body).map_err(unavailable)?;
    let revision = match expect {
        Expect::Anything => {
            let update = put_over(table, key, body, expires_at).map_err(unavailable)?;
            return Ok(item.update(update).build());
        }
        Expect::Absent => 1,
        Expect::Revision(revision) => revision.saturating_add(1),
    };
    let put = Put::builder().table_name(table).set_item(Some(row(key, revision, body, expires_at)));
    Ok(item.put(under!(put, expect).build().map_err(unavailable)?).build())
}

/// A write in DynamoDB's words; `None` where there is nothing to do and nothing to check.
fn transact_item(table: &str, write: &Write) -> Result<Option<TransactWriteItem>, ItemsUnavailable> {
    let item = TransactWriteItem::builder();
    let item = match write {
        Write::Put { key, body, expect, expires_at } => put(table, (key, body, *expires_at), *expect)?,
        Write::Delete { key, expect } => {
            let delete = Delete::builder().table_name(table).set_key(Some(key_row(key)));
            item.delete(under!(delete, *expect).build().map_err(unavailable)?).build()
        }
        Write::Check { expect: Expect::Anything, .. } => return Ok(None),
        Write::Check { key, expect } => {
            let check = ConditionCheck::builder().table_name(table).set_key(Some(key_row(key)));
            item.condition_check(under!(check, *expect).build().map_err(unavailable)?).build()
        }
    };
    Ok(Some(item))
}

/// Why a transaction was cancelled.
#[derive(Debug, PartialEq, Eq)]
enum Cancelled {
    /// The condition at this place did not hold.
    Condition(usize),
    /// The item at this place is part of another transaction under way.
    Busy(usize),
    /// Something else.
    Other,
}

fn cancelled(reasons: &[CancellationReason]) -> Cancelled {
    let first = |wanted: &str| reasons.iter().position(|reason| reason.code() == Some(wanted));
    match (first("ConditionalCheckFailed"), first("TransactionConflict")) {
        (Some(place), _) => Cancelled::Condition(place),
        // Beside throttling or an invalid item, a conflict says nothing: the next try would not go better.
        (None, Some(place)) if reasons.iter().filter_map(CancellationReason::code).all(harmless) => {
            Cancelled::Busy(place)
        }
        (None, _) => Cancelled::Other,
    }
}

fn harmless(code: &str) -> bool {
    matches!(code, "None" | "TransactionConflict")
}

/// Does all writes or none.
pub(super) async fn commit(client: &Client, table: &str, writes: &[Write]) -> Result<(), CommitError> {
    let (mut items, mut places) = (Vec::new(), Vec::new());
    for (place, write) in writes.iter().enumerate() {
        if let Some(item) = transact_item(table, write)? {
            items.push(item);
            places.push(place);
        }
    }
    if items.is_empty() {
        return Ok(());
    }
    let conflict = |item: usize| CommitError::Conflict { index: places.get(item).copied().unwrap_or(item) };
    let mut attempt = 0;
    loop {
        // The SDK gives each request a client token of its own, and its own further tries the same one.
        let request = client.transact_write_items().set_transact_items(Some(items.clone()));
        let Err(error) = request.send().await else { return Ok(()) };
        let reason = match service_error(&error) {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                cancelled(canceled.cancellation_reasons())
            }
            _ => Cancelled::Other,
        };
        attempt += 1;
        match reason {
            Cancelled::Condition(item) => return Err(conflict(item)),
            Cancelled::Busy(item) if attempt == MAX_TRIES => return Err(conflict(item)),
            Cancelled::Busy(_) => tokio::time::sleep(PAUSE.saturating_mul(attempt)).await,
            Cancelled::Other => return Err(failed(error).into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reasons(codes: &[&str]) -> Vec<CancellationReason> {
        codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect()
    }

    #[test]
    fn the_first_condition_that_did_not_hold_is_named() {
        let codes = ["None", "TransactionConflict", "ConditionalCheckFailed", "ConditionalCheckFailed"];
        assert_eq!(cancelled(&reasons(&codes)), Cancelled::Condition(2));
    }

    #[test]
    fn an_item_of_another_transaction_is_busy() {
        assert_eq!(cancelled(&reasons(&["None", "TransactionConflict"])), Cancelled::Busy(1));
    }

    #[test]
    fn throttling_and_invalid_items_are_no_conflict() {
        for code in ["ThrottlingError", "ProvisionedThroughputExceeded", "ValidationError"] {
            assert_eq!(cancelled(&reasons(&["None", code])), Cancelled::Other);
            assert_eq!(cancelled(&reasons(&["TransactionConflict", code])), Cancelled::Other);
        }
        assert_eq!(cancelled(&[]), Cancelled::Other);
    }

    #[test]
    fn a_check_of_nothing_is_left_out() {
        let check = Write::Check { key: Key::new("p", "s"), expect: Expect::Anything };
        assert_eq!(transact_item("t", &check).unwrap(), None);
    }
}
