//! Uploads that are too large to be proved while their uploader waits.

use shared::{
    app::{
        complete::{self, Completed},
        error::AppError,
        sweep::Leases,
    },
    domain::{
        artifact::ArtifactState,
        ids::UploadId,
        upload::{ObjectKey, UploadState},
    },
    testing::{build, gate::Trouble, objects::Step},
};

use super::world::{CONTENT, HOUR, LEASE, SECOND, World, soon};

/// How long a task has.
const TASK_LEASE: i64 = 960 * SECOND;

/// A deployment in which every upload is large.
fn world() -> World {
    let settings = build::settings();
    World::with(shared::app::context::Settings { copy_at_once_max_bytes: 8, ..settings })
}

async fn complete(world: &World, id: UploadId) -> Result<Completed, AppError> {
    complete::complete(world.context(), &world.objects(), &world.caller, id, None).await
}

async fn is_put_off(world: &World, id: UploadId) {
    let Completed::Later(upload) = complete(world, id).await.unwrap() else { panic!("it is not put off") };
    assert_eq!((upload.upload_id, upload.state), (id, UploadState::Completing));
}

async fn resume(world: &World, id: UploadId) {
    complete::resume(world.context(), &world.objects(), id).await.unwrap();
}

async fn arrived(world: &World, key: ObjectKey) {
    complete::arrived(world.context(), &world.objects(), key).await.unwrap();
}

#[tokio::test]
async fn a_large_upload_is_put_off_and_finished_by_a_task() {
    let world = world();
    let id = world.staged(CONTENT).await;
    is_put_off(&world, id).await;
    assert!(world.artifacts().await.is_empty());
    resume(&world, id).await;
    let artifact = world.complete(id).await.unwrap();
    assert_eq!(artifact.state, ArtifactState::Available);
    assert_eq!(world.served(artifact.artifact_id).await, CONTENT);
    assert_eq!(world.told("upload.completed").await.len(), 1);
}

#[tokio::test]
async fn whoever_completes_it_again_is_told_to_wait_again() {
    let mut world = world();
    let id = world.staged(CONTENT).await;
    is_put_off(&world, id).await;
    is_put_off(&world, id).await;
    let gate = shared::testing::gate::Gate::default();
    world.objects.on(Step::Promote, Trouble::WaitsAfter(gate.clone()));
    let (other, objects) = (world.another(), world.objects());
    let task = tokio::spawn(async move { complete::resume(&other.context, &objects, id).await });
    soon(gate.reached()).await;
    is_put_off(&world, id).await;
    // A task that comes beside another changes nothing.
    resume(&world, id).await;
    gate.open();
    soon(task).await.unwrap().unwrap();
    assert_eq!(world.upload(id).await.state, UploadState::Completed);
    assert_eq!(world.artifacts().await.len(), 1);
}

#[tokio::test]
async fn what_an_event_has_proved_already_is_completed_at_once() {
    let world = world();
    let id = world.staged(CONTENT).await;
    arrived(&world, ObjectKey::Staging(id)).await;
    assert_eq!(world.upload(id).await.state, UploadState::Initiated, "nobody has completed it");
    assert!(world.artifacts().await.is_empty());
    let artifact = world.complete(id).await.unwrap();
    assert_eq!(world.served(artifact.artifact_id).await, CONTENT);
}

#[tokio::test]
async fn events_that_come_twice_late_or_of_what_is_not_there_change_nothing() {
    let world = world();
    let id = world.initiate(CONTENT).await.upload_id;
    let stranger = UploadId::from_parts(1, 1);
    for key in [
        ObjectKey::Staging(id),
        ObjectKey::Locked(id),
        ObjectKey::Copied(id),
        ObjectKey::Staging(stranger),
        ObjectKey::Copied(stranger),
    ] {
        arrived(&world, key).await;
    }
    assert_eq!(world.upload(id).await.state, UploadState::Initiated);
    assert!(world.left_of(id).await.is_empty());
    let upload = world.upload(id).await;
    world.put(&upload, CONTENT).await;
    arrived(&world, ObjectKey::Staging(id)).await;
    arrived(&world, ObjectKey::Staging(id)).await;
    let artifact = world.complete(id).await.unwrap();
    for key in [ObjectKey::Staging(id), ObjectKey::Locked(id), ObjectKey::Copied(id)] {
        arrived(&world, key).await;
    }
    resume(&world, id).await;
    assert_eq!(world.artifact(artifact.artifact_id).await, artifact);
    assert_eq!(world.told("upload.completed").await.len(), 1);
}

#[tokio::test]
async fn an_event_after_the_end_puts_nothing_where_it_could_be_served() {
    let world = world();
    let id = world.staged(CONTENT).await;
    world.clock.advance(25 * HOUR);
    arrived(&world, ObjectKey::Staging(id)).await;
    assert_eq!(world.left_of(id).await, [ObjectKey::Staging(id)]);
}

#[tokio::test]
async fn other_bytes_of_the_right_size_end_in_a_failed_upload() {
    let world = world();
    let id = world.initiate(CONTENT).await.upload_id;
    let upload = world.upload(id).await;
    world.put(&upload, &CONTENT.to_ascii_uppercase()).await;
    arrived(&world, ObjectKey::Staging(id)).await;
    // The copy tells at once, whoever comes first.
    let refused = complete(&world, id).await.unwrap_err();
    assert!(matches!(refused, AppError::UploadFailed { .. }), "{refused}");
    assert_eq!(world.upload(id).await.state, UploadState::Failed);
    assert!(world.artifacts().await.is_empty());

    let id = world.initiate(CONTENT).await.upload_id;
    let upload = world.upload(id).await;
    world.put(&upload, &CONTENT.to_ascii_uppercase()).await;
    is_put_off(&world, id).await;
    resume(&world, id).await;
    assert_eq!(world.upload(id).await.state, UploadState::Failed);
    assert!(world.left_of(id).await.is_empty());
}

#[tokio::test]
async fn without_bytes_nothing_is_put_off() {
    let world = world();
    let id = world.initiate(CONTENT).await.upload_id;
    let refused = complete(&world, id).await.unwrap_err();
    assert!(matches!(refused, AppError::ObjectNotUploaded), "{refused}");
    assert_eq!(world.upload(id).await.state, UploadState::Initiated);
}

#[tokio::test]
async fn a_task_that_died_is_taken_over_by_the_sweep_when_its_lease_has_lapsed() {
    let mut world = world();
    let id = world.staged(CONTENT).await;
    is_put_off(&world, id).await;
    let gate = shared::testing::gate::Gate::default();
    world.objects.on(Step::Promote, Trouble::WaitsBefore(gate.clone()));
    let (other, objects) = (world.another(), world.objects());
    let task = tokio::spawn(async move { complete::resume(&other.context, &objects, id).await });
    soon(gate.reached()).await;
    task.abort();
    world.clock.advance(LEASE + SECOND);
    world.sweep(Leases::Held).await;
    assert_eq!(world.upload(id).await.state, UploadState::Completing, "a copy may take longer than that");
    world.clock.advance(TASK_LEASE);
    world.sweep(Leases::Held).await;
    assert_eq!(world.upload(id).await.state, UploadState::Completed);
}

#[tokio::test]
async fn a_store_that_fails_a_task_leaves_the_upload_to_the_next() {
    let world = world();
    let id = world.staged(CONTENT).await;
    is_put_off(&world, id).await;
    world.objects.on(Step::Promote, Trouble::NotDone);
    let failed = complete::resume(world.context(), &world.objects(), id).await.unwrap_err();
    assert!(matches!(failed, AppError::Objects(_)), "{failed}");
    assert_eq!(world.upload(id).await.state, UploadState::Completing);
    is_put_off(&world, id).await;
    resume(&world, id).await;
    assert_eq!(world.upload(id).await.state, UploadState::Completed);
}
