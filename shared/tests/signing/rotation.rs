//! One signing key after the other: known before it signs, promoted, retired, revoked.

use std::sync::Arc;

use decision::jwk::Alg;
use shared::{
    app::{
        context::Context,
        decisions::Signed,
        error::AppError,
        keyset::{self, Change, NewKey, Record},
        signing::Mode,
    },
    ports::signer::Signer as _,
    testing::{build, signer::RemoteKey},
};

use super::world::{MINUTE, NONCE, Process, START, World, is_later, judged, question, root_kid, verified};

pub(crate) const MODES: [Mode; 2] = [Mode::Direct, Mode::Delegated];
const LIFETIME: i64 = 3_600;

pub(crate) fn kid(key: &RemoteKey) -> String {
    key.public_key().thumbprint()
}

pub(crate) fn new_key(key: &RemoteKey) -> NewKey {
    NewKey { key: *key.public_key(), nbf: None, exp: Some(START / 1_000 + 100_000_000), products: Vec::new() }
}

pub(crate) async fn change(context: &Context, wanted: Change) -> Result<Record, AppError> {
    keyset::change(context, &build::caller(), &wanted).await
}

pub(crate) async fn promote(context: &Context, key: &RemoteKey) -> Result<Record, AppError> {
    keyset::promote(context, &build::caller(), &kid(key), None).await
}

fn is_conflict(refused: &Result<Record, AppError>) -> bool {
    matches!(refused, Err(AppError::Key(_)))
}

/// A deployment whose key signs, a next key, and a process that has both.
pub(crate) async fn two_keys(mode: Mode) -> (World, Arc<RemoteKey>, Process) {
    let world = World::new().await;
    let next = RemoteKey::fresh(Alg::EdDsa);
    let process = world.with_keys(mode, 2, &[&world.key, &next]);
    asked(&world, &process).await;
    (world, next, process)
}

/// An answer that a client believes now.
async fn asked(world: &World, process: &Process) -> Signed {
    world.ask(&process.decider, &question("1.0.0"), None).await.unwrap()
}

fn now(world: &World) -> i64 {
    shared::ports::clock::Clock::now(world.clock.as_ref())
}

/// So much later that every process has seen the newest keyset.
fn seen(world: &World) {
    world.clock.advance(build::settings().catalogue_max_age_ms + 1);
}

#[tokio::test]
async fn the_next_key_is_in_the_keyset_before_it_signs_and_signs_once_it_was_promoted() {
    for mode in MODES {
        let (world, next, process) = two_keys(mode).await;
        let other = world.with_keys(mode, 3, &[&world.key, &next]);
        let added = change(&process.context, Change::Add(new_key(&next))).await.unwrap();
        assert!(added.keyset.get(&kid(&next)).is_some() && added.active.is_none());
        seen(&world);
        for process in [&process, &other] {
            assert_eq!(root_kid(&asked(&world, process).await), kid(&world.key));
        }
        assert_eq!(next.signed(), 0);
        let pinned = world.keyset().await;
        promote(&other.context, &next).await.unwrap();
        assert_eq!(world.keyset().await, pinned, "clients see nothing of a promotion");
        assert_eq!(root_kid(&asked(&world, &other).await), kid(&next), "at once in the process that made it");
        seen(&world);
        assert_eq!(root_kid(&asked(&world, &process).await), kid(&next), "what was remembered is not served");
    }
}

#[tokio::test]
async fn a_key_that_is_not_listed_or_may_not_sign_yet_is_not_promoted() {
    let (world, next, process) = two_keys(Mode::Direct).await;
    assert!(matches!(promote(&process.context, &next).await, Err(AppError::NotFound)));
    let later = NewKey { nbf: Some(now(&world) + 60), ..new_key(&next) };
    change(&process.context, Change::Add(later)).await.unwrap();
    assert!(is_conflict(&promote(&process.context, &next).await));
    assert!(is_conflict(&change(&process.context, Change::Add(new_key(&next))).await), "it is listed");
    world.clock.advance(MINUTE);
    let promoted = promote(&process.context, &next).await.unwrap();
    assert_eq!(promote(&process.context, &next).await.unwrap(), promoted, "again changes nothing");
}

#[tokio::test]
async fn a_retired_key_is_listed_until_the_last_decision_that_any_process_signed_with_it_has_ended() {
    for mode in MODES {
        let (world, next, process) = two_keys(mode).await;
        let slow = world.with_keys(mode, 3, &[&world.key, &next]);
        change(&process.context, Change::Add(new_key(&next))).await.unwrap();
        asked(&world, &slow).await;
        promote(&process.context, &next).await.unwrap();
        let retired = change(&process.context, Change::Retire(kid(&world.key))).await.unwrap();
        // A process that has not seen the promotion yet signs with the old key once more.
        world.clock.advance(build::settings().catalogue_max_age_ms - 1);
        let asked_last = question("1.0.1");
        let last = slow.decider.answer(&asked_last, Some(NONCE), false).await.unwrap();
        assert_eq!(root_kid(&last), kid(&world.key));
        // A delegation may end before the decision that carries it.
        let end = if mode == Mode::Direct { now(&world) + LIFETIME } else { START / 1_000 + LIFETIME };
        world.clock.set((end - 1) * 1_000);
        verified(&retired.keyset, &last, &asked_last, Some(NONCE), now(&world));
        world.clock.advance(11 * MINUTE);
        assert!(retired.keyset.get(&kid(&world.key)).unwrap().exp <= now(&world));
        // The next change takes it off.
        let third = RemoteKey::fresh(Alg::Es256);
        let added = change(&process.context, Change::Add(new_key(&third))).await.unwrap();
        assert!(added.keyset.get(&kid(&world.key)).is_none());
        assert_eq!(root_kid(&asked(&world, &slow).await), kid(&next));
    }
}

#[tokio::test]
async fn a_revocation_raises_the_epoch_and_nothing_that_the_key_signed_is_believed_or_served() {
    for mode in MODES {
        let (world, next, process) = two_keys(mode).await;
        let other = world.with_keys(mode, 3, &[&world.key, &next]);
        let stolen = asked(&world, &other).await;
        change(&process.context, Change::Add(new_key(&next))).await.unwrap();
        promote(&process.context, &next).await.unwrap();
        seen(&world);
        let before = asked(&world, &other).await;
        assert_eq!(root_kid(&before), kid(&next));
        let revoked = change(&process.context, Change::Revoke(kid(&world.key))).await.unwrap();
        assert_eq!(revoked.keyset.epoch, 2);
        let judge = |signed: &Signed| judged(&revoked.keyset, signed, &question("1.0.0"), None, now(&world));
        assert_eq!(judge(&stolen).unwrap_err().code(), "KEY_REVOKED");
        assert_eq!(judge(&before).unwrap_err().code(), "EPOCH", "clients want the new epoch of every key");
        // What is remembered of the old epoch is served to nobody who has the new keyset.
        for process in [&process, &other] {
            if process.context.store.own_commits() == 0 {
                seen(&world);
            }
            for nonce in [None, Some(NONCE)] {
                let signed = process.decider.answer(&question("1.0.0"), nonce, false).await.unwrap();
                let verified = world.verified(&signed, &question("1.0.0"), nonce).await;
                assert_eq!((verified.payload.epoch, root_kid(&signed)), (2, kid(&next)));
            }
        }
        assert!(is_conflict(&promote(&process.context, &world.key).await), "it never signs again");
        assert!(is_conflict(&change(&process.context, Change::Revoke(kid(&world.key))).await));
        assert!(is_conflict(&change(&process.context, Change::Add(new_key(&world.key))).await));
    }
}

#[tokio::test]
async fn the_key_that_signs_is_neither_retired_nor_revoked() {
    let (world, next, process) = two_keys(Mode::Direct).await;
    change(&process.context, Change::Add(new_key(&next))).await.unwrap();
    let before = world.keyset().await;
    // Nobody was promoted yet: either may be the one that signs somewhere.
    for key in [&world.key, &next] {
        assert!(is_conflict(&change(&process.context, Change::Retire(kid(key))).await));
        assert!(is_conflict(&change(&process.context, Change::Revoke(kid(key))).await));
    }
    promote(&process.context, &next).await.unwrap();
    assert!(is_conflict(&change(&process.context, Change::Retire(kid(&next))).await));
    assert!(is_conflict(&change(&process.context, Change::Revoke(kid(&next))).await));
    assert_eq!(world.keyset().await, before);
    let unknown = "x".repeat(43);
    assert!(matches!(change(&process.context, Change::Revoke(unknown)).await, Err(AppError::NotFound)));
}

#[tokio::test]
async fn a_process_without_the_key_that_was_promoted_signs_nothing_and_goes_on_once_its_own_signs_again() {
    for mode in MODES {
        let (world, next, process) = two_keys(mode).await;
        let lacking = world.with_keys(mode, 3, &[&world.key]);
        asked(&world, &lacking).await;
        change(&process.context, Change::Add(new_key(&next))).await.unwrap();
        promote(&process.context, &next).await.unwrap();
        seen(&world);
        for nonce in [None, Some(NONCE)] {
            assert!(is_later(lacking.decider.answer(&question("1.0.0"), nonce, false).await));
        }
        lacking.decider.keyset().await.unwrap();
        asked(&world, &process).await;
        promote(&process.context, &world.key).await.unwrap();
        seen(&world);
        asked(&world, &lacking).await;
    }
}

#[tokio::test]
async fn an_old_key_that_cannot_be_opened_keeps_nobody_from_signing_with_the_one_that_was_promoted() {
    for mode in MODES {
        let (world, next, process) = two_keys(mode).await;
        change(&process.context, Change::Add(new_key(&next))).await.unwrap();
        promote(&process.context, &next).await.unwrap();
        world.key.set_down(true);
        let begun = world.with_keys(mode, 3, &[&world.key, &next]);
        assert_eq!(root_kid(&asked(&world, &begun).await), kid(&next));
        let opened = world.key.opened();
        for _ in 0..10 {
            world.clock.advance(MINUTE);
            asked(&world, &begun).await;
        }
        assert_eq!(world.key.opened(), opened, "nobody waits for it again");
    }
}
