//! Reading by key.

use std::{collections::HashMap, time::Duration};

use aws_sdk_dynamodb::{
    Client,
    error::ProvideErrorMetadata,
    operation::transact_get_items::TransactGetItemsError,
    types::{Get, KeysAndAttributes, TransactGetItem},
};

use super::{
    DynamoError, failed,
    row::{Row, item, key_row},
    service_error, unavailable,
};
use crate::ports::items::{Item, ItemsUnavailable, Key};

/// Tries of a read that meets transactions under way, or that was answered in part.
const MAX_TRIES: u32 = 8;
/// One more of it before each further try.
const PAUSE: Duration = Duration::from_millis(5);

/// Reads one item.
pub(super) async fn one(client: &Client, table: &str, key: &Key) -> Result<Option<Item>, ItemsUnavailable> {
    let request = client.get_item().table_name(table).set_key(Some(key_row(key))).consistent_read(true);
    let answer = request.send().await.map_err(failed)?;
    answer.item.map(item).transpose().map_err(unavailable)
}

/// Reads several items, in the order asked; the same key may be asked for twice.
pub(super) async fn several(
    client: &Client,
    table: &str,
    keys: &[Key],
) -> Result<Vec<Option<Item>>, ItemsUnavailable> {
    let mut distinct: Vec<&Key> = keys.iter().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let rows = match from_one_state(client, table, &distinct).await? {
        Some(rows) => rows,
        None => each_by_itself(client, table, &distinct).await?,
    };
    let items = rows.into_iter().map(item).collect::<Result<Vec<_>, _>>().map_err(unavailable)?;
    let found: HashMap<&Key, &Item> = items.iter().map(|item| (&item.key, item)).collect();
    Ok(keys.iter().map(|key| found.get(key).map(|item| (*item).clone())).collect())
}

/// Why a read of one state did not happen.
enum Refusal {
    /// An item is being written.
    Busy,
    /// The items are more than 4 MB together.
    TooLarge,
    /// Something else.
    Other,
}

fn refusal(error: &TransactGetItemsError) -> Refusal {
    let TransactGetItemsError::TransactionCanceledException(canceled) = error else {
        // Keys are never malformed here, so size is all that is left to be invalid.
        let invalid = error.code() == Some("ValidationException");
        return if invalid { Refusal::TooLarge } else { Refusal::Other };
    };
    let codes = || canceled.cancellation_reasons().iter().filter_map(|reason| reason.code());
    if codes().any(|code| code == "ValidationError") {
        Refusal::TooLarge
    } else if codes().any(|code| code == "TransactionConflict") {
        Refusal::Busy
    } else {
        Refusal::Other
    }
}

/// Reads rows as one finished transaction left them; `None` where they are too large for that.
async fn from_one_state(
    client: &Client,
    table: &str,
    keys: &[&Key],
) -> Result<Option<Vec<Row>>, ItemsUnavailable> {
    let gets = keys
        .iter()
        .map(|key| {
            let get = Get::builder().table_name(table).set_key(Some(key_row(key))).build()?;
            Ok(TransactGetItem::builder().get(get).build())
        })
        .collect::<Result<Vec<_>, aws_sdk_dynamodb::error::BuildError>>()
        .map_err(unavailable)?;
    for attempt in 0..MAX_TRIES {
        tokio::time::sleep(PAUSE.saturating_mul(attempt)).await;
        let error = match client.transact_get_items().set_transact_items(Some(gets.clone())).send().await {
            Ok(answer) => {
                let responses = answer.responses.unwrap_or_default();
                return Ok(Some(responses.into_iter().filter_map(|response| response.item).collect()));
            }
            Err(error) => error,
        };
        match service_error(&error).map_or(Refusal::Other, refusal) {
            Refusal::Busy => {}
            Refusal::TooLarge => return Ok(None),
            Refusal::Other => return Err(failed(error)),
        }
    }
    Err(unavailable(DynamoError::Busy))
}

/// Reads rows of any size, asking again for those that did not fit into the answer.
async fn each_by_itself(client: &Client, table: &str, keys: &[&Key]) -> Result<Vec<Row>, ItemsUnavailable> {
    let mut wanted: Vec<Row> = keys.iter().map(|key| key_row(key)).collect();
    let mut rows = Vec::new();
    let mut attempt = 0;
    while attempt < MAX_TRIES {
        tokio::time::sleep(PAUSE.saturating_mul(attempt)).await;
        let keys = KeysAndAttributes::builder().set_keys(Some(wanted)).consistent_read(true).build();
        let request = client.batch_get_item().request_items(table, keys.map_err(unavailable)?);
        let answer = request.send().await.map_err(failed)?;
        let found = answer.responses.unwrap_or_default().remove(table).unwrap_or_default();
        // Each answer of 16 MB is progress; only one that brings nothing counts as a try.
        attempt = if found.is_empty() { attempt.saturating_add(1) } else { 0 };
        rows.extend(found);
        match answer.unprocessed_keys.unwrap_or_default().remove(table) {
            Some(rest) if !rest.keys.is_empty() => wanted = rest.keys,
            _ => return Ok(rows),
        }
    }
    Err(unavailable(DynamoError::Unanswered))
}
