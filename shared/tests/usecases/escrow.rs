//! Copies of external artifacts: how they are made, and when clients are given them.

use shared::{
    app::{
        artifacts::{self, Intervention},
        context::Settings,
        error::AppError,
        external::{self, Which},
        gc::What,
        register::{self, Registration},
        sentinel,
    },
    domain::{
        artifact::{Access, Artifact, ArtifactState, Validators},
        ids::ArtifactId,
        upload::ObjectKey,
    },
    ports::fetcher::FetchError,
    testing::{build, fetcher::Line, gate::Trouble, objects::Step},
};

use super::{
    gc::{DAY, PAUSE, collect, look, whats},
    world::{CONTENT, HOUR, SECOND, World, ask, offered},
};

const URL: &str = "https://downloads.example.com/editor.msi";

fn registration(url: &str) -> Registration {
    Registration { escrow: true, ..build::registration(CONTENT, url) }
}

async fn register(world: &World, wanted: &Registration) -> Result<(Artifact, bool), AppError> {
    register::register(world.context(), &world.caller, wanted, None).await
}

async fn check(world: &World) {
    external::run(world.context(), &world.checker(), Which::Due).await.unwrap();
}

/// An external artifact of which there is a copy.
async fn kept(world: &World, url: &str) -> ArtifactId {
    let id = register(world, &registration(url)).await.unwrap().0.artifact_id;
    world.fetcher.then(Line::Sends(CONTENT.to_vec()));
    check(world).await;
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    id
}

async fn copy(world: &World, id: ArtifactId) -> Option<Vec<u8>> {
    copy_number(world, id, 1).await
}

async fn copy_number(world: &World, id: ArtifactId, number: u32) -> Option<Vec<u8>> {
    world.store.read(ObjectKey::escrow(id, number), None).await.ok()
}

/// Two looks that find this, the second a while after the first.
async fn looked_at(world: &World, answer: fn() -> Result<Validators, FetchError>) {
    for later in [2 * HOUR, 10 * 60 * SECOND] {
        world.clock.advance(later);
        world.fetcher.then_says(answer());
        sentinel::run(world.context(), &world.checker()).await.unwrap();
    }
}

#[expect(clippy::unnecessary_wraps, reason = "one of the answers that a host gives")]
fn other_bytes() -> Result<Validators, FetchError> {
    Ok(Validators { sha256: Some(build::sha256(b"other bytes")), ..Validators::default() })
}

#[expect(clippy::unnecessary_wraps, reason = "one of the answers that a host gives")]
fn right_bytes() -> Result<Validators, FetchError> {
    Ok(Validators { sha256: Some(build::sha256(CONTENT)), ..Validators::default() })
}

fn gone() -> Result<Validators, FetchError> {
    Err(FetchError::Status { status: 404, retry_after: None })
}

/// Where the newest decision leads.
async fn url(world: &World) -> String {
    let decider = world.decider(&world.process).await;
    let payload = ask(&decider, &build::question(super::world::PRODUCT, "1.0.0")).await.unwrap();
    payload["artifact"]["url"].as_str().unwrap_or_default().to_owned()
}

fn ours(id: ArtifactId) -> String {
    format!("https://updates.example.com/v1/artifacts/{id}/download")
}

#[tokio::test]
async fn a_copy_is_made_by_the_fetch_that_proves_the_bytes() {
    for world in [World::memory(), World::embedded()] {
        let id = kept(&world, URL).await;
        assert_eq!(world.fetcher.asked().len(), 1, "it is read once");
        assert_eq!(copy(&world, id).await.as_deref(), Some(CONTENT));
        let artifact = world.artifact(id).await;
        assert_eq!(artifact.copy().unwrap().kept_at, Some(world.now()));
        assert_eq!(artifact.served_copy(), None, "the original is whole");
        let again = register(&world, &registration(URL)).await.unwrap();
        assert_eq!((again.0.artifact_id, again.1), (id, false));
        let without = register(&world, &build::registration(CONTENT, URL)).await;
        assert!(matches!(without, Err(AppError::ArtifactExists { .. })), "{without:?}");
    }
}

#[tokio::test]
async fn bytes_that_are_not_the_declared_ones_leave_no_copy() {
    for world in [World::memory(), World::embedded()] {
        let id = register(&world, &registration(URL)).await.unwrap().0.artifact_id;
        let (declared, found) = (build::sha256(CONTENT), build::sha256(b"other bytes"));
        world.fetcher.then(Line::Fails(FetchError::ChecksumMismatch { declared, found }));
        check(&world).await;
        assert_eq!(world.artifact(id).await.state, ArtifactState::Rejected);
        assert_eq!(copy(&world, id).await, None);
    }
}

#[tokio::test]
async fn an_artifact_is_not_available_before_its_copy_is_there() {
    let world = World::memory();
    let id = register(&world, &registration(URL)).await.unwrap().0.artifact_id;
    world.objects.on(Step::Keep, Trouble::NotDone);
    world.fetcher.then(Line::Sends(CONTENT.to_vec()));
    check(&world).await;
    assert_eq!((world.artifact(id).await.state, copy(&world, id).await), (ArtifactState::Verifying, None));
    world.clock.advance(HOUR);
    world.fetcher.then(Line::Sends(CONTENT.to_vec()));
    check(&world).await;
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    assert_eq!(copy(&world, id).await.as_deref(), Some(CONTENT));
}

#[tokio::test]
async fn when_the_original_drifts_the_artifact_stays_offered_and_the_copy_is_named() {
    for (answer, word) in [(other_bytes as fn() -> _, "DRIFT: "), (gone, "UNREACHABLE: ")] {
        let world = World::memory();
        world.product().await;
        let id = kept(&world, URL).await;
        world.publish("2.0.0", &[id]).await;
        assert_eq!(url(&world).await, URL);
        looked_at(&world, answer).await;
        let artifact = world.artifact(id).await;
        assert_eq!((artifact.state, &artifact.reason), (ArtifactState::Available, &None));
        assert!(artifact.served_copy().unwrap().original.as_ref().unwrap().starts_with(word), "{artifact:?}");
        assert_eq!(url(&world).await, ours(id));
        assert_eq!(world.told("artifact.original_lost").await, [(id.to_string(), false)]);
        let checks = artifacts::checks(world.context(), &world.caller, id).await.unwrap();
        assert!(checks.last().unwrap().code.is_some(), "{checks:?}");

        world.clock.advance(DAY);
        world.fetcher.then_says(right_bytes());
        sentinel::run(world.context(), &world.checker()).await.unwrap();
        assert_eq!(world.artifact(id).await.served_copy(), None);
        assert_eq!(url(&world).await, URL);
        assert_eq!(world.told("artifact.original_recovered").await, [(id.to_string(), false)]);
    }
}

#[tokio::test]
async fn what_an_operator_withholds_is_withheld_with_its_copy() {
    let world = World::memory();
    world.product().await;
    let id = kept(&world, URL).await;
    world.publish("2.0.0", &[id]).await;
    looked_at(&world, gone).await;
    world.intervene(id, Intervention::Quarantine).await;
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "1.0.0").await.unwrap(), "ARTIFACT_QUARANTINED");
    world.intervene(id, Intervention::Restore).await;
    assert_eq!(offered(&decider, "1.0.0").await.unwrap(), "2.0.0");
    assert_eq!(url(&world).await, ours(id));
    world.intervene(id, Intervention::Revoke).await;
    assert_eq!(offered(&decider, "1.0.0").await.unwrap(), "ARTIFACT_QUARANTINED");
}

#[tokio::test]
async fn what_clients_cannot_read_is_given_as_the_copy_from_the_beginning() {
    let world = World::memory();
    world.product().await;
    let plain = "http://downloads.example.com/editor.msi";
    let refused = register(&world, &build::registration(CONTENT, plain)).await;
    assert!(matches!(refused, Err(AppError::Url(_))), "{refused:?}");
    let id = kept(&world, plain).await;
    assert!(world.artifact(id).await.served_copy().is_some());
    world.publish("2.0.0", &[id]).await;
    assert_eq!(url(&world).await, ours(id));
    looked_at(&world, gone).await;
    assert_eq!(url(&world).await, ours(id));
}

#[tokio::test]
async fn a_decision_outlives_a_url_that_ends_where_there_is_a_copy() {
    let world = World::memory();
    world.product().await;
    let ends = world.now() / 1_000 + 60;
    let id = kept(&world, &format!("{URL}?Expires={ends}")).await;
    let artifact = world.artifact(id).await;
    assert_eq!((artifact.warnings.len(), artifact.served_copy().is_some()), (0, true));
    world.publish("2.0.0", &[id]).await;
    world.clock.advance(2 * HOUR);
    assert_eq!(url(&world).await, ours(id));
}

#[tokio::test]
async fn escrow_is_refused_where_it_cannot_be() {
    let world =
        World::with(Settings { escrow_max_size_bytes: CONTENT.len() as u64 - 1, ..build::settings() });
    let refused = register(&world, &registration(URL)).await;
    assert!(
        matches!(&refused, Err(AppError::Invalid { member, .. }) if member == "size_bytes"),
        "{refused:?}"
    );
    let world = World::memory();
    let theirs = Registration { access: Access::ClientAuthenticates, ..registration(URL) };
    let refused = register(&world, &theirs).await;
    assert!(matches!(&refused, Err(AppError::Invalid { member, .. }) if member == "escrow"), "{refused:?}");
}

#[tokio::test]
async fn a_copy_is_referred_to_by_its_artifact_and_goes_with_it() {
    for world in [World::memory().bound().await, World::embedded().bound().await] {
        let (id, other) = (kept(&world, URL).await, kept(&world, &format!("{URL}.exe")).await);
        world.clock.advance(400 * DAY);
        assert_eq!(whats(&look(&world).await), [], "nobody has released it yet");
        artifacts::delete(world.context(), &world.objects(), &world.caller, id).await.unwrap();
        assert_eq!(copy(&world, id).await, None);
        world.objects.on(Step::Delete, Trouble::NotDone);
        artifacts::delete(world.context(), &world.objects(), &world.caller, other).await.unwrap_err();
        assert_eq!(whats(&look(&world).await), [What::Object(ObjectKey::escrow(other, 1))]);
        assert_eq!(collect(&world).await.removed, 1);
        assert_eq!(copy(&world, other).await, None);
    }
}

#[tokio::test]
async fn a_copy_whose_releases_were_revoked_goes_and_registering_again_makes_it_again() {
    let world = World::memory();
    world.product().await;
    let id = kept(&world, URL).await;
    let release = world.publish("2.0.0", &[id]).await;
    world.revoke(&world.process, release).await;
    world.clock.advance(PAUSE);
    assert_eq!(whats(&look(&world).await), [What::Bytes(id)]);
    assert_eq!(collect(&world).await.removed, 1);
    let artifact = world.artifact(id).await;
    assert_eq!((artifact.state, copy(&world, id).await), (ArtifactState::Quarantined, None));
    assert_eq!(artifact.copy(), None);
    let again = register(&world, &registration(URL)).await.unwrap().0;
    assert_eq!((again.artifact_id, again.state), (id, ArtifactState::Verifying));
    world.fetcher.then(Line::Sends(CONTENT.to_vec()));
    check(&world).await;
    assert_eq!(world.artifact(id).await.state, ArtifactState::Available);
    // Whoever is still removing the first removes no other.
    assert_eq!((copy(&world, id).await, copy_number(&world, id, 2).await.as_deref()), (None, Some(CONTENT)));
    world.clock.advance(PAUSE - 1);
    assert_eq!(whats(&look(&world).await), [], "it has the pause again");
}
