//! Properties: no byte can change, and nothing makes the verifier panic.

use decision::{Alg, Keyset};
use proptest::prelude::*;

use crate::fixture::{World, sign, sign_raw, world, world_of};

#[test]
fn no_single_byte_of_a_token_can_be_another() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let world = world_of(alg);
        let token = world.token();
        let alphabet = b"ABYZabyz0189-_.=+/ \n";
        for (index, byte) in token.bytes().enumerate() {
            for other in alphabet.iter().filter(|other| **other != byte) {
                let mut bytes = token.clone().into_bytes();
                bytes[index] = *other;
                let mutated = String::from_utf8(bytes).unwrap();
                assert!(world.check_token(&mutated).is_err(), "byte {index} as {other}");
            }
        }
    }
}

#[test]
fn no_byte_can_be_left_out_doubled_or_added() {
    let world = world();
    let token = world.token();
    for index in 0..token.len() {
        let (head, tail) = token.split_at(index);
        assert!(world.check_token(&format!("{head}{}", &tail[1..])).is_err(), "without {index}");
        assert!(world.check_token(&format!("{head}{}{tail}", &tail[..1])).is_err(), "doubled {index}");
        assert!(world.check_token(head).is_err(), "cut at {index}");
    }
}

#[test]
fn a_message_is_one_short_line_whatever_the_token_says() {
    let world = world();
    let kid = "\\n\\u001b[31m".repeat(200);
    let header = world.header().replace(world.key.kid(), &kid);
    let refusal = world.check_token(&sign_raw(&world.key, header.as_bytes(), b"{}")).unwrap_err();
    let message = refusal.to_string();
    assert!(message.len() < 1_000 && !message.contains(char::is_control), "{message}");
}

fn fixed_world() -> World {
    world_of(Alg::EdDsa)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_change_of_bytes_is_refused(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let world = fixed_world();
        let token = world.token();
        let mut bytes = token.clone().into_bytes();
        for (index, byte) in changes {
            let index = index.index(bytes.len());
            bytes[index] = byte & 0x7f;
        }
        let mutated = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(world.check_token(&mutated).is_ok(), mutated == token);
    }

    #[test]
    fn no_text_makes_the_verifier_panic(text in any::<String>(), dots in "[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,20}\\.[A-Za-z0-9_-]{0,20}") {
        let world = fixed_world();
        prop_assert!(world.check_token(&text).is_err());
        prop_assert!(world.check_token(&dots).is_err());
    }

    #[test]
    fn no_signed_bytes_make_the_verifier_panic(header in proptest::collection::vec(any::<u8>(), 0..80), payload in proptest::collection::vec(any::<u8>(), 0..200)) {
        let world = fixed_world();
        prop_assert!(world.check_token(&sign_raw(&world.key, &header, &payload)).is_err());
        prop_assert!(world.check_token(&sign(&world.key, &payload)).is_err());
    }

    #[test]
    fn no_signed_payload_with_a_spoilt_part_makes_the_verifier_panic(at in any::<prop::sample::Index>(), with in "[\\[\\]{}\",:0-9a-z\\\\.-]{0,6}") {
        let world = fixed_world();
        let good = world.payload.to_string();
        let (head, tail) = good.split_at(at.index(good.len()));
        let _ = world.check_token(&sign(&world.key, format!("{head}{with}{tail}").as_bytes()));
    }

    #[test]
    fn no_bytes_make_the_keyset_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(Keyset::parse(&bytes).is_err());
    }
}
