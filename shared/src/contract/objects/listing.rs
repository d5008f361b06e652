//! Promises about looking through a store.

use super::{CONTENT, Fixture, NOW, Store, upload};
use crate::{
    domain::{ids::DeploymentId, upload::ObjectKey},
    ports::objects::{Area, Listed, Thing},
};

async fn all(store: &Store, area: Area, limit: usize) -> Vec<Listed> {
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = store.objects.list(area, after.as_deref(), limit).await.unwrap();
        assert!(page.found.len() <= limit);
        found.extend(page.found);
        match page.next {
            Some(next) => after = Some(next),
            None => return found,
        }
    }
}

/// What is stored is listed under its key, with its size and about the time when it came; in its own area alone.
pub async fn what_is_stored_is_listed_with_size_and_age(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    assert_eq!(all(&store, Area::Objects, 10).await, []);
    store.stage(upload(1), CONTENT).await;
    store.objects.promote(upload(1)).await.unwrap();
    store.write(ObjectKey::Escrow(upload(2), 1), b"other").await;
    let staged = all(&store, Area::Staging, 10).await;
    let [staged] = staged.as_slice() else { panic!("{staged:?}") };
    assert_eq!(staged.thing, Thing::Object(ObjectKey::Staging(upload(1))));
    assert_eq!(staged.name, format!("staging/{}", upload(1)));
    let objects = all(&store, Area::Objects, 10).await;
    let keys: Vec<_> = objects.iter().map(|listed| (listed.thing.clone(), listed.size_bytes)).collect();
    assert_eq!(
        keys,
        [
            (Thing::Object(ObjectKey::Copied(upload(1))), CONTENT.len() as u64),
            (Thing::Object(ObjectKey::Escrow(upload(2), 1)), 5),
        ]
    );
    for listed in objects.iter().chain([staged]) {
        let away = (listed.at.unwrap() - NOW).abs();
        assert!(away < 900_000, "{}: {away} ms from when it came", listed.name);
    }
    assert_eq!(all(&store, Area::Parts, 10).await, []);
}

/// Pages of any length have everything once, however it is cut.
pub async fn a_list_in_pages_has_everything_once(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    for number in 1..=5 {
        store.stage(upload(number), CONTENT).await;
        store.objects.promote(upload(number)).await.unwrap();
        store.write(ObjectKey::Escrow(upload(number), 1), CONTENT).await;
    }
    let whole = all(&store, Area::Objects, 100).await;
    assert_eq!(whole.len(), 10);
    for limit in [1, 2, 3, 10] {
        assert_eq!(all(&store, Area::Objects, limit).await, whole, "{limit} at a time");
    }
}

/// What was erased is not listed and not found; the others are.
pub async fn what_was_erased_is_gone(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    store.stage(upload(1), CONTENT).await;
    store.objects.promote(upload(1)).await.unwrap();
    store.write(ObjectKey::Escrow(upload(1), 1), CONTENT).await;
    for _ in 0..2 {
        store.objects.erase(&ObjectKey::Escrow(upload(1), 1)).await.unwrap();
    }
    assert!(store.objects.stat(&ObjectKey::Escrow(upload(1), 1)).await.is_err());
    let left: Vec<_> = all(&store, Area::Objects, 10).await.into_iter().map(|listed| listed.thing).collect();
    assert_eq!(left, [Thing::Object(ObjectKey::Copied(upload(1)))]);
}

/// What says whose the store is is kept like any other object, and is listed in its own area alone.
pub async fn a_mark_is_listed_apart_from_what_is_stored(fixture: &impl Fixture) {
    let store = Store::of(fixture);
    assert_eq!(all(&store, Area::Deployment, 10).await, []);
    let marks = [1, 2].map(|number| ObjectKey::Deployment(DeploymentId::from_parts(number, 7)));
    for mark in marks {
        store.write(mark, b"whose it is").await;
        // Once more, by whoever crashed before it was noted.
        store.write(mark, b"whose it is").await;
    }
    let listed: Vec<_> =
        all(&store, Area::Deployment, 10).await.into_iter().map(|listed| listed.thing).collect();
    assert_eq!(listed, marks.map(Thing::Object));
    for area in [Area::Staging, Area::Objects, Area::Parts] {
        assert_eq!(all(&store, area, 10).await, [], "{area:?}");
    }
}
