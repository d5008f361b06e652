//! Keys that may sign for some products alone.

use std::sync::Arc;

use shared::{
    app::{
        decisions::Decider,
        error::AppError,
        keyset::{self, Change, NewKey, Record},
        products,
        signing::Mode,
    },
    testing::{build, signer::RemoteKey},
};

use super::rotation::{MODES, change, kid, new_key, two_keys};
use super::world::{NONCE, PRODUCT, World, is_later, question, root_kid};

const OTHER: &str = "player";

async fn promote(world: &World, key: &RemoteKey, configured: Option<&[String]>) -> Result<Record, AppError> {
    keyset::promote(&world.context, &build::caller(), &kid(key), configured).await
}

/// Which key answers a question about a product, by a client that believes it.
async fn signs(world: &World, decider: &Decider, product: &str) -> String {
    let asked = build::question(product, "1.0.0");
    let signed = world.ask(decider, &asked, Some(NONCE)).await.unwrap();
    assert_eq!(root_kid(&world.ask(decider, &asked, None).await.unwrap()), root_kid(&signed));
    root_kid(&signed)
}

/// The next key is listed for one product, and promoted.
async fn limited(mode: Mode) -> (World, Arc<RemoteKey>, super::world::Process) {
    let (world, next, process) = two_keys(mode).await;
    let id = OTHER.parse().unwrap();
    products::create(&world.context, &build::caller(), (&id, None), &[], None).await.unwrap();
    let key = NewKey { products: vec![PRODUCT.parse().unwrap()], ..new_key(&next) };
    change(&process.context, Change::Add(key)).await.unwrap();
    keyset::promote(&process.context, &build::caller(), &kid(&next), None).await.unwrap();
    (world, next, process)
}

#[tokio::test]
async fn a_key_that_is_limited_to_products_signs_for_these_and_another_for_the_others() {
    for mode in MODES {
        let (world, next, process) = limited(mode).await;
        for _ in 0..2 {
            assert_eq!(signs(&world, &process.decider, PRODUCT).await, kid(&next));
            assert_eq!(signs(&world, &process.decider, OTHER).await, kid(&world.key));
            assert_eq!(signs(&world, &process.decider, "never-made").await, kid(&world.key));
        }
    }
}

#[tokio::test]
async fn where_no_other_key_may_sign_there_is_no_decision_about_other_products() {
    for mode in MODES {
        let (world, next, process) = limited(mode).await;
        let alone = world.with_keys(mode, 3, &[&next]);
        assert_eq!(signs(&world, &alone.decider, PRODUCT).await, kid(&next));
        let asked = build::question(OTHER, "1.0.0");
        let before = next.signed();
        for nonce in [None, Some(NONCE)] {
            assert!(is_later(alone.decider.answer(&asked, nonce, false).await));
        }
        assert_eq!(next.signed(), before, "nothing is signed that clients would refuse");
        // Revoked, the first key is none of those that may sign.
        change(&process.context, Change::Revoke(kid(&world.key))).await.unwrap();
        assert!(is_later(process.decider.answer(&asked, None, false).await));
        process.decider.answer(&question("1.0.0"), None, false).await.unwrap();
    }
}

#[tokio::test]
async fn a_key_that_the_service_does_not_have_is_promoted_by_nobody_who_has_not_said_so() {
    let (world, next, process) = two_keys(Mode::Direct).await;
    change(&process.context, Change::Add(new_key(&next))).await.unwrap();
    let first = [kid(&world.key)];
    let refused = promote(&world, &next, Some(&first)).await.unwrap_err();
    assert!(matches!(refused, AppError::KeyNotConfigured(missing) if missing == kid(&next)));
    assert_eq!(keyset::current(&world.context).await.unwrap().unwrap().value.active, None);
    let both = [kid(&world.key), kid(&next)];
    assert_eq!(promote(&world, &next, Some(&both)).await.unwrap().active, Some(kid(&next)));
    // What signs already is not refused, whoever is asked; and whoever says so is believed.
    promote(&world, &next, Some(&first)).await.unwrap();
    assert_eq!(promote(&world, &world.key, None).await.unwrap().active, Some(kid(&world.key)));
}
