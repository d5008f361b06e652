//! Keys that change while processes sign, and changes that meet each other.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use decision::jwk::Alg;
use shared::{
    app::{
        keyset::{self, Change, Unlisted},
        signing::Mode,
    },
    ports::{clock::Clock as _, signer::Signer as _},
    testing::{
        build,
        gate::{Gate, Trouble},
        signer::RemoteKey,
    },
};

use super::{
    rotation::{MODES, change, kid, new_key, promote, two_keys},
    world::{NONCE, Process, World, question, root_kid, verified},
};

const PROCESSES: u8 = 6;

/// Asks until it is told to stop: how often, and which keys have answered, one after the other.
async fn load(world: Arc<World>, process: Process, stop: Arc<AtomicBool>) -> (usize, Vec<String>) {
    let (mut count, mut kids) = (0, Vec::new());
    while !stop.load(Ordering::SeqCst) {
        let asked = question(&format!("1.{}.0", count % 7));
        let nonce = (count % 2 == 0).then_some(NONCE);
        let before = world.keyset().await;
        let signed = process.decider.answer(&asked, nonce, false).await.unwrap();
        // The keyset of before the question: a client may have fetched it no later.
        verified(&before, &signed, &asked, nonce, world.clock.now());
        let kid = root_kid(&signed);
        if kids.last() != Some(&kid) {
            kids.push(kid);
        }
        count += 1;
        tokio::task::yield_now().await;
    }
    (count, kids)
}

/// Lets time pass, with the processes at work.
async fn pass(world: &World, ms: i64) {
    for _ in 0..ms / 100 {
        world.clock.advance(100);
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_rotation_under_load_fails_no_decision_and_every_token_verifies_under_the_keyset_that_was_current()
{
    let max_age = build::settings().catalogue_max_age_ms;
    for mode in MODES {
        let (world, next, first) = two_keys(mode).await;
        let (world, stop) = (Arc::new(world), Arc::new(AtomicBool::new(false)));
        let mut tasks = tokio::task::JoinSet::new();
        for number in 3..3 + PROCESSES {
            let process = world.with_keys(mode, number, &[&world.key, &next]);
            tasks.spawn(load(Arc::clone(&world), process, Arc::clone(&stop)));
        }
        pass(&world, 2_000).await;
        change(&first.context, Change::Add(new_key(&next))).await.unwrap();
        pass(&world, max_age + 100).await;
        promote(&first.context, &next).await.unwrap();
        pass(&world, max_age + 100).await;
        let old_signatures = world.key.signed();
        change(&first.context, Change::Retire(kid(&world.key))).await.unwrap();
        pass(&world, max_age + 100).await;
        assert_eq!(world.key.signed(), old_signatures, "the old key signs no more");
        stop.store(true, Ordering::SeqCst);
        let mut answers = 0;
        while let Some(done) = tasks.join_next().await {
            let (count, kids) = done.unwrap();
            assert_eq!(kids, [kid(&world.key), kid(&next)], "once, and never back");
            answers += count;
        }
        assert!(answers > 200, "{answers} answers");
    }
}

#[tokio::test]
async fn of_changes_at_once_each_is_made_in_some_order_and_none_is_lost() {
    let (world, _, first) = two_keys(Mode::Direct).await;
    let mut tasks = tokio::task::JoinSet::new();
    let keys: Vec<_> = (0..6).map(|_| RemoteKey::fresh(Alg::Es256)).collect();
    for (number, key) in (3..).zip(&keys) {
        let (context, wanted) =
            (world.with_keys(Mode::Direct, number, &[]).context, Change::Add(new_key(key)));
        tasks.spawn(async move { change(&context, wanted).await.unwrap().keyset.version });
    }
    let mut versions = HashSet::new();
    while let Some(version) = tasks.join_next().await {
        versions.insert(version.unwrap());
    }
    assert_eq!(versions, (2..8).collect());
    let keyset = keyset::newest(&first.context).await.unwrap().unwrap();
    assert!(keys.iter().all(|key| keyset.get(&kid(key)).is_some()), "{keyset:?}");
}

#[tokio::test]
async fn a_promotion_that_meets_a_new_version_of_the_keyset_is_in_it() {
    let (world, next, first) = two_keys(Mode::Direct).await;
    change(&first.context, Change::Add(new_key(&next))).await.unwrap();
    let slow = world.with_keys(Mode::Direct, 3, &[]);
    let gate = Gate::default();
    slow.items.on_write_to("keysets", Trouble::WaitsBefore(gate.clone()));
    let (context, key) = (slow.context.clone(), Arc::clone(&next));
    let promoting = tokio::spawn(async move { promote(&context, &key).await });
    gate.reached().await;
    let third = RemoteKey::fresh(Alg::Es256);
    change(&first.context, Change::Add(new_key(&third))).await.unwrap();
    gate.open();
    promoting.await.unwrap().unwrap();
    let newest = keyset::current(&first.context).await.unwrap().unwrap().value;
    assert_eq!((newest.keyset.version, newest.active), (3, Some(kid(&next))));
    assert_eq!(slow.items.conflicts(), 1);
}

#[tokio::test]
async fn a_new_version_of_the_keyset_that_meets_a_promotion_keeps_it() {
    for renewal in [true, false] {
        let (world, next, first) = two_keys(Mode::Direct).await;
        change(&first.context, Change::Add(new_key(&next))).await.unwrap();
        let slow = world.with_keys(Mode::Direct, 3, &[]);
        let gate = Gate::default();
        slow.items.on_write_to("keysets", Trouble::WaitsBefore(gate.clone()));
        let (context, key) = (slow.context.clone(), *world.key.public_key());
        let third = RemoteKey::fresh(Alg::Es256);
        let changing = tokio::spawn(async move {
            if renewal {
                keyset::ensure(&context, &key, Unlisted::Refuse, true).await.map(|_| ()).unwrap();
            } else {
                change(&context, Change::Add(new_key(&third))).await.unwrap();
            }
        });
        gate.reached().await;
        promote(&first.context, &next).await.unwrap();
        gate.open();
        changing.await.unwrap();
        let newest = keyset::current(&first.context).await.unwrap().unwrap().value;
        assert_eq!((newest.keyset.version, newest.active), (3, Some(kid(&next))), "{renewal}");
    }
}

#[tokio::test]
async fn a_key_is_not_revoked_while_it_is_being_promoted() {
    let (world, next, first) = two_keys(Mode::Direct).await;
    change(&first.context, Change::Add(new_key(&next))).await.unwrap();
    promote(&first.context, &world.key).await.unwrap();
    let slow = world.with_keys(Mode::Direct, 3, &[]);
    let gate = Gate::default();
    slow.items.on_write_to("keysets", Trouble::WaitsBefore(gate.clone()));
    let (context, wanted) = (slow.context.clone(), Change::Revoke(kid(&next)));
    let revoking = tokio::spawn(async move { change(&context, wanted).await });
    gate.reached().await;
    promote(&first.context, &next).await.unwrap();
    gate.open();
    revoking.await.unwrap().unwrap_err();
    assert!(!world.keyset().await.get(&kid(&next)).unwrap().revoked);
}
