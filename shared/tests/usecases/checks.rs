//! Checks of external bytes: what is tried again, what is final, and what others do meanwhile.

use std::sync::Arc;

use shared::{
    app::{
        artifacts::{self, Intervention},
        context::{Reading, Settings},
        error::AppError,
        external::{self, CheckResult, Which},
    },
    domain::{
        artifact::{Artifact, ArtifactState, Verification},
        ids::ArtifactId,
    },
    ports::fetcher::{FetchError, SizeFound},
    testing::{build, fetcher::Line, gate::Gate},
};

use super::world::{CONTENT, HOUR, SECOND, START, World, offered, soon};

fn differs() -> Line {
    let (declared, found) = (build::sha256(CONTENT), build::sha256(b"other bytes"));
    Line::Fails(FetchError::ChecksumMismatch { declared, found })
}

async fn check(world: &World) -> Option<i64> {
    external::run(world.context(), &world.checker(), Which::Due).await.unwrap()
}

async fn verify(world: &World, id: ArtifactId) -> Artifact {
    artifacts::verify_again(world.context(), &world.caller, id).await.unwrap()
}

/// An external artifact that was checked and found to be as declared.
async fn available(world: &World, content: &[u8]) -> ArtifactId {
    let id = world.registered(content).await;
    world.fetcher.then(Line::Matches);
    check(world).await;
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    id
}

#[tokio::test]
async fn other_bytes_or_another_size_reject_at_once() {
    let size = || Line::Fails(FetchError::SizeMismatch { declared: 25, found: SizeFound::MoreThan(25) });
    let concealed = || Line::Fails(FetchError::Differs);
    for (line, code) in
        [(differs(), "CHECKSUM_MISMATCH"), (size(), "SIZE_MISMATCH"), (concealed(), "CHECKSUM_MISMATCH")]
    {
        let world = World::memory();
        let id = world.registered(CONTENT).await;
        world.fetcher.then(line);
        assert_eq!(check(&world).await, None, "nothing is left to be done");
        let artifact = world.artifact(id).await;
        assert_eq!(artifact.state, ArtifactState::Rejected);
        assert!(artifact.reason.is_some_and(|reason| reason.starts_with(code)));
        assert_eq!(world.told("artifact.rejected").await, [(id.to_string(), false)]);
        world.clock.advance(48 * HOUR);
        check(&world).await;
        assert_eq!(world.fetcher.asked().len(), 1);
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_with_back_off_and_rejected_as_unreachable_after_a_day() {
    let world = World::memory();
    let id = world.registered(CONTENT).await;
    let mut pauses = Vec::new();
    while let Some(next) = check(&world).await {
        let artifact = world.artifact(id).await;
        assert_eq!((artifact.state, artifact.attempts.next_at), (ArtifactState::Verifying, next));
        let now = START + pauses.iter().sum::<i64>();
        assert!(now < START + 24 * HOUR, "it should have been given up");
        world.clock.set(next - 1);
        assert_eq!(check(&world).await, Some(next), "too early");
        world.clock.set(next);
        pauses.push(next - now);
    }
    let seconds: Vec<_> = pauses.iter().take(9).map(|pause| pause / SECOND).collect();
    assert_eq!(seconds, [30, 60, 120, 240, 480, 960, 1_920, 3_600, 3_600]);
    assert!(pauses[9..].iter().all(|pause| *pause == HOUR));
    assert_eq!(world.fetcher.asked().len(), pauses.len() + 1);
    let artifact = world.artifact(id).await;
    assert_eq!(artifact.state, ArtifactState::Rejected);
    assert!(artifact.reason.is_some_and(|reason| reason.starts_with("UNREACHABLE: ")));
    let seen = artifacts::checks(world.context(), &world.caller, id).await.unwrap();
    assert!(seen.iter().all(|check| check.result == CheckResult::Error));
    assert_eq!(seen.len(), pauses.len() + 1);
}

#[tokio::test]
async fn verifying_again_begins_anew_with_the_patience_of_a_day() {
    let world = World::memory();
    let id = world.registered(CONTENT).await;
    while let Some(next) = check(&world).await {
        world.clock.set(next);
    }
    assert_eq!(world.artifact(id).await.state, ArtifactState::Rejected);
    assert_eq!(verify(&world, id).await.state, ArtifactState::Verifying);
    assert!(check(&world).await.is_some(), "one more failure rejects nothing");
    assert_eq!(world.artifact(id).await.state, ArtifactState::Verifying);
    world.clock.set(world.artifact(id).await.attempts.next_at);
    world.fetcher.then(Line::Matches);
    assert_eq!(check(&world).await, None);
    let artifact = world.artifact(id).await;
    assert_eq!(
        (artifact.state, artifact.verification),
        (ArtifactState::Available, Some(Verification::Fetched))
    );
    assert_eq!(artifact.reason, None);
}

#[tokio::test]
async fn a_failure_that_may_pass_leaves_an_available_artifact_as_it_is() {
    let world = World::memory();
    let id = available(&world, CONTENT).await;
    verify(&world, id).await;
    world.fetcher.then(Line::Fails(FetchError::Status { status: 503, retry_after: None }));
    check(&world).await;
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    assert_eq!(world.told("artifact.quarantined").await, []);
}

#[tokio::test]
async fn drift_quarantines_and_decisions_fall_back_to_the_newest_release_that_is_whole() {
    let world = World::memory();
    world.product().await;
    let (old, new) = (available(&world, b"the bytes of 1.0.0").await, available(&world, CONTENT).await);
    world.publish("1.0.0", &[old]).await;
    world.publish("2.0.0", &[new]).await;
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    verify(&world, new).await;
    world.fetcher.then(differs());
    check(&world).await;
    let artifact = world.artifact(new).await;
    assert_eq!(artifact.state, ArtifactState::Quarantined);
    assert!(artifact.reason.is_some_and(|reason| reason.starts_with("DRIFT")));
    assert_eq!(world.told("artifact.quarantined").await, [(new.to_string(), false)]);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
    assert_eq!(offered(&decider, "1.0.0").await.unwrap(), "ARTIFACT_QUARANTINED");
    // The right bytes are back: what a check took away, a check gives back.
    verify(&world, new).await;
    world.fetcher.then(Line::Matches);
    check(&world).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
}

#[tokio::test]
async fn a_check_does_not_lift_what_somebody_quarantined() {
    for reason in ["it crashes", "DRIFT of the build server"] {
        let world = World::memory();
        let id = available(&world, CONTENT).await;
        let quarantine = Intervention::Quarantine;
        artifacts::intervene(world.context(), &world.caller, id, quarantine, reason).await.unwrap();
        verify(&world, id).await;
        world.fetcher.then(Line::Matches);
        check(&world).await;
        assert_eq!(world.artifact(id).await.state, ArtifactState::Quarantined, "{reason}");
    }
}

#[tokio::test]
async fn nobody_gives_a_reason_that_only_a_check_gives() {
    let world = World::memory();
    let id = available(&world, CONTENT).await;
    let quarantine = Intervention::Quarantine;
    let refused =
        artifacts::intervene(world.context(), &world.caller, id, quarantine, "DRIFT: it looks odd").await;
    assert!(matches!(refused, Err(AppError::Invalid { member, .. }) if member == "reason"));
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
}

#[tokio::test]
async fn of_two_processes_that_find_the_same_check_due_one_makes_it() {
    let mut world = World::memory();
    let other = world.another();
    let id = world.registered(CONTENT).await;
    let gate = Gate::default();
    world.fetcher.then(Line::MatchesAfter(gate.clone()));
    let (context, checker) = (world.context().clone(), world.checker());
    let checking = tokio::spawn(async move { external::run(&context, &checker, Which::Due).await });
    soon(gate.reached()).await;
    external::run(&other.context, &world.checker(), Which::Due).await.unwrap();
    gate.open();
    soon(checking).await.unwrap().unwrap();
    assert_eq!(world.fetcher.asked().len(), 1);
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    assert_eq!(world.told("artifact.verified").await.len(), 1);
}

#[tokio::test]
async fn a_check_is_nobody_elses_for_as_long_as_its_reading_may_take_by_the_settings() {
    // Ten minutes, and 25 seconds for 25 bytes; then a minute more.
    let reading = Reading { base_ms: 600 * SECOND, bytes_per_second: 1 };
    let mut world = World::with(Settings { reading, ..build::settings() });
    let other = world.another();
    let id = world.registered(CONTENT).await;
    let gate = Gate::default();
    world.fetcher.then(Line::MatchesAfter(gate.clone()));
    let (context, checker) = (world.context().clone(), world.checker());
    let checking = tokio::spawn(async move { external::run(&context, &checker, Which::Due).await });
    soon(gate.reached()).await;
    assert_eq!(world.artifact(id).await.attempts.next_at, START + 685 * SECOND);
    world.clock.set(START + 684 * SECOND);
    external::run(&other.context, &world.checker(), Which::Due).await.unwrap();
    assert_eq!(world.fetcher.asked().len(), 1);
    gate.open();
    soon(checking).await.unwrap().unwrap();
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
}

#[tokio::test]
async fn a_check_that_died_is_made_again_by_itself_and_at_once_by_the_only_process() {
    for which in [Which::Due, Which::All] {
        let world = World::memory();
        let id = world.registered(CONTENT).await;
        let gate = Gate::default();
        world.fetcher.then(Line::MatchesAfter(gate.clone()));
        let (context, checker) = (world.context().clone(), world.checker());
        let checking = tokio::spawn(async move { external::run(&context, &checker, Which::Due).await });
        soon(gate.reached()).await;
        checking.abort();
        assert!(checking.await.unwrap_err().is_cancelled());
        if which == Which::Due {
            let next = check(&world).await.expect("it is still to be made");
            world.clock.set(next);
        }
        world.fetcher.then(Line::Matches);
        external::run(world.context(), &world.checker(), which).await.unwrap();
        assert_eq!(world.artifact(id).await.state, ArtifactState::Available, "{which:?}");
    }
}

/// What happens to the artifact while its bytes are being fetched.
async fn meanwhile<F: Future<Output = ()>>(world: &World, gate: &Gate, work: impl FnOnce() -> F) {
    world.fetcher.then(Line::MatchesAfter(gate.clone()));
    let (context, checker) = (world.context().clone(), world.checker());
    let checking = tokio::spawn(async move { external::run(&context, &checker, Which::Due).await });
    soon(gate.reached()).await;
    work().await;
    gate.open();
    soon(checking).await.unwrap().unwrap();
}

#[tokio::test]
async fn an_artifact_that_is_revoked_while_it_is_fetched_stays_revoked() {
    let world = Arc::new(World::memory());
    let id = world.registered(CONTENT).await;
    meanwhile(&world, &Gate::default(), || world.intervene(id, Intervention::Revoke)).await;
    assert_eq!(world.artifact(id).await.state, ArtifactState::Revoked);
    assert_eq!(world.told("artifact.verified").await, []);
}

#[tokio::test]
async fn bytes_that_are_revoked_while_they_are_fetched_from_elsewhere_do_not_become_available() {
    let world = World::memory();
    let (managed, external) = (world.managed(CONTENT).await, world.registered(CONTENT).await);
    meanwhile(&world, &Gate::default(), || world.intervene(managed, Intervention::Revoke)).await;
    let artifact = world.artifact(external).await;
    assert_eq!(artifact.state, ArtifactState::Rejected);
    assert!(artifact.reason.is_some_and(|reason| reason.contains(&managed.to_string())));
}

#[tokio::test]
async fn a_check_withholds_an_available_artifact_whose_bytes_were_revoked_elsewhere() {
    for drifted in [false, true] {
        let world = World::memory();
        world.product().await;
        let (managed, external) = (world.managed(CONTENT).await, available(&world, CONTENT).await);
        world.publish("1.0.0", &[external]).await;
        let decider = world.decider(&world.process).await;
        if drifted {
            verify(&world, external).await;
            world.fetcher.then(differs());
            check(&world).await;
        }
        world.intervene(managed, Intervention::Revoke).await;
        verify(&world, external).await;
        world.fetcher.then(Line::Matches);
        check(&world).await;
        assert_eq!(world.artifact(external).await.state, ArtifactState::Quarantined);
        assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "ARTIFACT_QUARANTINED", "{drifted}");
        let restore = Intervention::Restore;
        let refused =
            artifacts::intervene(world.context(), &world.caller, external, restore, "it is fine").await;
        assert!(matches!(refused, Err(AppError::ArtifactRevoked(id)) if id == managed), "{refused:?}");
    }
}

#[tokio::test]
async fn an_artifact_that_is_deleted_while_it_is_fetched_does_not_come_back() {
    let world = World::memory();
    let id = world.registered(CONTENT).await;
    let delete = || async {
        artifacts::delete(world.context(), &world.objects(), &world.caller, id).await.unwrap();
    };
    meanwhile(&world, &Gate::default(), delete).await;
    assert_eq!(world.artifacts().await, []);
    assert_eq!(check(&world).await, None);
}
