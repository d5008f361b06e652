//! Decisions while what they are made from changes, or cannot be read.

use std::sync::Arc;

use shared::{
    app::{
        artifacts::Intervention,
        context::Settings,
        decisions::Decider,
        error::AppError,
        policies::{self, Level},
        releases,
    },
    domain::{ids::ArtifactId, policy::Policy, rollout::Percentage},
    ports::items::ItemsUnavailable,
    testing::{
        build,
        gate::{Gate, Trouble},
    },
};

use super::world::{CONTENT, PRODUCT, Process, SECOND, START, World, ask, offered, soon};

/// Version 1.0.0 and 2.0.0 are published.
async fn two_releases(world: &World) -> (ArtifactId, shared::domain::ids::ReleaseId) {
    world.product().await;
    let (old, new) = (world.managed(b"the bytes of 1.0.0").await, world.managed(CONTENT).await);
    world.publish("1.0.0", &[old]).await;
    (new, world.publish("2.0.0", &[new]).await)
}

async fn seq(decider: &Arc<Decider>, tenant: Option<&str>) -> u64 {
    let mut question = build::question(PRODUCT, "0.9.0");
    question.tenant_id = tenant.map(|tenant| tenant.parse().unwrap());
    ask(decider, &question).await.unwrap()["seq"].as_u64().unwrap()
}

fn paused() -> Policy {
    Policy { paused: Some(true), ..Policy::default() }
}

async fn set_policy(world: &World, process: &Process, level: &Level, policy: &Policy) {
    policies::replace(&process.context, &world.caller, level, policy, None).await.unwrap();
}

#[tokio::test]
async fn another_process_sees_a_revocation_within_thirty_seconds_of_decision_time() {
    let mut world = World::memory();
    let (_, release) = two_releases(&world).await;
    let other = world.another();
    let decider = world.decider(&other).await;
    let question = build::question(PRODUCT, "0.9.0");
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    world.clock.advance(SECOND);
    world.revoke(&world.process, release).await;
    let revoked_at = (START + SECOND) / 1_000;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0", "it decides from memory");
    let mut last = 0;
    for second in 0..120 {
        // One is remembered with its signature, the other is signed anew each time.
        for nonce in [None, Some("a-nonce-of-a-client-01")] {
            let signed = decider.answer(&question, nonce, false).await.unwrap();
            let payload: serde_json::Value = serde_json::from_str(&signed.payload_json).unwrap();
            if payload["release"]["version"] == "2.0.0" {
                last = payload["iat"].as_i64().unwrap();
                assert!(last <= revoked_at + 30, "{second} s after the revocation: {payload}");
            }
        }
        world.clock.advance(SECOND);
    }
    assert!(last >= revoked_at, "no decision was made from memory after the revocation");
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
}

#[tokio::test]
async fn the_process_that_revokes_sees_it_at_once() {
    let world = World::memory();
    let (_, release) = two_releases(&world).await;
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    world.revoke(&world.process, release).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
}

#[tokio::test]
async fn a_revocation_whose_answer_was_lost_is_seen_at_once_all_the_same() {
    let world = World::memory();
    let (_, release) = two_releases(&world).await;
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    world.items().on_write_to("releases", Trouble::AnswerLost);
    let order =
        shared::app::revoke::Order { reason: "a test".into(), allow_downgrade: false, all_channels: false };
    let lost = shared::app::revoke::revoke(world.context(), &world.caller, release, &order).await;
    assert!(matches!(lost, Err(AppError::Items(_))), "{lost:?}");
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
    world.revoke(&world.process, release).await;
    assert_eq!(world.told("release.revoked").await.len(), 1);
}

#[tokio::test]
async fn a_catalogue_that_is_read_while_it_changes_is_read_again() {
    let mut world = World::memory();
    let (_, release) = two_releases(&world).await;
    let other = world.another();
    let decider = world.decider(&other).await;
    let gate = Gate::default();
    other.items.on_get(&format!("catalogue#{PRODUCT}"), Trouble::WaitsBefore(gate.clone()));
    let asking = Arc::clone(&decider);
    let answer = tokio::spawn(async move { ask(&asking, &build::question(PRODUCT, "0.9.0")).await });
    soon(gate.reached()).await;
    // The head was read already, its page was not: they do not belong together.
    world.revoke(&world.process, release).await;
    gate.open();
    let payload = soon(answer).await.unwrap().unwrap();
    let expected = seq(&world.decider(&world.process).await, None).await;
    assert_eq!(payload["seq"].as_u64().unwrap(), expected, "{payload}");
    assert_eq!(payload["release"]["version"], "1.0.0", "{payload}");
}

#[tokio::test]
async fn a_change_after_the_reading_is_not_in_the_answer_and_not_in_its_seq() {
    let mut world = World::memory();
    two_releases(&world).await;
    let before = seq(&world.decider(&world.process).await, None).await;
    let other = world.another();
    let decider = world.decider(&other).await;
    let gate = Gate::default();
    other.items.on_get(&format!("catalogue#{PRODUCT}"), Trouble::WaitsAfter(gate.clone()));
    let asking = Arc::clone(&decider);
    let answer = tokio::spawn(async move { ask(&asking, &build::question(PRODUCT, "0.9.0")).await });
    soon(gate.reached()).await;
    let policy = Policy { min_version: Some("9.0.0".parse().unwrap()), ..Policy::default() };
    set_policy(&world, &world.process, &Level::Product(PRODUCT.parse().unwrap()), &policy).await;
    gate.open();
    let payload = soon(answer).await.unwrap().unwrap();
    assert_eq!(payload["seq"].as_u64().unwrap(), before, "{payload}");
    assert_eq!(payload["release"]["version"], "2.0.0", "{payload}");
    world.clock.advance(6 * SECOND);
    let payload = ask(&decider, &build::question(PRODUCT, "0.9.0")).await.unwrap();
    assert!(payload["seq"].as_u64().unwrap() > before, "{payload}");
    assert_eq!(payload["reason"], "BELOW_MINIMUM", "{payload}");
}

/// As DynamoDB may: what belongs to one transaction is not seen all at once by looks that are not one themselves.
#[tokio::test]
async fn what_lags_behind_its_head_is_not_believed() {
    let mut world = World::memory();
    let (artifact, _) = two_releases(&world).await;
    world.intervene(artifact, shared::app::artifacts::Intervention::Quarantine).await;
    let other = world.another();
    let decider = world.decider(&other).await;
    other.items.lag("unavailable");
    other.items.lag(&format!("catalogue#{PRODUCT}"));
    let payload = ask(&decider, &build::question(PRODUCT, "1.0.0")).await.unwrap();
    assert_eq!(payload["reason"], "ARTIFACT_QUARANTINED", "{payload}");
    assert!(!other.items.has_orders());
}

#[tokio::test]
async fn seq_rises_with_every_change_that_can_alter_the_answer_and_never_falls() {
    let mut world = World::memory();
    let (artifact, release) = two_releases(&world).await;
    let other = world.another();
    let (own, elsewhere) = (world.decider(&world.process).await, world.decider(&other).await);
    let product = || PRODUCT.parse().unwrap();
    let tenant = || "acme".parse().unwrap();
    let mut known = [0; 4];
    for change in 0..14 {
        let process = world.process.clone();
        let caller = world.caller.clone();
        match change {
            0 => {}
            1 => drop(world.publish("3.0.0", &[artifact]).await),
            2 => drop(
                releases::set_rollout(&process.context, &caller, release, Some(Percentage::NOBODY), None)
                    .await
                    .unwrap(),
            ),
            3 => world.intervene(artifact, Intervention::Quarantine).await,
            4 => world.intervene(artifact, Intervention::Restore).await,
            5 => set_policy(&world, &process, &Level::Global, &paused()).await,
            6 => set_policy(&world, &process, &Level::Global, &Policy::default()).await,
            7 => set_policy(&world, &process, &Level::Product(product()), &paused()).await,
            8 => set_policy(&world, &process, &Level::Tenant(tenant()), &paused()).await,
            9 => set_policy(&world, &process, &Level::TenantProduct(tenant(), product()), &paused()).await,
            10 => set_policy(&world, &process, &Level::Tenant(tenant()), &Policy::default()).await,
            11 => world.revoke(&process, release).await,
            12 => world.intervene(artifact, Intervention::Revoke).await,
            _ => set_policy(&world, &process, &Level::Product(product()), &Policy::default()).await,
        }
        let now = [seq(&own, None).await, seq(&own, Some("acme")).await];
        let tenant_only = matches!(change, 9 | 10);
        assert!(now[1] > known[1], "change {change}: {known:?}, then {now:?}");
        assert!(
            if tenant_only { now[0] >= known[0] } else { now[0] > known[0] },
            "change {change}: {known:?}, {now:?}"
        );
        let late = [seq(&elsewhere, None).await, seq(&elsewhere, Some("acme")).await];
        assert!(
            late[0] >= known[2] && late[1] >= known[3],
            "change {change}: it fell from {known:?} to {late:?}"
        );
        known = [now[0], now[1], late[0], late[1]];
        if change % 3 == 2 {
            world.clock.advance(6 * SECOND);
        } else {
            world.clock.advance(SECOND);
        }
    }
    world.clock.advance(30 * SECOND);
    assert_eq!([seq(&elsewhere, None).await, seq(&elsewhere, Some("acme")).await], known[..2]);
}

#[tokio::test]
async fn without_the_metadata_store_decisions_go_on_from_memory_for_as_long_as_allowed() {
    let world = World::memory();
    two_releases(&world).await;
    let decider = world.decider(&world.process).await;
    let stale = build::settings().catalogue_max_stale_ms;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    world.items().set_down(true);
    for age in [1, 5_001, stale / 2, stale] {
        world.clock.set(START + age);
        assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0", "after {age} ms");
    }
    world.clock.set(START + stale + 1);
    for _ in 0..2 {
        let refused = offered(&decider, "0.9.0").await;
        assert!(matches!(refused, Err(AppError::Items(_))), "{refused:?}");
    }
    world.items().set_down(false);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
}

#[tokio::test]
async fn a_store_that_refuses_this_process_alone_may_be_told_of_a_revocation_so_nothing_old_is_decided() {
    let world = World::memory();
    two_releases(&world).await;
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    let age = build::settings().catalogue_max_age_ms;
    world.items().set_refusing(true);
    world.clock.set(START + age);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0", "it is not old yet");
    world.clock.set(START + age + 1);
    for _ in 0..2 {
        let refused = offered(&decider, "0.9.0").await;
        assert!(matches!(refused, Err(AppError::Items(ItemsUnavailable::Refused(_)))), "{refused:?}");
    }
    world.items().set_refusing(false);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
}

#[tokio::test]
async fn without_the_metadata_store_nothing_is_decided_from_memory_where_that_is_not_allowed() {
    let settings = Settings { catalogue_max_stale_ms: 0, ..build::settings() };
    let world = World::with(settings);
    two_releases(&world).await;
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    world.items().set_down(true);
    world.clock.set(START + 5_000);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0", "it is not old yet");
    world.clock.set(START + 5_001);
    assert!(matches!(offered(&decider, "0.9.0").await, Err(AppError::Items(_))));
}

#[tokio::test]
async fn without_the_metadata_store_what_was_never_read_is_no_decision_at_all() {
    let world = World::memory();
    two_releases(&world).await;
    let decider = world.decider(&world.process).await;
    world.items().set_down(true);
    assert!(matches!(offered(&decider, "0.9.0").await, Err(AppError::Items(_))));
    world.items().set_down(false);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    set_policy(&world, &world.process, &Level::Tenant("acme".parse().unwrap()), &paused()).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    world.items().set_down(true);
    let mut question = build::question(PRODUCT, "0.9.0");
    question.tenant_id = Some("acme".parse().unwrap());
    let refused = ask(&decider, &question).await;
    assert!(matches!(refused, Err(AppError::Items(_))), "the tenant's policy is not known: {refused:?}");
}

#[tokio::test]
async fn a_store_that_fails_after_an_own_revocation_does_not_bring_the_release_back() {
    let world = World::memory();
    let (_, release) = two_releases(&world).await;
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    world.revoke(&world.process, release).await;
    world.items().set_down(true);
    let refused = offered(&decider, "0.9.0").await;
    assert!(matches!(refused, Err(AppError::Items(_))), "{refused:?}");
    world.items().set_down(false);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
}

#[tokio::test]
async fn a_store_that_fails_after_an_own_change_of_no_decision_leaves_the_answers_from_memory() {
    let world = World::memory();
    two_releases(&world).await;
    let decider = world.decider(&world.process).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    world.initiate(b"other bytes").await;
    world.items().set_down(true);
    world.clock.advance(60 * SECOND);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
}

#[tokio::test]
async fn a_clock_that_is_set_back_makes_nothing_younger() {
    let mut world = World::memory();
    let (_, release) = two_releases(&world).await;
    let other = world.another();
    let decider = world.decider(&other).await;
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "2.0.0");
    world.revoke(&world.process, release).await;
    world.clock.set(START - 60 * SECOND);
    assert_eq!(offered(&decider, "0.9.0").await.unwrap(), "1.0.0");
}

#[tokio::test]
async fn a_clock_that_is_set_while_the_catalogue_is_read_spoils_no_answer() {
    for shown in [START - 100 * SECOND, START - 1, START + 3_600 * SECOND] {
        let mut world = World::memory();
        two_releases(&world).await;
        let other = world.another();
        let decider = world.decider(&other).await;
        let gate = Gate::default();
        other.items.on_get(&format!("catalogue#{PRODUCT}"), Trouble::WaitsAfter(gate.clone()));
        let asking = Arc::clone(&decider);
        let answer = tokio::spawn(async move { offered(&asking, "0.9.0").await });
        soon(gate.reached()).await;
        world.clock.set(shown);
        gate.open();
        assert_eq!(soon(answer).await.unwrap().unwrap(), "2.0.0", "{shown}");
    }
}
