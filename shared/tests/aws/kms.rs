//! `KmsSigner` over a server that really signs.

use aws_sdk_kms::{
    Client,
    types::{KeySpec, KeyUsageType},
};
use aws_types::SdkConfig;
use decision::jwk::Alg;
use shared::{
    adapters::signer::kms::{KmsKeyError, KmsKeys, KmsSigner, MAX_RAW_BYTES},
    ports::signer::{Keys, Signer, SignerError},
};

use super::servers::{config, named_by};

const SERVER: &str = "BP_TEST_KMS";
const BOTH: [(KeySpec, Alg); 2] =
    [(KeySpec::EccNistP256, Alg::Es256), (KeySpec::EccNistEdwards25519, Alg::EdDsa)];

fn kms() -> SdkConfig {
    config(&named_by(SERVER))
}

async fn key_for(use_of_key: KeyUsageType, spec: &KeySpec) -> String {
    let request = Client::new(&kms()).create_key().key_spec(spec.clone()).key_usage(use_of_key);
    request.send().await.unwrap().key_metadata.unwrap().key_id
}

async fn key(spec: &KeySpec) -> String {
    key_for(KeyUsageType::SignVerify, spec).await
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn what_kms_signs_verifies_against_the_public_half() {
    for (spec, alg) in BOTH {
        let signer = KmsSigner::open(&kms(), &key(&spec).await).await.unwrap();
        assert_eq!(signer.public_key().alg(), alg);
        // Enough signatures that some have a short `r` or `s`.
        for number in 0..100_u32 {
            let message = number.to_be_bytes().repeat(1 + usize::try_from(number).unwrap());
            let signature = signer.sign(&message).await.unwrap();
            signer.public_key().verify(&message, &signature).unwrap();
        }
    }
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_key_named_by_alias_goes_by_its_arn_from_then_on() {
    let client = Client::new(&kms());
    let (first, second) = (key(&KeySpec::EccNistP256).await, key(&KeySpec::EccNistP256).await);
    let alias = format!("alias/{}", super::servers::fresh_name());
    client.create_alias().alias_name(&alias).target_key_id(&first).send().await.unwrap();
    let signer = KmsSigner::open(&kms(), &alias).await.unwrap();
    assert!(signer.key_id().starts_with("arn:") && signer.key_id().ends_with(&first), "{}", signer.key_id());
    client.update_alias().alias_name(&alias).target_key_id(&second).send().await.unwrap();
    signer.sign(b"message").await.unwrap();
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_disabled_key_signs_nothing() {
    for (spec, _) in BOTH {
        let key = key(&spec).await;
        let signer = KmsSigner::open(&kms(), &key).await.unwrap();
        let client = Client::new(&kms());
        client.disable_key().key_id(&key).send().await.unwrap();
        let refused = signer.sign(b"message").await.unwrap_err();
        assert!(matches!(refused, SignerError::Unavailable(_)), "{refused:?}");
        client.enable_key().key_id(&key).send().await.unwrap();
        signer.sign(b"message").await.unwrap();
    }
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_signature_of_another_key_does_not_leave() {
    for (spec, _) in BOTH {
        let other = KmsSigner::open(&kms(), &key(&spec).await).await.unwrap();
        let signer = KmsSigner::with_public_key(&kms(), &key(&spec).await, *other.public_key());
        let refused = signer.sign(b"message").await.unwrap_err();
        assert!(matches!(refused, SignerError::Unverified), "{refused:?}");
    }
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_message_too_long_for_ed25519_is_refused_before_the_call() {
    let key = key(&KeySpec::EccNistEdwards25519).await;
    let signer = KmsSigner::open(&kms(), &key).await.unwrap();
    signer.sign(&[b'x'; MAX_RAW_BYTES]).await.unwrap();
    // Nobody listens there: whatever is sent fails differently.
    let cut_off = KmsSigner::with_public_key(&config("http://127.0.0.1:9"), &key, *signer.public_key());
    for signer in [&signer, &cut_off] {
        let refused = signer.sign(&[b'x'; MAX_RAW_BYTES + 1]).await.unwrap_err();
        let SignerError::Unavailable(cause) = refused else { panic!("{refused:?}") };
        assert!(cause.to_string().contains("4097 bytes is too long"), "{cause}");
    }
    let failed = cut_off.sign(&[b'x'; MAX_RAW_BYTES]).await.unwrap_err();
    assert!(matches!(failed, SignerError::Unavailable(_)), "{failed:?}");
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_long_message_is_signed_with_p256() {
    let signer = KmsSigner::open(&kms(), &key(&KeySpec::EccNistP256).await).await.unwrap();
    signer.sign(&[b'x'; MAX_RAW_BYTES + 1]).await.unwrap();
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn keys_of_other_kinds_and_uses_are_refused() {
    let rsa = key(&KeySpec::Rsa2048).await;
    let refused = KmsSigner::open(&kms(), &rsa).await.unwrap_err();
    assert!(matches!(refused, KmsKeyError::Kind { .. }), "{refused:?}");
    let agreeing = key_for(KeyUsageType::KeyAgreement, &KeySpec::EccNistP256).await;
    let refused = KmsSigner::open(&kms(), &agreeing).await.unwrap_err();
    assert!(matches!(refused, KmsKeyError::Use(_)), "{refused:?}");
    let refused = KmsSigner::open(&kms(), "5b5c5e5d-0000-4000-8000-000000000000").await.unwrap_err();
    assert!(matches!(refused, KmsKeyError::Unavailable { .. }), "{refused:?}");
}

#[tokio::test]
#[ignore = "needs KMS: set BP_TEST_KMS to the URL of a server"]
async fn a_key_is_opened_when_it_is_needed_and_one_out_of_reach_can_be_tried_again() {
    for (spec, alg) in BOTH {
        let key_id = key(&spec).await;
        let signer = KmsKeys::new(kms(), key_id.clone()).open().await.unwrap();
        assert_eq!(signer.public_key().alg(), alg);
        let signature = signer.sign(b"message").await.unwrap();
        signer.public_key().verify(b"message", &signature).unwrap();
        let cut_off = KmsKeys::new(config("http://127.0.0.1:9"), key_id);
        for _ in 0..2 {
            let refused = cut_off.open().await.unwrap_err();
            assert!(matches!(refused, SignerError::Unavailable(_)), "{refused:?}");
        }
    }
}
