//! Delegated decisions: the certificate inside the header, and every way to forge one.

use decision::delegation::Delegation;
use decision::keyset::KeysetKey;
use decision::sign::LocalKey;
use decision::{Alg, jws};
use serde_json::{Value, json};

use crate::fixture::{ISSUER, NOW, World, code, new_key, set, sign_raw, world, world_of};

/// What a delegation to `key` says.
pub(crate) fn grant(key: &LocalKey) -> Value {
    json!({"v": 1, "iss": ISSUER, "scope": "update-decision", "jwk": key.public().to_jwk(), "nbf": NOW - 60, "exp": NOW + 3_540})
}

pub(crate) fn delegation_header(key: &LocalKey) -> String {
    format!(r#"{{"alg":"{}","kid":"{}","typ":"signing-delegation+jws"}}"#, key.alg(), key.kid())
}

/// The world's payload, signed by `key` under `dlg`.
pub(crate) fn delegated(world: &World, key: &LocalKey, dlg: &str) -> String {
    let input = jws::signing_input(
        &jws::encode_header(key.alg(), key.kid(), Some(dlg)),
        world.payload.to_string().as_bytes(),
    );
    let signature = key.sign(input.as_bytes()).unwrap();
    jws::compact(input, &signature)
}

/// The verdict on a decision under a delegation that says `grant`, signed by the keyset key.
fn verdict(world: &World, key: &LocalKey, grant: &Value) -> Result<decision::Verified, decision::Refusal> {
    let dlg = sign_raw(&world.key, delegation_header(&world.key).as_bytes(), grant.to_string().as_bytes());
    world.check_token(&delegated(world, key, &dlg))
}

fn verdict_with(path: &str, value: Option<Value>) -> Option<&'static str> {
    let (world, key) = (world(), new_key(Alg::Es256));
    let mut grant = grant(&key);
    set(&mut grant, path, value);
    verdict(&world, &key, &grant).err().map(|refusal| refusal.code())
}

#[test]
fn every_pair_of_algorithms_is_accepted() {
    for outer in [Alg::Es256, Alg::EdDsa] {
        for inner in [Alg::Es256, Alg::EdDsa] {
            let (world, key) = (world_of(outer), new_key(inner));
            let written = Delegation::new(ISSUER.into(), key.public(), NOW - 60, NOW + 3_540).unwrap();
            let input = written.signing_input(outer, world.key.kid()).unwrap();
            let signature = world.key.sign(input.as_bytes()).unwrap();
            world.check_token(&delegated(&world, &key, &jws::compact(input, &signature))).unwrap();
        }
    }
}

#[test]
fn a_delegated_key_signs_nothing_without_its_delegation() {
    let (world, key) = (world(), new_key(Alg::Es256));
    let token = crate::fixture::sign(&key, world.payload.to_string().as_bytes());
    assert_eq!(code(world.check_token(&token)), "KID_UNKNOWN");
}

#[test]
fn the_delegation_has_the_form_of_a_token() {
    let (world, key) = (world(), new_key(Alg::Es256));
    let good =
        sign_raw(&world.key, delegation_header(&world.key).as_bytes(), grant(&key).to_string().as_bytes());
    world.check_token(&delegated(&world, &key, &good)).unwrap();
    for bad in [
        String::new(),
        "..".to_owned(),
        "a.b".to_owned(),
        format!("{good}="),
        format!("{good}\n"),
        format!("{good}."),
        format!(" {good}"),
    ] {
        assert_eq!(code(world.check_token(&delegated(&world, &key, &bad))), "DELEGATION_FORM", "{bad}");
    }
}

#[test]
fn the_delegations_header_has_exactly_its_members() {
    let (world, key) = (world(), new_key(Alg::Es256));
    let good = delegation_header(&world.key);
    let bad = [
        (good.replace("signing-delegation+jws", "update-decision+jws"), "DELEGATION_FORM"),
        (good.replace('}', r#","crit":[]}"#), "DELEGATION_FORM"),
        (good.replace('}', r#","alg":"none"}"#), "DELEGATION_FORM"),
        (good.replace(r#""ES256""#, "null"), "DELEGATION_FORM"),
        (good.replace("ES256", "none"), "ALG_MISMATCH"),
        (good.replace("ES256", "EdDSA"), "ALG_MISMATCH"),
        (good.replace(world.key.kid(), key.kid()), "KID_UNKNOWN"),
    ];
    for (header, expected) in bad {
        let dlg = sign_raw(&world.key, header.as_bytes(), grant(&key).to_string().as_bytes());
        assert_eq!(code(world.check_token(&delegated(&world, &key, &dlg))), expected, "{header}");
    }
}

#[test]
fn a_delegated_key_may_not_delegate() {
    let (world, middle, key) = (world(), new_key(Alg::Es256), new_key(Alg::Es256));
    let first =
        sign_raw(&world.key, delegation_header(&world.key).as_bytes(), grant(&middle).to_string().as_bytes());
    let second = |header: String| sign_raw(&middle, header.as_bytes(), grant(&key).to_string().as_bytes());
    let carrying = delegation_header(&middle).replace('}', &format!(r#","dlg":"{first}"}}"#));
    assert_eq!(code(world.check_token(&delegated(&world, &key, &second(carrying)))), "DELEGATION_FORM");
    assert_eq!(
        code(world.check_token(&delegated(&world, &key, &second(delegation_header(&middle))))),
        "KID_UNKNOWN"
    );
}

#[test]
fn a_delegation_is_signed_by_the_key_that_it_names() {
    let (world, stranger, key) = (world(), new_key(Alg::Es256), new_key(Alg::Es256));
    let dlg =
        sign_raw(&stranger, delegation_header(&world.key).as_bytes(), grant(&key).to_string().as_bytes());
    assert_eq!(code(world.check_token(&delegated(&world, &key, &dlg))), "DELEGATION_SIGNATURE");
}

#[test]
fn a_delegation_is_for_this_deployment_and_purpose() {
    assert_eq!(verdict_with("scope", Some(json!("update-decision"))), None);
    for (path, value, expected) in [
        ("v", json!(2), "DELEGATION_VERSION"),
        ("v", json!("1"), "DELEGATION_MEMBER"),
        ("iss", json!("https://other.example.com"), "DELEGATION_ISSUER"),
        ("iss", json!(null), "DELEGATION_MEMBER"),
        ("scope", json!("keyset"), "DELEGATION_SCOPE"),
        ("scope", json!("update-decision snapshot"), "DELEGATION_SCOPE"),
        ("scope", json!(["update-decision"]), "DELEGATION_MEMBER"),
        ("crit_claims", json!(["products"]), "DELEGATION_CRITICAL_CLAIM"),
        ("crit_claims", json!("products"), "DELEGATION_MEMBER"),
        ("jwk", json!("key"), "DELEGATION_MEMBER"),
        ("nbf", json!("1"), "DELEGATION_MEMBER"),
        ("exp", json!(null), "DELEGATION_MEMBER"),
    ] {
        assert_eq!(verdict_with(path, Some(value.clone())), Some(expected), "{path} {value}");
    }
    for path in ["v", "iss", "scope", "jwk", "nbf", "exp"] {
        assert_eq!(verdict_with(path, None), Some("DELEGATION_MEMBER"), "{path}");
    }
}

#[test]
fn a_delegation_lasts_an_hour_at_most_and_covers_now() {
    let window = |nbf: i64, exp: i64| {
        let (world, key) = (world().with("iat", Some(json!(NOW))), new_key(Alg::EdDsa));
        let mut grant = grant(&key);
        set(&mut grant, "nbf", Some(json!(nbf)));
        set(&mut grant, "exp", Some(json!(exp)));
        verdict(&world, &key, &grant).err().map(|refusal| refusal.code())
    };
    assert_eq!(window(NOW, NOW + 3_600), None);
    assert_eq!(window(NOW, NOW + 3_601), Some("DELEGATION_LIFETIME"));
    assert_eq!(window(NOW + 5, NOW + 5), Some("DELEGATION_LIFETIME"));
    assert_eq!(window(NOW + 5, NOW + 4), Some("DELEGATION_LIFETIME"));
    assert_eq!(window(-9_007_199_254_740_991, 9_007_199_254_740_991), Some("DELEGATION_LIFETIME"));
    assert_eq!(window(NOW - 3_599, NOW + 1), None);
    assert_eq!(window(NOW - 3_600, NOW), Some("DELEGATION_EXPIRED"));
    assert_eq!(window(NOW + 301, NOW + 400), Some("DELEGATION_NOT_YET_VALID"));
    // It may begin 300 seconds ahead, but what it signs is issued inside it.
    assert_eq!(window(NOW + 300, NOW + 400), Some("OUTSIDE_DELEGATION"));
}

#[test]
fn a_decision_is_issued_inside_the_window_and_may_outlive_it() {
    let issued = |iat: i64| {
        let (world, key) = (world().with("iat", Some(json!(iat))), new_key(Alg::Es256));
        let mut grant = grant(&key);
        set(&mut grant, "nbf", Some(json!(NOW - 100)));
        set(&mut grant, "exp", Some(json!(NOW + 100)));
        verdict(&world, &key, &grant).err().map(|refusal| refusal.code())
    };
    assert_eq!(issued(NOW - 100), None);
    assert_eq!(issued(NOW - 101), Some("OUTSIDE_DELEGATION"));
    assert_eq!(issued(NOW + 99), None);
    assert_eq!(issued(NOW + 100), Some("OUTSIDE_DELEGATION"));
}

#[test]
fn the_delegated_key_is_public_and_well_formed() {
    for (path, value, expected) in [
        ("jwk.d", Some(json!("AAAA")), "DELEGATION_KEY"),
        ("jwk.kid", Some(json!("x")), "DELEGATION_KEY"),
        ("jwk.alg", None, "DELEGATION_KEY"),
        ("jwk.alg", Some(json!("EdDSA")), "DELEGATION_KEY"),
        ("jwk.y", None, "DELEGATION_KEY"),
        ("jwk.x", Some(json!("AAAA")), "DELEGATION_KEY"),
        ("jwk.kty", Some(json!("oct")), "DELEGATION_KEY"),
        ("jwk.crv", Some(json!(1)), "DELEGATION_KEY"),
    ] {
        assert_eq!(verdict_with(path, value), Some(expected), "{path}");
    }
}

#[test]
fn the_decision_names_the_delegated_key_and_its_algorithm() {
    let (world, key, other) = (world(), new_key(Alg::Es256), new_key(Alg::Es256));
    assert_eq!(code(verdict(&world, &other, &grant(&key))), "DELEGATION_THUMBPRINT");
    let other = new_key(Alg::EdDsa);
    assert_eq!(code(verdict(&world, &other, &grant(&key))), "DELEGATION_ALG");
    // The keyset key cannot be named beside a delegation for another one.
    let dlg =
        sign_raw(&world.key, delegation_header(&world.key).as_bytes(), grant(&key).to_string().as_bytes());
    assert_eq!(code(world.check_token(&delegated(&world, &world.key, &dlg))), "DELEGATION_THUMBPRINT");
}

#[test]
fn the_decision_is_signed_by_the_delegated_key_and_not_by_the_keyset_key() {
    let (world, key) = (world(), new_key(Alg::Es256));
    let dlg =
        sign_raw(&world.key, delegation_header(&world.key).as_bytes(), grant(&key).to_string().as_bytes());
    let header =
        format!(r#"{{"alg":"ES256","dlg":"{dlg}","kid":"{}","typ":"update-decision+jws"}}"#, key.kid());
    let token = sign_raw(&world.key, header.as_bytes(), world.payload.to_string().as_bytes());
    assert_eq!(code(world.check_token(&token)), "SIGNATURE");
}

#[test]
fn the_delegations_payload_is_strict_json() {
    let (world, key) = (world(), new_key(Alg::Es256));
    let good = grant(&key).to_string();
    for bad in [
        format!("\u{feff}{good}"),
        good.replace("\"v\":1", "\"v\":1,\"v\":1"),
        good.replace("\"v\":1", "\"v\":1.0"),
        format!("[{good}]"),
        format!("{good}x"),
    ] {
        let dlg = sign_raw(&world.key, delegation_header(&world.key).as_bytes(), bad.as_bytes());
        assert_eq!(code(world.check_token(&delegated(&world, &key, &dlg))), "DELEGATION_JSON", "{bad}");
    }
}

#[test]
fn the_limits_of_the_keyset_key_hold_for_what_it_delegates() {
    let outcome = |spoil: fn(&mut KeysetKey)| {
        let (mut world, key) = (world(), new_key(Alg::EdDsa));
        spoil(&mut world.keyset.keys[0]);
        let grant = grant(&key);
        verdict(&world, &key, &grant).err().map(|refusal| refusal.code())
    };
    assert_eq!(outcome(|_| ()), None);
    assert_eq!(outcome(|key| key.revoked = true), Some("KEY_REVOKED"));
    assert_eq!(outcome(|key| key.nbf = NOW + 1), Some("KEY_NOT_YET_VALID"));
    assert_eq!(outcome(|key| key.exp = NOW), Some("KEY_EXPIRED"));
    assert_eq!(outcome(|key| key.products = vec!["other".to_owned()]), Some("KEY_NOT_FOR_PRODUCT"));
}

#[test]
fn a_delegation_is_no_decision() {
    let (world, key) = (world(), new_key(Alg::Es256));
    let dlg =
        sign_raw(&world.key, delegation_header(&world.key).as_bytes(), grant(&key).to_string().as_bytes());
    assert_eq!(code(world.check_token(&dlg)), "HEADER_TYPE");
}
