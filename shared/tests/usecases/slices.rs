//! Bytes that one task cannot read to their end.

use std::time::Duration;

use shared::{
    app::external::{self, Which},
    domain::{
        artifact::{ArtifactState, Validators, Verification},
        hashing::Hashing,
        ids::ArtifactId,
    },
    ports::{
        fetcher::{FetchError, Progress},
        tasks::Task,
    },
    testing::{build, fetcher::Line, tasks::KeptTasks},
};

use super::world::{CONTENT, HOUR, World};

/// A deployment of functions: whoever reads stops after a while, and tasks are handed to others.
fn functions() -> (World, std::sync::Arc<KeptTasks>) {
    let settings =
        shared::app::context::Settings { read_budget: Some(Duration::from_secs(600)), ..build::settings() };
    let mut world = World::with(settings);
    let tasks = std::sync::Arc::new(KeptTasks::default());
    world.process.context.tasks = Some(std::sync::Arc::clone(&tasks) as _);
    (world, tasks)
}

/// What was read after this many bytes.
fn progress(bytes: usize) -> Progress {
    let mut hash = Hashing::default();
    hash.update(&CONTENT[..bytes]);
    Progress {
        hash: hash.save(),
        validators: Validators { etag: Some("\"v1\"".into()), ..Validators::default() },
    }
}

/// How far a check came, as it is shown.
async fn under_way(world: &World, id: ArtifactId) -> Option<(Option<u64>, u64)> {
    let found = external::under_way(world.context(), &world.artifact(id).await).await.unwrap();
    found.map(|found| (found.bytes_read, found.size_bytes))
}

async fn check(world: &World, id: ArtifactId) -> Option<i64> {
    external::check(world.context(), &world.checker(), id, Which::Due).await.unwrap()
}

#[tokio::test]
async fn a_reading_goes_on_in_the_next_task_where_the_last_one_stopped() {
    let (world, tasks) = functions();
    let id = world.registered(CONTENT).await;
    assert_eq!(tasks.take(), [Task::Check { artifact_id: id }]);
    for bytes in [5, 10, 15] {
        world.fetcher.then(Line::Stops(progress(bytes)));
        check(&world, id).await;
        assert_eq!(tasks.take(), [Task::Check { artifact_id: id }], "another task goes on at once");
        assert_eq!(under_way(&world, id).await, Some((Some(bytes as u64), 25)));
        assert_eq!(world.artifact(id).await.state, ArtifactState::Verifying);
    }
    let said = Validators { etag: Some("\"v1\"".into()), ..Validators::default() };
    world.fetcher.then(Line::Proves(Verification::Fetched, said.clone()));
    assert_eq!(check(&world, id).await, None);
    let asked = world.fetcher.asked();
    let resumed: Vec<_> =
        asked.iter().map(|asked| asked.resume.as_ref().map(|part| part.hash.bytes)).collect();
    assert_eq!(resumed, [None, Some(5), Some(10), Some(15)]);
    assert!(asked.iter().all(|asked| asked.budget == Some(Duration::from_secs(600))));
    let artifact = world.artifact(id).await;
    assert_eq!(
        (artifact.state, artifact.verification),
        (ArtifactState::Available, Some(Verification::Fetched))
    );
    assert_eq!(artifact.validators.as_deref(), Some(&said), "kept for cheap checks");
    assert_eq!(tasks.take(), []);
    // What was read is forgotten with the end: the next check begins anew.
    shared::app::artifacts::verify_again(world.context(), &world.caller, id).await.unwrap();
    world.fetcher.then(Line::Matches);
    check(&world, id).await;
    assert_eq!(world.fetcher.asked().last().unwrap().resume, None);
}

#[tokio::test]
async fn a_task_that_died_is_taken_up_again_from_its_last_slice_within_minutes() {
    let (world, _) = functions();
    let id = world.registered(&vec![7; 64 << 20]).await;
    world.fetcher.then(Line::Stops(progress(5)));
    check(&world, id).await;
    // This one never comes back: it is as if it had been claimed and no more.
    let gate = shared::testing::gate::Gate::default();
    world.fetcher.then(Line::MatchesAfter(gate.clone()));
    let (context, checker) = (world.context().clone(), world.checker());
    let dying = tokio::spawn(async move { external::check(&context, &checker, id, Which::Due).await });
    super::world::soon(gate.reached()).await;
    dying.abort();
    let next = check(&world, id).await.expect("it is still to be made");
    assert!(next - world.context().clock.now_ms() <= 900_000, "{next}");
    world.clock.set(next);
    world.fetcher.then(Line::Matches);
    assert_eq!(check(&world, id).await, None);
    assert_eq!(world.fetcher.asked().last().unwrap().resume, Some(progress(5)));
}

#[tokio::test]
async fn bytes_that_take_longer_than_a_day_are_proved_while_they_come() {
    let (world, _) = functions();
    let id = world.registered(CONTENT).await;
    for bytes in 1..20 {
        world.clock.advance(2 * HOUR);
        world.fetcher.then(Line::Stops(progress(bytes)));
        check(&world, id).await;
        world.clock.advance(2 * HOUR);
        world.fetcher.then(Line::Fails(FetchError::Timeout("a piece of the body")));
        check(&world, id).await;
        assert_eq!(world.artifact(id).await.state, ArtifactState::Verifying);
    }
}

#[tokio::test]
async fn bytes_that_change_while_they_are_read_are_a_failure_with_back_off_in_the_end() {
    let (world, tasks) = functions();
    let id = world.registered(CONTENT).await;
    world.fetcher.then(Line::Stops(progress(10)));
    check(&world, id).await;
    tasks.take();
    world.fetcher.then(Line::Stops(progress(4)));
    let next = check(&world, id).await.unwrap();
    assert!(next > world.context().clock.now_ms(), "it is not asked again at once");
    assert_eq!(tasks.take(), []);
    let artifact = world.artifact(id).await;
    assert!(artifact.reason.is_some_and(|reason| reason.contains("change while they are read")));
}

#[tokio::test]
async fn a_host_that_asks_to_come_later_is_left_alone_until_then() {
    let world = World::memory();
    let id = world.registered(CONTENT).await;
    let limited = FetchError::Status { status: 429, retry_after: Some(Duration::from_secs(7_000)) };
    world.fetcher.then(Line::Fails(limited));
    let next = check(&world, id).await.unwrap();
    assert_eq!(next, world.context().clock.now_ms() + 7_000_000);
    world.clock.set(next - 1);
    check(&world, id).await;
    assert_eq!(world.fetcher.asked().len(), 1);
}

#[tokio::test]
async fn how_far_a_check_came_is_shown_while_it_is_under_way_and_not_of_private_files() {
    let (world, _) = functions();
    let id = world.registered(CONTENT).await;
    assert_eq!(under_way(&world, id).await, Some((Some(0), 25)), "it is to be made");
    world.fetcher.then(Line::Stops(progress(9)));
    check(&world, id).await;
    assert_eq!(under_way(&world, id).await, Some((Some(9), 25)));
    world.fetcher.then(Line::Matches);
    check(&world, id).await;
    assert_eq!(under_way(&world, id).await, None);
    // The same of one that is checked again.
    shared::app::artifacts::verify_again(world.context(), &world.caller, id).await.unwrap();
    assert_eq!(under_way(&world, id).await, Some((Some(0), 25)));
    let repositories = vec![build::private_repository("https://downloads.example.com/")];
    let settings = shared::app::context::Settings { repositories, ..build::settings() };
    let world = World::with(settings);
    let id = world.registered(CONTENT).await;
    world.fetcher.then(Line::Stops(progress(9)));
    check(&world, id).await;
    assert_eq!(under_way(&world, id).await, Some((None, 25)));
}
