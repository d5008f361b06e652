//! How many bytes a token takes: product and tenant names of 16 characters, a nonce of 16 bytes, a URL of 256, no
//! delegation.

use decision::delegation::Delegation;
use decision::jws::{MAX_PAYLOAD_BYTES, compact, encode_header, signing_input};
use decision::{Action, Alg, ArtifactRef, Payload, Reason, ReleaseRef, Version};

use crate::fixture::{ISSUER, NONCE, NOW, new_key};

const KID: &str = "oKIywvGUpTVTyxMQ3bwIIeQUudfr_CkLMjCE19ECD-U";
const NAME: &str = "a-name-of-sixtee";

fn nothing() -> Payload {
    Payload {
        v: 1,
        iss: ISSUER.into(),
        jti: "dec_01hzzzzzzzzzzzzzzzzzzzzzzz".into(),
        iat: NOW,
        exp: NOW + 3_600,
        nonce: Some(NONCE.into()),
        product_id: NAME.into(),
        channel: "stable".into(),
        platform: "windows".into(),
        arch: "x86_64".into(),
        from_version: Version::parse("10.20.30").unwrap(),
        tenant_id: Some(NAME.into()),
        epoch: 3,
        seq: 123_456,
        action: Action::None,
        reason: Reason::UpToDate,
        release: None,
        artifact: None,
        crit_claims: None,
    }
}

fn update() -> Payload {
    Payload {
        action: Action::Download,
        reason: Reason::StepRequired,
        release: Some(ReleaseRef {
            release_id: "rel_01hzzzzzzzzzzzzzzzzzzzzzzz".into(),
            version: Version::parse("10.20.31").unwrap(),
            channel: Some(NAME.into()),
            floor: Some(Version::parse("10.20.30").unwrap()),
            allow_downgrade: true,
            critical: true,
            notes_url: Some(format!("{ISSUER}/v1/releases/rel_01hzzzzzzzzzzzzzzzzzzzzzzz/notes").into()),
        }),
        artifact: Some(ArtifactRef {
            artifact_id: "art_01hzzzzzzzzzzzzzzzzzzzzzzz".into(),
            sha256: "5a".repeat(32).into(),
            size_bytes: 107_374_182_400,
            url: format!("https://dl.example.com/{}", "x".repeat(233)).into(),
            installer_type: "appimage".into(),
            requires_admin: Some(false),
            file_name: Some(NAME.into()),
            access: None,
            verification: None,
        }),
        ..nothing()
    }
}

fn length(payload: &Payload) -> usize {
    let header = encode_header(Alg::Es256, KID, None);
    compact(signing_input(&header, &serde_json::to_vec(payload).unwrap()), &[0; 64]).len()
}

#[test]
fn a_token_without_an_update_takes_at_most_700_bytes() {
    let length = length(&nothing());
    assert!(length <= 700, "{length} bytes");
}

#[test]
fn a_token_without_an_update_takes_at_most_718_bytes_with_the_longest_channel_and_reason() {
    let mut payload = nothing();
    assert_eq!(length(&payload), 689);
    payload.reason = Reason::NoCompatibleArtifact;
    assert_eq!(length(&payload), 705);
    payload.channel = NAME.into();
    payload.reason = Reason::UpToDate;
    assert_eq!(length(&payload), 702);
    for reason in Reason::ALL {
        payload.reason = reason;
        assert!(length(&payload) <= 718, "{reason:?}");
    }
    payload.reason = Reason::NoCompatibleArtifact;
    assert_eq!(length(&payload), 718);
}

#[test]
fn a_delegation_adds_at_most_816_bytes_with_an_issuer_of_64_characters() {
    let direct = encode_header(Alg::Es256, KID, None).len();
    let added = |alg, issuer: &str| {
        let key = new_key(alg);
        let delegation = Delegation::new(issuer.into(), key.public(), NOW, NOW + 3_600).unwrap();
        let dlg = compact(delegation.signing_input(alg, KID).unwrap(), &[0; 64]);
        encode_header(alg, key.kid(), Some(&dlg)).len() - direct
    };
    assert_eq!((added(Alg::Es256, ISSUER), added(Alg::EdDsa, ISSUER)), (749, 665));
    let longest = added(Alg::Es256, &"x".repeat(64));
    assert!((810..=816).contains(&longest), "{longest} bytes");
}

#[test]
fn an_update_with_notes_takes_at_most_1600_bytes() {
    let mut payload = update();
    let release = payload.release.as_mut().unwrap();
    release.allow_downgrade = false;
    release.critical = false;
    let artifact = payload.artifact.as_mut().unwrap();
    artifact.requires_admin = None;
    artifact.file_name = None;
    let length = length(&payload);
    assert!(length <= 1_600, "{length} bytes");
}

#[test]
fn an_update_with_everything_but_notes_takes_at_most_1600_bytes() {
    let mut payload = update();
    payload.release.as_mut().unwrap().notes_url = None;
    let length = length(&payload);
    assert!(length <= 1_600, "{length} bytes");
}

#[test]
fn an_update_with_everything_that_a_proved_public_artifact_has_takes_at_most_1719_bytes() {
    assert_eq!(length(&update()), 1_719);
}

/// With the longest `access` too, which only artifacts can have that nobody proved, and the longest channel.
fn update_with_everything() -> Payload {
    let mut payload = update();
    payload.channel = NAME.into();
    let artifact = payload.artifact.as_mut().unwrap();
    artifact.access = Some("client_authenticates".into());
    artifact.verification = Some("DECLARED".into());
    payload
}

#[test]
fn an_update_with_every_optional_member_takes_at_most_1810_bytes() {
    assert_eq!(length(&update_with_everything()), 1_810);
}

#[test]
fn a_nonce_of_24_bytes_would_break_the_budget_of_700() {
    let mut payload = nothing();
    payload.nonce = Some("A".repeat(32).into());
    assert_eq!(length(&payload), 702);
}

#[test]
fn an_update_with_everything_is_far_below_the_hard_cap() {
    let length = serde_json::to_vec(&update_with_everything()).unwrap().len();
    assert!(length <= MAX_PAYLOAD_BYTES / 2, "{length} bytes");
}

#[test]
fn the_longest_payload_allowed_still_fits_into_a_kms_call() {
    let header = encode_header(Alg::EdDsa, KID, None);
    assert!(signing_input(&header, &[b'x'; MAX_PAYLOAD_BYTES]).len() <= 4_096);
}
