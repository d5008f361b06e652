//! Every metadata store keeps the promises of `contract::items`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use std::sync::Arc;

use shared::{
    adapters::metadata::{memory::MemoryItems, sqlite::SqliteItems},
    contract::items,
    ports::items::Items,
};

fn memory() -> (Arc<dyn Items>, ()) {
    (Arc::new(MemoryItems::default()), ())
}

fn sqlite() -> (Arc<dyn Items>, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Arc::new(SqliteItems::open(&folder.path().join("items.db")).unwrap()), folder)
}

macro_rules! promises {
    ($($promise:ident),+ $(,)?) => {
        mod memory_store { $(#[tokio::test(flavor = "multi_thread")] async fn $promise() {
            let (store, ()) = super::memory();
            super::items::$promise(store).await;
        })+ }
        mod sqlite_store { $(#[tokio::test(flavor = "multi_thread")] async fn $promise() {
            let (store, _folder) = super::sqlite();
            super::items::$promise(store).await;
        })+ }
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

#[tokio::test]
async fn a_file_of_a_newer_program_is_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.db");
    drop(SqliteItems::open(&path).unwrap());
    rusqlite::Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refusal = SqliteItems::open(&path).unwrap_err().to_string();
    assert!(refusal.contains("schema version 99"), "{refusal}");
}

#[tokio::test]
async fn what_was_committed_outlives_the_process_that_did_it() {
    use shared::ports::items::{Expect, Key, Write};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("items.db");
    let put = Write::Put {
        key: Key::new("p", "a"),
        body: "{}".into(),
        expect: Expect::Absent,
        expires_at: Some(5),
    };
    let store = SqliteItems::open(&path).unwrap();
    store.commit(vec![put]).await.unwrap();
    drop(store);
    let store = SqliteItems::open(&path).unwrap();
    assert_eq!(store.get(&[Key::new("p", "a")]).await.unwrap()[0].as_ref().unwrap().revision, 1);
    assert_eq!(store.purge(5).await.unwrap(), 0);
    assert_eq!(store.purge(6).await.unwrap(), 1);
    assert_eq!(store.get(&[Key::new("p", "a")]).await.unwrap()[0], None);
}
