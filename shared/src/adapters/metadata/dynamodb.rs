//! Records in one DynamoDB table.
//!
//! # Item layout
//!
//! | attribute | type | what |
//! |---|---|---|
//! | `partition` | S, partition key | [`Key::partition`] |
//! | `sort` | S, sort key | [`Key::sort`]; DynamoDB orders it byte by byte, as the port asks |
//! | `revision` | N | 1 when made, one more at each put; conditions name it |
//! | `body` | S, or B | the document, JSON text; from 2 KiB on raw DEFLATE of it (RFC 1951), where that is shorter |
//! | `expires_at` | N, the table's TTL attribute, optional | when it may be cleaned away; nothing waits for that |
//!
//! There is no index: each list is a partition. An item is at most [`MAX_ITEM_BYTES`].
//!
//! # Access patterns
//!
//! | port | call | why |
//! |---|---|---|
//! | `get`, one key | `GetItem`, consistent | the cheapest |
//! | `get`, several keys | `TransactGetItems` | all keys from one state: reads next to each other could see half of a transaction. Beyond its 4 MB: `BatchGetItem`, consistent, each item by itself |
//! | `query` | `Query`, consistent, page by page | one partition, prefix by `begins_with`; each item by itself, so a page can show a transaction in part |
//! | `commit` | `TransactWriteItems` with a client token, one write too | an answer that was lost can be asked for again: the same token is done once. A plain `PutItem` costs half, but after a lost answer its condition fails on its own first try, and nobody could tell whether it had happened |
//!
//! A transaction that meets another one under way is tried again a few times, then it is a conflict; throttling is a
//! refusal, and no answer, a late one or a 5xx is silence.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use async_trait::async_trait;
use aws_sdk_dynamodb::{Client, error::SdkError};
use aws_types::SdkConfig;

use crate::ports::items::{CommitError, Item, Items, ItemsUnavailable, Key, MAX_WRITES, Query, Write};

mod query;
mod read;
mod row;
mod table;
mod write;

pub use row::MAX_ITEM_BYTES;
pub use table::TableError;

/// Records in one DynamoDB table.
pub struct DynamoItems {
    client: Client,
    table: String,
    commits: AtomicU64,
}

impl fmt::Debug for DynamoItems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A client prints all that the SDK knows, some hundred lines.
        f.debug_struct("DynamoItems").field("table", &self.table).finish_non_exhaustive()
    }
}

/// What an item or an answer has that it should not.
#[derive(Debug, thiserror::Error)]
enum DynamoError {
    #[error("the item `{key}` has no proper `{attribute}`")]
    Attribute { key: Key, attribute: &'static str },
    #[error("the item `{key}` has {size} bytes, more than the {MAX_ITEM_BYTES} of an item")]
    TooLarge { key: Key, size: usize },
    #[error("a transaction has at most {MAX_WRITES} writes")]
    TooMany,
    #[error("other transactions kept the items busy")]
    Busy,
    #[error("some of the items asked for were not answered")]
    Unanswered,
}

/// What is wrong on our side of the call, or in what was answered.
fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> ItemsUnavailable {
    ItemsUnavailable::Refused(Box::new(error))
}

/// Why a call failed: a refusal is a 4xx, throttling among them, and whatever was never sent.
fn failed<E: std::error::Error + Send + Sync + 'static>(error: SdkError<E>) -> ItemsUnavailable {
    let silent = match &error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        SdkError::ServiceError(answer) => answer.raw().status().is_server_error(),
        _ => false,
    };
    if silent { ItemsUnavailable::Silent(Box::new(error)) } else { unavailable(error) }
}

/// What the service said, without the HTTP answer around it.
fn service_error<E, R>(error: &SdkError<E, R>) -> Option<&E> {
    match error {
        SdkError::ServiceError(context) => Some(context.err()),
        _ => None,
    }
}

/// Counts a commit however it ends: one that is given up half-way may have happened, too.
struct Counted<'a>(&'a AtomicU64);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl DynamoItems {
    /// Records in that table, which must exist.
    pub fn new(config: &SdkConfig, table: impl Into<String>) -> Self {
        Self { client: Client::new(config), table: table.into(), commits: AtomicU64::new(0) }
    }

    /// Makes the table as the deployment's template does, and waits until it can be used. For development and tests.
    ///
    /// # Errors
    /// [`TableError`]
    pub async fn create_table(&self) -> Result<(), TableError> {
        table::create(&self.client, &self.table).await
    }
}

#[async_trait]
impl Items for DynamoItems {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, ItemsUnavailable> {
        match keys {
            [] => Ok(Vec::new()),
            [key] => Ok(vec![read::one(&self.client, &self.table, key).await?]),
            keys => read::several(&self.client, &self.table, keys).await,
        }
    }

    async fn query(&self, wanted: &Query) -> Result<Vec<Item>, ItemsUnavailable> {
        query::query(&self.client, &self.table, wanted).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        if writes.len() > MAX_WRITES {
            return Err(unavailable(DynamoError::TooMany).into());
        }
        let _counted = Counted(&self.commits);
        write::commit(&self.client, &self.table, &writes).await
    }

    fn own_commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}
