//! What comes in between while something is cleaned up: nothing is lost that anybody was told they have.

use shared::{
    app::{artifacts::Intervention, error::AppError, gc},
    domain::artifact::ArtifactState,
    testing::{
        gate::{Gate, Trouble},
        objects::Step,
    },
};

use super::{
    gc::{DAY, PAUSE, begin, collect, look, older_than, revoked, whats},
    world::{CONTENT, HOUR, World, soon},
};

/// Cleans up in a task of its own.
fn collecting(world: &World) -> tokio::task::JoinHandle<Result<(), AppError>> {
    let (context, objects) = (world.context().clone(), world.objects());
    tokio::spawn(async move {
        gc::begin(&context, objects.as_ref(), None, older_than(7 * DAY)).await?;
        gc::work(&context, &objects).await
    })
}

#[tokio::test]
async fn a_release_that_is_published_meanwhile_keeps_the_bytes() {
    let mut world = World::memory();
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    world.clock.advance(PAUSE);
    let gate = Gate::default();
    // It has looked, and is about to write down that the bytes are gone.
    world.items().on_write_to("artifacts", Trouble::WaitsBefore(gate.clone()));
    let collecting = collecting(&world);
    soon(gate.reached()).await;
    let other = world.another();
    let new = super::world::new_release("2.0.0", &[id]);
    shared::app::releases::create(&other.context, &world.caller, &new, None).await.unwrap();
    gate.open();
    soon(collecting).await.unwrap().unwrap();
    let run = gc::last(world.context()).await.unwrap().unwrap();
    assert_eq!((run.removed, run.named[0].name.as_str()), (0, id.to_string().as_str()), "{run:?}");
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    assert_eq!(world.served(id).await, CONTENT);
}

#[tokio::test]
async fn a_release_that_comes_too_late_is_refused_and_names_nothing_that_is_gone() {
    let mut world = World::memory();
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    world.clock.advance(PAUSE);
    let gate = Gate::default();
    world.objects.on(Step::Erase, Trouble::WaitsBefore(gate.clone()));
    let collecting = collecting(&world);
    soon(gate.reached()).await;
    let other = world.another();
    let new = super::world::new_release("2.0.0", &[id]);
    let late = shared::app::releases::create(&other.context, &world.caller, &new, None).await;
    assert!(matches!(late, Err(AppError::ArtifactNotAvailable { .. })), "{late:?}");
    // Who uploads the bytes again meanwhile has them under another key.
    assert_eq!(world.managed(CONTENT).await, id);
    gate.open();
    soon(collecting).await.unwrap().unwrap();
    world.publish("2.0.0", &[id]).await;
    assert_eq!(world.served(id).await, CONTENT);
    world.clock.advance(99 * DAY);
    collect(&world).await;
    assert_eq!(world.served(id).await, CONTENT);
}

#[tokio::test]
async fn who_was_told_that_the_bytes_are_there_has_the_pause_to_name_them() {
    let world = World::memory();
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    world.clock.advance(PAUSE - 1);
    assert_eq!(world.managed(CONTENT).await, id);
    world.clock.advance(DAY);
    assert_eq!(collect(&world).await.removed, 0);
    world.publish("2.0.0", &[id]).await;
    assert_eq!(world.served(id).await, CONTENT);
}

#[tokio::test]
async fn an_upload_that_completes_meanwhile_keeps_its_bytes() {
    let world = World::memory().bound().await;
    let id = world.staged(CONTENT).await;
    world.clock.advance(23 * HOUR);
    let gate = Gate::default();
    // What is in the store was listed, and the records are read after it was completed.
    world.objects.on(Step::List, Trouble::WaitsAfter(gate.clone()));
    let (context, objects) = (world.context().clone(), world.objects());
    let collecting = tokio::spawn(async move {
        gc::begin(&context, objects.as_ref(), None, older_than(0)).await?;
        gc::work(&context, &objects).await
    });
    soon(gate.reached()).await;
    let artifact = world.complete(id).await.unwrap();
    gate.open();
    soon(collecting).await.unwrap().unwrap();
    assert_eq!(world.served(artifact.artifact_id).await, CONTENT);
    assert_eq!(gc::last(world.context()).await.unwrap().unwrap().removed, 0);
}

#[tokio::test]
async fn a_crash_after_the_record_leaves_bytes_that_the_next_run_finds() {
    let world = World::memory();
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    world.clock.advance(PAUSE);
    world.objects.on(Step::Erase, Trouble::NotDone);
    let run = collect(&world).await;
    // In the very run: they are old enough, and nothing refers to them any more.
    assert_eq!((run.removed, run.kept), (1, 1), "{run:?}");
    assert_eq!(whats(&look(&world).await), []);
    assert!(world.artifact(id).await.removed_at.is_some());
}

#[tokio::test]
async fn a_run_that_died_is_gone_on_with_when_its_lease_is_over() {
    let world = World::memory().bound().await;
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    world.clock.advance(PAUSE);
    begin(&world).await;
    // It dies with the bytes removed and nothing written down of it.
    world.items().on_write_to("audit", Trouble::AnswerLost);
    world.items().on_commit(4, Trouble::NotDone);
    let _died = gc::work(world.context(), &world.objects()).await;
    world.clock.advance(HOUR);
    gc::tick(world.context(), &world.objects()).await.unwrap();
    let run = gc::last(world.context()).await.unwrap().unwrap();
    assert!(run.finished_at.is_some(), "{run:?}");
    assert_eq!(whats(&look(&world).await), []);
    assert!(world.artifact(id).await.removed_at.is_some());
}

#[tokio::test]
async fn two_at_once_are_one_and_remove_everything_once() {
    let mut world = World::memory();
    world.product().await;
    for (content, version) in [(b"one".as_slice(), "1.0.0"), (b"two", "2.0.0"), (b"three", "3.0.0")] {
        revoked(&world, content, version).await;
    }
    let kept = world.managed(b"kept").await;
    world.clock.advance(PAUSE);
    let other = world.another();
    let (objects, order) = (world.objects(), older_than(8 * DAY));
    let first = begin(&world).await;
    let second = gc::begin(&other.context, objects.as_ref(), Some(&world.caller), order).await.unwrap();
    assert_eq!(second, first);
    let (one, two) = tokio::join!(gc::work(world.context(), &objects), gc::work(&other.context, &objects));
    one.and(two).unwrap();
    let run = gc::last(world.context()).await.unwrap().unwrap();
    assert_eq!((run.finished_at.is_some(), run.removed, run.kept), (true, 3, 0), "{run:?}");
    assert_eq!(world.told("artifact.bytes_removed").await.len(), 3);
    assert_eq!(world.served(kept).await, b"kept");
}

#[tokio::test]
async fn one_that_sleeps_past_its_lease_writes_nothing_over_who_took_over() {
    let mut world = World::memory();
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    world.clock.advance(PAUSE);
    let gate = Gate::default();
    world.objects.on(Step::Erase, Trouble::WaitsBefore(gate.clone()));
    let collecting = collecting(&world);
    soon(gate.reached()).await;
    world.clock.advance(HOUR);
    let other = world.another();
    gc::work(&other.context, &world.objects()).await.unwrap();
    let run = gc::last(world.context()).await.unwrap().unwrap();
    assert!(run.finished_at.is_some(), "{run:?}");
    gate.open();
    soon(collecting).await.unwrap().unwrap();
    assert_eq!(gc::last(world.context()).await.unwrap().unwrap(), run);
    // In the meantime its bytes may have come back; what slept removes the old key alone.
    assert_eq!(world.managed(CONTENT).await, id);
    assert_eq!(world.served(id).await, CONTENT);
}

#[tokio::test]
async fn an_artifact_that_is_restored_has_the_pause_again() {
    let world = World::memory();
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    world.intervene(id, Intervention::Quarantine).await;
    world.clock.advance(PAUSE);
    world.intervene(id, Intervention::Restore).await;
    assert_eq!(collect(&world).await.removed, 0);
    world.clock.advance(PAUSE);
    assert_eq!(whats(&look(&world).await), [gc::What::Bytes(id)]);
}
