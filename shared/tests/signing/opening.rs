//! A key that cannot be used when the process starts.

use shared::{app::signing::Mode, domain::decide::Explanation};

use super::world::{NONCE, SECOND, World, is_later, question};

const MODES: [Mode; 2] = [Mode::Direct, Mode::Delegated];

#[tokio::test]
async fn a_process_starts_without_its_key_and_signs_once_the_key_can_be_used() {
    for mode in MODES {
        let world = World::new().await;
        world.key.set_down(true);
        let decider = world.decider(mode);
        let asked = question("1.0.0");
        assert!(is_later(decider.answer(&asked, None, false).await));
        assert!(decider.keyset().await.is_err(), "there is none before the key was ever seen");
        let reason = |found: &Explanation<'_>| found.answer.reason;
        decider.explain(&asked, false, reason).await.expect("what needs no signature is answered");
        world.key.set_down(false);
        world.at(SECOND);
        world.ask(&decider, &asked, None).await.unwrap();
        world.ask(&decider, &asked, Some(NONCE)).await.unwrap();
        assert_eq!(decider.keyset().await.unwrap().keys.len(), 1);
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_opened_is_tried_once_a_second_however_many_ask() {
    for mode in MODES {
        let world = World::new().await;
        world.key.set_down(true);
        let decider = world.decider(mode);
        for step in 0..100 {
            world.at(step * 100);
            for _ in 0..20 {
                assert!(is_later(decider.answer(&question("1.0.0"), None, false).await));
            }
        }
        assert_eq!(world.key.opened(), 10, "in ten seconds");
    }
}

#[tokio::test]
async fn a_process_whose_key_is_known_to_the_deployment_shows_the_keyset_without_it() {
    let world = World::new().await;
    world.ask(&world.decider(Mode::Delegated), &question("1.0.0"), None).await.unwrap();
    world.key.set_down(true);
    let late = world.another(Mode::Delegated, 2);
    assert_eq!(*late.keyset().await.unwrap(), world.keyset().await);
    assert!(is_later(late.answer(&question("1.0.0"), None, false).await));
}

#[tokio::test]
async fn a_key_that_clients_do_not_have_is_not_taken_up() {
    let world = World::new().await;
    world.ask(&world.decider(Mode::Direct), &question("1.0.0"), None).await.unwrap();
    let stranger =
        World { key: shared::testing::signer::RemoteKey::fresh(decision::jwk::Alg::EdDsa), ..world };
    let decider = stranger.another(Mode::Direct, 2);
    assert!(is_later(decider.answer(&question("1.0.0"), None, false).await));
    assert_eq!(stranger.key.signed(), 0);
}
