//! Signatures at the edges of both algorithms, after the cases of Wycheproof: lengths, encodings, weak keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use decision::keyset::KeysetKey;
use decision::{Alg, PublicKey, jws};
use proptest::prelude::*;

use crate::fixture::{NOW, World, code, world_of};

/// The world's token, cut into what was signed and the signature.
fn parts(world: &World) -> (String, Vec<u8>) {
    let token = world.token();
    let (input, signature) = token.rsplit_once('.').unwrap();
    (input.to_owned(), URL_SAFE_NO_PAD.decode(signature).unwrap())
}

fn with(input: &str, signature: &[u8]) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}

/// The eight points whose order divides 8, and every other spelling of them.
pub(crate) fn small_points() -> Vec<[u8; 32]> {
    let order_8 = [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ]
    .map(|hex| {
        let mut point = [0; 32];
        for (place, byte) in point.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * place..2 * place + 2], 16).unwrap();
        }
        point
    });
    let mut points = vec![[0; 32], order_8[0], order_8[1]];
    points.push([[1].as_slice(), &[0; 31]].concat().try_into().unwrap());
    for first in 0xec..=0xff {
        points.push([[first].as_slice(), &[0xff; 30], &[0x7f]].concat().try_into().unwrap());
    }
    let negative = points.clone().into_iter().map(|mut point| {
        point[31] |= 0x80;
        point
    });
    points.extend(negative.collect::<Vec<_>>());
    points
}

#[test]
fn a_signature_of_any_other_length_is_refused() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let world = world_of(alg);
        let (input, good) = parts(&world);
        world.check_token(&with(&input, &good)).unwrap();
        for length in 1..good.len() {
            assert_eq!(
                code(world.check_token(&with(&input, &good[..length]))),
                "SIGNATURE",
                "{alg} {length}"
            );
        }
        for extra in [[0].as_slice(), &[1], &[0; 32], &[0; 64], &good] {
            let longer = [&good, extra].concat();
            assert_eq!(code(world.check_token(&with(&input, &longer))), "SIGNATURE", "{alg} {extra:?}");
            let longer = [extra, &good].concat();
            assert_eq!(code(world.check_token(&with(&input, &longer))), "SIGNATURE", "{alg} {extra:?}");
        }
    }
}

#[test]
fn an_es256_signature_in_der_is_refused() {
    let world = world_of(Alg::Es256);
    let (input, good) = parts(&world);
    let integer = |number: &[u8]| {
        let number = if number[0] >= 0x80 { [&[0], number].concat() } else { number.to_vec() };
        [&[2, u8::try_from(number.len()).unwrap()], number.as_slice()].concat()
    };
    let body = [integer(&good[..32]), integer(&good[32..])].concat();
    let der = [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
    assert_eq!(code(world.check_token(&with(&input, &der))), "SIGNATURE");
}

#[test]
fn an_ed25519_signature_with_s_beyond_the_order_is_refused() {
    let world = world_of(Alg::EdDsa);
    let (input, good) = parts(&world);
    for bit in [0x20, 0x40, 0x80] {
        let mut high = good.clone();
        high[63] |= bit;
        assert_eq!(code(world.check_token(&with(&input, &high))), "SIGNATURE", "{bit:#x}");
    }
    for r in small_points() {
        for s in [[0; 32].as_slice(), &good[32..], &[0xff; 32]] {
            let token = with(&input, &[r.as_slice(), s].concat());
            assert_eq!(code(world.check_token(&token)), "SIGNATURE", "{r:?}");
        }
    }
}

#[test]
fn under_a_key_of_small_order_nothing_verifies() {
    // With A of small order and S = 0, one R in eight fits any message: R = -kA.
    let points = small_points();
    assert_eq!(points.len(), 48);
    for point in &points {
        let key = PublicKey::from_ed25519(*point);
        for r in &points {
            let signature = [r.as_slice(), &[0; 32]].concat();
            for message in 0..4_u8 {
                key.verify(&[message], &signature).unwrap_err();
            }
        }
    }
}

#[test]
fn a_keyset_key_of_small_order_signs_no_decision() {
    let mut world = world_of(Alg::EdDsa);
    let mut identity = [0; 32];
    identity[0] = 1;
    let weak = KeysetKey::new(PublicKey::from_ed25519(identity), NOW - 10, NOW + 10, vec!["*".to_owned()]);
    let header = jws::encode_header(Alg::EdDsa, &weak.kid, None);
    let input = jws::signing_input(&header, world.payload.to_string().as_bytes());
    world.keyset.keys.push(weak);
    assert_eq!(code(world.check_token(&with(&input, &[identity, [0; 32]].concat()))), "SIGNATURE");
}

#[test]
fn a_signature_of_one_algorithm_is_none_of_the_other() {
    let (es, ed) = (world_of(Alg::Es256), world_of(Alg::EdDsa));
    for (world, other) in [(&es, &ed), (&ed, &es)] {
        let ((input, _), (_, signature)) = (parts(world), parts(other));
        assert_eq!(code(world.check_token(&with(&input, &signature))), "SIGNATURE");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_signature_with_any_bit_turned_is_refused(bit in 0..512_usize, ed in any::<bool>()) {
        let world = world_of(if ed { Alg::EdDsa } else { Alg::Es256 });
        let (input, mut signature) = parts(&world);
        signature[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(code(world.check_token(&with(&input, &signature))), "SIGNATURE");
    }
}
