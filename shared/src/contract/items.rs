//! What every metadata store promises.

use std::sync::Arc;

use crate::ports::items::{CommitError, Expect, Item, Items, Key, Query, Write};

type Store = Arc<dyn Items>;

fn key(sort: &str) -> Key {
    Key::new("p", sort)
}

fn put(sort: &str, body: &str, expect: Expect) -> Write {
    Write::Put { key: key(sort), body: body.into(), expect, expires_at: None }
}

async fn read(store: &Store, sort: &str) -> Option<Item> {
    store.get(&[key(sort)]).await.unwrap().pop().unwrap()
}

async fn sorts(
    store: &Store,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    descending: bool,
) -> Vec<String> {
    let query = Query {
        partition: "p".into(),
        prefix: prefix.into(),
        after: after.map(Into::into),
        limit,
        descending,
    };
    store.query(&query).await.unwrap().into_iter().map(|item| item.key.sort).collect()
}

fn conflict_at(outcome: Result<(), CommitError>) -> usize {
    match outcome {
        Err(CommitError::Conflict { index }) => index,
        other => panic!("expected a conflict, got {other:?}"),
    }
}

/// What was committed is read back, with revision 1, and absent keys are `None`, in the order asked.
pub async fn what_was_committed_is_read_back_in_the_order_asked(store: Store) {
    store
        .commit(vec![put("b", "{\"n\":2}", Expect::Absent), put("a", "{\"n\":1}", Expect::Absent)])
        .await
        .unwrap();
    let found = store.get(&[key("b"), key("none"), key("a")]).await.unwrap();
    let item = |sort: &str, body: &str| Some(Item { key: key(sort), revision: 1, body: body.into() });
    assert_eq!(found, [item("b", "{\"n\":2}"), None, item("a", "{\"n\":1}")]);
}

/// Each put raises the revision by one.
pub async fn each_put_raises_the_revision(store: Store) {
    for expected in 1..=3 {
        store.commit(vec![put("a", "{}", Expect::Anything)]).await.unwrap();
        assert_eq!(read(&store, "a").await.unwrap().revision, expected);
    }
}

/// A condition that does not hold names its write.
pub async fn a_failed_condition_names_its_write(store: Store) {
    store.commit(vec![put("a", "{}", Expect::Absent)]).await.unwrap();
    let writes = vec![put("b", "{}", Expect::Absent), put("a", "{}", Expect::Revision(2))];
    assert_eq!(conflict_at(store.commit(writes).await), 1);
    assert_eq!(conflict_at(store.commit(vec![put("a", "{}", Expect::Absent)]).await), 0);
    assert_eq!(conflict_at(store.commit(vec![put("c", "{}", Expect::Revision(1))]).await), 0);
}

/// A transaction that fails changes nothing at all.
pub async fn a_failed_transaction_changes_nothing(store: Store) {
    store.commit(vec![put("a", "{\"v\":1}", Expect::Absent)]).await.unwrap();
    let writes = vec![
        put("a", "{\"v\":2}", Expect::Revision(1)),
        put("b", "{}", Expect::Absent),
        Write::Check { key: key("c"), expect: Expect::Revision(9) },
    ];
    assert_eq!(conflict_at(store.commit(writes).await), 2);
    assert_eq!(read(&store, "a").await.unwrap().body, "{\"v\":1}");
    assert_eq!(read(&store, "b").await, None);
}

/// A check guards without writing.
pub async fn a_check_guards_without_writing(store: Store) {
    store.commit(vec![put("a", "{}", Expect::Absent)]).await.unwrap();
    let guard = |expect| vec![Write::Check { key: key("a"), expect }, put("b", "{}", Expect::Anything)];
    store.commit(guard(Expect::Revision(1))).await.unwrap();
    assert_eq!(read(&store, "a").await.unwrap().revision, 1);
    assert_eq!(conflict_at(store.commit(guard(Expect::Absent)).await), 0);
}

/// Deleting removes; deleting what is not there is no error unless a revision was expected.
pub async fn deleting_removes_and_removing_nothing_is_no_error(store: Store) {
    store.commit(vec![put("a", "{}", Expect::Absent)]).await.unwrap();
    let delete = |expect| vec![Write::Delete { key: key("a"), expect }];
    assert_eq!(conflict_at(store.commit(delete(Expect::Revision(7))).await), 0);
    store.commit(delete(Expect::Revision(1))).await.unwrap();
    assert_eq!(read(&store, "a").await, None);
    store.commit(delete(Expect::Anything)).await.unwrap();
    assert_eq!(conflict_at(store.commit(delete(Expect::Revision(1))).await), 0);
}

/// A query answers one partition, one prefix, in byte order, both ways, after a key, up to the limit.
pub async fn a_query_walks_a_prefix_in_byte_order_both_ways(store: Store) {
    let names = ["a#1", "a#2", "a#3", "a", "b#1", "a#10"];
    store.commit(names.iter().map(|sort| put(sort, "{}", Expect::Absent)).collect()).await.unwrap();
    let other =
        Write::Put { key: Key::new("q", "a#9"), body: "{}".into(), expect: Expect::Absent, expires_at: None };
    store.commit(vec![other]).await.unwrap();
    assert_eq!(sorts(&store, "a#", None, 10, false).await, ["a#1", "a#10", "a#2", "a#3"]);
    assert_eq!(sorts(&store, "a#", None, 10, true).await, ["a#3", "a#2", "a#10", "a#1"]);
    assert_eq!(sorts(&store, "a#", Some("a#1"), 2, false).await, ["a#10", "a#2"]);
    assert_eq!(sorts(&store, "a#", Some("a#2"), 10, true).await, ["a#10", "a#1"]);
    assert_eq!(sorts(&store, "", None, 10, false).await, ["a", "a#1", "a#10", "a#2", "a#3", "b#1"]);
    assert_eq!(sorts(&store, "z", None, 10, false).await, Vec::<String>::new());
}

/// Fifty writers that each read, add one and commit under the revision they read, retrying: none is lost.
pub async fn concurrent_read_modify_write_loses_no_update(store: Store) {
    store.commit(vec![put("n", "0", Expect::Absent)]).await.unwrap();
    let mut tasks = Vec::new();
    for _ in 0..50 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            loop {
                let item = read(&store, "n").await.unwrap();
                let next = item.body.parse::<u64>().unwrap() + 1;
                match store.commit(vec![put("n", &next.to_string(), Expect::Revision(item.revision))]).await {
                    Ok(()) => break,
                    Err(CommitError::Conflict { .. }) => {}
                    Err(other) => panic!("{other:?}"),
                }
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let item = read(&store, "n").await.unwrap();
    assert_eq!((item.body.as_str(), item.revision), ("50", 51));
}

/// Of fifty that want to be the first, one is.
pub async fn of_many_that_expect_absence_one_wins(store: Store) {
    let mut tasks = Vec::new();
    for n in 0..50 {
        let store = Arc::clone(&store);
        tasks.push(tokio::spawn(async move {
            store.commit(vec![put("a", &n.to_string(), Expect::Absent)]).await.is_ok()
        }));
    }
    let mut winners = 0;
    for task in tasks {
        winners += usize::from(task.await.unwrap());
    }
    assert_eq!(winners, 1);
}

/// The count of own commits rises with each commit.
pub async fn own_commits_are_counted(store: Store) {
    let before = store.own_commits();
    store.commit(vec![put("a", "{}", Expect::Anything)]).await.unwrap();
    assert!(store.own_commits() > before);
}

/// A transaction of more than a hundred writes is refused whole.
pub async fn more_than_a_hundred_writes_are_refused(store: Store) {
    let writes = (0..101).map(|n| put(&format!("{n:03}"), "{}", Expect::Absent)).collect();
    assert!(matches!(store.commit(writes).await, Err(CommitError::Unavailable(_))));
    assert_eq!(sorts(&store, "", None, 10, false).await, Vec::<String>::new());
}
