//! Where records live: small JSON documents under a partition and a sort key, changed in conditional transactions.
//!
//! One shape for every record keeps the rules of concurrency in one place: each change reads what it needs, and
//! commits under the condition that nothing of it has changed meanwhile. It is what SQLite, memory and DynamoDB's
//! `TransactWriteItems` can all keep. `docs/adr/0004-one-item-store.md` tells why it is not a trait per kind of record.

use std::fmt;

use async_trait::async_trait;

/// The most writes of one transaction; DynamoDB's limit.
pub const MAX_WRITES: usize = 100;

/// Where an item is: partitions are found by name, items of one partition are ordered by `sort`, byte by byte.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// The partition.
    pub partition: String,
    /// The place in the partition.
    pub sort: String,
}

impl Key {
    /// The key made of these two.
    pub fn new(partition: impl Into<String>, sort: impl Into<String>) -> Self {
        Self { partition: partition.into(), sort: sort.into() }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.partition, self.sort)
    }
}

/// A stored item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Where it is.
    pub key: Key,
    /// 1 when it is made, one more at each put; conditions name it.
    pub revision: u64,
    /// The document, JSON text.
    pub body: String,
}

/// What must hold for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Whatever is there, or nothing.
    Anything,
    /// Nothing is there.
    Absent,
    /// Exactly this revision is there.
    Revision(u64),
}

/// One write of a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Stores a document.
    Put {
        /// Where.
        key: Key,
        /// The document, JSON text.
        body: String,
        /// Under which condition.
        expect: Expect,
        /// After which time (Unix seconds) it may be cleaned away; nobody may rely on it being gone.
        expires_at: Option<i64>,
    },
    /// Removes what is there; with [`Expect::Anything`] removing nothing is no error.
    Delete {
        /// Where.
        key: Key,
        /// Under which condition.
        expect: Expect,
    },
    /// Changes nothing, but the transaction fails unless the condition holds.
    Check {
        /// Where.
        key: Key,
        /// The condition.
        expect: Expect,
    },
}

impl Write {
    /// The key that this write is about.
    pub fn key(&self) -> &Key {
        match self {
            Self::Put { key, .. } | Self::Delete { key, .. } | Self::Check { key, .. } => key,
        }
    }
}

/// Which items of a partition are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The partition.
    pub partition: String,
    /// Only sort keys that begin so.
    pub prefix: String,
    /// Only sort keys beyond this one, in the direction of the query.
    pub after: Option<String>,
    /// At most so many items.
    pub limit: usize,
    /// From the last to the first.
    pub descending: bool,
}

/// The store could not be used; trying again may help.
#[derive(Debug, thiserror::Error)]
pub enum ItemsUnavailable {
    /// It was not reached, did not answer in time, or failed in itself: as far as can be told, nobody else changes
    /// anything there either.
    #[error("the metadata store did not answer")]
    Silent(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It answered and did not do it, as where it is asked too often: others may be changing records meanwhile.
    #[error("the metadata store refused")]
    Refused(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Why a transaction did not happen; nothing of it did.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// A condition did not hold.
    #[error("write {index} of the transaction found another state")]
    Conflict {
        /// The first write whose condition did not hold.
        index: usize,
    },
    /// The store could not be used; it is not known whether the transaction happened.
    #[error(transparent)]
    Unavailable(#[from] ItemsUnavailable),
}

/// Where records live. Every sentence here has a test in `contract::items`.
#[async_trait]
pub trait Items: fmt::Debug + Send + Sync {
    /// Reads items by key, in the order asked, as the last finished transaction left them. At most 100 keys.
    ///
    /// # Errors
    /// [`ItemsUnavailable`]
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, ItemsUnavailable>;

    /// Reads items of one partition in the order of their sort keys, as the last finished transaction left them.
    ///
    /// # Errors
    /// [`ItemsUnavailable`]
    async fn query(&self, query: &Query) -> Result<Vec<Item>, ItemsUnavailable>;

    /// Does all writes or none; once it returns `Ok` they outlive a crash. At most [`MAX_WRITES`], each about another key.
    ///
    /// # Errors
    /// - [`CommitError::Conflict`]: a condition did not hold, and nothing was written.
    /// - [`CommitError::Unavailable`]
    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError>;

    /// How many transactions this process has committed here: a cache that was filled at another count has missed one.
    fn own_commits(&self) -> u64;
}
