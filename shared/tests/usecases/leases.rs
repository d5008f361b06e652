//! Workers that sleep, die, or come second while an upload is completed.

use shared::{
    app::{complete::Completed, error::AppError, sweep::Leases, uploads},
    domain::{
        artifact::ArtifactState,
        upload::{ObjectKey, UploadState},
    },
    testing::{
        build,
        gate::{Gate, Trouble},
        objects::Step,
    },
};

use super::world::{CONTENT, LEASE, World, soon};

/// Runs each race over memory and over one machine's disk.
macro_rules! over_both {
    ($($race:ident),+ $(,)?) => {
        mod in_memory { $(#[tokio::test] async fn $race() { super::$race(super::World::memory()).await; })+ }
        mod on_disk { $(#[tokio::test] async fn $race() { super::$race(super::World::embedded()).await; })+ }
    };
}

over_both!(
    a_worker_that_slept_past_its_lease_fails_on_the_fence,
    a_worker_that_slept_before_its_last_write_fails_on_the_fence,
    a_worker_that_slept_and_found_other_bytes_cannot_fail_what_another_completed,
    a_worker_that_slept_and_found_nothing_cannot_free_what_another_completed,
    the_sweep_takes_over_from_a_worker_that_sleeps,
    a_crash_between_the_copy_and_the_transaction_is_finished_by_the_next_complete,
    of_two_uploads_of_one_digest_that_settle_at_once_both_complete_with_one_artifact,
    an_abort_before_the_lease_is_taken_wins,
);

/// One artifact that is served, and one audit entry for each upload that became it.
async fn is_whole(world: &World, uploads: &[shared::domain::ids::UploadId]) {
    let artifacts = world.artifacts().await;
    assert_eq!(artifacts.len(), 1);
    assert_eq!(artifacts[0].state, ArtifactState::Available);
    assert_eq!(world.served(artifacts[0].artifact_id).await, CONTENT);
    let mut told: Vec<_> =
        world.told("upload.completed").await.into_iter().map(|(subject, _)| subject).collect();
    let mut wanted: Vec<_> = uploads.iter().map(ToString::to_string).collect();
    told.sort();
    wanted.sort();
    assert_eq!(told, wanted);
    assert_eq!(world.told("upload.failed").await, []);
    for id in uploads {
        assert_eq!(world.complete(*id).await.unwrap(), artifacts[0], "completed again");
    }
}

async fn a_worker_that_slept_past_its_lease_fails_on_the_fence(world: World) {
    let (id, gate) = (world.staged(CONTENT).await, Gate::default());
    world.objects.on(Step::Promote, Trouble::WaitsAfter(gate.clone()));
    let sleeper = world.completing(id);
    soon(gate.reached()).await;
    world.clock.advance(LEASE - 1);
    assert!(matches!(world.complete(id).await, Err(AppError::UploadInProgress)), "the lease has not lapsed");
    world.clock.advance(1);
    world.complete(id).await.unwrap();
    gate.open();
    let late = soon(sleeper).await.unwrap();
    assert!(matches!(late, Err(AppError::UploadInProgress)), "{late:?}");
    assert_eq!(world.upload(id).await.fence, 2);
    is_whole(&world, &[id]).await;
}

async fn a_worker_that_slept_before_its_last_write_fails_on_the_fence(world: World) {
    let (id, gate) = (world.staged(CONTENT).await, Gate::default());
    world.items().on_write_to("artifacts", Trouble::WaitsBefore(gate.clone()));
    let sleeper = world.completing(id);
    soon(gate.reached()).await;
    world.clock.advance(LEASE);
    world.complete(id).await.unwrap();
    gate.open();
    let late = soon(sleeper).await.unwrap();
    assert!(matches!(late, Err(AppError::UploadInProgress)), "{late:?}");
    assert!(world.items().conflicts() > 0, "nothing was fenced");
    is_whole(&world, &[id]).await;
}

async fn a_worker_that_slept_and_found_other_bytes_cannot_fail_what_another_completed(world: World) {
    let (id, gate) = (world.staged(CONTENT).await, Gate::default());
    world.objects.on(Step::Promote, Trouble::WaitsAfter(gate.clone()));
    let sleeper = world.completing(id);
    soon(gate.reached()).await;
    world.clock.advance(LEASE);
    world.complete(id).await.unwrap();
    world.objects.next_copy_proves(Some(build::sha256(b"other bytes")));
    gate.open();
    let late = soon(sleeper).await.unwrap();
    assert!(matches!(late, Err(AppError::UploadInProgress)), "{late:?}");
    is_whole(&world, &[id]).await;
}

async fn a_worker_that_slept_and_found_nothing_cannot_free_what_another_completed(world: World) {
    let (upload, gate) = (world.initiate(CONTENT).await, Gate::default());
    world.objects.on(Step::Promote, Trouble::WaitsAfter(gate.clone()));
    let sleeper = world.completing(upload.upload_id);
    soon(gate.reached()).await;
    world.clock.advance(LEASE);
    world.put(&upload, CONTENT).await;
    world.complete(upload.upload_id).await.unwrap();
    gate.open();
    let late = soon(sleeper).await.unwrap();
    assert!(matches!(late, Err(AppError::ObjectNotUploaded)), "{late:?}");
    is_whole(&world, &[upload.upload_id]).await;
}

async fn the_sweep_takes_over_from_a_worker_that_sleeps(world: World) {
    let (id, gate) = (world.staged(CONTENT).await, Gate::default());
    world.objects.on(Step::Promote, Trouble::WaitsAfter(gate.clone()));
    let sleeper = world.completing(id);
    soon(gate.reached()).await;
    world.clock.advance(LEASE - 1);
    world.sweep(Leases::Held).await;
    assert_eq!(world.upload(id).await.state, UploadState::Completing);
    world.clock.advance(1);
    world.sweep(Leases::Held).await;
    assert_eq!(world.upload(id).await.state, UploadState::Completed);
    gate.open();
    assert!(matches!(soon(sleeper).await.unwrap(), Err(AppError::UploadInProgress)));
    assert_eq!(
        world.told("upload.completed").await,
        [(id.to_string(), false)],
        "the service did it by itself"
    );
    is_whole(&world, &[id]).await;
}

async fn a_crash_between_the_copy_and_the_transaction_is_finished_by_the_next_complete(world: World) {
    let id = world.staged(CONTENT).await;
    world.items().on_write_to("artifacts", Trouble::NotDone);
    assert!(matches!(world.complete(id).await, Err(AppError::Items(_))));
    assert!(world.left_of(id).await.contains(&ObjectKey::Copied(id)), "the copy is there");
    assert_eq!(world.artifacts().await, [], "and nothing leads to it");
    assert!(matches!(world.complete(id).await, Err(AppError::UploadInProgress)));
    world.clock.advance(LEASE);
    world.complete(id).await.unwrap();
    is_whole(&world, &[id]).await;
    assert_eq!(world.left_of(id).await, [ObjectKey::Copied(id)]);
}

async fn of_two_uploads_of_one_digest_that_settle_at_once_both_complete_with_one_artifact(world: World) {
    let (one, two) = (world.staged(CONTENT).await, world.staged(CONTENT).await);
    let gates = [Gate::default(), Gate::default()];
    for gate in &gates {
        world.items().on_write_to("artifacts", Trouble::WaitsBefore(gate.clone()));
    }
    let (first, second) = (world.completing(one), world.completing(two));
    for gate in &gates {
        soon(gate.reached()).await;
    }
    gates.iter().for_each(Gate::open);
    let (first, second) = (soon(first).await.unwrap().unwrap(), soon(second).await.unwrap().unwrap());
    assert_eq!(first, second);
    assert!(world.items().conflicts() > 0, "nobody came second");
    is_whole(&world, &[one, two]).await;
    let left = [world.left_of(one).await, world.left_of(two).await].concat();
    assert_eq!(left.len(), 1, "the bytes are kept once: {left:?}");
}

async fn an_abort_before_the_lease_is_taken_wins(world: World) {
    let (id, gate) = (world.staged(CONTENT).await, Gate::default());
    world.items().on_commit(1, Trouble::WaitsBefore(gate.clone()));
    let completing = world.completing(id);
    soon(gate.reached()).await;
    uploads::abort(world.context(), &world.objects(), &world.caller, id).await.unwrap();
    gate.open();
    assert!(matches!(soon(completing).await.unwrap(), Err(AppError::UploadInProgress)));
    assert!(matches!(world.complete(id).await, Err(AppError::UploadAborted)));
    assert_eq!((world.artifacts().await, world.left_of(id).await), (vec![], vec![]));
}

#[tokio::test]
async fn a_lease_holds_off_an_abort_and_an_expiry() {
    let world = World::memory();
    let (upload, gate) = (world.initiate(CONTENT).await, Gate::default());
    world.put(&upload, CONTENT).await;
    world.clock.set(upload.expires_at - 1);
    world.objects.on(Step::Promote, Trouble::WaitsBefore(gate.clone()));
    let completing = world.completing(upload.upload_id);
    soon(gate.reached()).await;
    let refused = uploads::abort(world.context(), &world.objects(), &world.caller, upload.upload_id).await;
    assert!(matches!(refused, Err(AppError::UploadInProgress)), "{refused:?}");
    world.clock.set(upload.expires_at + 1);
    world.sweep(Leases::Held).await;
    gate.open();
    soon(completing).await.unwrap().unwrap();
    is_whole(&world, &[upload.upload_id]).await;
}

#[tokio::test]
async fn an_upload_that_expires_before_the_lease_is_taken_stays_expired() {
    let world = World::memory();
    let (upload, gate) = (world.initiate(CONTENT).await, Gate::default());
    world.put(&upload, CONTENT).await;
    world.clock.set(upload.expires_at - 1);
    world.items().on_commit(1, Trouble::WaitsBefore(gate.clone()));
    let completing = world.completing(upload.upload_id);
    soon(gate.reached()).await;
    world.clock.set(upload.expires_at);
    world.sweep(Leases::Held).await;
    gate.open();
    assert!(matches!(soon(completing).await.unwrap(), Err(AppError::UploadInProgress)));
    assert!(matches!(world.complete(upload.upload_id).await, Err(AppError::UploadExpired)));
    assert_eq!(world.artifacts().await, []);
}

#[tokio::test]
async fn another_process_that_completes_the_same_upload_at_once_is_told_to_wait() {
    let mut world = World::memory();
    let other = world.another();
    let (id, gate) = (world.staged(CONTENT).await, Gate::default());
    world.objects.on(Step::Stat, Trouble::WaitsBefore(gate.clone()));
    let working = world.completing(id);
    soon(gate.reached()).await;
    let complete =
        || shared::app::complete::complete(&other.context, &world.store.objects, &world.caller, id, None);
    assert!(matches!(complete().await, Err(AppError::UploadInProgress)));
    gate.open();
    let artifact = soon(working).await.unwrap().unwrap();
    let Completed::Artifact(again) = complete().await.unwrap() else { panic!("it is complete") };
    assert_eq!(*again, artifact);
    is_whole(&world, &[id]).await;
}
