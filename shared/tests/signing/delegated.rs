//! Delegated mode: each process signs with a key of its own.

use decision::jwk::Alg;
use shared::app::signing::Mode;

use super::world::{MINUTE, NONCE, SECOND, START, World, delegation, header, is_later, kid, question};

#[tokio::test]
async fn every_answer_verifies_against_the_keyset_and_one_call_carries_them_all() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let world = World::of(alg).await;
        let decider = world.decider(Mode::Delegated);
        for minute in 0..50 {
            world.at(minute * MINUTE);
            for version in ["1.0.0", "1.1.0"] {
                let signed = world.ask(&decider, &question(version), None).await.unwrap();
                assert_eq!(header(&signed)["alg"], alg.as_str());
                assert!(world.keyset().await.get(&kid(&signed)).is_none(), "it is a key of the process");
                world.ask(&decider, &question(version), Some(NONCE)).await.unwrap();
            }
        }
        assert_eq!(world.key.signed(), 1);
    }
}

#[tokio::test]
async fn a_nonce_is_signed_afresh_and_without_one_the_token_is_served_until_half_of_its_life_is_over() {
    let world = World::new().await;
    let decider = world.decider(Mode::Delegated);
    let asked = question("1.0.0");
    let first = world.ask(&decider, &asked, None).await.unwrap();
    let nonces = [
        world.ask(&decider, &asked, Some(NONCE)).await.unwrap(),
        world.ask(&decider, &asked, Some(NONCE)).await.unwrap(),
    ];
    assert_ne!(nonces[0].token, nonces[1].token);
    world.at(30 * MINUTE - 1);
    assert_eq!(world.ask(&decider, &asked, None).await.unwrap().token, first.token);
    world.at(30 * MINUTE);
    assert_ne!(world.ask(&decider, &asked, None).await.unwrap().token, first.token);
}

#[tokio::test]
async fn no_token_outlives_its_delegation() {
    let world = World::new().await;
    let decider = world.decider(Mode::Delegated);
    world.ask(&decider, &question("1.0.0"), None).await.unwrap();
    // Signed when a quarter of an hour is left, which is less than half of its life.
    world.at(45 * MINUTE);
    let late = world.ask(&decider, &question("1.1.0"), None).await.unwrap();
    world.key.set_down(true);
    world.at(60 * MINUTE - 1);
    assert_eq!(world.ask(&decider, &question("1.1.0"), None).await.unwrap().token, late.token);
    world.at(60 * MINUTE);
    assert!(is_later(decider.answer(&question("1.1.0"), None, false).await));
}

#[tokio::test]
async fn with_the_key_out_of_reach_decisions_go_on_until_the_delegation_ends() {
    let world = World::new().await;
    let decider = world.decider(Mode::Delegated);
    world.ask(&decider, &question("1.0.0"), None).await.unwrap();
    // Ten minutes in the middle of an hour: nobody notices.
    world.at(20 * MINUTE);
    world.key.set_down(true);
    for minute in 20..30 {
        world.at(minute * MINUTE);
        world.ask(&decider, &question("1.0.0"), None).await.unwrap();
        world.ask(&decider, &question("9.9.9"), Some(NONCE)).await.unwrap();
    }
    world.key.set_down(false);
    assert_eq!(world.key.signed(), 1);
    // Ten minutes over the end of the hour: until then it goes on.
    world.key.set_down(true);
    for second in 55 * 60..65 * 60 {
        world.at(second * SECOND);
        for nonce in [None, Some(NONCE)] {
            if second < 3_600 {
                world.ask(&decider, &question("1.0.0"), nonce).await.unwrap();
            } else {
                assert!(is_later(decider.answer(&question("1.0.0"), nonce, false).await), "second {second}");
            }
        }
    }
    let tries = world.key.signed() - 1;
    assert!(tries <= 4 * 60 / 10 + 6 * 60 + 2, "{tries} tries in ten minutes");
    world.key.set_down(false);
    world.at(65 * MINUTE);
    world.ask(&decider, &question("1.0.0"), Some(NONCE)).await.unwrap();
}

#[tokio::test]
async fn a_delegation_that_the_key_did_not_sign_is_never_used() {
    let world = World::new().await;
    world.key.set_lying(true);
    let decider = world.decider(Mode::Delegated);
    assert!(is_later(decider.answer(&question("1.0.0"), None, false).await));
    world.key.set_lying(false);
    world.at(SECOND);
    let honest = world.ask(&decider, &question("1.0.0"), None).await.unwrap();
    world.key.set_lying(true);
    world.at(55 * MINUTE);
    let signed = world.ask(&decider, &question("1.0.0"), Some(NONCE)).await.unwrap();
    assert_eq!(kid(&signed), kid(&honest), "the old one goes on");
}

#[tokio::test]
async fn no_decision_bears_a_time_outside_its_delegation_however_the_clock_is_set() {
    let world = World::new().await;
    let decider = world.decider(Mode::Delegated);
    world.ask(&decider, &question("1.0.0"), None).await.unwrap();
    world.publish(|keyset| keyset.keys[0].nbf = 0).await;
    let seconds = [6, 3_599, 0, -1, -59, -61, 7_200, 7_140, 3_600, -86_400, 86_400, 86_399];
    for (step, second) in seconds.into_iter().enumerate() {
        world.at(second * SECOND);
        for nonce in [None, Some(NONCE)] {
            let signed = world.ask(&decider, &question("1.0.0"), nonce).await.unwrap();
            let (window, payload): (_, serde_json::Value) =
                (delegation(&signed), serde_json::from_str(&signed.payload_json).unwrap());
            let time = |value: &serde_json::Value| value.as_i64().unwrap();
            let iat = time(&payload["iat"]);
            assert!((time(&window["nbf"])..time(&window["exp"])).contains(&iat), "step {step}: {iat}");
            assert!((iat - START / 1_000 - second).abs() <= 1_800, "step {step}");
        }
    }
}
