//! Records in one SQLite file: WAL, synchronous FULL, one writer, a few readers.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior, params};

use crate::ports::items::{
    CommitError, Expect, Item, Items, ItemsUnavailable, Key, MAX_WRITES, Query, Write,
};

/// Each step brings the schema one version further; `user_version` says how many were done. Only ever append.
const MIGRATIONS: &[&str] = &["
    CREATE TABLE items (
        partition  TEXT    NOT NULL,
        sort       TEXT    NOT NULL,
        revision   INTEGER NOT NULL,
        body       TEXT    NOT NULL,
        expires_at INTEGER,
        PRIMARY KEY (partition, sort)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX items_by_expiry ON items (expires_at) WHERE expires_at IS NOT NULL;
"];

/// How long a connection waits for another process's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
const READERS: usize = 4;

/// Records in one SQLite file.
#[derive(Debug)]
pub struct SqliteItems {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: Mutex<Connection>,
    readers: Vec<Mutex<Connection>>,
    next_reader: AtomicUsize,
    commits: AtomicU64,
}

/// Why the file could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// SQLite said no.
    #[error("the database cannot be opened")]
    Sqlite(#[from] rusqlite::Error),
    /// A later version of this program made the file.
    #[error("the database has schema version {found}, this program knows {known}: use the newer program")]
    TooNew {
        /// The version of the file.
        found: usize,
        /// The newest version that is known here.
        known: usize,
    },
}

fn lock(connection: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    // A panic while the lock was held left at worst an open transaction, which its guard has rolled back.
    connection.lock().unwrap_or_else(PoisonError::into_inner)
}

fn unavailable(error: impl std::error::Error + Send + Sync + 'static) -> ItemsUnavailable {
    ItemsUnavailable::Silent(Box::new(error))
}

fn connect(path: &Path) -> Result<Connection, rusqlite::Error> {
    let connection = Connection::open_with_flags(path, OpenFlags::default())?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(32);
    Ok(connection)
}

fn migrate(connection: &mut Connection) -> Result<(), OpenError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let done: usize = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if done > MIGRATIONS.len() {
        return Err(OpenError::TooNew { found: done, known: MIGRATIONS.len() });
    }
    for step in MIGRATIONS.iter().skip(done) {
        transaction.execute_batch(step)?;
    }
    transaction.pragma_update(None, "user_version", MIGRATIONS.len())?;
    Ok(transaction.commit()?)
}

impl SqliteItems {
    /// Opens the file, making it and bringing its schema up to date as needed.
    ///
    /// # Errors
    /// [`OpenError`]
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let mut writer = connect(path)?;
        migrate(&mut writer)?;
        let readers = (0..READERS).map(|_| connect(path).map(Mutex::new)).collect::<Result<_, _>>()?;
        let inner = Inner {
            writer: Mutex::new(writer),
            readers,
            next_reader: AtomicUsize::new(0),
            commits: AtomicU64::new(0),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Removes items whose `expires_at` lies before `now` (Unix seconds), 500 at most; tells how many.
    ///
    /// # Errors
    /// [`ItemsUnavailable`]
    pub async fn purge(&self, now: i64) -> Result<usize, ItemsUnavailable> {
        let sql = "DELETE FROM items WHERE (partition, sort) IN
                   (SELECT partition, sort FROM items WHERE expires_at < ?1 LIMIT 500)";
        self.blocking(move |inner| lock(&inner.writer).execute(sql, [now])).await?.map_err(unavailable)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> T + Send + 'static,
    ) -> Result<T, ItemsUnavailable> {
        let inner = Arc::clone(&self.inner);
        tokio::task::spawn_blocking(move || work(&inner)).await.map_err(unavailable)
    }
}

impl Inner {
    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, ItemsUnavailable> {
        let turn = self.next_reader.fetch_add(1, Ordering::Relaxed) % READERS;
        let reader = self.readers.get(turn).ok_or_else(|| ItemsUnavailable::Silent("no reader".into()))?;
        work(&lock(reader)).map_err(unavailable)
    }
}

fn get(connection: &Connection, keys: &[Key]) -> rusqlite::Result<Vec<Option<Item>>> {
    // One transaction, so that all keys are read from one state.
    let transaction = connection.unchecked_transaction()?;
    let mut statement =
        transaction.prepare_cached("SELECT revision, body FROM items WHERE partition = ?1 AND sort = ?2")?;
    keys.iter()
        .map(|key| {
            statement
                .query_row([&key.partition, &key.sort], |row| {
                    Ok(Item { key: key.clone(), revision: row.get(0)?, body: row.get(1)? })
                })
                .optional()
        })
        .collect()
}

fn query(connection: &Connection, query: &Query) -> rusqlite::Result<Vec<Item>> {
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    // Sort keys are ASCII: U+10FFFF sorts after every one that begins with the prefix.
    let end = format!("{}\u{10FFFF}", query.prefix);
    let (sql, first, last) = if query.descending {
        let last = query.after.clone().unwrap_or(end);
        (
            "SELECT sort, revision, body FROM items WHERE partition = ?1 AND sort >= ?2 AND sort < ?3
          ORDER BY sort DESC LIMIT ?4",
            query.prefix.clone(),
            last,
        )
    } else {
        let first =
            query.after.as_ref().map_or_else(|| query.prefix.clone(), |after| format!("{after}\u{1}"));
        (
            "SELECT sort, revision, body FROM items WHERE partition = ?1 AND sort >= ?2 AND sort < ?3
          ORDER BY sort LIMIT ?4",
            first.max(query.prefix.clone()),
            end,
        )
    };
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![query.partition, first, last, limit], |row| {
        let key = Key::new(query.partition.clone(), row.get::<_, String>(0)?);
        Ok(Item { key, revision: row.get(1)?, body: row.get(2)? })
    })?;
    rows.collect()
}

/// What a write finds where it is about to write.
enum Found {
    /// The condition holds, for this revision or for absence.
    Holds(Option<u64>),
    /// It does not.
    Conflict,
}

fn find(transaction: &Connection, key: &Key, expect: Expect) -> rusqlite::Result<Found> {
    let mut statement =
        transaction.prepare_cached("SELECT revision FROM items WHERE partition = ?1 AND sort = ?2")?;
    let found: Option<u64> = statement.query_row([&key.partition, &key.sort], |row| row.get(0)).optional()?;
    let holds = match expect {
        Expect::Anything => true,
        Expect::Absent => found.is_none(),
        Expect::Revision(revision) => found == Some(revision),
    };
    Ok(if holds { Found::Holds(found) } else { Found::Conflict })
}

/// Does all writes in one transaction; `Some(index)` is the write whose condition did not hold.
fn commit(connection: &mut Connection, writes: &[Write]) -> rusqlite::Result<Option<usize>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for (index, write) in writes.iter().enumerate() {
        let (Write::Put { expect, .. } | Write::Delete { expect, .. } | Write::Check { expect, .. }) = write;
        let key = write.key();
        let Found::Holds(found) = find(&transaction, key, *expect)? else { return Ok(Some(index)) };
        match write {
            Write::Put { body, expires_at, .. } => {
                let revision = found.map_or(1, |revision| revision.saturating_add(1));
                let mut put = transaction.prepare_cached(
                    "INSERT OR REPLACE INTO items (partition, sort, revision, body, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?;
                put.execute(params![key.partition, key.sort, revision, body, expires_at])?;
            }
            Write::Delete { .. } => {
                let mut delete =
                    transaction.prepare_cached("DELETE FROM items WHERE partition = ?1 AND sort = ?2")?;
                delete.execute([&key.partition, &key.sort])?;
            }
            Write::Check { .. } => {}
        }
    }
    transaction.commit()?;
    Ok(None)
}

#[async_trait]
impl Items for SqliteItems {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, ItemsUnavailable> {
        let keys = keys.to_vec();
        self.blocking(move |inner| inner.read(|connection| get(connection, &keys))).await?
    }

    async fn query(&self, wanted: &Query) -> Result<Vec<Item>, ItemsUnavailable> {
        let wanted = wanted.clone();
        self.blocking(move |inner| inner.read(|connection| query(connection, &wanted))).await?
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        if writes.len() > MAX_WRITES {
            return Err(ItemsUnavailable::Refused("a transaction has at most 100 writes".into()).into());
        }
        let outcome = self.blocking(move |inner| {
            let outcome = commit(&mut lock(&inner.writer), &writes);
            inner.commits.fetch_add(1, Ordering::SeqCst);
            outcome
        });
        match outcome.await?.map_err(unavailable)? {
            None => Ok(()),
            Some(index) => Err(CommitError::Conflict { index }),
        }
    }

    fn own_commits(&self) -> u64 {
        self.inner.commits.load(Ordering::SeqCst)
    }
}
