//! What decisions follow from the keyset, which other processes may change.

use std::sync::Arc;

use decision::{
    keyset::{Keyset, KeysetKey},
    verify,
};
use shared::{
    app::{
        audit,
        keyset::{Change, NewKey},
        signing::Mode,
    },
    testing::{build, log::Log, signer::RemoteKey},
};

use super::{
    rotation::{change, kid, new_key, promote, two_keys},
    world::{MINUTE, NONCE, START, World, delegation, expected, is_later, question},
};

const DAY: i64 = 24 * 60 * MINUTE;
const MODES: [Mode; 2] = [Mode::Direct, Mode::Delegated];

#[tokio::test]
async fn the_keyset_tells_clients_to_send_a_nonce_in_delegated_mode_alone() {
    let world = World::new().await;
    let versions = [(Mode::Delegated, true, 1), (Mode::Direct, false, 2), (Mode::Delegated, true, 3)];
    for (mode, nonces, version) in versions {
        for process in 1..3 {
            let decider = world.another(mode, process);
            world.ask(&decider, &question("1.0.0"), None).await.unwrap();
            let keyset = decider.keyset().await.unwrap();
            assert_eq!((keyset.nonces, keyset.version), (nonces, version));
        }
    }
}

#[tokio::test]
async fn an_epoch_that_another_process_raises_is_in_every_decision_as_soon_as_in_a_catalogue() {
    let max_age = build::settings().catalogue_max_age_ms;
    for mode in MODES {
        let world = World::new().await;
        let decider = world.decider(mode);
        let asked = question("1.0.0");
        world.ask(&decider, &asked, None).await.unwrap();
        let raised = world.publish(|keyset| keyset.epoch = 7).await;
        world.at(max_age + 1);
        for nonce in [None, Some(NONCE)] {
            let signed = decider.answer(&asked, nonce, false).await.unwrap();
            assert_eq!(world.verified(&signed, &asked, nonce).await.payload.epoch, 7);
        }
        assert_eq!(*decider.keyset().await.unwrap(), raised);
    }
}

#[tokio::test]
async fn raising_the_epoch_changes_nothing_else_and_clients_count_seq_anew() {
    for mode in MODES {
        let world = World::new().await;
        let decider = world.decider(mode);
        let asked = question("1.0.0");
        let before = world.ask(&decider, &asked, None).await.unwrap();
        let known = world.keyset().await;
        // Clients have seen what was published after the moment to which the records were restored.
        let client = verify::Expected {
            stored: Some(verify::Stored { epoch: 1, seq: 1_000 }),
            ..expected(&asked, None, START / 1_000)
        };
        let refused = verify::verify(&before.token, &known, &client).unwrap_err();
        assert_eq!(refused.code(), "REPLAYED");
        let raised = change(&world.context, Change::RaiseEpoch).await.unwrap().keyset;
        assert_eq!(raised, Keyset { version: 2, epoch: 2, ..known });
        let after = decider.answer(&asked, None, false).await.unwrap();
        let believed = verify::verify(&after.token, &raised, &client).unwrap();
        assert_eq!((believed.payload.epoch, believed.payload.seq < 1_000), (2, true), "{mode:?}");
        assert_eq!(verify::verify(&before.token, &raised, &client).unwrap_err().code(), "EPOCH");
        // Again is once more: somebody may have seen a higher one.
        assert_eq!(change(&world.context, Change::RaiseEpoch).await.unwrap().keyset.epoch, 3);
        let kind = Some("keyset.published".into());
        let filter = audit::Filter { kind, limit: 10, ..audit::Filter::default() };
        let told = audit::list(&world.context, &filter).await.unwrap().0;
        assert!(told.iter().any(|entry| entry.subject == "keyset/2" && entry.actor.is_some()), "{told:?}");
    }
}

#[tokio::test]
async fn a_key_that_another_process_revokes_or_takes_off_signs_no_more_and_nothing_that_it_signed_is_served()
{
    let max_age = build::settings().catalogue_max_age_ms;
    for mode in MODES {
        for revoke in [true, false] {
            let world = World::new().await;
            let decider = world.decider(mode);
            let asked = question("1.0.0");
            world.ask(&decider, &asked, None).await.unwrap();
            let before = world.key.signed();
            world
                .publish(|keyset| {
                    let other = shared::testing::signer::TestSigner::fresh();
                    let public = *shared::ports::signer::Signer::public_key(&other);
                    keyset.keys.push(KeysetKey::new(public, 0, i64::MAX, vec!["*".into()]));
                    if revoke {
                        keyset.keys[0].revoked = true;
                    } else {
                        keyset.keys.remove(0);
                    }
                })
                .await;
            world.at(max_age + 1);
            for nonce in [None, Some(NONCE)] {
                assert!(is_later(decider.answer(&asked, nonce, false).await), "{mode:?} {revoke}");
            }
            assert_eq!(world.key.signed(), before);
            assert_eq!(decider.keyset().await.unwrap().version, 2, "the keyset itself is shown");
        }
    }
}

#[tokio::test]
async fn a_key_whose_time_in_the_keyset_is_over_signs_no_more() {
    for mode in MODES {
        let world = World::new().await;
        let decider = world.decider(mode);
        world.ask(&decider, &question("1.0.0"), None).await.unwrap();
        world.publish(|keyset| keyset.keys[0].exp = START / 1_000 + 60).await;
        world.at(MINUTE);
        assert!(is_later(decider.answer(&question("1.0.0"), None, false).await));
    }
}

#[tokio::test]
async fn while_the_store_does_not_answer_the_keyset_is_remembered_as_long_as_catalogues_are() {
    let stale = build::settings().catalogue_max_stale_ms;
    for mode in MODES {
        let world = World::new().await;
        let decider = world.decider(mode);
        world.ask(&decider, &question("1.0.0"), None).await.unwrap();
        world.items.set_down(true);
        world.at(stale);
        decider.keyset().await.unwrap();
        decider.answer(&question("1.0.0"), None, false).await.unwrap();
        world.at(stale + 1);
        decider.keyset().await.unwrap_err();
        assert!(is_later(decider.answer(&question("1.0.0"), None, false).await));
        world.items.set_down(false);
        decider.keyset().await.unwrap();
    }
}

#[tokio::test]
async fn where_the_store_refuses_the_keyset_is_remembered_no_longer_than_it_may_be_old() {
    let age = build::settings().catalogue_max_age_ms;
    for mode in MODES {
        let world = World::new().await;
        let decider = world.decider(mode);
        world.ask(&decider, &question("1.0.0"), None).await.unwrap();
        world.items.set_refusing(true);
        world.at(age);
        decider.keyset().await.unwrap();
        world.at(age + 1);
        decider.keyset().await.unwrap_err();
    }
}

#[tokio::test]
async fn a_delegation_names_the_deployment_and_lasts_an_hour() {
    let world = World::new().await;
    let signed = world.ask(&world.decider(Mode::Delegated), &question("1.0.0"), None).await.unwrap();
    let delegation = delegation(&signed);
    assert_eq!(delegation["iss"], build::settings().base_url);
    assert_eq!(delegation["scope"], "update-decision");
    assert_eq!(delegation["nbf"], START / 1_000);
    assert_eq!(delegation["exp"], START / 1_000 + 3_600);
}

#[tokio::test]
async fn a_process_that_runs_for_years_renews_the_keyset_and_the_key_in_time_and_never_fails() {
    for mode in MODES {
        let world = World::new().await;
        let decider = world.decider(mode);
        world.ask(&decider, &question("1.0.0"), None).await.unwrap();
        let mut versions = Vec::new();
        for day in 1..6 * 365 {
            world.at(day * DAY);
            decider.renew_keyset().await.unwrap();
            let keyset = decider.keyset().await.unwrap();
            let left = |end: i64| end - START / 1_000 - day * 86_400;
            assert!(left(keyset.expires) >= 60 * 86_400 && left(keyset.keys[0].exp) >= 60 * 86_400, "{day}");
            assert_eq!(keyset.keys.len(), 1);
            if versions.last() != Some(&keyset.version) {
                versions.push(keyset.version);
                world.ask(&decider, &question("1.0.0"), Some(NONCE)).await.unwrap();
            }
        }
        // Each lasts a year, and is renewed when sixty days of that are left.
        assert_eq!(versions, (1..=8).collect::<Vec<u64>>(), "{mode:?}");
    }
}

#[tokio::test]
async fn a_keyset_that_cannot_be_renewed_today_is_renewed_tomorrow() {
    let world = World::new().await;
    let decider = world.decider(Mode::Delegated);
    world.ask(&decider, &question("1.0.0"), None).await.unwrap();
    world.at(330 * DAY);
    world.items.set_down(true);
    decider.renew_keyset().await.unwrap_err();
    world.items.set_down(false);
    assert_eq!(world.keyset().await.version, 1);
    world.at(331 * DAY);
    decider.renew_keyset().await.unwrap();
    assert_eq!(world.keyset().await.version, 2);
}

/// A deployment whose second key, which an operator has listed until a day, signs.
async fn ending(days: i64) -> (World, super::world::Process, Arc<RemoteKey>) {
    let (world, next, process) = two_keys(Mode::Direct).await;
    let exp = Some(START / 1_000 + days * 86_400);
    let new = NewKey { exp, ..new_key(&next) };
    change(&process.context, Change::Add(new)).await.unwrap();
    promote(&process.context, &next).await.unwrap();
    (world, process, next)
}

#[tokio::test]
async fn an_end_that_an_operator_has_set_stands_and_the_log_warns_as_it_comes_near() {
    let log = Log::read();
    let (world, process, next) = ending(400).await;
    let listed = |keyset: &Keyset| keyset.get(&kid(&next)).unwrap().exp;
    let end = listed(&world.keyset().await);
    let mut warned = Vec::new();
    for day in 1..400 {
        world.at(day * DAY);
        process.decider.renew_keyset().await.unwrap();
        world.ask(&process.decider, &question("1.0.0"), None).await.unwrap();
        assert_eq!(listed(&world.keyset().await), end);
        warned.extend(
            log.with("key_days_left").into_iter().map(|line| line["key_days_left"].as_i64().unwrap()),
        );
    }
    assert_eq!(world.keyset().await.version, 3, "the keyset itself was renewed");
    // Once a day, and once more where a version of the keyset is new.
    warned.dedup();
    assert_eq!(warned, (1..=60).rev().collect::<Vec<_>>());
    world.at(400 * DAY);
    assert!(is_later(process.decider.answer(&question("1.0.0"), None, false).await));
}

#[tokio::test]
async fn an_end_that_the_service_chose_is_put_off_while_the_key_signs_and_one_of_a_retired_key_is_not() {
    let (world, next, process) = two_keys(Mode::Direct).await;
    change(&process.context, Change::Add(NewKey { exp: None, ..new_key(&next) })).await.unwrap();
    promote(&process.context, &next).await.unwrap();
    let end = |keyset: &Keyset, key: &RemoteKey| keyset.get(&kid(key)).unwrap().exp;
    let chosen = end(&world.keyset().await, &next);
    assert_eq!(chosen, START / 1_000 + 5 * 365 * 86_400);
    world.at(310 * DAY);
    process.decider.renew_keyset().await.unwrap();
    assert!(end(&world.keyset().await, &next) > chosen);
    let retired = change(&process.context, Change::Retire(kid(&world.key))).await.unwrap();
    let last = end(&retired.keyset, &world.key);
    // It signs again, and ends all the same.
    promote(&process.context, &world.key).await.unwrap();
    let begun = world.with_keys(Mode::Direct, 3, &[&world.key]);
    world.ask(&begun.decider, &question("1.0.0"), None).await.unwrap();
    begun.decider.renew_keyset().await.unwrap();
    assert_eq!(end(&world.keyset().await, &world.key), last);
}

#[tokio::test]
async fn the_days_left_of_the_keyset_are_logged_once_a_day_and_it_is_renewed_when_sixty_are_left() {
    let (log, world) = (Log::read(), World::new().await);
    let decider = world.decider(Mode::Direct);
    let mut left = Vec::new();
    for hour in 0..400 * 24 {
        world.at(hour * 60 * MINUTE);
        decider.answer(&question("1.0.0"), None, false).await.unwrap();
        if hour % 24 == 23 {
            decider.renew_keyset().await.unwrap();
        }
        left.extend(log.with("keyset_days_left"));
    }
    assert!(left.iter().all(|line| line["level"] == "INFO"), "nobody has to do anything");
    let left: Vec<_> = left.iter().map(|line| line["keyset_days_left"].as_i64().unwrap()).collect();
    assert_eq!(left[..3], [365, 364, 363]);
    // Once on each of the 401 days, and once for the version that is new, on the day that the old one is told of last.
    assert_eq!(left.len(), 402);
    let least = left.iter().position(|days| *days < 60).unwrap();
    assert_eq!(left[least..least + 3], [59, 365, 364]);
    assert!(left[least + 1..].iter().all(|days| *days > 60));
}

#[tokio::test]
async fn a_keyset_that_is_over_is_renewed_by_the_request_that_finds_it_so() {
    for mode in MODES {
        let world = World::new().await;
        let decider = world.decider(mode);
        world.ask(&decider, &question("1.0.0"), None).await.unwrap();
        world.at(365 * DAY);
        world.items.set_down(true);
        assert!(is_later(decider.answer(&question("1.0.0"), None, false).await));
        world.items.set_down(false);
        world.at(365 * DAY + MINUTE);
        world.ask(&decider, &question("1.0.0"), None).await.unwrap();
        assert_eq!(decider.keyset().await.unwrap().version, 2);
    }
}
