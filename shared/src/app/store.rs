//! Records as values: reading and writing items as the types of the domain.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};

use super::{error::AppError, keys};
use crate::ports::items::{CommitError, Expect, Item, Items, Key, Query, Write};

/// Tries of a use case whose records others changed meanwhile.
const MAX_TRIES: u32 = 24;

/// A record with the revision under which it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored<T> {
    /// The record.
    pub value: T,
    /// Its revision.
    pub revision: u64,
}

impl<T> Stored<T> {
    /// The condition that nobody has changed it since.
    pub fn unchanged(&self) -> Expect {
        Expect::Revision(self.revision)
    }
}

/// The condition that nothing has changed since a record, or its absence, was read.
pub fn unchanged<T>(found: Option<&Stored<T>>) -> Expect {
    found.map_or(Expect::Absent, Stored::unchanged)
}

/// The metadata store as the use cases see it.
#[derive(Debug, Clone)]
pub struct Store {
    items: Arc<dyn Items>,
    /// How many transactions this process has committed that can alter a decision.
    decisive: Arc<AtomicU64>,
}

fn read<T: DeserializeOwned>(item: &Item) -> Result<Stored<T>, AppError> {
    let value = serde_json::from_str(&item.body)
        .map_err(|source| AppError::Corrupt { key: item.key.to_string(), source })?;
    Ok(Stored { value, revision: item.revision })
}

impl Store {
    /// Reads and writes records there.
    pub fn new(items: Arc<dyn Items>) -> Self {
        Self { items, decisive: Arc::default() }
    }

    /// How many transactions this process has committed.
    pub fn own_commits(&self) -> u64 {
        self.items.own_commits()
    }

    /// How many transactions this process has committed that can alter a decision.
    pub fn own_decisive(&self) -> u64 {
        self.decisive.load(Ordering::SeqCst)
    }

    /// Reads one record.
    ///
    /// # Errors
    /// [`AppError::Items`], [`AppError::Corrupt`]
    pub async fn get<T: DeserializeOwned>(&self, key: Key) -> Result<Option<Stored<T>>, AppError> {
        let items = self.items.get(&[key]).await?;
        items.iter().flatten().next().map(read).transpose()
    }

    /// Reads records of one kind, in the order asked.
    ///
    /// # Errors
    /// [`AppError::Items`], [`AppError::Corrupt`]
    pub async fn get_all<T: DeserializeOwned>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<Stored<T>>>, AppError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let items = self.items.get(keys).await?;
        items.iter().map(|item| item.as_ref().map(read).transpose()).collect()
    }

    /// Reads items of several kinds from one state.
    ///
    /// # Errors
    /// [`AppError::Items`]
    pub async fn get_raw(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, AppError> {
        Ok(self.items.get(keys).await?)
    }

    /// Reads a record out of an item of [`Store::get_raw`].
    ///
    /// # Errors
    /// [`AppError::Corrupt`]
    pub fn record<T: DeserializeOwned>(item: Option<&Item>) -> Result<Option<Stored<T>>, AppError> {
        item.map(read).transpose()
    }

    /// Reads records of one partition, with their sort keys.
    ///
    /// # Errors
    /// [`AppError::Items`], [`AppError::Corrupt`]
    pub async fn query<T: DeserializeOwned>(
        &self,
        query: &Query,
    ) -> Result<Vec<(String, Stored<T>)>, AppError> {
        let items = self.items.query(query).await?;
        items.iter().map(|item| Ok((item.key.sort.clone(), read(item)?))).collect()
    }

    /// Reads all records of one partition with a sort prefix, page by page.
    ///
    /// # Errors
    /// [`AppError::Items`], [`AppError::Corrupt`]
    pub async fn query_all<T: DeserializeOwned>(
        &self,
        partition: &str,
        prefix: &str,
    ) -> Result<Vec<(String, Stored<T>)>, AppError> {
        let mut query = all(partition, prefix);
        let mut records = Vec::new();
        loop {
            let page = self.query(&query).await?;
            let done = page.len() < query.limit;
            query.after = page.last().map(|(sort, _)| sort.clone());
            records.extend(page);
            if done {
                return Ok(records);
            }
        }
    }

    /// Does all of the batch or nothing.
    ///
    /// # Errors
    /// [`AppError::Raced`] where a condition did not hold, [`AppError::Items`]
    pub async fn commit(&self, batch: Batch) -> Result<(), AppError> {
        let decisive = batch.writes.iter().any(|write| keys::is_decisive(write.key()));
        self.items.commit(batch.writes).await.map_err(|error| match error {
            CommitError::Conflict { .. } => AppError::Raced,
            CommitError::Unavailable(cause) => AppError::Items(cause),
        })?;
        if decisive {
            self.decisive.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

/// A query for everything of a partition with a prefix, 500 at a time.
pub fn all(partition: &str, prefix: &str) -> Query {
    Query { partition: partition.into(), prefix: prefix.into(), after: None, limit: 500, descending: false }
}

/// The writes of one transaction, being gathered.
#[derive(Debug, Default)]
pub struct Batch {
    writes: Vec<Write>,
}

impl Batch {
    /// Whether nothing was gathered.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }

    /// Stores a record.
    ///
    /// # Errors
    /// [`AppError::Corrupt`] where it cannot be written as JSON
    pub fn put<T: Serialize>(&mut self, key: Key, value: &T, expect: Expect) -> Result<(), AppError> {
        self.put_until(key, value, expect, None)
    }

    /// Stores a record that may be cleaned away after a time (Unix seconds).
    ///
    /// # Errors
    /// [`AppError::Corrupt`] where it cannot be written as JSON
    pub fn put_until<T: Serialize>(
        &mut self,
        key: Key,
        value: &T,
        expect: Expect,
        expires_at: Option<i64>,
    ) -> Result<(), AppError> {
        let body = serde_json::to_string(value)
            .map_err(|source| AppError::Corrupt { key: key.to_string(), source })?;
        self.writes.push(Write::Put { key, body, expect, expires_at });
        Ok(())
    }

    /// Removes a record.
    pub fn delete(&mut self, key: Key, expect: Expect) {
        self.writes.push(Write::Delete { key, expect });
    }

    /// Makes the transaction depend on a record that it does not change.
    pub fn check(&mut self, key: Key, expect: Expect) {
        self.writes.push(Write::Check { key, expect });
    }
}

/// Does the work again while others change its records meanwhile, a bounded number of times.
///
/// # Errors
/// Those of the work; [`AppError::Busy`] when every try was raced.
pub async fn retrying<T, W, F>(mut work: W) -> Result<T, AppError>
where
    T: Send,
    W: FnMut() -> F + Send,
    F: Future<Output = Result<T, AppError>> + Send,
{
    for attempt in 0..MAX_TRIES {
        match work().await {
            Err(AppError::Raced) => {
                let pause = Duration::from_millis(u64::from(attempt.min(10)).saturating_mul(3));
                tokio::time::sleep(pause).await;
            }
            outcome => return outcome,
        }
    }
    Err(AppError::Busy)
}
