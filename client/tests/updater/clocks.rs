//! Clocks that are wrong by ten years, either way: the client says so, and never that it is up to date.

use std::sync::Arc;

use client::{UpdateError, Updater};
use decision::{Alg, Keyset};
use serde_json::json;

use crate::world::{Instead, NOW, TEN_YEARS, TestClock, World, keyset, new_key};

fn is_clock(error: &UpdateError, local: i64) -> bool {
    error.code() == "CLOCK"
        && matches!(error, UpdateError::Clock { local: found, service } if *found == local && *service == NOW)
}

fn at(world: &World, state: &std::path::Path, now: i64) -> (Updater, Arc<TestClock>) {
    let clock = TestClock::at(now);
    (world.builder(state, clock.clone()).build().unwrap(), clock)
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_ten_years_is_told_from_everything_else() {
    let world = World::new().await;
    for now in [NOW - TEN_YEARS, NOW + TEN_YEARS, 0, i64::MAX] {
        let state = tempfile::tempdir().unwrap();
        let (updater, clock) = at(&world, state.path(), now);
        let error = updater.check().await.unwrap_err();
        assert!(is_clock(&error, now), "{now}: {error:?}");
        assert!(clock.waits().is_empty());
        assert!(!state.path().join("state.json").exists(), "the state has changed");
    }
}

#[tokio::test]
async fn under_a_delegation_a_clock_that_is_wrong_by_ten_years_is_told_too() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let world = World::new().await;
        world.delegate(alg);
        for now in [NOW - TEN_YEARS, NOW + TEN_YEARS, NOW - 361, NOW + 3_540, 0, i64::MAX] {
            let state = tempfile::tempdir().unwrap();
            let (updater, clock) = at(&world, state.path(), now);
            let error = updater.check().await.unwrap_err();
            assert!(is_clock(&error, now), "{now}: {error:?}");
            assert!(clock.waits().is_empty());
            assert!(!state.path().join("state.json").exists(), "the state has changed");
        }
        let state = tempfile::tempdir().unwrap();
        at(&world, state.path(), NOW).0.check().await.unwrap();
    }
}

#[tokio::test]
async fn what_nobody_signed_is_no_proof_about_the_clock() {
    let world = World::new().await;
    let codes = [(NOW - TEN_YEARS, "DELEGATION_NOT_YET_VALID"), (NOW + TEN_YEARS, "DELEGATION_EXPIRED")];
    for (now, expected) in codes {
        let state = tempfile::tempdir().unwrap();
        let (updater, _) = at(&world, state.path(), now);
        world.told.lock().unwrap().process = None;
        world.once(Instead::Forged);
        assert_eq!(updater.check().await.unwrap_err().code(), "SIGNATURE", "{now}");
        // A delegation that was seen elsewhere is good, whoever sends it along.
        world.delegate(Alg::EdDsa);
        world.once(Instead::Forged);
        assert_eq!(updater.check().await.unwrap_err().code(), expected, "{now}");
        assert!(!state.path().join("state.json").exists(), "the state has changed");
    }
}

#[tokio::test]
async fn a_clock_that_is_wrong_by_more_than_the_tolerance_is_wrong() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    for (now, wrong) in [(NOW - 300, false), (NOW - 301, true), (NOW + 3_599, false), (NOW + 3_600, true)] {
        let (updater, _) = at(&world, state.path(), now);
        match updater.check().await {
            Ok(_) => assert!(!wrong, "{now}"),
            Err(error) => assert!(wrong && is_clock(&error, now), "{now}: {error:?}"),
        }
    }
}

#[tokio::test]
async fn without_a_nonce_an_old_answer_is_an_old_answer_and_ten_years_are_still_the_clock() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    let without = Keyset { nonces: false, ..keyset(1, 1, &[&world.signer()]) };
    let pinned = serde_json::to_string(&without).unwrap();
    let at = |now| {
        let builder = world.builder(state.path(), TestClock::at(now));
        builder.pinned_keyset(pinned.as_bytes()).build().unwrap()
    };
    assert_eq!(at(NOW + 7_200).check().await.unwrap_err().code(), "EXPIRED");
    assert_eq!(at(NOW + TEN_YEARS).check().await.unwrap_err().code(), "CLOCK");
    assert_eq!(at(NOW - TEN_YEARS).check().await.unwrap_err().code(), "CLOCK");
}

#[tokio::test]
async fn a_wrong_clock_is_told_through_a_rotation_too() {
    let world = World::new().await;
    let old = world.rotate(new_key(Alg::EdDsa));
    let second = keyset(2, 1, &[&old, &world.signer()]);
    world.serve_keyset(2, world.signed(&second, &[0, 1]));
    for now in [NOW - TEN_YEARS, NOW + TEN_YEARS] {
        let state = tempfile::tempdir().unwrap();
        let error = at(&world, state.path(), now).0.check().await.unwrap_err();
        assert!(is_clock(&error, now), "{now}: {error:?}");
    }
}

#[tokio::test]
async fn what_another_key_signed_is_no_proof_about_the_clock() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    _ = world.rotate(new_key(Alg::Es256));
    let (updater, _) = at(&world, state.path(), NOW + TEN_YEARS);
    assert_eq!(updater.check().await.unwrap_err().code(), "KID_UNKNOWN");
}

#[tokio::test]
async fn an_answer_with_another_nonce_is_no_proof_about_the_clock() {
    let world = World::new().await;
    let state = tempfile::tempdir().unwrap();
    world.say(json!({"nonce": "AAAAAAAAAAAAAAAAAAAAAA"}));
    let (updater, _) = at(&world, state.path(), NOW + TEN_YEARS);
    assert_eq!(updater.check().await.unwrap_err().code(), "KEYSET_EXPIRED");
}
