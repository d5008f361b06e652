//! Promises about objects that we write ourselves.

use ::bytes::Bytes;

use super::{CONTENT, Fixture, NOW, Store, upload};
use crate::{
    domain::upload::ObjectKey,
    ports::objects::{Area, Draft, ObjectError},
};

const KEY: ObjectKey = ObjectKey::Escrow(upload(1), 1);

impl Store {
    /// A draft of this content, all of it written and nothing published.
    async fn draft(&self, content: &[u8]) -> Box<dyn Draft> {
        self.draft_of(KEY, content).await
    }

    async fn draft_of(&self, key: ObjectKey, content: &[u8]) -> Box<dyn Draft> {
        let mut draft = self.objects.keep(&key, content.len() as u64).await.unwrap();
        for piece in content.chunks(300_007) {
            draft.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        draft
    }

    /// Stores this content ourselves.
    pub async fn write(&self, key: ObjectKey, content: &[u8]) {
        self.draft_of(key, content).await.publish(NOW).await.unwrap();
    }

    async fn assert_nothing_kept(&self) {
        let found = self.objects.stat(&KEY).await;
        assert!(matches!(found, Err(ObjectError::NotFound(KEY))), "{found:?}");
        let listed = self.objects.list(Area::Objects, None, 10).await.unwrap();
        assert_eq!(listed.found, []);
    }
}

/// Nothing is found or listed under the key until it is published; then all of it is.
pub async fn what_we_write_is_nothing_before_it_is_published(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let draft = store.draft(CONTENT).await;
    store.assert_nothing_kept().await;
    assert_eq!(draft.publish(NOW).await.unwrap().size_bytes, CONTENT.len() as u64);
    assert_eq!(store.objects.stat(&KEY).await.unwrap().size_bytes, CONTENT.len() as u64);
    assert_eq!(store.read(KEY, None).await.unwrap(), CONTENT);
    assert_eq!(store.objects.list(Area::Objects, None, 10).await.unwrap().found.len(), 1);
}

/// What was published first stays, and whoever publishes after it is told of it.
pub async fn what_we_write_is_published_once(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    let (first, second) = (store.draft(CONTENT).await, store.draft(b"other").await);
    let published = first.publish(NOW).await.unwrap();
    assert_eq!(second.publish(NOW).await.unwrap(), published);
    assert_eq!(store.draft(b"a third").await.publish(NOW).await.unwrap(), published);
    assert_eq!(store.read(KEY, None).await.unwrap(), CONTENT);
}

/// A draft that is discarded, or only let go, leaves the key free for another.
pub async fn what_we_give_up_leaves_nothing(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.draft(b"given up").await.discard().await;
    store.assert_nothing_kept().await;
    drop(store.draft(b"let go").await);
    store.assert_nothing_kept().await;
    store.draft(CONTENT).await.publish(NOW).await.unwrap();
    assert_eq!(store.read(KEY, None).await.unwrap(), CONTENT);
}

/// Nothing at all, exactly one part of a store, and several parts with a rest.
pub async fn what_we_write_comes_back_whole_whatever_its_size(fixture: &impl Fixture) {
    for size in [0_u32, 8 << 20, (16 << 20) + 4_099] {
        let store = Store::of(fixture);
        let content: Vec<u8> = (0..size).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let published = store.draft(&content).await.publish(NOW).await.unwrap();
        assert_eq!(published.size_bytes, u64::from(size));
        assert!(store.read(KEY, None).await.unwrap() == content, "{size} bytes");
        store.objects.erase(&KEY).await.unwrap();
    }
}
