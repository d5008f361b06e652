//! Uploads that come in parts: four of eight bytes at most, hashed in slices of five.

use std::sync::Arc;

use shared::{
    adapters::tasks::bell::Bell,
    app::{
        complete::{self, Completed},
        context::Settings,
        error::AppError,
        parts::{self, Wanted},
        sweep::Leases,
        uploads,
    },
    contract::objects::{Put, body},
    domain::{
        artifact::{ArtifactState, Verification},
        ids::UploadId,
        upload::{FailureCode, ObjectKey, Upload, UploadState},
    },
    ports::{clock::Clock as _, large_objects::PartDoors},
    testing::{
        build,
        gate::{Gate, Trouble},
        objects::Step,
    },
};

use super::world::{CONTENT, SECOND, World, soon};

/// How long a task has.
const TASK_LEASE: i64 = 960 * SECOND;
const PARTS: [u32; 4] = [1, 2, 3, 4];

fn settings() -> Settings {
    Settings { least_part_bytes: 8, slice_bytes: 5, ..build::settings() }
}

pub(crate) fn world() -> World {
    World::with(settings())
}

pub(crate) fn part(number: u32) -> &'static [u8] {
    CONTENT.chunks(8).nth(number as usize - 1).unwrap()
}

pub(crate) async fn initiate(world: &World) -> Upload {
    let initiation = uploads::Initiation { multipart: true, ..build::initiation(CONTENT) };
    let (context, objects) = (world.context(), world.objects());
    let (upload, doors) =
        uploads::initiate(context, &objects, &world.caller, &initiation, None).await.unwrap();
    assert_eq!(doors, None);
    let cut = upload.multipart.as_ref().unwrap();
    assert_eq!((cut.part_size_bytes, cut.part_count), (8, 4));
    upload
}

pub(crate) fn wanted(number: i64, digest: Option<&[u8]>) -> Wanted {
    Wanted { part_number: number, sha256: digest.map(build::sha256) }
}

pub(crate) async fn doors(world: &World, id: UploadId, wanted: &[Wanted]) -> Result<PartDoors, AppError> {
    parts::doors(world.context(), &world.objects(), &world.caller, id, wanted).await
}

async fn put(world: &World, id: UploadId, number: u32, bytes: &[u8]) {
    let doors = doors(world, id, &[wanted(number.into(), None)]).await.unwrap();
    let put = Put { now: world.clock.now_ms(), ..Put::part(&doors.parts[0], bytes.len()) };
    world.store.send(&put, body(bytes)).await.unwrap();
}

/// An upload whose parts are all there.
pub(crate) async fn sent(world: &World) -> UploadId {
    let id = initiate(world).await.upload_id;
    for number in [3, 1, 4, 2] {
        put(world, id, number, part(number)).await;
    }
    id
}

pub(crate) async fn complete(world: &World, id: UploadId) -> Result<Completed, AppError> {
    complete::complete(world.context(), &world.objects(), &world.caller, id, None).await
}

async fn put_off(world: &World, id: UploadId) {
    let Completed::Later(upload) = complete(world, id).await.unwrap() else { panic!("it is not put off") };
    assert_eq!((upload.upload_id, upload.state), (id, UploadState::Completing));
}

/// An upload that was left to a task.
pub(crate) async fn left(world: &World) -> UploadId {
    let id = sent(world).await;
    put_off(world, id).await;
    id
}

pub(crate) async fn resume(world: &World, id: UploadId) -> Result<(), AppError> {
    complete::resume(world.context(), &world.objects(), id).await
}

async fn hashed(world: &World, id: UploadId) -> u64 {
    world.upload(id).await.hashed.map_or(0, |hashed| hashed.saved.bytes)
}

async fn is_one_artifact(world: &World, id: UploadId) {
    assert_eq!(world.upload(id).await.state, UploadState::Completed);
    let artifact = world.complete(id).await.unwrap();
    assert_eq!(artifact.state, ArtifactState::Available);
    assert_eq!(artifact.verification, Some(Verification::Fetched));
    assert_eq!(world.served(artifact.artifact_id).await, CONTENT);
    assert_eq!(world.artifacts().await.len(), 1);
    assert_eq!(world.told("upload.completed").await.len(), 1);
    assert_eq!(world.left_of(id).await, [ObjectKey::Whole(id)]);
    nothing_is_left_of_the_parts(world, id).await;
}

pub(crate) async fn nothing_is_left_of_the_parts(world: &World, id: UploadId) {
    for number in PARTS {
        assert!(world.store.objects.stat(&ObjectKey::Part(id, number)).await.is_err(), "part {number}");
    }
}

#[tokio::test]
async fn parts_in_any_order_become_an_artifact_that_was_read_whole() {
    for world in [world(), World::embedded_with(settings())] {
        let id = left(&world).await;
        assert!(world.artifacts().await.is_empty());
        resume(&world, id).await.unwrap();
        is_one_artifact(&world, id).await;
        assert_eq!(world.objects.reads(), [0]);
    }
}

#[tokio::test]
async fn a_missing_part_is_named_and_nothing_changes() {
    let world = world();
    let id = initiate(&world).await.upload_id;
    let refused = complete(&world, id).await.unwrap_err();
    assert!(matches!(refused, AppError::PartsMissing(parts) if parts == PARTS));
    for number in [1, 3] {
        put(&world, id, number, part(number)).await;
    }
    let refused = complete(&world, id).await.unwrap_err();
    assert!(matches!(refused, AppError::PartsMissing(parts) if parts == [2, 4]));
    assert_eq!(world.upload(id).await.state, UploadState::Initiated);
    for number in [2, 4] {
        put(&world, id, number, part(number)).await;
    }
    put_off(&world, id).await;
    resume(&world, id).await.unwrap();
    is_one_artifact(&world, id).await;
}

#[tokio::test]
async fn a_part_that_was_put_again_counts_as_it_was_put_last() {
    let world = world();
    let id = initiate(&world).await.upload_id;
    put(&world, id, 2, b"mistake!").await;
    for number in PARTS {
        put(&world, id, number, part(number)).await;
    }
    put_off(&world, id).await;
    resume(&world, id).await.unwrap();
    is_one_artifact(&world, id).await;
}

#[tokio::test]
async fn other_bytes_end_in_a_failed_upload_of_which_nothing_is_left() {
    let world = world();
    let id = sent(&world).await;
    put(&world, id, 2, b"mistake!").await;
    put_off(&world, id).await;
    resume(&world, id).await.unwrap();
    let upload = world.upload(id).await;
    assert_eq!(upload.state, UploadState::Failed);
    assert_eq!(upload.failure.unwrap().code, FailureCode::ChecksumMismatch);
    assert!(world.artifacts().await.is_empty());
    assert!(world.left_of(id).await.is_empty());
}

#[tokio::test]
async fn a_task_that_was_killed_between_slices_is_taken_up_from_its_last_slice() {
    let mut world = world();
    let id = left(&world).await;
    let (other, objects, gate) = (world.another(), world.objects(), Gate::default());
    // The lease, then slices at 5 and 10.
    other.items.on_commit(3, Trouble::WaitsAfter(gate.clone()));
    let task = tokio::spawn(async move { complete::resume(&other.context, &objects, id).await });
    soon(gate.reached()).await;
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    assert_eq!(hashed(&world, id).await, 10);
    resume(&world, id).await.unwrap();
    assert_eq!(world.upload(id).await.state, UploadState::Completing, "its lease has not lapsed");
    world.clock.advance(TASK_LEASE + SECOND);
    world.sweep(Leases::Held).await;
    is_one_artifact(&world, id).await;
    assert_eq!(world.objects.reads(), [0, 10]);
}

#[tokio::test]
async fn each_slice_renews_the_lease() {
    let mut world = world();
    let id = left(&world).await;
    let (other, objects, gate) = (world.another(), world.objects(), Gate::default());
    other.items.on_commit(2, Trouble::WaitsBefore(gate.clone()));
    other.items.on_commit(3, Trouble::WaitsAfter(gate.clone()));
    let task = tokio::spawn(async move { complete::resume(&other.context, &objects, id).await });
    soon(gate.reached()).await;
    world.clock.advance(TASK_LEASE - SECOND);
    gate.open();
    soon(gate.reached()).await;
    world.clock.advance(TASK_LEASE - SECOND);
    world.sweep(Leases::Held).await;
    assert_eq!(world.upload(id).await.state, UploadState::Completing);
    gate.open();
    soon(task).await.unwrap().unwrap();
    is_one_artifact(&world, id).await;
    assert_eq!(world.objects.reads(), [0], "nobody else was at it");
}

#[tokio::test]
async fn a_worker_that_slept_past_its_lease_stops_at_the_fence() {
    let mut world = world();
    let id = left(&world).await;
    let (other, objects, gate) = (world.another(), world.objects(), Gate::default());
    other.items.on_commit(3, Trouble::WaitsBefore(gate.clone()));
    let task = tokio::spawn(async move { complete::resume(&other.context, &objects, id).await });
    soon(gate.reached()).await;
    world.clock.advance(TASK_LEASE + SECOND);
    resume(&world, id).await.unwrap();
    assert_eq!(world.objects.reads(), [0, 5]);
    gate.open();
    soon(task).await.unwrap().unwrap();
    is_one_artifact(&world, id).await;
}

#[tokio::test]
async fn a_task_whose_time_is_up_leaves_the_rest_to_the_next() {
    let mut world = World::with(Settings { slice_budget_ms: 0, ..settings() });
    let bell = Arc::new(Bell::default());
    world.process.context.tasks = Some(Arc::clone(&bell) as _);
    let id = left(&world).await;
    for far in [5, 10, 15, 20, 25] {
        assert_eq!(soon(bell.next_upload()).await, id);
        resume(&world, id).await.unwrap();
        let upload = world.upload(id).await;
        assert_eq!((hashed(&world, id).await, upload.lease), (far, None));
    }
    assert_eq!(soon(bell.next_upload()).await, id);
    resume(&world, id).await.unwrap();
    is_one_artifact(&world, id).await;
    assert_eq!(world.objects.reads(), [0, 5, 10, 15, 20, 25]);
}

#[tokio::test]
async fn a_read_that_breaks_off_is_gone_on_with_where_it_broke() {
    let world = world();
    let id = left(&world).await;
    world.objects.next_read_breaks_after(7);
    let failed = resume(&world, id).await.unwrap_err();
    assert!(matches!(failed, AppError::Objects(_)), "{failed}");
    assert_eq!(hashed(&world, id).await, 7);
    resume(&world, id).await.unwrap();
    is_one_artifact(&world, id).await;
    assert_eq!(world.objects.reads(), [0, 7]);
}

#[tokio::test]
async fn answers_that_the_store_lost_are_asked_for_again() {
    for step in [Step::Assemble, Step::Read, Step::Abort] {
        let world = world();
        let id = left(&world).await;
        world.objects.on(step, Trouble::AnswerLost);
        if resume(&world, id).await.is_err() {
            assert_ne!(step, Step::Abort, "what cannot be removed is no error");
            put_off(&world, id).await;
            resume(&world, id).await.unwrap();
        }
        is_one_artifact(&world, id).await;
    }
}

#[tokio::test]
async fn fifty_who_complete_at_once_leave_it_to_a_task_once() {
    let world = world();
    let id = sent(&world).await;
    let answers = futures_util::future::join_all((0..50).map(|_| complete(&world, id))).await;
    let fine =
        |answer: &Result<_, _>| matches!(answer, Ok(Completed::Later(_)) | Err(AppError::UploadInProgress));
    assert!(answers.iter().all(fine), "{answers:?}");
    assert!(answers.iter().any(Result::is_ok));
    let tasks = futures_util::future::join_all((0..5).map(|_| resume(&world, id))).await;
    assert!(tasks.iter().all(Result::is_ok), "{tasks:?}");
    is_one_artifact(&world, id).await;
}

#[tokio::test]
async fn a_restart_goes_on_at_once_though_the_lease_has_not_lapsed() {
    let mut world = world();
    let id = left(&world).await;
    let (other, objects, gate) = (world.another(), world.objects(), Gate::default());
    other.items.on_commit(3, Trouble::WaitsAfter(gate.clone()));
    let task = tokio::spawn(async move { complete::resume(&other.context, &objects, id).await });
    soon(gate.reached()).await;
    task.abort();
    let bell = Arc::new(Bell::default());
    world.process.context.tasks = Some(Arc::clone(&bell) as _);
    world.sweep(Leases::Abandoned).await;
    assert_eq!(soon(bell.next_upload()).await, id);
    resume(&world, id).await.unwrap();
    is_one_artifact(&world, id).await;
    assert_eq!(world.objects.reads(), [0, 10]);
}

#[tokio::test]
async fn the_same_bytes_in_parts_and_at_once_are_one_artifact() {
    let world = world();
    let known = world.managed(CONTENT).await;
    let id = left(&world).await;
    resume(&world, id).await.unwrap();
    assert_eq!(world.complete(id).await.unwrap().artifact_id, known);
    assert_eq!(world.artifacts().await.len(), 1);
    assert!(world.left_of(id).await.is_empty(), "nothing is served from these");
    assert_eq!(world.served(known).await, CONTENT);
}
