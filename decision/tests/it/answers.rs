//! Steps 7 to 11: trust, question, times, nonce and order.

use decision::keyset::KeysetKey;
use decision::verify::Stored;
use serde_json::json;

use crate::fixture::{NONCE, NOW, World, accepts, code, code_with, world};

fn spoilt(spoil: impl FnOnce(&mut World)) -> Result<decision::Verified, decision::Refusal> {
    let mut world = world();
    spoil(&mut world);
    world.check()
}

fn key(world: &mut World) -> &mut KeysetKey {
    &mut world.keyset.keys[0]
}

#[test]
fn step_7_an_expired_keyset_trusts_nothing() {
    spoilt(|world| world.keyset.expires = NOW + 1).unwrap();
    assert_eq!(code(spoilt(|world| world.keyset.expires = NOW)), "KEYSET_EXPIRED");
}

#[test]
fn step_7_a_key_is_used_in_its_time_unrevoked_and_for_its_products() {
    assert_eq!(code(spoilt(|world| key(world).revoked = true)), "KEY_REVOKED");
    spoilt(|world| key(world).nbf = NOW).unwrap();
    assert_eq!(code(spoilt(|world| key(world).nbf = NOW + 1)), "KEY_NOT_YET_VALID");
    spoilt(|world| key(world).exp = NOW + 1).unwrap();
    assert_eq!(code(spoilt(|world| key(world).exp = NOW)), "KEY_EXPIRED");
    for (products, good) in [
        (&["*"][..], true),
        (&["x", "acme"], true),
        (&["x", "*"], true),
        (&[], false),
        (&["acm"], false),
        (&["acme*"], false),
        (&["ACME"], false),
    ] {
        let outcome =
            spoilt(|world| key(world).products = products.iter().map(ToString::to_string).collect());
        assert_eq!(
            outcome.err().map(|refusal| refusal.code()),
            (!good).then_some("KEY_NOT_FOR_PRODUCT"),
            "{products:?}"
        );
    }
}

#[test]
fn step_8_the_answer_is_to_our_question() {
    for member in ["product_id", "channel", "platform", "arch", "from_version"] {
        for value in ["other", "", "acme ", "Acme"] {
            assert_eq!(code_with(member, value), "QUESTION", "{member}");
        }
    }
    for value in
        ["https://updates.example.com/", "https://UPDATES.example.com", "http://updates.example.com", ""]
    {
        assert_eq!(code_with("iss", value), "ISSUER");
    }
    // The text counts, not the release: the answer to 1.4.0+x is not the answer to 1.4.0.
    assert_eq!(code_with("from_version", "1.4.0+x"), "QUESTION");
}

#[test]
fn step_8_a_tenant_is_there_exactly_where_one_was_asked_for() {
    assert_eq!(code_with("tenant_id", "ten_a"), "QUESTION");
    assert_eq!(code_with("tenant_id", ""), "QUESTION");
    let asked = |told: Option<&str>| {
        let mut world = world().with("tenant_id", told.map(Into::into));
        world.expected.tenant_id = Some("ten_a".to_owned());
        world.check()
    };
    asked(Some("ten_a")).unwrap();
    for told in [None, Some("ten_b"), Some("")] {
        assert_eq!(code(asked(told)), "QUESTION", "{told:?}");
    }
}

#[test]
fn step_9_times_have_their_bounds() {
    let outcome = |iat: i64, exp: i64| {
        let world = world().with("iat", Some(json!(iat))).with("exp", Some(json!(exp)));
        world.check().err().map(|refusal| refusal.code())
    };
    assert_eq!(outcome(NOW + 300, NOW + 3_900), None);
    assert_eq!(outcome(NOW + 301, NOW + 3_900), Some("ISSUED_IN_FUTURE"));
    assert_eq!(outcome(NOW - 10, NOW + 1), None);
    assert_eq!(outcome(NOW - 10, NOW), Some("EXPIRED"));
    assert_eq!(outcome(NOW - 10, -1), Some("EXPIRED"));
    assert_eq!(outcome(NOW, NOW + 86_400), None);
    assert_eq!(outcome(NOW, NOW + 86_401), Some("LIFETIME"));
    assert_eq!(outcome(NOW - 86_399, NOW + 1), None);
    assert_eq!(outcome(NOW - 86_400, NOW + 1), Some("LIFETIME"));
    assert_eq!(outcome(NOW + 10, NOW + 10), Some("LIFETIME"));
    assert_eq!(outcome(NOW + 10, NOW + 9), Some("LIFETIME"));
    assert_eq!(outcome(-9_007_199_254_740_991, 9_007_199_254_740_991), Some("LIFETIME"));
}

#[test]
fn step_9_no_clock_makes_the_arithmetic_overflow() {
    for (now, expected) in [(i64::MAX, "KEYSET_EXPIRED"), (i64::MIN, "KEY_NOT_YET_VALID")] {
        assert_eq!(code(spoilt(|world| world.expected.now = now)), expected);
    }
    let far = spoilt(|world| {
        world.expected.now = i64::MAX - 1;
        world.keyset.expires = i64::MAX;
        key(world).exp = i64::MAX;
    });
    assert_eq!(code(far), "EXPIRED");
}

#[test]
fn step_10_the_nonce_sent_comes_back_and_no_other() {
    for other in ["", "AAAAAAAAAAAAAAAAAAAAAA", "bm9uY2Utbm9uY2UtMDAwM", "bm9uY2Utbm9uY2UtMDAwMQ=="] {
        assert_eq!(code_with("nonce", other), "NONCE");
    }
    assert_eq!(code(world().with("nonce", None).check()), "NONCE");
    let mut world = world();
    world.expected.nonce = None;
    assert_eq!(code(world.check()), "NONCE_UNASKED");
    world.with("nonce", None).check().unwrap();
    accepts("nonce", NONCE);
}

#[test]
fn step_11_epoch_and_seq_begin_at_one() {
    for member in ["epoch", "seq"] {
        for value in [0, -1, -9_007_199_254_740_991_i64] {
            assert_eq!(code_with(member, value), "NOT_POSITIVE");
        }
    }
}

#[test]
fn step_11_the_epoch_is_the_keysets() {
    let later = world().with("epoch", Some(json!(4))).check().unwrap_err();
    let earlier = world().with("epoch", Some(json!(2))).check().unwrap_err();
    let what_next = |refusal: &decision::Refusal| {
        (refusal.code(), refusal.wants_newer_keyset(), refusal.may_be_older_server())
    };
    assert_eq!(what_next(&later), ("EPOCH", true, false));
    assert_eq!(what_next(&earlier), ("EPOCH", false, true));
}

#[test]
fn step_11_nothing_older_than_what_was_stored_is_accepted() {
    let outcome = |stored: Option<(u64, u64)>| {
        let outcome =
            spoilt(|world| world.expected.stored = stored.map(|(epoch, seq)| Stored { epoch, seq }));
        outcome.err().map(|refusal| (refusal.code(), refusal.may_be_older_server()))
    };
    for good in [None, Some((3, 42)), Some((3, 1)), Some((2, 9_007_199_254_740_991))] {
        assert_eq!(outcome(good), None, "{good:?}");
    }
    assert_eq!(outcome(Some((3, 43))), Some(("REPLAYED", true)));
    assert_eq!(outcome(Some((4, 1))), Some(("EPOCH_REPLAYED", true)));
}
