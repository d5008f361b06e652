//! Whose store it is: over records that are not those of the store, nothing is removed.

use shared::{
    app::{
        error::AppError,
        gc::{self, Order, Run},
        keys,
        store::Batch,
    },
    domain::upload::ObjectKey,
    ports::{
        items::Expect,
        objects::{Area, Thing},
    },
    testing::{gate::Trouble, objects::Step},
};

use super::{
    gc::{DAY, PAUSE, begin, collect, older_than},
    world::{CONTENT, World},
};

/// How many artifacts a store of a test has.
const MANY: usize = 12;

/// Old artifacts, each with a release.
async fn filled(world: &World) -> Vec<shared::domain::ids::ArtifactId> {
    world.product().await;
    let mut ids = Vec::new();
    for number in 0..MANY {
        let id = world.managed(format!("installer {number}").as_bytes()).await;
        world.publish(&format!("1.{number}.0"), &[id]).await;
        ids.push(id);
    }
    world.clock.advance(90 * DAY);
    ids
}

async fn marks(world: &World) -> Vec<ObjectKey> {
    let listed = world.store.objects.list(Area::Deployment, None, 10).await.unwrap().found;
    let key = |thing| match thing {
        Thing::Object(key) => key,
        other => panic!("{other:?}"),
    };
    listed.into_iter().map(|listed| key(listed.thing)).collect()
}

/// Every way in which a cleaning up begins by itself; what became of it.
async fn by_itself(world: &World) -> Run {
    for _ in 0..2 {
        gc::tick(world.context(), &world.objects()).await.unwrap();
        gc::work(world.context(), &world.objects()).await.unwrap();
    }
    gc::last(world.context()).await.unwrap().unwrap()
}

async fn asked(world: &World, forced: bool) -> Result<Run, AppError> {
    let order = Order { forced, ..older_than(gc::LEAST_AGE_MS) };
    gc::begin(world.context(), world.objects().as_ref(), Some(&world.caller), order).await
}

async fn all_served(world: &World, ids: &[shared::domain::ids::ArtifactId]) {
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(world.served(*id).await, format!("installer {number}").as_bytes());
    }
}

#[tokio::test]
async fn over_empty_records_nothing_is_removed_of_a_store_that_is_marked() {
    for world in [World::memory().bound().await, World::embedded().bound().await] {
        let ids = filled(&world).await;
        let empty = world.without_records();
        let run = by_itself(&empty).await;
        assert_eq!((run.removed, run.kept), (0, 0), "{run:?}");
        assert!(run.refused.is_some_and(|why| why.contains("another deployment")));
        for forced in [false, true] {
            let refused = asked(&empty, forced).await;
            assert!(matches!(refused, Err(AppError::CleaningRefused(_))), "{refused:?}");
        }
        all_served(&world, &ids).await;
        assert_eq!(marks(&world).await.len(), 1, "whoever keeps nothing there leaves no mark");
        let run = collect(&world).await;
        assert_eq!((run.refused, run.removed), (None, 0), "the owner still cleans up");
    }
}

#[tokio::test]
async fn over_empty_records_nothing_is_removed_of_a_store_that_nobody_has_marked() {
    for many in [1, MANY] {
        let world = World::memory();
        let mut ids = Vec::new();
        for number in 0..many {
            ids.push(world.managed(format!("installer {number}").as_bytes()).await);
        }
        world.clock.advance(90 * DAY);
        let empty = world.without_records();
        let run = by_itself(&empty).await;
        assert_eq!((run.removed, run.kept, run.refused.is_some()), (0, 0, true), "{run:?}");
        assert!(matches!(asked(&empty, false).await, Err(AppError::CleaningRefused(_))));
        assert_eq!(marks(&world).await, []);
        all_served(&world, &ids).await;
    }
}

#[tokio::test]
async fn two_deployments_over_one_store_remove_nothing_of_each_other() {
    let world = World::memory().bound().await;
    let ids = filled(&world).await;
    let other = world.without_records();
    other.product().await;
    let theirs = other.managed(b"theirs").await;
    other.publish("1.0.0", &[theirs]).await;
    gc::tick(other.context(), &other.objects()).await.unwrap();
    assert_eq!(marks(&world).await.len(), 2, "both keep something there");
    for world in [&world, &other] {
        world.clock.advance(90 * DAY);
        let run = by_itself(world).await;
        assert_eq!((run.removed, run.refused.is_some()), (0, true), "{run:?}");
        assert!(matches!(asked(world, true).await, Err(AppError::CleaningRefused(_))));
    }
    all_served(&world, &ids).await;
    assert_eq!(other.served(theirs).await, b"theirs");
}

#[tokio::test]
async fn a_store_without_the_mark_that_was_made_is_cleaned_up_by_who_insists_alone() {
    let world = World::memory().bound().await;
    let ids = filled(&world).await;
    let mark = marks(&world).await[0];
    world.store.objects.delete(&mark).await.unwrap();
    assert!(by_itself(&world).await.refused.is_some_and(|why| why.contains(&mark.to_string())));
    assert!(matches!(asked(&world, false).await, Err(AppError::CleaningRefused(_))));
    asked(&world, true).await.unwrap();
    gc::work(world.context(), &world.objects()).await.unwrap();
    assert_eq!(gc::last(world.context()).await.unwrap().unwrap().refused, None);
    assert_eq!(marks(&world).await, [mark]);
    world.clock.advance(DAY);
    assert_eq!(by_itself(&world).await.refused, None);
    all_served(&world, &ids).await;
}

#[tokio::test]
async fn records_of_an_old_backup_cost_nothing_that_came_after_it() {
    let world = World::memory().bound().await;
    let ids = filled(&world).await;
    // What the backup does not know: the uploads, and whose bytes they are.
    let lost = &ids[4..];
    for id in lost {
        let artifact = world.artifact(*id).await;
        let shared::domain::artifact::Location::Managed { key, .. } = artifact.location else { panic!() };
        let mut batch = Batch::default();
        batch.delete(keys::upload(key.upload_id()), Expect::Anything);
        batch.delete(keys::managed_bytes(&artifact.sha256), Expect::Anything);
        world.context().store.commit(batch).await.unwrap();
    }
    let run = collect(&world).await;
    assert!(run.removed == 0 && run.refused.is_some_and(|why| why.contains("8 have no record")));
    all_served(&world, &ids).await;
    // Whoever has looked, and says so, is believed.
    asked(&world, true).await.unwrap();
    gc::work(world.context(), &world.objects()).await.unwrap();
    let run = gc::last(world.context()).await.unwrap().unwrap();
    assert_eq!((run.refused, run.removed, run.forced), (None, lost.len() as u64, true));
    assert_eq!(world.served(ids[0]).await, b"installer 0");
}

#[tokio::test]
async fn a_few_things_of_a_recent_past_that_is_not_known_stay_as_well() {
    let world = World::memory().bound().await;
    filled(&world).await;
    let id = world.staged(CONTENT).await;
    let mut batch = Batch::default();
    batch.delete(keys::upload(id), Expect::Anything);
    world.context().store.commit(batch).await.unwrap();
    world.clock.advance(PAUSE - 1);
    let run = collect(&world).await;
    assert_eq!((run.removed, run.kept), (0, 1), "{run:?}");
    world.clock.advance(DAY + 1);
    assert_eq!(collect(&world).await.removed, 1, "by now its record would be gone as well");
}

#[tokio::test]
async fn a_mark_whose_making_was_interrupted_is_made_by_the_next() {
    for (step, trouble) in [(Step::Keep, Trouble::NotDone), (Step::Keep, Trouble::AnswerLost)] {
        let world = World::memory();
        world.objects.on(step, trouble);
        gc::tick(world.context(), &world.objects()).await.unwrap_err();
        gc::tick(world.context(), &world.objects()).await.unwrap();
        assert_eq!(marks(&world).await.len(), 1);
        assert_eq!(begin(&world).await.refused, None);
    }
    let world = World::memory();
    // The mark is there, and nothing was written down of it.
    world.items().on_commit(2, Trouble::NotDone);
    gc::tick(world.context(), &world.objects()).await.unwrap_err();
    assert_eq!(marks(&world).await.len(), 1);
    assert_eq!(by_itself(&world).await.refused, None);
    assert_eq!(marks(&world).await.len(), 1);
}

#[tokio::test]
async fn a_store_that_does_not_tell_whose_it_is_is_not_cleaned_up_meanwhile() {
    let world = World::memory().bound().await;
    filled(&world).await;
    world.objects.on(Step::ListMarks, Trouble::NotDone);
    assert!(matches!(asked(&world, false).await, Err(AppError::Objects(_))));
    begin(&world).await;
    world.objects.on(Step::ListMarks, Trouble::NotDone);
    gc::work(world.context(), &world.objects()).await.unwrap_err();
    assert_eq!(gc::last(world.context()).await.unwrap().unwrap().finished_at, None);
    gc::work(world.context(), &world.objects()).await.unwrap();
    assert!(gc::last(world.context()).await.unwrap().unwrap().finished_at.is_some());
}
