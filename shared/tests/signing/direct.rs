//! Direct mode with a key that is somewhere else: every signature is a call.

use std::sync::Arc;

use decision::jwk::Alg;
use shared::{
    app::{error::AppError, signing::Mode},
    http::error::ApiError,
    testing::gate::Gate,
};
use tokio::task::JoinSet;

use super::world::{MINUTE, NONCE, SECOND, World, header, is_later, kid, question, version};

#[tokio::test]
async fn the_keysets_key_signs_once_for_a_class_until_half_of_its_life_is_over() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let world = World::of(alg).await;
        let decider = world.decider(Mode::Direct);
        let asked = question("1.0.0");
        let first = world.ask(&decider, &asked, None).await.unwrap();
        assert!(world.keyset().await.get(&kid(&first)).is_some());
        assert!(header(&first)["dlg"].is_null());
        world.at(30 * MINUTE - 1);
        assert_eq!(world.ask(&decider, &asked, None).await.unwrap().token, first.token);
        assert_eq!(world.key.signed(), 1);
        world.at(30 * MINUTE);
        assert_ne!(world.ask(&decider, &asked, None).await.unwrap().token, first.token);
        assert_eq!(world.key.signed(), 2);
    }
}

#[tokio::test]
async fn fifty_who_ask_the_same_at_once_have_it_signed_once() {
    let world = World::new().await;
    let decider = world.decider(Mode::Direct);
    let gate = Gate::default();
    world.key.wait_at(&gate);
    let mut all = JoinSet::new();
    for _ in 0..50 {
        let decider = Arc::clone(&decider);
        all.spawn(async move { decider.answer(&question("1.0.0"), None, false).await.unwrap().token });
    }
    gate.reached().await;
    gate.open();
    let tokens = all.join_all().await;
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(world.key.signed(), 1);
}

#[tokio::test]
async fn while_one_signs_a_class_again_the_others_are_served_what_is_there() {
    let world = World::new().await;
    let decider = world.decider(Mode::Direct);
    let first = world.ask(&decider, &question("1.0.0"), None).await.unwrap();
    world.at(31 * MINUTE);
    let gate = Gate::default();
    world.key.wait_at(&gate);
    let again = {
        let decider = Arc::clone(&decider);
        tokio::spawn(async move { decider.answer(&question("1.0.0"), None, false).await.unwrap() })
    };
    gate.reached().await;
    for _ in 0..50 {
        assert_eq!(world.ask(&decider, &question("1.0.0"), None).await.unwrap().token, first.token);
    }
    gate.open();
    assert_ne!(again.await.unwrap().token, first.token);
    assert_eq!(world.key.signed(), 2);
}

#[tokio::test]
async fn with_the_key_out_of_reach_decisions_go_on_until_the_cached_tokens_end() {
    let world = World::new().await;
    let decider = world.decider(Mode::Direct);
    let first = world.ask(&decider, &question("1.0.0"), None).await.unwrap();
    // Ten minutes, half of them after the half of the token's life.
    world.key.set_down(true);
    for second in 25 * 60..35 * 60 {
        world.at(second * SECOND);
        assert_eq!(world.ask(&decider, &question("1.0.0"), None).await.unwrap().token, first.token);
        assert!(is_later(decider.answer(&question("1.1.0"), None, false).await), "it was never signed");
        assert!(is_later(decider.answer(&question("1.0.0"), Some(NONCE), false).await));
    }
    world.at(60 * MINUTE - 1);
    world.ask(&decider, &question("1.0.0"), None).await.unwrap();
    world.at(60 * MINUTE);
    assert!(is_later(decider.answer(&question("1.0.0"), None, false).await));
    world.key.set_down(false);
    world.at(60 * MINUTE + SECOND);
    world.ask(&decider, &question("1.0.0"), None).await.unwrap();
}

#[tokio::test]
async fn a_key_that_does_not_sign_is_asked_once_a_second_however_many_ask() {
    let world = World::new().await;
    let decider = world.decider(Mode::Direct);
    world.ask(&decider, &question("1.0.0"), None).await.unwrap();
    world.key.set_down(true);
    for step in 0..100 {
        world.at(step * 100);
        for number in 0..20 {
            let version = version(step * 20 + number);
            assert!(is_later(decider.answer(&question(&version), None, false).await));
        }
    }
    assert_eq!(world.key.signed(), 1 + 10, "in ten seconds");
}

#[tokio::test]
async fn beyond_the_budget_the_answer_is_503_with_retry_after() {
    let world = World::new().await;
    world.released((0..17).map(version)).await;
    let decider = world.decider(Mode::Direct);
    // The rest of the burst is for answers that are remembered.
    for number in 0..16 {
        world.ask(&decider, &question(&version(number)), None).await.unwrap();
    }
    let error = decider.answer(&question(&version(16)), None, false).await.unwrap_err();
    assert!(matches!(error, AppError::SigningBudget), "{error}");
    let shown = ApiError::from(error);
    assert_eq!((shown.status.as_u16(), shown.code, shown.retry_after), (503, "UNAVAILABLE", Some(1)));
    world.ask(&decider, &question(&version(3)), None).await.unwrap();
    world.at(SECOND);
    world.ask(&decider, &question(&version(16)), None).await.unwrap();
}
