//! A metadata store that fails on demand: one process's connection to it.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;

use super::gate::Trouble;
use crate::ports::items::{CommitError, Item, Items, ItemsUnavailable, Key, Query, Write};

/// One process's connection to a metadata store, which fails where it is told to. Several over one store are several
/// processes: each counts its own transactions alone.
#[derive(Debug)]
pub struct FailingItems {
    inner: Arc<dyn Items>,
    plan: Mutex<Plan>,
    commits: AtomicU64,
    calls: AtomicU64,
}

#[derive(Debug, Default)]
struct Plan {
    down: bool,
    refusing: bool,
    orders: Vec<Order>,
    lagging: Vec<String>,
    conflicts: usize,
    last: Vec<Write>,
    looks: BTreeMap<String, u64>,
}

#[derive(Debug)]
struct Order {
    on: On,
    /// How many such calls are to pass first.
    left: usize,
    trouble: Trouble,
}

#[derive(Debug)]
enum On {
    Commit,
    WriteTo(String),
    Get(String),
    Query(String),
}

impl FailingItems {
    /// A connection without trouble so far.
    pub fn new(inner: Arc<dyn Items>) -> Self {
        Self { inner, plan: Mutex::default(), commits: AtomicU64::new(0), calls: AtomicU64::new(0) }
    }

    /// How many calls were made through it so far: looks, queries and transactions.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::SeqCst)
    }

    /// How many keys of a partition were looked at through it so far.
    pub fn looks_at(&self, partition: &str) -> u64 {
        self.plan().looks.get(partition).copied().unwrap_or_default()
    }

    /// The store is not to be reached at all, or is again.
    pub fn set_down(&self, down: bool) {
        self.plan().down = down;
    }

    /// The store refuses whatever this process asks, or no longer does; others it answers.
    pub fn set_refusing(&self, refusing: bool) {
        self.plan().refusing = refusing;
    }

    /// Troubles the nth transaction from now on; the next is the first.
    pub fn on_commit(&self, nth: usize, trouble: Trouble) {
        self.order(On::Commit, nth, trouble);
    }

    /// Troubles the next transaction that writes to a partition.
    pub fn on_write_to(&self, partition: &str, trouble: Trouble) {
        self.order(On::WriteTo(partition.into()), 1, trouble);
    }

    /// Troubles the next look at a key of a partition.
    pub fn on_get(&self, partition: &str, trouble: Trouble) {
        self.order(On::Get(partition.into()), 1, trouble);
    }

    /// Troubles the next query of a partition.
    pub fn on_query(&self, partition: &str, trouble: Trouble) {
        self.order(On::Query(partition.into()), 1, trouble);
    }

    /// The next look at a partition, by key or query, does not show yet what the last transaction put there.
    pub fn lag(&self, partition: &str) {
        self.plan().lagging.push(partition.into());
    }

    /// Whether this look shows nothing yet; each lag comes once.
    fn lags(&self, partition: &str) -> bool {
        let mut plan = self.plan();
        let place = plan.lagging.iter().position(|lagging| lagging == partition);
        place.map(|place| plan.lagging.remove(place)).is_some()
    }

    /// Whether troubles were ordered that have not come yet.
    pub fn has_orders(&self) -> bool {
        let plan = self.plan();
        !plan.orders.is_empty() || !plan.lagging.is_empty()
    }

    /// How many transactions found another state than they expected.
    pub fn conflicts(&self) -> usize {
        self.plan().conflicts
    }

    /// The writes of the last transaction that was done.
    pub fn last_commit(&self) -> Vec<Write> {
        self.plan().last.clone()
    }

    fn order(&self, on: On, nth: usize, trouble: Trouble) {
        self.plan().orders.push(Order { on, left: nth.saturating_sub(1), trouble });
    }

    fn plan(&self) -> MutexGuard<'_, Plan> {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The trouble of this call, if any; each comes once.
    fn trouble(&self, concerned: impl Fn(&On) -> bool) -> Result<Option<Trouble>, ItemsUnavailable> {
        let mut plan = self.plan();
        if plan.down {
            return Err(unavailable("it is down"));
        }
        if plan.refusing {
            return Err(ItemsUnavailable::Refused("it is asked too often".into()));
        }
        let mut due = None;
        for (index, order) in plan.orders.iter_mut().enumerate().filter(|(_, order)| concerned(&order.on)) {
            match order.left.checked_sub(1) {
                Some(left) => order.left = left,
                None => due = due.or(Some(index)),
            }
        }
        Ok(due.map(|index| plan.orders.remove(index).trouble))
    }
}

fn unavailable(why: &str) -> ItemsUnavailable {
    ItemsUnavailable::Silent(why.into())
}

/// The answer, unless it is lost.
async fn heard<T: Send>(trouble: Option<&Trouble>, answer: T) -> Result<T, ItemsUnavailable> {
    if Trouble::after(trouble).await { Ok(answer) } else { Err(unavailable("the answer was lost")) }
}

fn writes_to(write: &Write, partition: &str) -> bool {
    !matches!(write, Write::Check { .. }) && write.key().partition == partition
}

#[async_trait]
impl Items for FailingItems {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, ItemsUnavailable> {
        for key in keys {
            *self.plan().looks.entry(key.partition.clone()).or_default() += 1;
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let of = |partition: &String| keys.iter().any(|key| key.partition == *partition);
        let trouble = self.trouble(|on| matches!(on, On::Get(partition) if of(partition)))?;
        if !Trouble::before(trouble.as_ref()).await {
            return Err(unavailable("nothing was looked at"));
        }
        let mut items = self.inner.get(keys).await?;
        for (key, item) in keys.iter().zip(&mut items) {
            if self.lags(&key.partition) {
                *item = None;
            }
        }
        heard(trouble.as_ref(), items).await
    }

    async fn query(&self, query: &Query) -> Result<Vec<Item>, ItemsUnavailable> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let trouble =
            self.trouble(|on| matches!(on, On::Query(partition) if *partition == query.partition))?;
        if !Trouble::before(trouble.as_ref()).await {
            return Err(unavailable("the query was not made"));
        }
        let mut items = self.inner.query(query).await?;
        if self.lags(&query.partition) {
            items.clear();
        }
        heard(trouble.as_ref(), items).await
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let trouble = self.trouble(|on| match on {
            On::Commit => true,
            On::WriteTo(partition) => writes.iter().any(|write| writes_to(write, partition)),
            On::Get(_) | On::Query(_) => false,
        })?;
        if !Trouble::before(trouble.as_ref()).await {
            return Err(unavailable("the transaction was not done").into());
        }
        let outcome = self.inner.commit(writes.clone()).await;
        self.commits.fetch_add(1, Ordering::SeqCst);
        match &outcome {
            Ok(()) => self.plan().last = writes,
            Err(CommitError::Conflict { .. }) => self.plan().conflicts += 1,
            Err(CommitError::Unavailable(_)) => {}
        }
        heard(trouble.as_ref(), outcome).await?
    }

    fn own_commits(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}
