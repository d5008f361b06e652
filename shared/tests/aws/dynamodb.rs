//! `DynamoItems` keeps the promises of `contract::items`, and some that only it has to.

use std::sync::Arc;

use shared::{
    adapters::metadata::dynamodb::{DynamoItems, MAX_ITEM_BYTES},
    contract::items,
    ports::items::{CommitError, Expect, Items, ItemsUnavailable, Key, Query, Write},
};

use super::{
    lossy::Lossy,
    servers::{config, fresh_name, named_by},
};

#[path = "races.rs"]
mod races;

const SERVER: &str = "BP_TEST_DYNAMODB";

/// Records in a new table of the named server.
async fn store() -> Arc<dyn Items> {
    let store = DynamoItems::new(&config(&named_by(SERVER)), fresh_name());
    store.create_table().await.unwrap();
    Arc::new(store)
}

macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread")]
        #[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
        async fn $promise() {
            items::$promise(store().await).await;
        })+
    };
}

promises!(
    what_was_committed_is_read_back_in_the_order_asked,
    each_put_raises_the_revision,
    a_failed_condition_names_its_write,
    a_failed_transaction_changes_nothing,
    a_check_guards_without_writing,
    deleting_removes_and_removing_nothing_is_no_error,
    a_query_walks_a_prefix_in_byte_order_both_ways,
    concurrent_read_modify_write_loses_no_update,
    of_many_that_expect_absence_one_wins,
    own_commits_are_counted,
    more_than_a_hundred_writes_are_refused,
);

fn put(sort: &str, body: String, expect: Expect) -> Write {
    Write::Put { key: Key::new("p", sort), body, expect, expires_at: Some(4_102_444_800) }
}

async fn revisions(store: &dyn Items, sorts: &[&str]) -> Vec<Option<u64>> {
    let keys: Vec<Key> = sorts.iter().map(|sort| Key::new("p", *sort)).collect();
    store.get(&keys).await.unwrap().into_iter().map(|item| item.map(|item| item.revision)).collect()
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_key_asked_for_twice_is_answered_twice() {
    let store = store().await;
    store.commit(vec![put("a", "{}".into(), Expect::Absent)]).await.unwrap();
    assert_eq!(revisions(&*store, &["a", "b", "a"]).await, [Some(1), None, Some(1)]);
    assert!(store.get(&[]).await.unwrap().is_empty());
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_hundred_writes_and_reads_are_one_call() {
    let store = store().await;
    let names: Vec<String> = (0..100).map(|n| format!("{n:03}")).collect();
    let writes = names.iter().map(|name| put(name, "{}".into(), Expect::Absent)).collect();
    store.commit(writes).await.unwrap();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(revisions(&*store, &names).await, [Some(1); 100]);
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn items_beyond_the_limits_of_one_answer_are_all_read() {
    let store = store().await;
    // 60 × 390 KB: beyond the 4 MB of a transaction, the 1 MB of a query's page and the 16 MB of a batch.
    let names: Vec<String> = (0..60).map(|n| format!("large#{n:02}")).collect();
    for name in &names {
        store.commit(vec![put(name, "x".repeat(390_000), Expect::Absent)]).await.unwrap();
    }
    let sorts: Vec<&str> = names.iter().map(String::as_str).collect();
    assert_eq!(revisions(&*store, &sorts).await, [Some(1); 60]);
    let query = |limit, descending| Query {
        partition: "p".into(),
        prefix: "large#".into(),
        after: None,
        limit,
        descending,
    };
    let found = store.query(&query(500, false)).await.unwrap();
    assert_eq!(found.into_iter().map(|item| item.key.sort).collect::<Vec<_>>(), names);
    let last = store.query(&query(5, true)).await.unwrap();
    assert_eq!((last.len(), last[4].key.sort.as_str()), (5, "large#55"));
    assert!(store.query(&query(0, true)).await.unwrap().is_empty());
}

/// Text of so many bytes that compression does not make a third of.
fn noise(length: usize) -> String {
    let mut state = 88_172_645_463_325_252_u64;
    let mut letters = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        char::from(b'!' + u8::try_from(state % 90).unwrap())
    });
    letters.by_ref().take(length).collect()
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn the_largest_item_is_stored_and_a_larger_one_refused_before_the_call() {
    let store = store().await;
    // Ten times as long as an item may be, and compressed a fraction of it.
    let compressible = r#"{"version":"1.2.3"},"#.repeat(MAX_ITEM_BYTES / 2);
    store.commit(vec![put("a", compressible.clone(), Expect::Absent)]).await.unwrap();
    let found = store.get(&[Key::new("p", "a")]).await.unwrap();
    assert!(found[0].as_ref().unwrap().body == compressible);
    let noise = noise(MAX_ITEM_BYTES * 3);
    let writes = vec![put("b", "{}".into(), Expect::Absent), put("c", noise, Expect::Absent)];
    let refused = store.commit(writes).await.unwrap_err();
    let CommitError::Unavailable(cause) = refused else { panic!("{refused:?}") };
    let ItemsUnavailable::Refused(cause) = cause else { panic!("{cause:?}") };
    assert!(cause.to_string().contains("more than the 409600 of an item"), "{cause}");
    assert_eq!(revisions(&*store, &["a", "b", "c"]).await, [Some(1), None, None]);
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_check_of_nothing_moves_no_index() {
    let store = store().await;
    let nothing = || Write::Check { key: Key::new("p", "z"), expect: Expect::Anything };
    store.commit(vec![nothing()]).await.unwrap();
    let writes = vec![nothing(), put("a", "{}".into(), Expect::Revision(3))];
    let refused = store.commit(writes).await.unwrap_err();
    assert!(matches!(refused, CommitError::Conflict { index: 1 }), "{refused:?}");
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn several_items_are_read_from_one_state() {
    let store = store().await;
    let both = |expect| vec![put("a", "{}".into(), expect), put("b", "{}".into(), expect)];
    store.commit(both(Expect::Absent)).await.unwrap();
    let writer = Arc::clone(&store);
    let writing = tokio::spawn(async move {
        for revision in 1..=100 {
            writer.commit(both(Expect::Revision(revision))).await.unwrap();
        }
    });
    while !writing.is_finished() {
        let found = revisions(&*store, &["a", "b"]).await;
        assert_eq!(found[0], found[1]);
    }
    writing.await.unwrap();
    assert_eq!(revisions(&*store, &["a", "b"]).await, [Some(101); 2]);
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_commit_whose_answer_is_lost_happens_once() {
    let lossy = Lossy::to(&named_by(SERVER)).await;
    let store = DynamoItems::new(&config(&lossy.url), fresh_name());
    store.create_table().await.unwrap();
    lossy.lose(1);
    store.commit(vec![put("a", "{}".into(), Expect::Absent)]).await.unwrap();
    lossy.lose(2);
    let writes = vec![put("a", "{}".into(), Expect::Revision(1)), put("b", "{}".into(), Expect::Anything)];
    store.commit(writes).await.unwrap();
    assert_eq!(lossy.left(), 0);
    assert_eq!(revisions(&store, &["a", "b"]).await, [Some(2), Some(1)]);
}

#[tokio::test]
#[ignore = "needs DynamoDB: set BP_TEST_DYNAMODB to the URL of a server"]
async fn a_commit_that_is_never_answered_is_unknown_and_counted() {
    let lossy = Lossy::to(&named_by(SERVER)).await;
    let store = DynamoItems::new(&config(&lossy.url), fresh_name());
    store.create_table().await.unwrap();
    let before = store.own_commits();
    lossy.lose(usize::MAX);
    let outcome = store.commit(vec![put("a", "{}".into(), Expect::Absent)]).await;
    assert!(matches!(outcome, Err(CommitError::Unavailable(_))), "{outcome:?}");
    assert!(store.own_commits() > before);
    lossy.lose(0);
    assert_eq!(revisions(&store, &["a"]).await, [Some(1)]);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_unavailable() {
    // Nobody listens on the discard port of this machine.
    let store = DynamoItems::new(&config("http://127.0.0.1:9"), "items");
    assert!(store.get(&[Key::new("p", "a")]).await.is_err());
    let outcome = store.commit(vec![put("a", "{}".into(), Expect::Absent)]).await;
    assert!(matches!(outcome, Err(CommitError::Unavailable(_))), "{outcome:?}");
}
