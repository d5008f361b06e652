//! What is asked of a server that stands in for KMS.

use aws_sdk_kms::{
    Client,
    operation::sign::builders::SignFluentBuilder,
    primitives::Blob,
    types::{
        KeySpec::{self, EccNistEdwards25519, EccNistP256},
        KeyUsageType,
        MessageType::{Digest, Raw},
        SigningAlgorithmSpec::{self, EcdsaSha256, EcdsaSha384, Ed25519Sha512, RsassaPssSha256},
    },
};
use ring::{
    digest::{SHA256, digest},
    signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey},
};

use super::{INVALID, refusal};
use crate::servers::{config, fresh_name, named_by};

const BOTH: [(KeySpec, SigningAlgorithmSpec); 2] =
    [(EccNistP256, EcdsaSha256), (EccNistEdwards25519, Ed25519Sha512)];
const UNKNOWN: &str = "5b5c5e5d-0000-4000-8000-000000000000";
const NOT_FOUND: &str = "NotFoundException";
const UNFIT: &str = "InvalidKeyUsageException";
/// The most that KMS signs unhashed.
const MAX_RAW_BYTES: usize = 4096;
/// What comes before the point of a P-256 key in its `SubjectPublicKeyInfo` (RFC 5480).
const P256_HEAD: &[u8] =
    b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00";
/// The same for Ed25519 (RFC 8410).
const ED25519_HEAD: &[u8] = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00";

fn kms() -> Client {
    Client::new(&config(&named_by("BP_TEST_KMS")))
}

async fn key_for(kms: &Client, usage: KeyUsageType, spec: KeySpec) -> String {
    let key = kms.create_key().key_spec(spec).key_usage(usage).send().await.unwrap();
    key.key_metadata.unwrap().key_id
}

async fn key(kms: &Client, spec: KeySpec) -> String {
    key_for(kms, KeyUsageType::SignVerify, spec).await
}

/// A request to sign a message as it is.
fn sign(kms: &Client, key: &str, algorithm: SigningAlgorithmSpec, message: &[u8]) -> SignFluentBuilder {
    let sign = kms.sign().key_id(key).signing_algorithm(algorithm).message_type(Raw);
    sign.message(Blob::new(message))
}

/// A request to sign a digest with P-256.
fn sign_digest(kms: &Client, key: &str, digest: &[u8]) -> SignFluentBuilder {
    sign(kms, key, EcdsaSha256, digest).message_type(Digest)
}

async fn signature(request: SignFluentBuilder) -> Vec<u8> {
    request.send().await.unwrap().signature.unwrap().into_inner()
}

/// The bytes of a public key, without what says of which kind it is.
async fn public(kms: &Client, key: &str, head: &[u8]) -> Vec<u8> {
    let der = kms.get_public_key().key_id(key).send().await.unwrap().public_key.unwrap().into_inner();
    der.strip_prefix(head).unwrap().to_vec()
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_digest_signed_with_p256_verifies_under_its_public_key_alone() {
    let kms = kms();
    let (one, other) = (key(&kms, EccNistP256).await, key(&kms, EccNistP256).await);
    let verifier = |point| UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
    let public_one = verifier(public(&kms, &one, P256_HEAD).await);
    let public_other = verifier(public(&kms, &other, P256_HEAD).await);
    // Enough that some have a short `r` or `s`.
    for number in 0..100_u32 {
        let message = number.to_be_bytes();
        let digest = digest(&SHA256, &message);
        let signature = signature(sign_digest(&kms, &one, digest.as_ref())).await;
        public_one.verify(&message, &signature).unwrap();
        public_other.verify(&message, &signature).unwrap_err();
        public_one.verify(digest.as_ref(), &signature).unwrap_err();
    }
    let hashed_there = signature(sign(&kms, &one, EcdsaSha256, b"message")).await;
    public_one.verify(b"message", &hashed_there).unwrap();
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_message_signed_with_ed25519_verifies_under_its_public_key_alone() {
    let kms = kms();
    let (one, other) = (key(&kms, EccNistEdwards25519).await, key(&kms, EccNistEdwards25519).await);
    let public_one = UnparsedPublicKey::new(&ED25519, public(&kms, &one, ED25519_HEAD).await);
    let public_other = UnparsedPublicKey::new(&ED25519, public(&kms, &other, ED25519_HEAD).await);
    for length in [1, 32, 1000, MAX_RAW_BYTES] {
        let message = vec![b'x'; length];
        let signature = signature(sign(&kms, &one, Ed25519Sha512, &message)).await;
        public_one.verify(&message, &signature).unwrap();
        public_other.verify(&message, &signature).unwrap_err();
        public_one.verify(&message[1..], &signature).unwrap_err();
    }
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_key_that_is_disabled_or_to_be_deleted_signs_nothing() {
    let kms = kms();
    for (spec, algorithm) in BOTH {
        let key = key(&kms, spec).await;
        let attempt = || sign(&kms, &key, algorithm.clone(), b"message").send();
        kms.disable_key().key_id(&key).send().await.unwrap();
        assert_eq!(refusal(attempt().await), "DisabledException");
        kms.enable_key().key_id(&key).send().await.unwrap();
        attempt().await.unwrap();
        kms.schedule_key_deletion().key_id(&key).pending_window_in_days(7).send().await.unwrap();
        assert_eq!(refusal(attempt().await), "KMSInvalidStateException");
    }
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn an_unknown_key_is_not_found() {
    let kms = kms();
    let alias = format!("alias/{}", fresh_name());
    for unknown in [UNKNOWN, &alias] {
        assert_eq!(refusal(sign(&kms, unknown, EcdsaSha256, b"message").send().await), NOT_FOUND);
        assert_eq!(refusal(kms.get_public_key().key_id(unknown).send().await), NOT_FOUND);
        assert_eq!(refusal(kms.describe_key().key_id(unknown).send().await), NOT_FOUND);
    }
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn an_algorithm_that_is_not_the_keys_is_refused() {
    let kms = kms();
    let (p256, ed25519) = (key(&kms, EccNistP256).await, key(&kms, EccNistEdwards25519).await);
    for (key, algorithm) in [
        (&p256, EcdsaSha384),
        (&p256, Ed25519Sha512),
        (&p256, RsassaPssSha256),
        (&ed25519, EcdsaSha256),
        (&ed25519, RsassaPssSha256),
    ] {
        assert_eq!(refusal(sign(&kms, key, algorithm, b"message").send().await), UNFIT);
    }
    // Which refusal this is, AWS does not say.
    let digest = sign(&kms, &ed25519, Ed25519Sha512, &[1; 64]).message_type(Digest);
    refusal(digest.send().await);
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_key_of_another_use_signs_nothing() {
    let kms = kms();
    let agreeing = key_for(&kms, KeyUsageType::KeyAgreement, EccNistP256).await;
    assert_eq!(refusal(sign(&kms, &agreeing, EcdsaSha256, b"message").send().await), UNFIT);
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_digest_of_another_length_is_refused() {
    let kms = kms();
    let key = key(&kms, EccNistP256).await;
    for length in [1, 31, 33, 48, 64] {
        assert_eq!(refusal(sign_digest(&kms, &key, &vec![1; length]).send().await), INVALID, "{length}");
    }
    sign_digest(&kms, &key, &[1; 32]).send().await.unwrap();
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_message_above_4096_bytes_is_refused() {
    let kms = kms();
    for (spec, algorithm) in BOTH {
        let key = key(&kms, spec).await;
        let long = sign(&kms, &key, algorithm, &[b'x'; MAX_RAW_BYTES + 1]);
        assert_eq!(refusal(long.send().await), INVALID);
    }
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn an_alias_leads_to_its_key_and_to_another_once_it_is_moved() {
    let kms = kms();
    let alias = format!("alias/{}", fresh_name());
    let (first, second) = (key(&kms, EccNistP256).await, key(&kms, EccNistP256).await);
    kms.create_alias().alias_name(&alias).target_key_id(&first).send().await.unwrap();
    let again = kms.create_alias().alias_name(&alias).target_key_id(&second).send().await;
    assert_eq!(refusal(again), "AlreadyExistsException");
    for key in [&first, &second] {
        kms.update_alias().alias_name(&alias).target_key_id(key).send().await.unwrap();
        let named = kms.get_public_key().key_id(&alias).send().await.unwrap();
        let meant = kms.get_public_key().key_id(key).send().await.unwrap();
        assert_eq!((named.public_key, &named.key_id), (meant.public_key, &meant.key_id));
        assert!(named.key_id.as_deref().is_some_and(|arn| arn.starts_with("arn:") && arn.ends_with(key)));
        let signed = sign(&kms, &alias, EcdsaSha256, b"message").send().await.unwrap();
        assert_eq!(signed.key_id, meant.key_id);
    }
}
