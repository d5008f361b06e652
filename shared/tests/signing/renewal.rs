//! Renewing a delegation inside a request.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use shared::{
    app::{
        decisions::{Decider, Signed},
        signing::Mode,
    },
    testing::gate::Gate,
};
use tokio::task::JoinSet;

use super::world::{MINUTE, NONCE, SECOND, World, kid, question};

/// A process whose delegation began at the beginning.
async fn delegated() -> (World, Arc<Decider>, Signed) {
    let world = World::new().await;
    let decider = world.decider(Mode::Delegated);
    let first = world.ask(&decider, &question("1.0.0"), Some(NONCE)).await.unwrap();
    assert_eq!(world.key.signed(), 1);
    (world, decider, first)
}

/// So many ask at once, each with a nonce.
fn asking(decider: &Arc<Decider>, count: usize) -> JoinSet<Signed> {
    let mut all = JoinSet::new();
    for _ in 0..count {
        let decider = Arc::clone(decider);
        all.spawn(async move { decider.answer(&question("1.0.0"), Some(NONCE), false).await.unwrap() });
    }
    all
}

async fn next(all: &mut JoinSet<Signed>) -> Signed {
    let soon = tokio::time::timeout(Duration::from_secs(20), all.join_next());
    soon.await.expect("an answer came soon").unwrap().unwrap()
}

#[tokio::test]
async fn nobody_renews_while_ten_minutes_are_left_and_the_next_request_does_with_a_new_key() {
    let (world, decider, first) = delegated().await;
    world.at(50 * MINUTE);
    assert_eq!(kid(&world.ask(&decider, &question("1.0.0"), Some(NONCE)).await.unwrap()), kid(&first));
    assert_eq!(world.key.signed(), 1);
    world.at(50 * MINUTE + SECOND);
    let renewed = world.ask(&decider, &question("1.0.0"), Some(NONCE)).await.unwrap();
    assert_ne!(kid(&renewed), kid(&first));
    assert_eq!(world.key.signed(), 2);
}

#[tokio::test]
async fn one_of_fifty_renews_and_the_others_do_not_wait_for_it() {
    let (world, decider, first) = delegated().await;
    world.at(51 * MINUTE);
    let gate = Gate::default();
    world.key.wait_at(&gate);
    let mut all = asking(&decider, 50);
    for _ in 0..49 {
        assert_eq!(kid(&next(&mut all).await), kid(&first), "with the old key");
    }
    gate.reached().await;
    gate.open();
    let renewed = next(&mut all).await;
    assert_ne!(kid(&renewed), kid(&first));
    world.verified(&renewed, &question("1.0.0"), Some(NONCE)).await;
    assert_eq!(world.key.signed(), 2);
}

#[tokio::test]
async fn below_a_minute_all_fifty_wait_for_the_one_call() {
    for left in [59 * SECOND, 0, -2 * 60 * MINUTE] {
        let (world, decider, first) = delegated().await;
        world.at(60 * MINUTE - left);
        let gate = Gate::default();
        world.key.wait_at(&gate);
        let mut all = asking(&decider, 50);
        gate.reached().await;
        assert!(all.try_join_next().is_none(), "nobody is answered before");
        gate.open();
        let mut kids = BTreeSet::new();
        while !all.is_empty() {
            let signed = next(&mut all).await;
            world.verified(&signed, &question("1.0.0"), Some(NONCE)).await;
            kids.insert(kid(&signed));
        }
        assert_eq!(kids.len(), 1);
        assert!(!kids.contains(&kid(&first)));
        assert_eq!(world.key.signed(), 2);
    }
}

#[tokio::test]
async fn a_process_that_was_frozen_for_two_hours_renews_before_it_answers() {
    let (world, decider, first) = delegated().await;
    world.ask(&decider, &question("1.0.0"), None).await.unwrap();
    world.at(120 * MINUTE);
    for nonce in [None, Some(NONCE)] {
        let signed = world.ask(&decider, &question("1.0.0"), nonce).await.unwrap();
        assert_ne!(kid(&signed), kid(&first));
    }
    assert_eq!(world.key.signed(), 2);
}

#[tokio::test]
async fn a_request_that_is_given_up_while_it_renews_leaves_the_renewal_to_the_next() {
    let (world, decider, first) = delegated().await;
    world.at(51 * MINUTE);
    let gate = Gate::default();
    world.key.wait_at(&gate);
    let mut one = asking(&decider, 1);
    gate.reached().await;
    one.shutdown().await;
    let renewed = world.ask(&decider, &question("1.0.0"), Some(NONCE)).await.unwrap();
    assert_ne!(kid(&renewed), kid(&first));
    assert_eq!(world.key.signed(), 3);
}

#[tokio::test]
async fn of_fifty_that_wait_for_a_renewal_that_fails_one_has_called_and_all_go_on_with_what_there_is() {
    let (world, decider, first) = delegated().await;
    world.key.set_down(true);
    for left in [9 * MINUTE, 30 * SECOND] {
        let before = world.key.signed();
        world.at(60 * MINUTE - left);
        let mut all = asking(&decider, 50);
        while !all.is_empty() {
            assert_eq!(kid(&next(&mut all).await), kid(&first));
        }
        assert_eq!(world.key.signed(), before + 1);
    }
}

#[tokio::test]
async fn a_delegation_that_is_configured_shorter_is_renewed_in_its_last_sixth_and_serves_until_its_end() {
    let mut world = World::new().await;
    let mut settings = (*world.context.settings).clone();
    settings.delegation_lifetime = 60;
    world.context.settings = Arc::new(settings);
    let decider = world.decider(Mode::Delegated);
    let asked = question("1.0.0");
    let first = world.ask(&decider, &asked, Some(NONCE)).await.unwrap();
    world.at(50 * SECOND);
    assert_eq!(kid(&world.ask(&decider, &asked, Some(NONCE)).await.unwrap()), kid(&first));
    world.key.set_down(true);
    world.at(59 * SECOND);
    assert_eq!(kid(&world.ask(&decider, &asked, Some(NONCE)).await.unwrap()), kid(&first));
    world.at(60 * SECOND);
    decider.answer(&asked, Some(NONCE), false).await.unwrap_err();
    world.key.set_down(false);
    world.at(62 * SECOND);
    let renewed = world.ask(&decider, &asked, Some(NONCE)).await.unwrap();
    assert_ne!(kid(&renewed), kid(&first));
    assert_eq!(super::world::delegation(&renewed)["exp"], super::world::START / 1_000 + 122);
}
