//! Cleaning up: what goes, what stays, and what is named.

use shared::{
    app::{
        artifacts::{self, Intervention},
        error::AppError,
        gc::{self, Place, Run, Seen, What},
        keys,
        store::Batch,
        sweep::Leases,
    },
    domain::{
        artifact::ArtifactState,
        ids::{ArtifactId, ReleaseId, UploadId},
        upload::ObjectKey,
    },
    ports::items::{Expect, Write},
    testing::{build, gate::Trouble, objects::Step},
};

use super::{
    multipart,
    world::{CONTENT, HOUR, SECOND, World},
};

pub(crate) const DAY: i64 = 24 * HOUR;
/// How old what is removed from the store must be.
const OLD: i64 = 7 * DAY;
/// How long an artifact outlives its releases.
pub(crate) const PAUSE: i64 = 30 * DAY;

/// Everything that looking shows, in pages of two.
pub(crate) async fn look(world: &World) -> Seen {
    let mut all = Seen::default();
    let mut place = Some(Place::default());
    while let Some(at) = place {
        let mut page = gc::look(world.context(), world.objects().as_ref(), at, OLD, 2).await.unwrap();
        all.spare.append(&mut page.spare);
        all.kept.append(&mut page.kept);
        place = page.next;
    }
    all
}

pub(crate) fn whats(seen: &Seen) -> Vec<What> {
    seen.spare.iter().map(|spare| spare.what.clone()).collect()
}

/// What is old, and nothing that seems to be somebody else's.
pub(crate) fn older_than(older_than_ms: i64) -> gc::Order {
    gc::Order { older_than_ms, forced: false }
}

pub(crate) async fn begin(world: &World) -> Run {
    gc::begin(world.context(), world.objects().as_ref(), None, older_than(OLD)).await.unwrap()
}

/// Cleans up from the beginning to the end.
pub(crate) async fn collect(world: &World) -> Run {
    begin(world).await;
    gc::work(world.context(), &world.objects()).await.unwrap();
    let run = gc::last(world.context()).await.unwrap().unwrap();
    assert!(run.finished_at.is_some(), "{run:?}");
    run
}

/// A managed artifact that one revoked release names.
pub(crate) async fn revoked(world: &World, content: &[u8], version: &str) -> (ArtifactId, ReleaseId) {
    let id = world.managed(content).await;
    let release = world.publish(version, &[id]).await;
    world.revoke(&world.process, release).await;
    (id, release)
}

async fn key_of(world: &World, id: ArtifactId) -> ObjectKey {
    match world.artifact(id).await.location {
        shared::domain::artifact::Location::Managed { key, .. } => key,
        shared::domain::artifact::Location::External { .. } => panic!("{id} is external"),
    }
}

#[tokio::test]
async fn a_store_in_order_has_nothing_to_clean_up_however_old() {
    for world in [World::memory(), World::embedded()] {
        world.product().await;
        let (released, unused) = (world.managed(CONTENT).await, world.managed(b"other bytes").await);
        world.publish("1.0.0", &[released]).await;
        let upload = world.initiate(b"bytes to come").await;
        world.put(&upload, b"bytes to come").await;
        world.clock.advance(23 * HOUR);
        assert_eq!(whats(&look(&world).await), []);
        world.clock.advance(400 * DAY);
        world.sweep(Leases::Held).await;
        world.sweep(Leases::Held).await;
        let run = collect(&world).await;
        assert_eq!((run.kept, world.served(released).await.as_slice()), (0, CONTENT));
        assert_eq!(world.served(unused).await, b"other bytes", "nobody has released it yet");
        assert_eq!(whats(&look(&world).await), []);
    }
}

#[tokio::test]
async fn looking_changes_nothing() {
    let world = World::memory();
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    world.clock.advance(PAUSE);
    let before = world.artifact(id).await;
    for _ in 0..2 {
        assert!(whats(&look(&world).await).contains(&What::Bytes(id)));
    }
    assert_eq!((world.artifact(id).await, world.served(id).await.as_slice()), (before, CONTENT));
}

#[tokio::test]
async fn what_a_deleted_artifact_left_goes_once_it_is_old_enough() {
    for world in [World::memory(), World::embedded()] {
        let id = world.managed(CONTENT).await;
        let key = key_of(&world, id).await;
        world.clock.advance(30 * DAY);
        world.sweep(Leases::Held).await;
        world.objects.on(Step::Delete, Trouble::NotDone);
        artifacts::delete(world.context(), &world.objects(), &world.caller, id).await.unwrap_err();
        assert_eq!(whats(&look(&world).await), [What::Object(key)]);
        let run = collect(&world).await;
        assert_eq!((run.removed, run.removed_bytes, run.kept), (1, CONTENT.len() as u64, 0));
        assert!(world.store.objects.stat(&key).await.is_err());
        assert_eq!(world.told("gc.removed").await, [("gc".to_owned(), false)]);
    }
}

#[tokio::test]
async fn what_is_young_stays_though_nothing_refers_to_it() {
    let world = World::memory().bound().await;
    let upload = world.initiate(CONTENT).await;
    world.put(&upload, CONTENT).await;
    let mut batch = Batch::default();
    batch.delete(keys::upload(upload.upload_id), Expect::Anything);
    world.context().store.commit(batch).await.unwrap();
    world.clock.advance(OLD);
    let run = collect(&world).await;
    assert_eq!((run.removed, run.kept), (0, 1), "its record would still be there: {run:?}");
    world.clock.advance(DAY + PAUSE - OLD - 1);
    assert_eq!(collect(&world).await.removed, 0);
    world.clock.advance(1);
    assert_eq!(whats(&look(&world).await), [What::Object(ObjectKey::Staging(upload.upload_id))]);
    assert_eq!(collect(&world).await.removed, 1);
    assert_eq!(world.left_of(upload.upload_id).await, []);
}

#[tokio::test]
async fn an_artifact_whose_upload_was_forgotten_keeps_its_bytes_and_they_are_named() {
    for world in [World::memory().bound().await, World::embedded().bound().await] {
        let id = world.managed(CONTENT).await;
        let key = key_of(&world, id).await;
        let mut batch = Batch::default();
        batch.delete(keys::upload(key.upload_id()), Expect::Anything);
        world.context().store.commit(batch).await.unwrap();
        world.clock.advance(DAY + PAUSE);
        let run = collect(&world).await;
        assert_eq!((run.removed, run.named[0].name.as_str()), (0, key.to_string().as_str()));
        assert!(run.named[0].why.contains(&id.to_string()), "{run:?}");
        assert_eq!(world.served(id).await, CONTENT);
    }
}

#[tokio::test]
async fn records_that_cannot_be_read_keep_what_they_tell_of_and_are_named() {
    let world = World::memory();
    world.product().await;
    let (artifact, release) = revoked(&world, CONTENT, "1.0.0").await;
    let unused = world.managed(b"other bytes").await;
    let stored = key_of(&world, unused).await;
    for (key, named) in [
        (keys::artifact(artifact), artifact.to_string()),
        (keys::release(release), artifact.to_string()),
        (keys::artifact(unused), stored.to_string()),
    ] {
        let whole = world.context().store.get_raw(std::slice::from_ref(&key)).await.unwrap();
        let whole = whole[0].clone().unwrap().body;
        let put =
            |body: String| Write::Put { key: key.clone(), body, expect: Expect::Anything, expires_at: None };
        world.raw(put(r#"{"of":"a later version"}"#.into())).await;
        world.clock.advance(400 * DAY);
        let run = collect(&world).await;
        assert!(run.named.iter().any(|kept| kept.name == named), "{key}: {run:?}");
        world.raw(put(whole)).await;
        let spare = u64::from(key == keys::artifact(unused));
        assert_eq!(
            (world.served(unused).await.as_slice(), run.removed),
            (b"other bytes".as_slice(), spare),
            "{key}"
        );
        if spare == 0 {
            assert_eq!(world.served(artifact).await, CONTENT);
        }
    }
}

#[tokio::test]
async fn bytes_go_a_while_after_the_last_release_was_revoked_and_the_record_stays() {
    for world in [World::memory(), World::embedded()] {
        world.product().await;
        let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
        let key = key_of(&world, id).await;
        world.clock.advance(PAUSE - 1);
        assert_eq!(whats(&look(&world).await), []);
        world.clock.advance(1);
        let run = collect(&world).await;
        assert_eq!((run.removed, run.removed_bytes), (1, CONTENT.len() as u64));
        let artifact = world.artifact(id).await;
        assert_eq!((artifact.state, artifact.removed_at), (ArtifactState::Quarantined, Some(world.now())));
        assert!(world.store.objects.stat(&key).await.is_err());
        assert_eq!(world.told("artifact.bytes_removed").await, [(id.to_string(), false)]);
        let restored = world.try_intervene(id, Intervention::Restore).await;
        assert!(matches!(restored, Err(AppError::ArtifactNotAvailable { .. })), "{restored:?}");
        assert!(matches!(
            world.try_publish("2.0.0", &[id]).await,
            Err(AppError::ArtifactNotAvailable { .. })
        ));
        assert_eq!(collect(&world).await.removed, 0);
        artifacts::delete(world.context(), &world.objects(), &world.caller, id).await.unwrap();
    }
}

#[tokio::test]
async fn a_live_release_keeps_the_bytes_whatever_became_of_the_others() {
    let world = World::memory();
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    let live = world.publish("1.1.0", &[id]).await;
    world.clock.advance(2 * PAUSE);
    assert_eq!((collect(&world).await.removed, world.served(id).await.as_slice()), (0, CONTENT));
    world.revoke(&world.process, live).await;
    world.clock.advance(PAUSE - 1);
    assert_eq!(collect(&world).await.removed, 0, "the pause begins with the last");
    world.clock.advance(1);
    assert_eq!(whats(&look(&world).await), [What::Bytes(id)]);
}

#[tokio::test]
async fn uploading_the_same_bytes_again_brings_the_artifact_back_under_its_id() {
    for world in [World::memory(), World::embedded()] {
        world.product().await;
        let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
        world.clock.advance(PAUSE);
        collect(&world).await;
        assert_eq!(world.managed(CONTENT).await, id);
        let artifact = world.artifact(id).await;
        assert_eq!(
            (artifact.state, artifact.removed_at, artifact.reason),
            (ArtifactState::Available, None, None)
        );
        assert_eq!(world.served(id).await, CONTENT);
        // It has as long again to be named, and the old record and the new do not get into each other's way.
        world.clock.advance(PAUSE - 1);
        assert_eq!(collect(&world).await.named, []);
        assert_eq!(world.served(id).await, CONTENT);
        world.publish("2.0.0", &[id]).await;
        world.clock.advance(99 * DAY);
        collect(&world).await;
        assert_eq!(world.served(id).await, CONTENT);
    }
}

#[tokio::test]
async fn what_an_operator_withheld_stays_withheld_when_its_bytes_come_back() {
    let world = World::memory();
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    world.intervene(id, Intervention::Quarantine).await;
    world.clock.advance(PAUSE);
    assert_eq!(collect(&world).await.removed, 1);
    assert_eq!(world.managed(CONTENT).await, id);
    let artifact = world.artifact(id).await;
    assert_eq!((artifact.state, artifact.reason.as_deref()), (ArtifactState::Quarantined, Some("a test")));
    world.intervene(id, Intervention::Restore).await;
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
}

#[tokio::test]
async fn the_bytes_of_a_revoked_artifact_go_and_stay_refused() {
    let world = World::memory();
    let id = world.managed(CONTENT).await;
    world.clock.advance(99 * DAY);
    world.intervene(id, Intervention::Revoke).await;
    world.clock.advance(PAUSE - 1);
    assert_eq!(collect(&world).await.removed, 0);
    world.clock.advance(1);
    assert_eq!(collect(&world).await.removed, 1);
    let artifact = world.artifact(id).await;
    assert_eq!((artifact.state, artifact.removed_at.is_some()), (ArtifactState::Revoked, true));
    let again = shared::app::uploads::initiate(
        world.context(),
        &world.objects(),
        &world.caller,
        &build::initiation(CONTENT),
        None,
    )
    .await;
    assert!(matches!(again, Err(AppError::ArtifactRevoked(refused)) if refused == id));
}

#[tokio::test]
async fn records_of_uploads_go_a_month_after_their_time_but_not_that_of_what_is_served() {
    let world = World::memory();
    let kept = world.staged(CONTENT).await;
    world.complete(kept).await.unwrap();
    // The same bytes once more, and one that nobody completed.
    let second = world.staged(CONTENT).await;
    world.complete(second).await.unwrap();
    let expired = world.initiate(b"never sent").await.upload_id;
    world.clock.advance(26 * HOUR);
    assert_eq!(whats(&look(&world).await), [What::Upload(expired)], "its time is over");
    world.sweep(Leases::Held).await;
    world.sweep(Leases::Held).await;
    world.clock.advance(30 * DAY);
    let run = collect(&world).await;
    assert_eq!((run.removed, run.named.len()), (2, 0), "{run:?}");
    let left = |id: UploadId| world.context().store.get::<serde_json::Value>(keys::upload(id));
    assert!(left(kept).await.unwrap().is_some() && left(expired).await.unwrap().is_none());
}

#[tokio::test]
async fn every_write_of_an_upload_keeps_its_end_until_it_is_completed() {
    let world = World::memory();
    let upload = world.initiate(CONTENT).await;
    let key = keys::upload(upload.upload_id);
    let until = |world: &World| {
        let writes = world.items().last_commit();
        writes.into_iter().find_map(|write| match write {
            Write::Put { key: found, expires_at, .. } if found == key => Some(expires_at),
            _ => None,
        })
    };
    let end = Some(Some((upload.expires_at + 30 * DAY) / SECOND));
    assert_eq!(until(&world), end);
    world.complete(upload.upload_id).await.unwrap_err();
    assert_eq!(until(&world), end, "the lease was given back");
    world.put(&upload, CONTENT).await;
    world.complete(upload.upload_id).await.unwrap();
    assert_eq!(until(&world), Some(None), "it tells whose the bytes are");
    let other = world.initiate(b"never sent").await;
    world.clock.set(other.expires_at - 1);
    world.sweep(Leases::Held).await;
    world.clock.set(other.expires_at);
    // When it is to look again, which it writes afterwards for both, is not asked about.
    world.items().on_write_to("open_uploads", Trouble::NotDone);
    world.items().on_write_to("open_uploads", Trouble::NotDone);
    world.sweep(Leases::Held).await;
    let writes = world.items().last_commit();
    let expired = writes.iter().any(|write| {
        matches!(write, Write::Put { key, expires_at: Some(_), .. } if *key == keys::upload(other.upload_id))
    });
    assert!(expired, "{writes:?}");
}

#[tokio::test]
async fn parts_of_an_upload_that_is_forgotten_go_and_those_of_an_open_one_stay() {
    let world = multipart::world().bound().await;
    let id = multipart::sent(&world).await;
    world.clock.advance(23 * HOUR);
    assert_eq!(whats(&look(&world).await), []);
    let mut batch = Batch::default();
    batch.delete(keys::upload(id), Expect::Anything);
    world.context().store.commit(batch).await.unwrap();
    world.clock.advance(DAY + PAUSE);
    let spare = look(&world).await.spare;
    assert_eq!(spare[0].what, What::Parts { upload_id: id, store_id: String::new() });
    assert_eq!(collect(&world).await.removed, 1);
    assert_eq!(whats(&look(&world).await), []);
}
