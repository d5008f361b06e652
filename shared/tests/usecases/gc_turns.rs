//! When cleaning up is begun, and what it does where it cannot go on.

use shared::{
    app::{
        context::{Gc, Settings},
        gc::{self, LEAST_AGE_MS},
    },
    domain::{ids::UploadId, upload::ObjectKey},
    testing::{build, gate::Trouble, objects::Step},
};

use super::{
    gc::{DAY, PAUSE, begin, older_than, revoked},
    world::{CONTENT, HOUR, World},
};

#[tokio::test]
async fn it_is_begun_by_itself_once_a_day_and_never_where_nobody_wants_it() {
    let world = World::memory();
    let tick = || async { gc::tick(world.context(), &world.objects()).await.unwrap() };
    tick().await;
    let first = gc::last(world.context()).await.unwrap().unwrap();
    assert!(first.finished_at.is_some() && first.asked_by.is_none());
    world.clock.advance(DAY - 1);
    tick().await;
    assert_eq!(gc::last(world.context()).await.unwrap().unwrap(), first);
    world.clock.advance(1);
    tick().await;
    assert_ne!(gc::last(world.context()).await.unwrap().unwrap(), first);

    let world = World::with(Settings { gc: Gc { interval_ms: 0, ..Gc::default() }, ..build::settings() });
    gc::tick(world.context(), &world.objects()).await.unwrap();
    assert_eq!(gc::last(world.context()).await.unwrap(), None);
    let objects = world.objects();
    gc::begin(world.context(), objects.as_ref(), Some(&world.caller), older_than(0)).await.unwrap();
    gc::tick(world.context(), &world.objects()).await.unwrap();
    let run = gc::last(world.context()).await.unwrap().unwrap();
    assert_eq!((run.finished_at, run.older_than_ms), (Some(world.now()), LEAST_AGE_MS));
    assert_eq!(world.told("gc.started").await, [("gc".to_owned(), true)]);
}

#[tokio::test]
async fn a_store_that_cannot_be_listed_is_tried_again_and_then_named() {
    let world = World::memory().bound().await;
    world.product().await;
    let (id, _) = revoked(&world, CONTENT, "1.0.0").await;
    world.clock.advance(PAUSE);
    begin(&world).await;
    for _ in 0..2 {
        world.objects.on(Step::List, Trouble::NotDone);
        gc::work(world.context(), &world.objects()).await.unwrap_err();
    }
    world.objects.on(Step::List, Trouble::NotDone);
    gc::work(world.context(), &world.objects()).await.unwrap();
    let run = gc::last(world.context()).await.unwrap().unwrap();
    assert_eq!((run.named[0].name.as_str(), run.removed), ("staging", 1), "{run:?}");
    assert!(run.finished_at.is_some());
    assert!(world.artifact(id).await.removed_at.is_some());
}

#[tokio::test]
async fn a_copy_that_was_begun_and_never_ended_goes_once_nobody_can_be_writing_it() {
    let world = World::memory();
    let draft = ObjectKey::Escrow(UploadId::from_parts(1, 2), 1);
    // The largest copy takes less than six hours at the slowest rate.
    world.objects.has_left(draft, world.now());
    let soon = gc::Order { older_than_ms: LEAST_AGE_MS, forced: false };
    for (hours, left) in [(6, 1), (1, 0)] {
        world.clock.advance(hours * HOUR);
        gc::begin(world.context(), world.objects().as_ref(), None, soon).await.unwrap();
        gc::work(world.context(), &world.objects()).await.unwrap();
        assert_eq!(world.objects.left().len(), left);
    }
    let run = gc::last(world.context()).await.unwrap().unwrap();
    assert_eq!((run.removed, run.kept, run.refused), (1, 0, None));
}
