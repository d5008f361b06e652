//! Releases that are made while what they depend on changes.

use shared::{
    app::{
        artifacts::{self, Intervention},
        error::AppError,
        keys, release_list, releases,
        sweep::Leases,
    },
    domain::{
        artifact::ArtifactState,
        release::{ReleaseStatus, VersionUse},
        rollout::Percentage,
    },
    testing::{
        fetcher::Line,
        gate::{Gate, Trouble},
    },
};

use super::world::{CONTENT, PRODUCT, World, offered, soon};

async fn listed(world: &World) -> Vec<shared::domain::release::Release> {
    let filter = release_list::Filter { limit: 100, ..release_list::Filter::default() };
    release_list::list(world.context(), &world.caller, &PRODUCT.parse().unwrap(), &filter).await.unwrap().0
}

async fn version_is_taken(world: &World, version: &str) -> bool {
    let key = keys::version(&PRODUCT.parse().unwrap(), &version.parse().unwrap());
    world.context().store.get::<VersionUse>(key).await.unwrap().is_some()
}

async fn delete(world: &World, id: shared::domain::ids::ArtifactId) -> Result<(), AppError> {
    artifacts::delete(world.context(), &world.objects(), &world.caller, id).await
}

#[tokio::test]
async fn a_publish_that_read_before_a_quarantine_is_refused_at_its_commit_and_leaves_nothing() {
    let world = World::memory();
    world.product().await;
    let id = world.managed(CONTENT).await;
    let gate = Gate::default();
    world.items().on_write_to("releases", Trouble::WaitsBefore(gate.clone()));
    let publishing = world.publishing("1.0.0", &[id]);
    soon(gate.reached()).await;
    world.intervene(id, Intervention::Quarantine).await;
    gate.open();
    let refused = soon(publishing).await.unwrap();
    assert!(
        matches!(refused, Err(AppError::ArtifactNotAvailable { state: "QUARANTINED", .. })),
        "{refused:?}"
    );
    assert_eq!(world.items().conflicts(), 1);
    assert_eq!((listed(&world).await, version_is_taken(&world, "1.0.0").await), (vec![], false));
    assert_eq!(world.told("release.created").await, []);
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "UP_TO_DATE");
}

#[tokio::test]
async fn a_quarantine_that_read_before_a_publish_is_made_after_it_and_withholds_the_release() {
    let world = World::memory();
    world.product().await;
    let id = world.managed(CONTENT).await;
    let gate = Gate::default();
    world.items().on_write_to("unavailable", Trouble::WaitsBefore(gate.clone()));
    let (context, caller) = (world.context().clone(), world.caller.clone());
    let quarantining = tokio::spawn(async move {
        artifacts::intervene(&context, &caller, id, Intervention::Quarantine, "a test").await
    });
    soon(gate.reached()).await;
    world.publish("1.0.0", &[id]).await;
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
    gate.open();
    assert_eq!(soon(quarantining).await.unwrap().unwrap().state, ArtifactState::Quarantined);
    assert_eq!(world.items().conflicts(), 1);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "ARTIFACT_QUARANTINED");
}

#[tokio::test]
async fn a_waiting_release_whose_artifact_is_quarantined_at_the_last_moment_goes_on_waiting() {
    let world = World::memory();
    world.product().await;
    let id = world.registered(CONTENT).await;
    let release = world.publish("1.0.0", &[id]).await;
    let gate = Gate::default();
    world.items().on_write_to("releases", Trouble::WaitsBefore(gate.clone()));
    world.fetcher.then(Line::Matches);
    let (context, checker) = (world.context().clone(), world.checker());
    let checking = tokio::spawn(async move {
        shared::app::external::run(&context, &checker, shared::app::external::Which::Due).await
    });
    soon(gate.reached()).await;
    world.intervene(id, Intervention::Quarantine).await;
    gate.open();
    soon(checking).await.unwrap().unwrap();
    assert_eq!(world.release(release).await.status, ReleaseStatus::PendingArtifacts);
    world.intervene(id, Intervention::Restore).await;
    world.sweep(Leases::Held).await;
    assert_eq!(world.release(release).await.status, ReleaseStatus::Published);
    assert_eq!(world.told("release.published").await, [(release.to_string(), false)]);
}

#[tokio::test]
async fn a_publish_that_read_before_a_delete_is_refused_at_its_commit() {
    let world = World::memory();
    world.product().await;
    for content in [CONTENT, b"other bytes"] {
        let id = world.managed(content).await;
        let gate = Gate::default();
        world.items().on_write_to("releases", Trouble::WaitsBefore(gate.clone()));
        let publishing = world.publishing("1.0.0", &[id]);
        soon(gate.reached()).await;
        delete(&world, id).await.unwrap();
        gate.open();
        let refused = soon(publishing).await.unwrap();
        assert!(matches!(refused, Err(AppError::NotFoundMember(_))), "{refused:?}");
        assert_eq!((listed(&world).await, version_is_taken(&world, "1.0.0").await), (vec![], false));
    }
}

#[tokio::test]
async fn a_delete_that_read_before_a_publish_is_refused_at_its_commit_and_the_bytes_stay() {
    for world in [World::memory(), World::embedded()] {
        world.product().await;
        let (id, waiting) = (world.managed(CONTENT).await, world.registered(b"other bytes").await);
        for (version, id) in [("1.0.0", id), ("2.0.0", waiting)] {
            let gate = Gate::default();
            world.items().on_write_to("artifacts", Trouble::WaitsBefore(gate.clone()));
            let (context, objects, caller) = (world.context().clone(), world.objects(), world.caller.clone());
            let deleting =
                tokio::spawn(async move { artifacts::delete(&context, &objects, &caller, id).await });
            soon(gate.reached()).await;
            let release = world.publish(version, &[id]).await;
            gate.open();
            let refused = soon(deleting).await.unwrap();
            assert!(matches!(refused, Err(AppError::ArtifactInUse(user)) if user == release), "{refused:?}");
        }
        assert_eq!(world.served(id).await, CONTENT);
        let decider = world.decider(&world.process).await;
        assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
    }
}

#[tokio::test]
async fn a_revoked_release_lets_its_artifact_go_and_no_decision_names_it() {
    let world = World::memory();
    world.product().await;
    let id = world.managed(CONTENT).await;
    let release = world.publish("1.0.0", &[id]).await;
    assert!(matches!(delete(&world, id).await, Err(AppError::ArtifactInUse(_))));
    world.revoke(&world.process, release).await;
    delete(&world, id).await.unwrap();
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "UP_TO_DATE");
}

#[tokio::test]
async fn of_two_publishes_of_one_version_and_channel_that_read_the_same_state_one_wins() {
    let mut world = World::memory();
    world.product().await;
    let (one, two) = (world.managed(CONTENT).await, world.managed(b"other bytes").await);
    let other = world.another();
    for (version, second, code) in [("1.0.0", one, "exists"), ("2.0.0", two, "used")] {
        let gate = Gate::default();
        world.items().on_write_to("releases", Trouble::WaitsBefore(gate.clone()));
        let publishing = world.publishing(version, &[one]);
        soon(gate.reached()).await;
        let new = super::world::new_release(version, &[second]);
        let won = releases::create(&other.context, &world.caller, &new, None).await.unwrap();
        gate.open();
        match (code, soon(publishing).await.unwrap()) {
            ("exists", Err(AppError::ReleaseExists { id, .. })) => assert_eq!(id, won.release_id),
            ("used", Err(AppError::VersionUsed(_))) => {}
            (_, outcome) => panic!("{version}: {outcome:?}"),
        }
    }
    assert_eq!(listed(&world).await.len(), 2);
    assert_eq!(world.told("release.created").await.len(), 2);
}

#[tokio::test]
async fn a_publish_whose_answer_was_lost_is_there_once() {
    let world = World::memory();
    world.product().await;
    let id = world.managed(CONTENT).await;
    world.items().on_write_to("releases", Trouble::AnswerLost);
    assert!(matches!(world.try_publish("1.0.0", &[id]).await, Err(AppError::Items(_))));
    let again = world.try_publish("1.0.0", &[id]).await;
    assert!(matches!(again, Err(AppError::ReleaseExists { .. })), "{again:?}");
    assert_eq!(listed(&world).await.len(), 1);
    assert_eq!(world.told("release.created").await.len(), 1);
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
}

#[tokio::test]
async fn a_rollout_that_read_before_a_revocation_does_not_bring_the_release_back() {
    let world = World::memory();
    world.product().await;
    let id = world.managed(CONTENT).await;
    let release = world.publish("1.0.0", &[id]).await;
    let gate = Gate::default();
    world.items().on_write_to("releases", Trouble::WaitsBefore(gate.clone()));
    let (context, caller) = (world.context().clone(), world.caller.clone());
    let rolling = tokio::spawn(async move {
        releases::set_rollout(&context, &caller, release, Some(Percentage::EVERYBODY), Some(false)).await
    });
    soon(gate.reached()).await;
    world.revoke(&world.process, release).await;
    gate.open();
    assert!(matches!(soon(rolling).await.unwrap(), Err(AppError::ReleaseRevoked)));
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "UP_TO_DATE");
}

#[tokio::test]
async fn a_promotion_that_read_before_its_source_was_revoked_in_all_channels_is_refused() {
    let world = World::memory();
    world.product().await;
    let id = world.managed(CONTENT).await;
    let release = world.publish("1.0.0", &[id]).await;
    let gate = Gate::default();
    world.items().on_write_to("releases", Trouble::WaitsBefore(gate.clone()));
    let (context, caller) = (world.context().clone(), world.caller.clone());
    let promoting = tokio::spawn(async move {
        let target = ("beta".parse().unwrap(), shared::domain::rollout::Rollout::default());
        releases::promote(&context, &caller, release, target, None).await
    });
    soon(gate.reached()).await;
    let order =
        shared::app::revoke::Order { reason: "bad".into(), allow_downgrade: false, all_channels: true };
    shared::app::revoke::revoke(world.context(), &world.caller, release, &order).await.unwrap();
    gate.open();
    let refused = soon(promoting).await.unwrap();
    assert!(matches!(refused, Err(AppError::ReleaseRevoked)), "{refused:?}");
    assert_eq!(listed(&world).await.len(), 1);
}

#[tokio::test]
async fn a_revocation_in_all_channels_that_read_before_a_promotion_takes_it_back_too() {
    let world = World::memory();
    world.product().await;
    let id = world.managed(CONTENT).await;
    let release = world.publish("1.0.0", &[id]).await;
    let gate = Gate::default();
    // It has looked for the version in other channels, and nowhere else yet.
    world.items().on_get("products", Trouble::WaitsBefore(gate.clone()));
    let (context, caller) = (world.context().clone(), world.caller.clone());
    let revoking = tokio::spawn(async move {
        let order =
            shared::app::revoke::Order { reason: "bad".into(), allow_downgrade: false, all_channels: true };
        shared::app::revoke::revoke(&context, &caller, release, &order).await
    });
    soon(gate.reached()).await;
    let target = ("beta".parse().unwrap(), shared::domain::rollout::Rollout::default());
    releases::promote(world.context(), &world.caller, release, target, None).await.unwrap();
    gate.open();
    soon(revoking).await.unwrap().unwrap();
    let statuses: Vec<_> = listed(&world).await.iter().map(|release| release.status).collect();
    assert_eq!(statuses, [ReleaseStatus::Revoked, ReleaseStatus::Revoked]);
}
