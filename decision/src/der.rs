//! ECDSA signatures in DER, the form in which a KMS gives them out.

use crate::jws::SIGNATURE_BYTES;

/// The bytes are no DER signature of a P-256 key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no strict DER encoding of a P-256 signature")]
pub struct DerError;

/// Turns a DER `Ecdsa-Sig-Value` into `r || s`, each left-padded to 32 bytes.
///
/// Strict: short lengths, minimal and positive integers, nothing after the end.
///
/// # Errors
/// [`DerError`] where the bytes are anything else.
pub fn der_to_fixed(der: &[u8]) -> Result<[u8; SIGNATURE_BYTES], DerError> {
    let (body, rest) = element(0x30, der)?;
    let (r, body) = integer(body)?;
    let (s, body) = integer(body)?;
    if !rest.is_empty() || !body.is_empty() {
        return Err(DerError);
    }
    let mut fixed = [0; SIGNATURE_BYTES];
    let (high, low) = fixed.split_at_mut(32);
    high.copy_from_slice(&r);
    low.copy_from_slice(&s);
    Ok(fixed)
}

/// The content of the element of that tag at the front, and what follows it.
fn element(tag: u8, der: &[u8]) -> Result<(&[u8], &[u8]), DerError> {
    match der {
        // Nothing in a P-256 signature is longer than 127 bytes, so lengths have one byte.
        [found, length @ 0..0x80, rest @ ..] if *found == tag => {
            rest.split_at_checked(usize::from(*length)).ok_or(DerError)
        }
        _ => Err(DerError),
    }
}

/// The positive integer at the front, left-padded, and what follows it.
fn integer(der: &[u8]) -> Result<([u8; 32], &[u8]), DerError> {
    let (content, rest) = element(0x02, der)?;
    let digits = match content {
        [0, digits @ ..] if matches!(digits, [0x80..=0xff, ..]) => digits,
        [1..0x80, ..] => content,
        _ => return Err(DerError),
    };
    let padding = 32usize.checked_sub(digits.len()).ok_or(DerError)?;
    let mut number = [0; 32];
    number.get_mut(padding..).ok_or(DerError)?.copy_from_slice(digits);
    Ok((number, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ring::rand::SystemRandom;
    use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;
    use crate::jwk::PublicKey;

    #[test]
    fn what_a_signer_gives_out_in_der_verifies_as_fixed() {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &random).unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, document.as_ref(), &random).unwrap();
        let public = PublicKey::from_p256_point(pair.public_key().as_ref()).unwrap();
        // Enough signatures that some have a short `r` or `s`, and some of both signs.
        for number in 0..600_u32 {
            let message = number.to_be_bytes();
            let der = pair.sign(&random, &message).unwrap();
            public.verify(&message, &der_to_fixed(der.as_ref()).unwrap()).unwrap();
        }
    }

    #[test]
    fn short_numbers_are_padded_on_the_left() {
        let fixed = der_to_fixed(&[0x30, 7, 2, 1, 5, 2, 2, 0, 0x80]).unwrap();
        let mut expected = [0; 64];
        expected[31] = 5;
        expected[63] = 0x80;
        assert_eq!(fixed, expected);
    }

    #[test]
    fn other_spellings_are_refused() {
        let bad: [&[u8]; 13] = [
            &[],
            &[0x30],
            &[0x30, 6, 2, 1, 5, 2, 1],
            &[0x30, 6, 2, 1, 5, 2, 1, 5, 0],
            &[0x30, 7, 2, 1, 5, 2, 1, 5, 0],
            &[0x30, 7, 2, 1, 5, 2, 2, 0, 5],
            &[0x30, 6, 2, 1, 0x85, 2, 1, 5],
            &[0x30, 6, 2, 1, 0, 2, 1, 5],
            &[0x30, 5, 2, 0, 2, 1, 5],
            &[0x31, 6, 2, 1, 5, 2, 1, 5],
            &[0x30, 6, 3, 1, 5, 2, 1, 5],
            &[0x30, 0x81, 6, 2, 1, 5, 2, 1, 5],
            &[0x30, 3, 2, 1, 5],
        ];
        for der in bad {
            assert_eq!(der_to_fixed(der), Err(DerError), "{der:?}");
        }
        let long = [&[0x30, 38, 2, 33][..], &[1; 33], &[2, 1, 5]].concat();
        assert_eq!(der_to_fixed(&long), Err(DerError));
        let long = [&[0x30, 39, 2, 34][..], &[0], &[0x81; 33], &[2, 1, 5]].concat();
        assert_eq!(der_to_fixed(&long), Err(DerError));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = der_to_fixed(&bytes);
        }
    }
}
