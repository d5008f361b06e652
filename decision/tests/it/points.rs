//! Public keys at the edges of their curves: what is no point, or one under which anybody can sign, is no key.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use decision::jwk::JwkError;
use decision::keyset::{KeysetError, KeysetKey};
use decision::{Alg, Keyset, PublicKey};
use serde_json::{Value, json};

use crate::edges::small_points;
use crate::fixture::{NOW, new_key, world};

/// Points of P-256 with the smallest and the largest coordinates there are, and its generator.
const POINTS: [(&str, &str); 6] = [
    (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4",
    ),
    (
        "0000000000000000000000000000000000000000000000000000000000000005",
        "459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc",
    ),
    (
        "0000000000000000000000000000000000000000000000000000000000000006",
        "36b24c2c54250ac2466985e533720047dcd102b80fe7c0e9220d5128828223cb",
    ),
    (
        "ffffffff00000001000000000000000000000000fffffffffffffffffffffffc",
        "19719bebf6aea13f25c96dfd7c71f5225d4c8fc09eb5a0ab9f39e9178e55c121",
    ),
    (
        "ffffffff00000001000000000000000000000000fffffffffffffffffffffffb",
        "de998cb9ed8a12d7f706cf79349a0621142af47f9faba77e895e9177392eefb7",
    ),
    (
        "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296",
        "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5",
    ),
];

const PRIME: &str = "ffffffff00000001000000000000000000000000ffffffffffffffffffffffff";
const ZERO: &str = "0000000000000000000000000000000000000000000000000000000000000000";
const ONES: &str = "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff";

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn point(x: &[u8], y: &[u8]) -> Result<PublicKey, JwkError> {
    PublicKey::from_p256_point(&[&[4], x, y].concat())
}

fn ec(x: &[u8], y: &[u8]) -> Value {
    let [x, y] = [x, y].map(|bytes| URL_SAFE_NO_PAD.encode(bytes));
    json!({ "crv": "P-256", "kty": "EC", "x": x, "y": y, "alg": "ES256" })
}

fn okp(x: &[u8]) -> Value {
    json!({ "crv": "Ed25519", "kty": "OKP", "x": URL_SAFE_NO_PAD.encode(x), "alg": "EdDSA" })
}

fn read(jwk: &Value) -> Result<PublicKey, JwkError> {
    PublicKey::try_from(&serde_json::from_value(jwk.clone()).unwrap())
}

/// Why a keyset with this key beside a good one is refused.
fn keyset_refuses(jwk: &Value) -> JwkError {
    let mut keyset = serde_json::to_value(world().keyset).unwrap();
    let mut key = jwk.clone();
    let rest =
        json!({ "use": "sig", "kid": "any", "nbf": 0, "exp": NOW * 2, "products": ["*"], "revoked": false });
    key.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
    keyset["keys"].as_array_mut().unwrap().push(key);
    match Keyset::parse(keyset.to_string().as_bytes()) {
        Err(KeysetError::Key { source, .. }) => source,
        other => panic!("{jwk}: {other:?}"),
    }
}

#[test]
fn every_point_of_the_curve_is_a_key_whatever_zeros_its_coordinates_begin_with() {
    for (x, y) in POINTS {
        let (x, y) = (bytes(x), bytes(y));
        let key = point(&x, &y).unwrap();
        assert_eq!(read(&ec(&x, &y)), Ok(key));
        assert_eq!(serde_json::to_value(key.to_jwk()).unwrap(), ec(&x, &y));
    }
    for _ in 0..32 {
        let key = *new_key(Alg::Es256).public();
        assert_eq!(PublicKey::try_from(&key.to_jwk()), Ok(key));
    }
}

#[test]
fn coordinates_of_no_point_are_no_key_and_a_keyset_with_them_is_refused_whole() {
    let (x, y) = POINTS[5];
    let mut wrong = vec![(bytes(y), bytes(x)), (bytes(x), bytes(x))];
    for other in [ZERO, ONES, PRIME] {
        wrong.extend([(bytes(x), bytes(other)), (bytes(other), bytes(y)), (bytes(other), bytes(other))]);
    }
    // p and 5 + p are other spellings of the abscissas 0 and 5.
    wrong.push((bytes(PRIME), bytes(POINTS[0].1)));
    let five_more = "ffffffff00000001000000000000000000000001000000000000000000000004";
    wrong.push((bytes(five_more), bytes(POINTS[1].1)));
    for (x, y) in &wrong {
        assert_eq!(point(x, y), Err(JwkError::Point), "{x:?} {y:?}");
        assert_eq!(keyset_refuses(&ec(x, y)), JwkError::Point);
    }
}

#[test]
fn a_point_with_any_bit_turned_is_no_key() {
    let (x, y) = POINTS[5];
    let whole = [bytes(x), bytes(y)].concat();
    for bit in 0..512 {
        let mut turned = whole.clone();
        turned[bit / 8] ^= 1 << (bit % 8);
        let (x, y) = turned.split_at(32);
        assert_eq!(point(x, y), Err(JwkError::Point), "bit {bit}");
    }
}

#[test]
fn coordinates_have_32_bytes_with_their_leading_zeros_and_no_more() {
    let (x, y) = (bytes(POINTS[1].0), bytes(POINTS[1].1));
    let longer = [&[0], y.as_slice()].concat();
    for (short, y) in [(&x[31..], y.as_slice()), (&x[1..], &y), (&[], &y), (&x, &longer), (&x, &y[1..])] {
        assert!(matches!(keyset_refuses(&ec(short, y)), JwkError::Coordinate(_)), "{short:?} {y:?}");
    }
    let key = *new_key(Alg::EdDsa).public();
    let x = URL_SAFE_NO_PAD.decode(key.to_jwk().x).unwrap();
    for wrong in [&x[1..], &[&[0], x.as_slice()].concat()] {
        assert_eq!(keyset_refuses(&okp(wrong)), JwkError::Coordinate("x"));
    }
}

#[test]
fn an_ed25519_key_of_small_order_or_in_a_second_spelling_is_refused_wherever_it_is_read() {
    for weak in small_points() {
        assert_eq!(keyset_refuses(&okp(&weak)), JwkError::Point);
        let spki = [bytes("302a300506032b6570032100"), weak.to_vec()].concat();
        assert_eq!(PublicKey::from_spki_der(&spki), Err(JwkError::Point));
    }
}

#[test]
fn a_good_keyset_is_read_as_before() {
    let mut keyset = world().keyset;
    keyset.keys.push(KeysetKey::new(*new_key(Alg::EdDsa).public(), 0, NOW, vec!["*".to_owned()]));
    assert_eq!(Keyset::parse(serde_json::to_string(&keyset).unwrap().as_bytes()), Ok(keyset));
}
