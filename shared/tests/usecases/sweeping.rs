//! What is done every minute.

use shared::{
    app::{error::AppError, keys, sweep::Leases},
    domain::upload::{ObjectKey, UploadState},
    testing::{gate::Trouble, objects::Step},
};

use super::world::{CONTENT, HOUR, LEASE, World};

async fn is_open(world: &World, id: shared::domain::ids::UploadId) -> bool {
    world.context().store.get::<serde_json::Value>(keys::open_upload(id)).await.unwrap().is_some()
}

#[tokio::test]
async fn an_upload_whose_window_closed_becomes_expired_and_stays_so() {
    let world = World::memory();
    let upload = world.initiate(CONTENT).await;
    let id = upload.upload_id;
    world.put(&upload, CONTENT).await;
    world.clock.set(upload.expires_at - 1);
    world.sweep(Leases::Held).await;
    assert_eq!(world.upload(id).await.state, UploadState::Initiated);
    world.clock.set(upload.expires_at);
    assert!(matches!(world.complete(id).await, Err(AppError::UploadExpired)), "before the sweep has come");
    world.sweep(Leases::Held).await;
    world.sweep(Leases::Held).await;
    assert_eq!(world.told("upload.expired").await, [(id.to_string(), false)]);
    // Whatever the clock shows afterwards.
    world.clock.set(upload.created_at);
    assert!(matches!(world.complete(id).await, Err(AppError::UploadExpired)));
}

#[tokio::test]
async fn what_an_expired_upload_left_is_removed_after_the_grace_and_looked_at_no_more() {
    let world = World::memory();
    let upload = world.initiate(CONTENT).await;
    let id = upload.upload_id;
    world.put(&upload, CONTENT).await;
    world.clock.set(upload.expires_at);
    world.sweep(Leases::Held).await;
    world.clock.set(upload.expires_at + HOUR - 1);
    world.sweep(Leases::Held).await;
    assert_eq!((world.left_of(id).await, is_open(&world, id).await), (vec![ObjectKey::Staging(id)], true));
    world.clock.set(upload.expires_at + HOUR);
    world.sweep(Leases::Held).await;
    assert_eq!((world.left_of(id).await, is_open(&world, id).await), (vec![], false));
    assert_eq!(world.upload(id).await.state, UploadState::Expired, "it can still be looked at");
}

#[tokio::test]
async fn what_was_put_after_completion_is_removed_after_the_grace_and_the_served_key_never() {
    for world in [World::memory(), World::embedded()] {
        let upload = world.initiate(CONTENT).await;
        let id = upload.upload_id;
        world.put(&upload, CONTENT).await;
        let artifact = world.complete(id).await.unwrap();
        world.put(&upload, &CONTENT.to_ascii_uppercase()).await;
        assert_eq!(world.left_of(id).await, [ObjectKey::Staging(id), ObjectKey::Copied(id)]);
        assert_eq!(world.served(artifact.artifact_id).await, CONTENT);
        for time in [
            upload.expires_at - 1,
            upload.expires_at,
            upload.expires_at + HOUR,
            upload.expires_at + 99 * HOUR,
        ] {
            world.clock.set(time);
            world.sweep(Leases::Held).await;
        }
        assert_eq!(
            (world.left_of(id).await, is_open(&world, id).await),
            (vec![ObjectKey::Copied(id)], false)
        );
        assert_eq!(world.served(artifact.artifact_id).await, CONTENT);
        assert_eq!(world.complete(id).await.unwrap(), artifact);
    }
}

#[tokio::test]
async fn the_upload_that_came_second_leaves_nothing_and_the_first_is_served() {
    let world = World::memory();
    let (one, two) = (world.staged(CONTENT).await, world.staged(CONTENT).await);
    let artifact = world.complete(two).await.unwrap();
    assert_eq!(world.complete(one).await.unwrap(), artifact);
    world.clock.set(world.upload(two).await.expires_at + HOUR);
    world.sweep(Leases::Held).await;
    assert_eq!((world.left_of(one).await, world.left_of(two).await), (vec![], vec![ObjectKey::Copied(two)]));
    assert_eq!(world.served(artifact.artifact_id).await, CONTENT);
}

#[tokio::test]
async fn a_deleted_artifact_whose_bytes_could_not_be_removed_loses_them_to_the_sweep() {
    let world = World::memory();
    let id = world.staged(CONTENT).await;
    let artifact = world.complete(id).await.unwrap();
    world.objects.on(Step::Delete, Trouble::NotDone);
    let deleted = shared::app::artifacts::delete(
        world.context(),
        &world.objects(),
        &world.caller,
        artifact.artifact_id,
    )
    .await;
    assert!(matches!(deleted, Err(AppError::Objects(_))), "{deleted:?}");
    assert_eq!((world.artifacts().await, world.left_of(id).await.len()), (vec![], 1));
    world.clock.set(world.upload(id).await.expires_at + HOUR);
    world.sweep(Leases::Held).await;
    assert_eq!(world.left_of(id).await, []);
}

#[tokio::test]
async fn a_crashed_completion_is_finished_when_its_lease_lapses() {
    let world = World::memory();
    let id = world.staged(CONTENT).await;
    world.items().on_write_to("artifacts", Trouble::NotDone);
    world.complete(id).await.unwrap_err();
    world.clock.advance(LEASE - 1);
    world.sweep(Leases::Held).await;
    assert_eq!(world.artifacts().await, []);
    world.clock.advance(1);
    world.sweep(Leases::Held).await;
    let artifact = world.complete(id).await.unwrap();
    assert_eq!(world.artifacts().await, [artifact]);
    assert_eq!(world.told("upload.completed").await, [(id.to_string(), false)]);
}

#[tokio::test]
async fn the_only_process_takes_over_at_its_start_what_it_left_when_it_died() {
    let world = World::embedded();
    let id = world.staged(CONTENT).await;
    world.items().on_write_to("artifacts", Trouble::NotDone);
    world.complete(id).await.unwrap_err();
    world.sweep(Leases::Abandoned).await;
    let artifact = world.complete(id).await.unwrap();
    assert_eq!(world.served(artifact.artifact_id).await, CONTENT);
}

#[tokio::test]
async fn a_taken_over_upload_without_bytes_goes_back_and_expires() {
    let world = World::memory();
    let upload = world.initiate(CONTENT).await;
    // It dies between finding nothing and giving the lease back.
    world.items().on_commit(2, Trouble::NotDone);
    assert!(matches!(world.complete(upload.upload_id).await, Err(AppError::Items(_))));
    assert_eq!(world.upload(upload.upload_id).await.state, UploadState::Completing);
    world.clock.advance(LEASE);
    world.sweep(Leases::Held).await;
    assert_eq!(world.upload(upload.upload_id).await.state, UploadState::Initiated);
    world.clock.set(upload.expires_at);
    world.sweep(Leases::Held).await;
    assert!(matches!(world.complete(upload.upload_id).await, Err(AppError::UploadExpired)));
}

#[tokio::test]
async fn an_upload_that_cannot_be_swept_does_not_stop_the_others() {
    let world = World::memory();
    let (one, two) = (world.staged(CONTENT).await, world.staged(b"other bytes").await);
    for id in [one, two] {
        world.items().on_write_to("artifacts", Trouble::NotDone);
        world.complete(id).await.unwrap_err();
    }
    world.clock.advance(LEASE);
    world.objects.on(Step::Promote, Trouble::NotDone);
    world.sweep(Leases::Held).await;
    assert_eq!(world.upload(one).await.state, UploadState::Initiated);
    assert_eq!(world.upload(two).await.state, UploadState::Completed);
}

#[tokio::test]
async fn two_sweeps_at_once_finish_an_upload_once() {
    let mut world = World::memory();
    let other = world.another();
    let id = world.staged(CONTENT).await;
    world.items().on_write_to("artifacts", Trouble::NotDone);
    world.complete(id).await.unwrap_err();
    world.clock.advance(LEASE);
    let second = shared::app::sweep::sweep(&other.context, &world.store.objects, Leases::Held);
    let ((), second) = tokio::join!(world.sweep(Leases::Held), second);
    second.unwrap();
    assert_eq!(world.artifacts().await.len(), 1);
    assert_eq!(world.told("upload.completed").await.len(), 1);
}
