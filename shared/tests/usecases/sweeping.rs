//! What is done every minute.

use shared::{
    app::{error::AppError, keys, sweep::Leases},
    domain::{
        ids::UploadId,
        upload::{ObjectKey, UploadState},
    },
    ports::items::Expect,
    testing::{
        gate::{Gate, Trouble},
        objects::Step,
    },
};

use super::world::{CONTENT, HOUR, LEASE, SECOND, START, World};

/// When the sweep is to look at an upload, after the beginning of the test.
async fn looks(world: &World, id: UploadId) -> Vec<i64> {
    let all = world.context().store.query_all::<serde_json::Value>(keys::OPEN_UPLOADS, "").await.unwrap();
    let marks = all.iter().filter_map(|(sort, _)| keys::read_open_upload(sort));
    marks.filter(|(_, of)| *of == id).map(|(due, _)| due - START).collect()
}

async fn is_open(world: &World, id: UploadId) -> bool {
    !looks(world, id).await.is_empty()
}

#[tokio::test]
async fn a_sweep_looks_at_what_is_due_alone() {
    let world = World::memory();
    let (open, done) = (world.initiate(b"still to come").await, world.staged(CONTENT).await);
    world.complete(done).await.unwrap();
    let day = open.expires_at - START;
    assert_eq!(
        (looks(&world, open.upload_id).await, looks(&world, done).await),
        (vec![day], vec![LEASE, day])
    );
    world.clock.advance(LEASE);
    world.sweep(Leases::Held).await;
    assert_eq!(looks(&world, done).await, [day, day + HOUR], "its lease was looked at, and not needed");
    let before = world.items().calls();
    for _ in 0..10 {
        world.clock.advance(60 * SECOND);
        world.sweep(Leases::Held).await;
    }
    assert_eq!(world.items().calls() - before, 20, "one question about uploads and one about releases each");
    world.clock.set(open.expires_at);
    world.sweep(Leases::Held).await;
    assert_eq!(
        (looks(&world, open.upload_id).await, looks(&world, done).await),
        (vec![day + HOUR], vec![day + HOUR])
    );
    world.clock.advance(HOUR);
    world.sweep(Leases::Held).await;
    assert!(!is_open(&world, open.upload_id).await && !is_open(&world, done).await);
}

#[tokio::test]
async fn more_than_one_sweep_can_look_at_are_looked_at_by_the_next() {
    let world = World::memory();
    let mut last = world.initiate(CONTENT).await;
    for _ in 0..1_050 {
        last = world.initiate(CONTENT).await;
    }
    world.clock.set(last.expires_at);
    let due = async || {
        let all = world.context().store.query_all::<serde_json::Value>(keys::OPEN_UPLOADS, "").await.unwrap();
        let marks = all.iter().filter_map(|(sort, _)| keys::read_open_upload(sort));
        marks.filter(|(due, _)| *due <= last.expires_at).count()
    };
    assert_eq!(due().await, 1_051);
    world.sweep(Leases::Held).await;
    assert_eq!(due().await, 51);
    world.sweep(Leases::Held).await;
    assert_eq!(due().await, 0);
}

#[tokio::test]
async fn an_upload_that_cannot_be_swept_is_looked_at_behind_the_others() {
    let world = World::memory();
    let upload = world.initiate(CONTENT).await;
    world.clock.set(upload.expires_at);
    world.items().on_write_to("uploads", Trouble::NotDone);
    world.sweep(Leases::Held).await;
    assert!(world.told("upload.expired").await.is_empty());
    world.clock.advance(60 * SECOND);
    world.sweep(Leases::Held).await;
    assert_eq!(world.told("upload.expired").await.len(), 1);
}

#[tokio::test]
async fn a_mark_that_is_set_again_while_the_sweep_looks_is_not_lost() {
    let mut world = World::memory();
    let other = world.another();
    let upload = world.initiate(CONTENT).await;
    world.clock.set(upload.expires_at);
    let gate = Gate::default();
    world.items().on_get("uploads", Trouble::WaitsAfter(gate.clone()));
    let sweeping = world.sweep(Leases::Held);
    let marking = async {
        gate.reached().await;
        let key = keys::open_upload(upload.upload_id, upload.expires_at);
        let mut batch = shared::app::store::Batch::default();
        batch.put(key, &serde_json::json!({}), Expect::Anything).unwrap();
        other.context.store.commit(batch).await.unwrap();
        gate.open();
    };
    tokio::join!(sweeping, marking);
    assert_eq!(looks(&world, upload.upload_id).await, [upload.expires_at - START]);
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
