//! Step 5 at the edges of the numbers that make up a signature.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use decision::Alg;

use crate::fixture::{World, code, world_of};

/// The order of P-256, big-endian.
const N: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
    0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// The order of the base point of Ed25519, little-endian.
const L: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// The world's token, and the two halves of its signature.
fn halves(world: &World) -> (String, [u8; 32], [u8; 32]) {
    let token = world.token();
    let (input, signature) = token.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    (input.to_owned(), signature[..32].try_into().unwrap(), signature[32..].try_into().unwrap())
}

fn with(input: &str, r: [u8; 32], s: [u8; 32]) -> String {
    format!("{input}.{}", URL_SAFE_NO_PAD.encode([r, s].concat()))
}

/// `n - s`, the other number that verifies beside the same `r`.
fn mirrored(s: [u8; 32]) -> [u8; 32] {
    let (mut out, mut borrow) = ([0; 32], false);
    for place in (0..32).rev() {
        let (first, low) = N[place].overflowing_sub(s[place]);
        let (second, lower) = first.overflowing_sub(u8::from(borrow));
        (out[place], borrow) = (second, low || lower);
    }
    out
}

/// `s + l`, the same number to whoever reduces it.
fn raised(s: [u8; 32]) -> [u8; 32] {
    let (mut out, mut carry) = ([0; 32], 0_u16);
    for place in 0..32 {
        let sum = u16::from(s[place]) + u16::from(L[place]) + carry;
        (out[place], carry) = (sum.to_le_bytes()[0], sum >> 8);
    }
    out
}

#[test]
fn step_5_both_mirror_images_of_an_es256_signature_are_accepted() {
    // JWS knows no "low s", and signers, KMS among them, give out either.
    let world = world_of(Alg::Es256);
    let (input, r, s) = halves(&world);
    assert_ne!(s, mirrored(s));
    world.check_token(&with(&input, r, mirrored(s))).unwrap();
}

#[test]
fn step_5_the_numbers_of_an_es256_signature_are_below_the_order() {
    let world = world_of(Alg::Es256);
    let (input, r, s) = halves(&world);
    let mut above = N;
    above[31] += 1;
    for bad in [[0; 32], N, above, [0xff; 32]] {
        assert_eq!(code(world.check_token(&with(&input, bad, s))), "SIGNATURE");
        assert_eq!(code(world.check_token(&with(&input, r, bad))), "SIGNATURE");
        assert_eq!(code(world.check_token(&with(&input, bad, bad))), "SIGNATURE");
    }
    assert_eq!(code(world.check_token(&with(&input, s, r))), "SIGNATURE");
}

#[test]
fn step_5_an_ed25519_signature_has_one_spelling() {
    let world = world_of(Alg::EdDsa);
    let (input, r, s) = halves(&world);
    assert_eq!(code(world.check_token(&with(&input, r, raised(s)))), "SIGNATURE");
    assert_eq!(code(world.check_token(&with(&input, r, L))), "SIGNATURE");
    let mut identity = [0; 32];
    identity[0] = 1;
    assert_eq!(code(world.check_token(&with(&input, identity, [0; 32]))), "SIGNATURE");
}
