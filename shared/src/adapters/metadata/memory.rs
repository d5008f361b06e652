//! Records in memory, for tests and throw-away servers; held to the same promises as every other store.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::ports::items::{
    CommitError, Expect, Item, Items, ItemsUnavailable, Key, MAX_WRITES, Query, Write,
};

/// Records in memory.
#[derive(Debug, Default)]
pub struct MemoryItems {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    items: BTreeMap<Key, (u64, String)>,
    commits: u64,
}

impl MemoryItems {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn holds(found: Option<&(u64, String)>, expect: Expect) -> bool {
    match expect {
        Expect::Anything => true,
        Expect::Absent => found.is_none(),
        Expect::Revision(revision) => found.is_some_and(|(stored, _)| *stored == revision),
    }
}

#[async_trait]
impl Items for MemoryItems {
    async fn get(&self, keys: &[Key]) -> Result<Vec<Option<Item>>, ItemsUnavailable> {
        let state = self.lock();
        let read = |key: &Key| {
            let (revision, body) = state.items.get(key)?;
            Some(Item { key: key.clone(), revision: *revision, body: body.clone() })
        };
        Ok(keys.iter().map(read).collect())
    }

    async fn query(&self, query: &Query) -> Result<Vec<Item>, ItemsUnavailable> {
        let state = self.lock();
        let first = Key::new(query.partition.clone(), query.prefix.clone());
        let wanted = |key: &Key| {
            let beyond = query
                .after
                .as_ref()
                .is_none_or(|after| if query.descending { key.sort < *after } else { key.sort > *after });
            beyond && key.sort.starts_with(&query.prefix)
        };
        let items = state
            .items
            .range((Bound::Included(first), Bound::Unbounded))
            .take_while(|(key, _)| key.partition == query.partition)
            .filter(|(key, _)| wanted(key))
            .map(|(key, (revision, body))| Item {
                key: key.clone(),
                revision: *revision,
                body: body.clone(),
            });
        if query.descending {
            let mut items: Vec<_> = items.collect();
            items.reverse();
            items.truncate(query.limit);
            return Ok(items);
        }
        Ok(items.take(query.limit).collect())
    }

    async fn commit(&self, writes: Vec<Write>) -> Result<(), CommitError> {
        if writes.len() > MAX_WRITES {
            return Err(ItemsUnavailable::Refused("a transaction has at most 100 writes".into()).into());
        }
        let mut state = self.lock();
        for (index, write) in writes.iter().enumerate() {
            let (Write::Put { expect, .. } | Write::Delete { expect, .. } | Write::Check { expect, .. }) =
                write;
            if !holds(state.items.get(write.key()), *expect) {
                return Err(CommitError::Conflict { index });
            }
        }
        for write in writes {
            match write {
                Write::Put { key, body, .. } => {
                    let revision =
                        state.items.get(&key).map_or(1, |(revision, _)| revision.saturating_add(1));
                    state.items.insert(key, (revision, body));
                }
                Write::Delete { key, .. } => {
                    state.items.remove(&key);
                }
                Write::Check { .. } => {}
            }
        }
        state.commits = state.commits.saturating_add(1);
        Ok(())
    }

    fn own_commits(&self) -> u64 {
        self.lock().commits
    }
}
