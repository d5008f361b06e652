//! The chain of signed keysets: who may sign the next one, and what it may say.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use decision::keyset::KeysetKey;
use decision::root::{Draft, MAX_STEPS, Root, RootError, TYP_KEYSET, TrustedKeyset, Walk};
use decision::sign::LocalKey;
use decision::{Alg, Keyset};
use serde_json::{Value, json};

use crate::fixture::{ISSUER, NOW, new_key};

/// Three root keys.
fn three() -> [LocalKey; 3] {
    [(); 3].map(|()| new_key(Alg::EdDsa))
}

fn root(threshold: usize, keys: &[&LocalKey]) -> Root {
    Root::new(threshold, keys.iter().map(|key| *key.public()).collect()).unwrap()
}

fn keyset(version: u64, epoch: u64) -> Keyset {
    let key = KeysetKey::new(*new_key(Alg::Es256).public(), NOW - 10, NOW + 10, vec!["*".to_owned()]);
    Keyset { v: 1, version, epoch, expires: NOW + 100, nonces: true, keys: vec![key] }
}

fn signed(keyset: &Keyset, root: &Root, keys: &[&LocalKey]) -> Vec<u8> {
    let mut draft = Draft::new(ISSUER, keyset, root).unwrap();
    for key in keys {
        draft = draft.signed(key).unwrap();
    }
    draft.to_file().into_bytes()
}

/// Version 1 under a root of two of three.
fn first(keys: &[LocalKey; 3]) -> TrustedKeyset {
    let [a, b, c] = keys;
    TrustedKeyset::pin(&signed(&keyset(1, 1), &root(2, &[a, b, c]), &[a, c])).unwrap()
}

fn step(from: &TrustedKeyset, file: &[u8]) -> Result<TrustedKeyset, RootError> {
    let mut walk = Walk::from(from.clone());
    walk.step(file)?;
    walk.finish(NOW)
}

fn code(outcome: Result<TrustedKeyset, RootError>) -> &'static str {
    outcome.expect_err("it was trusted").code()
}

/// The file with one thing about its JSON changed.
fn spoilt(file: &[u8], spoil: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(file).unwrap();
    spoil(&mut value);
    value.to_string().into_bytes()
}

#[test]
fn a_threshold_of_both_roots_leads_to_the_next_version() {
    let (keys, new) = (three(), three());
    let ([a, b, _], [x, y, z]) = (&keys, &new);
    let next = signed(&keyset(2, 1), &root(2, &[x, y, z]), &[a, b, x, y]);
    let trusted = step(&first(&keys), &next).unwrap();
    assert_eq!((trusted.keyset().version, trusted.issuer()), (2, ISSUER));
    assert_eq!(trusted.file().as_bytes(), next);
    // From there on only the new root counts.
    let by_old = signed(&keyset(3, 1), &root(2, &[x, y, z]), &[a, b]);
    assert_eq!(code(step(&trusted, &by_old)), "ROOT_SIGNATURES");
    let by_new = signed(&keyset(3, 1), &root(2, &[x, y, z]), &[y, z]);
    assert_eq!(step(&trusted, &by_new).unwrap().keyset().version, 3);
}

#[test]
fn too_few_of_the_old_or_of_the_new_root_lead_nowhere() {
    let (keys, new) = (three(), three());
    let ([a, b, c], [x, y, z]) = (&keys, &new);
    let other = root(2, &[x, y, z]);
    for signers in [vec![], vec![a, b], vec![a, x, y], vec![a, b, x], vec![x, y, z], vec![a, b, c, z]] {
        let refused = step(&first(&keys), &signed(&keyset(2, 1), &other, &signers)).unwrap_err();
        assert!(matches!(refused, RootError::TooFew { .. }), "{refused}");
    }
}

#[test]
fn a_key_of_both_roots_counts_in_both() {
    let keys = three();
    let [a, b, c] = &keys;
    let new = new_key(Alg::EdDsa);
    step(&first(&keys), &signed(&keyset(2, 1), &root(2, &[b, c, &new]), &[b, c])).unwrap();
    step(&first(&keys), &signed(&keyset(2, 1), &root(3, &[b, c, &new]), &[a, b, c, &new])).unwrap();
}

#[test]
fn versions_are_consecutive_and_never_go_back() {
    let keys = three();
    let [a, b, c] = &keys;
    let same = root(2, &[a, b, c]);
    let second = step(&first(&keys), &signed(&keyset(2, 1), &same, &[a, b])).unwrap();
    for version in [1, 2, 4, 9_007_199_254_740_991] {
        assert_eq!(code(step(&second, &signed(&keyset(version, 1), &same, &[a, b]))), "ROOT_VERSION");
    }
}

#[test]
fn the_epoch_never_falls() {
    let keys = three();
    let [a, b, c] = &keys;
    let same = root(2, &[a, b, c]);
    let second = step(&first(&keys), &signed(&keyset(2, 5), &same, &[a, b])).unwrap();
    assert_eq!(code(step(&second, &signed(&keyset(3, 4), &same, &[a, b]))), "ROOT_EPOCH");
    step(&second, &signed(&keyset(3, 5), &same, &[a, b])).unwrap();
}

#[test]
fn a_keyset_of_another_deployment_is_refused_though_the_same_people_signed_it() {
    let keys = three();
    let [a, b, c] = &keys;
    let draft = Draft::new("https://staging.example.com", &keyset(2, 1), &root(2, &[a, b, c])).unwrap();
    let file = draft.signed(a).unwrap().signed(b).unwrap().to_file();
    assert_eq!(code(step(&first(&keys), file.as_bytes())), "ROOT_ISSUER");
}

#[test]
fn only_the_last_version_of_a_walk_has_to_be_in_force() {
    let keys = three();
    let [a, b, c] = &keys;
    let same = root(2, &[a, b, c]);
    let over = Keyset { expires: NOW, ..keyset(2, 1) };
    let mut walk = Walk::from(first(&keys));
    walk.step(&signed(&over, &same, &[a, b])).unwrap();
    assert_eq!(code(walk.clone().finish(NOW)), "ROOT_EXPIRED");
    assert_eq!(walk.clone().finish(NOW - 1).unwrap().keyset().version, 2);
    assert_eq!(walk.next_version(), 3);
    walk.step(&signed(&keyset(3, 1), &same, &[a, b])).unwrap();
    assert_eq!(walk.finish(NOW).unwrap().keyset().version, 3);
}

#[test]
fn a_walk_has_a_thousand_steps_and_no_more() {
    let keys = three();
    let [a, b, c] = &keys;
    let same = root(1, &[a, b, c]);
    let mut walk = Walk::from(first(&keys));
    walk.step(&signed(&keyset(2, 1), &same, &[a, b])).unwrap();
    for version in 3..=1_001 {
        walk.step(&signed(&keyset(version, 1), &same, &[a])).unwrap();
    }
    assert_eq!((walk.steps(), walk.may_go_on()), (MAX_STEPS, false));
    let refused = walk.step(&signed(&keyset(1_002, 1), &same, &[a])).unwrap_err();
    assert_eq!(refused, RootError::TooManySteps);
    assert_eq!(walk.at().keyset().version, 1_001);
}

#[test]
fn any_bit_of_the_signed_bytes_matters() {
    let keys = three();
    let [a, b, c] = &keys;
    let file = signed(&keyset(2, 1), &root(2, &[a, b, c]), &[a, b]);
    let from = first(&keys);
    step(&from, &file).unwrap();
    for path in ["/payload", "/signatures/0/protected", "/signatures/0/signature", "/signatures/1/signature"]
    {
        let changed = spoilt(&file, |value| {
            let text = value.pointer_mut(path).unwrap();
            let mut bytes = URL_SAFE_NO_PAD.decode(text.as_str().unwrap()).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            *text = json!(URL_SAFE_NO_PAD.encode(bytes));
        });
        assert!(step(&from, &changed).is_err(), "{path}");
    }
}

#[test]
fn the_file_and_its_headers_have_exactly_their_members() {
    let keys = three();
    let [a, b, c] = &keys;
    let file = signed(&keyset(2, 1), &root(2, &[a, b, c]), &[a, b]);
    let from = first(&keys);
    let header = |header: Value| {
        let protected = URL_SAFE_NO_PAD.encode(header.to_string());
        let input = |payload: &str| format!("{protected}.{payload}");
        spoilt(&file, |value| {
            let payload = value["payload"].as_str().unwrap().to_owned();
            let signature = a.sign(input(&payload).as_bytes()).unwrap();
            value["signatures"][0] =
                json!({"protected": protected, "signature": URL_SAFE_NO_PAD.encode(signature)});
        })
    };
    let good = json!({"alg": "EdDSA", "kid": a.kid(), "typ": TYP_KEYSET});
    step(&from, &header(good.clone())).unwrap();
    for (name, value) in [
        ("alg", json!("ES256")),
        ("alg", json!("none")),
        ("typ", json!("update-decision+jws")),
        ("typ", json!("signing-delegation+jws")),
        ("crit", json!([])),
        ("kid", json!(7)),
    ] {
        let mut bad = good.clone();
        bad[name] = value.clone();
        assert_eq!(code(step(&from, &header(bad))), "ROOT_FORM", "{name} {value}");
    }
    let twice = String::from_utf8(file.clone()).unwrap().replacen('{', r#"{"payload":"AA","#, 1);
    assert_eq!(code(step(&from, twice.as_bytes())), "ROOT_FORM");
    assert_eq!(code(step(&from, &spoilt(&file, |value| value["header"] = json!({})))), "ROOT_FORM");
    assert_eq!(
        code(step(&from, &spoilt(&file, |value| value["signatures"][0]["header"] = json!({})))),
        "ROOT_FORM"
    );
    for bytes in [b"".as_slice(), b"[]", b"{}", b"null", &file[..file.len() / 2], &vec![b' '; 1_048_577]] {
        assert_eq!(code(step(&from, bytes)), "ROOT_FORM");
    }
}

#[test]
fn one_key_does_not_make_two_signatures() {
    let keys = three();
    let [a, b, c] = &keys;
    let file = signed(&keyset(2, 1), &root(2, &[a, b, c]), &[a]);
    let doubled = spoilt(&file, |value| {
        let one = value["signatures"][0].clone();
        value["signatures"].as_array_mut().unwrap().push(one);
    });
    assert_eq!(code(step(&first(&keys), &doubled)), "ROOT_SIGNATURES");
    let draft = Draft::new(ISSUER, &keyset(2, 1), &root(2, &[a, b, c])).unwrap().signed(a).unwrap();
    assert!(matches!(draft.signed(a), Err(RootError::Twice { .. })));
    assert!(matches!(draft.signed(&new_key(Alg::Es256)), Err(RootError::Signer { .. })));
}

#[test]
fn a_signature_of_somebody_else_neither_helps_nor_harms() {
    let keys = three();
    let [a, b, c] = &keys;
    let stranger = new_key(Alg::EdDsa);
    let same = root(2, &[a, b, c]);
    assert_eq!(code(step(&first(&keys), &signed(&keyset(2, 1), &same, &[a, &stranger]))), "ROOT_SIGNATURES");
    step(&first(&keys), &signed(&keyset(2, 1), &same, &[a, &stranger, c])).unwrap();
}

#[test]
fn a_root_is_of_ed25519_keys_none_twice_and_a_threshold_within_reach() {
    let [a, b, _] = three().map(|key| *key.public());
    let p256 = *new_key(Alg::Es256).public();
    for (threshold, keys) in
        [(0, vec![a]), (2, vec![a]), (1, vec![]), (1, vec![a, a]), (1, vec![a, p256]), (0, vec![])]
    {
        assert_eq!(Root::new(threshold, keys).unwrap_err().code(), "ROOT_KEYS");
    }
    let root = Root::new(2, vec![a, b]).unwrap();
    let text = serde_json::to_string(&root.to_json()).unwrap();
    assert_eq!(Root::parse(text.as_bytes()).unwrap(), root);
    for bad in [text.replace(":2", ":2.0"), text.replace(":2", ":-1"), text.replace("\"x\"", "\"d\"")] {
        assert!(Root::parse(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn what_is_pinned_is_signed_by_its_own_root() {
    let keys = three();
    let [a, b, c] = &keys;
    let pinned = TrustedKeyset::pin(&signed(&keyset(1, 1), &root(2, &[a, b, c]), &[b]));
    assert_eq!(code(pinned), "ROOT_SIGNATURES");
    // Pinning has no clock: an application may be installed long after it was built.
    let over = Keyset { expires: 1, ..keyset(1, 1) };
    TrustedKeyset::pin(&signed(&over, &root(2, &[a, b, c]), &[a, b])).unwrap();
}

#[test]
fn the_signed_part_is_a_keyset_that_can_be_pinned_by_hand_too() {
    let keys = three();
    let file = first(&keys);
    let value: Value = serde_json::from_str(file.file()).unwrap();
    let payload = URL_SAFE_NO_PAD.decode(value["payload"].as_str().unwrap()).unwrap();
    assert_eq!(&Keyset::parse(&payload).unwrap(), file.keyset());
}
