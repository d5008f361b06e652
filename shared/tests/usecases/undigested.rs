//! Stores that tell no digest of what they have: what was stored is read, in slices that are gone on with.

use std::time::Duration;

use shared::{
    app::{
        artifacts,
        complete::{self, Completed},
        context::Settings,
        error::AppError,
        external::{self, CheckResult, Which},
        sweep::Leases,
    },
    contract::objects::{Put, body},
    domain::{
        artifact::{Artifact, ArtifactState, Location, Verification},
        ids::UploadId,
        upload::{FailureCode, ObjectKey, UploadState},
    },
    ports::clock::Clock as _,
    testing::{build, gate::Trouble, objects::Step},
};

use super::world::{CONTENT, LEASE, World};

/// A deployment over such a store, which reads in slices of five bytes.
fn world(settings: Settings) -> World {
    let world = World::with(Settings { slice_bytes: 5, ..settings });
    world.objects.becomes_mute();
    world
}

fn key(artifact: &Artifact) -> ObjectKey {
    match &artifact.location {
        Location::Managed { key, .. } => *key,
        Location::External { .. } => panic!("{artifact:?}"),
    }
}

async fn locked(world: &World, content: &[u8]) -> UploadId {
    let upload = world.initiate(content).await;
    let doors =
        shared::app::uploads::doors(world.context(), &world.objects(), &upload).await.unwrap().unwrap();
    let put = Put { now: world.clock.now_ms(), ..Put::locked(&doors, content.len()) };
    world.store.send(&put, body(content)).await.unwrap();
    upload.upload_id
}

#[tokio::test]
async fn a_copy_without_a_digest_is_read_and_the_artifact_says_so() {
    let world = world(build::settings());
    let id = world.staged(CONTENT).await;
    let artifact = world.complete(id).await.unwrap();
    assert_eq!(
        (artifact.state, artifact.verification),
        (ArtifactState::Available, Some(Verification::Fetched))
    );
    assert_eq!((key(&artifact), world.objects.reads()), (ObjectKey::Copied(id), vec![0]));
    assert_eq!(world.complete(id).await.unwrap(), artifact);
    assert_eq!(world.objects.reads().len(), 1);
    assert_eq!(world.told("upload.completed").await.len(), 1);
}

#[tokio::test]
async fn what_came_through_the_locked_door_is_read_where_it_lies() {
    let world = world(build::settings());
    let id = locked(&world, CONTENT).await;
    let artifact = world.complete(id).await.unwrap();
    assert_eq!((key(&artifact), artifact.verification), (ObjectKey::Locked(id), Some(Verification::Fetched)));
}

#[tokio::test]
async fn other_bytes_of_the_right_size_are_found_by_reading_and_nothing_of_them_is_kept() {
    let world = world(build::settings());
    let upload = world.initiate(CONTENT).await;
    let other: Vec<u8> = CONTENT.iter().map(|byte| byte ^ 1).collect();
    world.put(&upload, &other).await;
    let outcome = world.complete(upload.upload_id).await;
    let mismatch = FailureCode::ChecksumMismatch;
    assert!(matches!(outcome, Err(AppError::UploadFailed { code, .. }) if code == mismatch), "{outcome:?}");
    assert_eq!((world.artifacts().await, world.left_of(upload.upload_id).await), (vec![], vec![]));
}

#[tokio::test]
async fn a_reading_that_broke_off_goes_on_from_its_last_slice() {
    let world = world(build::settings());
    let id = world.staged(CONTENT).await;
    world.objects.next_read_breaks_after(13);
    assert!(matches!(world.complete(id).await, Err(AppError::Objects(_))));
    assert!(world.artifacts().await.is_empty());
    let artifact = world.complete(id).await.unwrap();
    assert_eq!((artifact.state, world.objects.reads()), (ArtifactState::Available, vec![0, 13]));
}

#[tokio::test]
async fn a_reading_that_could_not_begin_frees_the_lease() {
    let world = world(build::settings());
    let id = world.staged(CONTENT).await;
    world.objects.on(Step::Read, Trouble::NotDone);
    assert!(matches!(world.complete(id).await, Err(AppError::Objects(_))));
    assert_eq!(world.upload(id).await.lease, None);
    assert_eq!(world.complete(id).await.unwrap().state, ArtifactState::Available);
}

#[tokio::test]
async fn a_large_one_is_left_to_tasks_each_of_which_reads_as_long_as_it_may() {
    let settings = Settings { copy_at_once_max_bytes: 8, slice_budget_ms: 0, ..build::settings() };
    for bare in [true, false] {
        let world = world(settings.clone());
        let id = if bare { world.staged(CONTENT).await } else { locked(&world, CONTENT).await };
        for turn in 0..5 {
            let completed =
                complete::complete(world.context(), &world.objects(), &world.caller, id, None).await;
            assert!(matches!(completed, Ok(Completed::Later(_))), "{turn}: {completed:?}");
            complete::resume(world.context(), &world.objects(), id).await.unwrap();
        }
        assert_eq!(world.objects.reads(), [0, 5, 10, 15, 20]);
        complete::resume(world.context(), &world.objects(), id).await.unwrap();
        assert_eq!(world.upload(id).await.state, UploadState::Completed);
        assert_eq!(world.complete(id).await.unwrap().verification, Some(Verification::Fetched));
    }
}

#[tokio::test]
async fn a_reader_that_was_killed_is_followed_by_the_sweep_from_its_last_slice() {
    let world = world(build::settings());
    let id = world.staged(CONTENT).await;
    world.objects.next_read_breaks_after(11);
    // The last write of the dying one is lost: what it had put down before counts.
    world.items().on_commit(4, Trouble::NotDone);
    world.complete(id).await.unwrap_err();
    world.clock.advance(LEASE * 9);
    world.sweep(Leases::Held).await;
    assert_eq!(world.upload(id).await.state, UploadState::Completed);
    assert_eq!(world.objects.reads(), [0, 10]);
}

#[tokio::test]
async fn stored_bytes_are_checked_again_by_reading_them_as_long_as_a_task_may() {
    let settings = Settings { read_budget: Some(Duration::ZERO), ..build::settings() };
    let world = world(settings);
    let id = world.managed(CONTENT).await;
    artifacts::verify_again(world.context(), &world.caller, id).await.unwrap();
    for _ in 0..6 {
        external::check(world.context(), &world.checker(), id, Which::Due).await.unwrap();
    }
    assert_eq!(world.objects.reads(), [0, 0, 5, 10, 15, 20, 25]);
    let check = artifacts::checks(world.context(), &world.caller, id).await.unwrap().pop().unwrap();
    assert_eq!((check.result, check.means), (CheckResult::Match, Verification::Fetched));
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
}

#[tokio::test]
async fn stored_bytes_that_changed_are_found_by_the_check() {
    let world = world(build::settings());
    let id = world.managed(CONTENT).await;
    let stored = key(&world.artifact(id).await);
    world.objects().delete(&stored).await.unwrap();
    let other: Vec<u8> = CONTENT.iter().map(|byte| byte ^ 1).collect();
    let upload = stored.upload_id();
    replace(&world, upload, &other).await;
    artifacts::verify_again(world.context(), &world.caller, id).await.unwrap();
    external::check(world.context(), &world.checker(), id, Which::Due).await.unwrap();
    let artifact = world.artifact(id).await;
    assert_eq!(artifact.state, ArtifactState::Quarantined);
    assert!(artifact.reason.is_some_and(|reason| reason.starts_with("DRIFT: CHECKSUM_MISMATCH")));
}

/// Puts other bytes under the key that is served, as only somebody with access to the store can.
async fn replace(world: &World, id: UploadId, content: &[u8]) {
    let grant = shared::ports::objects::UploadGrant {
        upload_id: id,
        size_bytes: content.len() as u64,
        sha256: build::sha256(content),
        content_type: None,
        now: world.clock.now_ms(),
        expires_in: Duration::from_secs(60),
    };
    let doors = world.objects().presign_upload(&grant).await.unwrap();
    let put = Put { now: world.clock.now_ms(), ..Put::bare(&doors, content.len()) };
    world.store.send(&put, body(content)).await.unwrap();
    world.objects().promote(id).await.unwrap();
}
