//! A wrong clock is told from a bad token: by tokens that are good but for the time, and by no others.

use decision::verify::{Stored, accepted_when_issued};
use decision::{Alg, Refusal};
use serde_json::{Value, json};

use crate::delegated::{delegated, delegation_header, grant};
use crate::fixture::{NOW, World, new_key, sign, sign_raw, world, world_of};

/// Ten years.
const TEN_YEARS: i64 = 315_576_000;
const WRONG: [i64; 6] = [NOW - TEN_YEARS, NOW + TEN_YEARS, NOW - 3_901, NOW + 3_600, 0, i64::MAX];

fn issued(world: &World, token: &str, now: i64) -> Option<i64> {
    let expected = decision::Expected { now, ..world.expected.clone() };
    accepted_when_issued(token, &world.keyset, &expected)
}

/// A token that a key of a process signed, under a delegation that the world's key signed.
fn of_a_process(world: &World, alg: Alg) -> String {
    let key = new_key(alg);
    let dlg =
        sign_raw(&world.key, delegation_header(&world.key).as_bytes(), grant(&key).to_string().as_bytes());
    delegated(world, &key, &dlg)
}

/// The world's token and one of a process, both good.
fn tokens(world: &World) -> [String; 2] {
    [world.token(), of_a_process(world, Alg::EdDsa)]
}

#[test]
fn at_a_wrong_time_a_good_token_says_when_it_was_issued_direct_and_delegated() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let world = world_of(alg);
        for token in [world.token(), of_a_process(&world, Alg::Es256), of_a_process(&world, Alg::EdDsa)] {
            for now in WRONG {
                assert_eq!(issued(&world, &token, now), Some(NOW), "{alg} {now}");
            }
        }
    }
}

#[test]
fn at_the_right_time_nothing_is_said_of_the_clock() {
    let world = world();
    for token in tokens(&world) {
        for now in [NOW - 299, NOW, NOW + 3_000] {
            assert_eq!(issued(&world, &token, now), None, "{now}");
        }
    }
}

#[test]
fn a_token_with_another_fault_is_no_proof_about_the_clock() {
    let faults: [(&str, Value); 9] = [
        ("v", json!(2)),
        ("crit_claims", json!(["x"])),
        ("iss", json!("https://other.example.com")),
        ("product_id", json!("other")),
        ("nonce", json!("AAAAAAAAAAAAAAAAAAAAAA")),
        ("exp", json!(NOW + 90_000)),
        ("epoch", json!(4)),
        ("iat", json!("then")),
        ("artifact", Value::Null),
    ];
    for (member, value) in faults {
        let world = world().with(member, Some(value));
        for token in tokens(&world) {
            for now in WRONG {
                assert_eq!(issued(&world, &token, now), None, "{member} {now}");
            }
        }
    }
    let mut world = world();
    world.expected.stored = Some(Stored { epoch: 3, seq: 43 });
    for token in tokens(&world) {
        assert_eq!(issued(&world, &token, NOW + TEN_YEARS), None);
    }
}

#[test]
fn a_token_that_nobody_trusted_signed_is_no_proof_about_the_clock() {
    let (world, stranger, process) = (world(), new_key(Alg::Es256), new_key(Alg::Es256));
    let header = world.header();
    let payload = world.payload.to_string();
    let dlg = sign_raw(
        &world.key,
        delegation_header(&world.key).as_bytes(),
        grant(&process).to_string().as_bytes(),
    );
    let forged_dlg =
        sign_raw(&stranger, delegation_header(&world.key).as_bytes(), grant(&process).to_string().as_bytes());
    let under = |dlg: &str| {
        format!(r#"{{"alg":"ES256","dlg":"{dlg}","kid":"{}","typ":"update-decision+jws"}}"#, process.kid())
    };
    let bad = [
        sign_raw(&stranger, header.as_bytes(), payload.as_bytes()),
        sign(&stranger, payload.as_bytes()),
        // A good delegation of somebody else's token, and a payload that its key never signed.
        sign_raw(&stranger, under(&dlg).as_bytes(), payload.as_bytes()),
        sign_raw(&world.key, under(&dlg).as_bytes(), payload.as_bytes()),
        sign_raw(&process, under(&forged_dlg).as_bytes(), payload.as_bytes()),
    ];
    for (number, token) in bad.iter().enumerate() {
        for now in WRONG {
            assert_eq!(issued(&world, token, now), None, "{number} {now}");
        }
    }
}

#[test]
fn a_token_that_is_too_long_is_no_proof_about_the_clock() {
    let long = |characters: usize| world().with("x", Some(json!("x".repeat(characters))));
    let (good, bad) = (long(40_000), long(60_000));
    assert!(bad.token().len() > 65_536);
    assert_eq!(issued(&good, &good.token(), NOW + TEN_YEARS), Some(NOW));
    assert_eq!(issued(&bad, &bad.token(), NOW + TEN_YEARS), None);
}

#[test]
fn a_key_or_a_keyset_that_was_over_when_the_token_was_issued_is_no_proof_about_the_clock() {
    let spoil: [fn(&mut World); 4] = [
        |world| world.keyset.expires = NOW,
        |world| world.keyset.keys[0].exp = NOW,
        |world| world.keyset.keys[0].nbf = NOW + 1,
        |world| world.keyset.keys[0].revoked = true,
    ];
    for spoil in spoil {
        let mut world = world();
        spoil(&mut world);
        for token in tokens(&world) {
            for now in WRONG {
                assert_eq!(issued(&world, &token, now), None, "{now}");
            }
        }
    }
}

#[test]
fn refusals_for_the_time_are_those_of_keyset_key_delegation_and_decision() {
    let refusal = |spoil: fn(&mut World), now: i64, delegated: bool| -> Refusal {
        let mut world = world();
        spoil(&mut world);
        world.expected.now = now;
        world.check_token(&tokens(&world)[usize::from(delegated)]).unwrap_err()
    };
    let for_ever: fn(&mut World) = |world| {
        world.keyset.expires = i64::MAX;
        (world.keyset.keys[0].nbf, world.keyset.keys[0].exp) = (0, i64::MAX);
    };
    for (refusal, code) in [
        (refusal(|_| (), NOW + TEN_YEARS, false), "KEYSET_EXPIRED"),
        (refusal(|world| world.keyset.expires = i64::MAX, NOW + TEN_YEARS, false), "KEY_EXPIRED"),
        (refusal(|_| (), NOW - TEN_YEARS, false), "KEY_NOT_YET_VALID"),
        (refusal(for_ever, NOW - TEN_YEARS, false), "ISSUED_IN_FUTURE"),
        (refusal(for_ever, NOW + TEN_YEARS, false), "EXPIRED"),
        (refusal(for_ever, NOW - TEN_YEARS, true), "DELEGATION_NOT_YET_VALID"),
        (refusal(for_ever, NOW + TEN_YEARS, true), "DELEGATION_EXPIRED"),
    ] {
        assert_eq!((refusal.code(), refusal.is_about_time()), (code, true));
    }
    let other = refusal(|world| world.keyset.keys[0].revoked = true, NOW, false);
    assert_eq!((other.code(), other.is_about_time()), ("KEY_REVOKED", false));
}
