//! Releases that wait for their artifacts.

use shared::{
    app::{
        error::AppError,
        external::{self, Which},
        sweep::Leases,
    },
    domain::{artifact::ArtifactState, release::ReleaseStatus},
    ports::fetcher::{FetchError, SizeFound},
    testing::{fetcher::Line, gate::Trouble},
};

use super::world::{CONTENT, World, offered};

const OTHER: &[u8] = b"other bytes";

fn mismatch() -> Line {
    Line::Fails(FetchError::SizeMismatch { declared: 1, found: SizeFound::Exactly(2) })
}

async fn check(world: &World) {
    external::run(world.context(), &world.checker(), Which::Due).await.unwrap();
}

#[tokio::test]
async fn a_release_is_published_when_its_last_artifact_becomes_available() {
    let world = World::memory();
    world.product().await;
    let managed = world.managed(CONTENT).await;
    let (one, two) = (world.registered(CONTENT).await, world.registered(OTHER).await);
    let release = world.publish("1.0.0", &[managed, one, two]).await;
    let decider = world.decider(&world.process).await;
    world.fetcher.then(Line::Matches);
    world.fetcher.then(Line::Fails(FetchError::Timeout("the fetch")));
    check(&world).await;
    let states = [world.artifact(one).await.state, world.artifact(two).await.state];
    assert_eq!(states, [ArtifactState::Available, ArtifactState::Verifying]);
    assert_eq!(world.release(release).await.status, ReleaseStatus::PendingArtifacts);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "UP_TO_DATE");
    world.clock.set(world.artifact(two).await.attempts.next_at);
    world.fetcher.then(Line::Matches);
    check(&world).await;
    assert_eq!(world.release(release).await.status, ReleaseStatus::Published);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
    assert_eq!(world.told("release.published").await, [(release.to_string(), false)]);
}

#[tokio::test]
async fn a_release_is_rejected_with_one_of_its_artifacts_and_its_version_is_free_again() {
    let world = World::memory();
    world.product().await;
    let managed = world.managed(CONTENT).await;
    let bad = world.registered(OTHER).await;
    let release = world.publish("1.0.0", &[managed, bad]).await;
    let taken = world.try_publish("1.0.0", &[managed]).await;
    assert!(matches!(taken, Err(AppError::VersionUsed(_))), "{taken:?}");
    world.fetcher.then(mismatch());
    check(&world).await;
    let rejected = world.release(release).await;
    assert_eq!(rejected.status, ReleaseStatus::Rejected);
    assert!(rejected.rejected_reason.is_some_and(|reason| reason.contains(&bad.to_string())));
    let again = world.publish("1.0.0", &[managed]).await;
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
    // What was rejected once stays so, whatever becomes of its artifact.
    shared::app::artifacts::verify_again(world.context(), &world.caller, bad).await.unwrap();
    world.fetcher.then(Line::Matches);
    check(&world).await;
    world.sweep(Leases::Held).await;
    assert_eq!(world.artifact(bad).await.state, ArtifactState::Available);
    assert_eq!(world.release(release).await.status, ReleaseStatus::Rejected);
    assert_eq!(world.release(again).await.status, ReleaseStatus::Published);
}

#[tokio::test]
async fn a_rejection_in_one_channel_leaves_the_version_to_the_other() {
    let world = World::memory();
    world.product().await;
    let one = world.registered(CONTENT).await;
    let stable = world.publish("1.0.0", &[one]).await;
    let mut new = super::world::new_release("1.0.0", &[one]);
    new.channel = "beta".parse().unwrap();
    let beta =
        shared::app::releases::create(world.context(), &world.caller, &new, None).await.unwrap().release_id;
    world.revoke(&world.process, beta).await;
    world.fetcher.then(mismatch());
    check(&world).await;
    assert_eq!(world.release(stable).await.status, ReleaseStatus::Rejected);
    let other = world.managed(OTHER).await;
    let refused = world.try_publish("1.0.0", &[other]).await;
    assert!(matches!(refused, Err(AppError::VersionUsed(_))), "the other channel still has it: {refused:?}");
}

#[tokio::test]
async fn a_crash_between_the_check_and_the_publish_is_repaired_by_the_sweep() {
    for trouble in [Trouble::NotDone, Trouble::AnswerLost] {
        let world = World::memory();
        world.product().await;
        let id = world.registered(CONTENT).await;
        let release = world.publish("1.0.0", &[id]).await;
        world.fetcher.then(Line::Matches);
        world.items().on_write_to("releases", trouble.clone());
        check(&world).await;
        assert!(!world.items().has_orders());
        assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
        world.sweep(Leases::Held).await;
        assert_eq!(world.release(release).await.status, ReleaseStatus::Published, "{trouble:?}");
        assert_eq!(world.told("release.published").await, [(release.to_string(), false)]);
        let decider = world.decider(&world.process).await;
        assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
    }
}

#[tokio::test]
async fn a_release_made_while_its_artifact_becomes_available_waits_for_nothing() {
    let world = World::memory();
    world.product().await;
    let id = world.registered(CONTENT).await;
    let gate = shared::testing::gate::Gate::default();
    world.items().on_write_to("releases", Trouble::WaitsBefore(gate.clone()));
    let publishing = world.publishing("1.0.0", &[id]);
    super::world::soon(gate.reached()).await;
    world.fetcher.then(Line::Matches);
    check(&world).await;
    gate.open();
    let release = super::world::soon(publishing).await.unwrap().unwrap();
    assert_eq!(release.status, ReleaseStatus::Published);
}

#[tokio::test]
async fn many_sweeps_at_once_publish_a_waiting_release_once() {
    let mut world = World::memory();
    world.product().await;
    let id = world.registered(CONTENT).await;
    let release = world.publish("1.0.0", &[id]).await;
    world.fetcher.then(Line::Matches);
    world.items().on_write_to("releases", Trouble::NotDone);
    check(&world).await;
    let others: Vec<_> = (0..5).map(|_| world.another()).collect();
    let advance = others.iter().map(|other| shared::app::pending::advance(&other.context, release));
    for outcome in futures_util::future::join_all(advance).await {
        outcome.unwrap();
    }
    assert_eq!(world.told("release.published").await.len(), 1);
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
}
