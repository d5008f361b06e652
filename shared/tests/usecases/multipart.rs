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

use super::world::{CONTENT, HOUR, SECOND, World, soon};

/// How long a task has.
const TASK_LEASE: i64 = 960 * SECOND;
const PARTS: [u32; 4] = [1, 2, 3, 4];

fn settings() -> Settings {
    Settings { least_part_bytes: 8, slice_bytes: 5, ..build::settings() }
}

fn world() -> World {
    World::with(settings())
}

fn part(number: u32) -> &'static [u8] {
    CONTENT.chunks(8).nth(number as usize - 1).unwrap()
}

async fn initiate(world: &World) -> Upload {
    let initiation = uploads::Initiation { multipart: true, ..build::initiation(CONTENT) };
    let (context, objects) = (world.context(), world.objects());
    let (upload, doors) =
        uploads::initiate(context, &objects, &world.caller, &initiation, None).await.unwrap();
    assert_eq!(doors, None);
    let cut = upload.multipart.as_ref().unwrap();
    assert_eq!((cut.part_size_bytes, cut.part_count), (8, 4));
    upload
}

fn wanted(number: i64, digest: Option<&[u8]>) -> Wanted {
    Wanted { part_number: number, sha256: digest.map(build::sha256) }
}

async fn doors(world: &World, id: UploadId, wanted: &[Wanted]) -> Result<PartDoors, AppError> {
    parts::doors(world.context(), &world.objects(), &world.caller, id, wanted).await
}

async fn put(world: &World, id: UploadId, number: u32, bytes: &[u8]) {
    let doors = doors(world, id, &[wanted(number.into(), None)]).await.unwrap();
    let put = Put { now: world.clock.now_ms(), ..Put::part(&doors.parts[0], bytes.len()) };
    world.store.send(&put, body(bytes)).await.unwrap();
}

/// An upload whose parts are all there.
async fn sent(world: &World) -> UploadId {
    let id = initiate(world).await.upload_id;
    for number in [3, 1, 4, 2] {
        put(world, id, number, part(number)).await;
    }
    id
}

async fn complete(world: &World, id: UploadId) -> Result<Completed, AppError> {
    complete::complete(world.context(), &world.objects(), &world.caller, id, None).await
}

async fn put_off(world: &World, id: UploadId) {
    let Completed::Later(upload) = complete(world, id).await.unwrap() else { panic!("it is not put off") };
    assert_eq!((upload.upload_id, upload.state), (id, UploadState::Completing));
}

/// An upload that was left to a task.
async fn left(world: &World) -> UploadId {
    let id = sent(world).await;
    put_off(world, id).await;
    id
}

async fn resume(world: &World, id: UploadId) -> Result<(), AppError> {
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

async fn nothing_is_left_of_the_parts(world: &World, id: UploadId) {
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

#[tokio::test]
async fn an_aborted_upload_keeps_no_parts_and_gives_no_urls() {
    let world = world();
    let id = sent(&world).await;
    uploads::abort(world.context(), &world.objects(), &world.caller, id).await.unwrap();
    nothing_is_left_of_the_parts(&world, id).await;
    let refused = doors(&world, id, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(refused, AppError::UploadAborted), "{refused}");
    assert!(matches!(complete(&world, id).await.unwrap_err(), AppError::UploadAborted));
}

#[tokio::test]
async fn an_expired_upload_gives_no_urls_and_its_parts_are_swept() {
    let world = world();
    let id = sent(&world).await;
    world.clock.advance(24 * HOUR);
    let refused = doors(&world, id, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(refused, AppError::UploadExpired), "{refused}");
    world.sweep(Leases::Held).await;
    world.clock.advance(HOUR);
    world.sweep(Leases::Held).await;
    nothing_is_left_of_the_parts(&world, id).await;
}

#[tokio::test]
async fn urls_end_with_their_upload() {
    let world = world();
    let upload = initiate(&world).await;
    world.clock.advance(24 * HOUR - 90 * SECOND);
    let doors = doors(&world, upload.upload_id, &[wanted(1, None)]).await.unwrap();
    assert_eq!(doors.expires_at, upload.expires_at);
}

#[tokio::test]
async fn no_urls_are_made_while_it_is_completed_and_afterwards() {
    let world = world();
    let id = left(&world).await;
    let refused = doors(&world, id, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(refused, AppError::UploadInProgress), "{refused}");
    resume(&world, id).await.unwrap();
    let refused = doors(&world, id, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(refused, AppError::UploadCompleted), "{refused}");
}

#[tokio::test]
async fn parts_that_there_are_not_or_named_twice_or_of_both_kinds_are_refused() {
    let world = world();
    let id = initiate(&world).await.upload_id;
    let digest = Some(part(1));
    for (parts, member) in [
        (vec![wanted(0, None)], "parts[0].part_number"),
        (vec![wanted(1, None), wanted(5, None)], "parts[1].part_number"),
        (vec![wanted(-1, None)], "parts[0].part_number"),
        (vec![wanted(1, None), wanted(1, None)], "parts[1].part_number"),
        (vec![wanted(1, digest), wanted(2, None)], "parts[1].sha256"),
    ] {
        let refused = doors(&world, id, &parts).await.unwrap_err();
        assert!(matches!(&refused, AppError::Invalid { member: found, .. } if found == member), "{refused}");
    }
    assert_eq!(world.upload(id).await.multipart.unwrap().begun, None);
    doors(&world, id, &[wanted(1, digest)]).await.unwrap();
    let refused = doors(&world, id, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(&refused, AppError::Invalid { member, .. } if member == "parts[0].sha256"), "{refused}");
    let whole = world.initiate(b"another installer").await.upload_id;
    let refused = doors(&world, whole, &[wanted(1, None)]).await.unwrap_err();
    assert!(matches!(&refused, AppError::Invalid { member, .. } if member == "parts"), "{refused}");
}

#[tokio::test]
async fn of_two_who_begin_at_once_one_is_written_down() {
    let mut world = world();
    let id = initiate(&world).await.upload_id;
    let gate = Gate::default();
    world.objects.on(Step::Begin, Trouble::WaitsAfter(gate.clone()));
    let (other, objects, caller) = (world.another(), world.objects(), world.caller.clone());
    let late = tokio::spawn(async move {
        parts::doors(&other.context, &objects, &caller, id, &[wanted(2, Some(part(2)))]).await
    });
    soon(gate.reached()).await;
    doors(&world, id, &[wanted(1, None)]).await.unwrap();
    gate.open();
    let refused = soon(late).await.unwrap().unwrap_err();
    assert!(matches!(&refused, AppError::Invalid { member, .. } if member == "parts[0].sha256"), "{refused}");
    assert!(!world.upload(id).await.multipart.unwrap().begun.unwrap().checksums);
}
