//! Steps 1 to 6: the token itself.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use decision::jws::encode_header;
use decision::{Alg, Refusal};
use serde_json::json;

use crate::fixture::{accepts, code, code_with, new_key, sign, sign_raw, world, world_of};

#[test]
fn a_right_token_of_either_algorithm_is_accepted_and_told_as_received() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let world = world_of(alg);
        let verified = world.check().unwrap();
        assert_eq!(verified.payload_json, world.payload.to_string());
        assert_eq!(
            (verified.payload.epoch, verified.payload.seq, &*verified.payload.reason),
            (3, 42, "NEW_RELEASE")
        );
        assert_eq!(verified.payload.release.unwrap().version.to_string(), "1.5.0");
        assert_eq!(verified.payload.artifact.unwrap().size_bytes, 15);
    }
}

#[test]
fn step_1_a_token_has_at_most_65536_bytes() {
    let world = world();
    let padded =
        |spaces: usize| sign(&world.key, format!("{}{}", world.payload, " ".repeat(spaces)).as_bytes());
    let spaces = (65_536 - world.token().len()) / 4 * 3;
    let longest = padded(spaces);
    assert!((65_530..=65_536).contains(&longest.len()));
    world.check_token(&longest).unwrap();
    assert_eq!(code(world.check_token(&padded(spaces + 8))), "TOKEN_TOO_LONG");
}

#[test]
fn step_2_there_are_three_segments_and_none_is_empty() {
    let world = world();
    let token = world.token();
    let parts: Vec<_> = token.split('.').collect();
    let (header, payload, signature) = (parts[0], parts[1], parts[2]);
    let bad = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        header.to_owned(),
        format!("{header}.{payload}"),
        format!("{header}.{payload}."),
        format!(".{payload}.{signature}"),
        format!("{header}..{signature}"),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{header}.{payload}.{signature}.{payload}.{signature}"),
    ];
    for token in bad {
        assert_eq!(code(world.check_token(&token)), "TOKEN_SEGMENTS", "{token}");
    }
}

#[test]
fn step_2_segments_have_one_spelling() {
    let world = world();
    let token = world.token();
    let (input, signature) = token.rsplit_once('.').unwrap();
    // 64 bytes leave four unused bits in the last character.
    let last = signature.chars().last().unwrap();
    let other = char::from_u32(u32::from(last) + 1).unwrap();
    let bad = [
        format!("{token}="),
        format!("{token}=="),
        format!("{token}\n"),
        format!(" {token}"),
        token.replace('.', " ."),
        format!("{input}.{}{other}", &signature[..85]),
        format!("{input}.{}+", &signature[..85]),
        format!("{input}.{}/", &signature[..85]),
        format!("{input}.{}ä", &signature[..84]),
        format!("{input}.{}", &signature[..85]),
    ];
    for token in bad {
        assert_eq!(code(world.check_token(&token)), "TOKEN_BASE64", "{token}");
    }
}

#[test]
fn step_3_a_header_has_exactly_its_members() {
    let world = world();
    let header = world.header();
    let (alg, kid) = (r#""alg":"ES256","#, format!(r#""kid":"{}","#, world.key.kid()));
    let bad = [
        (header.replace(alg, ""), "HEADER_MEMBER"),
        (header.replace(&kid, ""), "HEADER_MEMBER"),
        (header.replace(r#","typ":"update-decision+jws""#, ""), "HEADER_MEMBER"),
        (header.replace(r#""ES256""#, "null"), "HEADER_MEMBER"),
        (header.replace(r#""ES256""#, r#"["ES256"]"#), "HEADER_MEMBER"),
        (header.replace(r#""ES256""#, "1"), "HEADER_MEMBER"),
        (header.replace('}', r#","crit":["b64"],"b64":false}"#), "HEADER_MEMBER"),
        (header.replace('}', r#","crit":[]}"#), "HEADER_MEMBER"),
        (header.replace('}', r#","jwk":{}}"#), "HEADER_MEMBER"),
        (header.replace('}', r#","jku":"https://evil.example"}"#), "HEADER_MEMBER"),
        (header.replace('}', r#","x5c":[]}"#), "HEADER_MEMBER"),
        (header.replace('}', r#","cty":"x"}"#), "HEADER_MEMBER"),
        (header.replace('}', r#","dlg":null}"#), "HEADER_MEMBER"),
        (header.replace('}', r#","kid":"x"}"#), "HEADER_JSON"),
        (header.replace('}', r#","\u0061lg":"none"}"#), "HEADER_JSON"),
        (format!("{header} x"), "HEADER_JSON"),
        (format!("\u{feff}{header}"), "HEADER_JSON"),
        ("[]".to_owned(), "HEADER_JSON"),
        (header.replace("update-decision+jws", "application/update-decision+jws"), "HEADER_TYPE"),
        (header.replace("update-decision+jws", "UPDATE-DECISION+JWS"), "HEADER_TYPE"),
        (header.replace("update-decision+jws", ""), "HEADER_TYPE"),
        (header.replace("update-decision+jws", "signing-delegation+jws"), "HEADER_TYPE"),
    ];
    for (bad, expected) in bad {
        let token = sign_raw(&world.key, bad.as_bytes(), world.payload.to_string().as_bytes());
        assert_eq!(code(world.check_token(&token)), expected, "{bad}");
    }
}

#[test]
fn step_3_order_and_space_in_a_header_do_not_matter_but_its_length_does() {
    let world = world();
    let payload = world.payload.to_string();
    let turned = format!(r#" {{ "typ":"update-decision+jws", "kid":"{}","alg":"ES256" }}"#, world.key.kid());
    world.check_token(&sign_raw(&world.key, turned.as_bytes(), payload.as_bytes())).unwrap();
    let long = |length: usize| format!("{:<length$}", world.header());
    world.check_token(&sign_raw(&world.key, long(4_096).as_bytes(), payload.as_bytes())).unwrap();
    let outcome = world.check_token(&sign_raw(&world.key, long(4_097).as_bytes(), payload.as_bytes()));
    assert_eq!(code(outcome), "HEADER_TOO_LONG");
}

#[test]
fn step_4_the_key_id_is_only_looked_up() {
    let world = world();
    let kid = world.key.kid();
    let others =
        ["", "*", "https://evil.example/key", "../key", &kid[1..], &format!("{kid} "), &kid.to_lowercase()];
    for other in others {
        let header = world.header().replace(kid, other);
        let token = sign_raw(&world.key, header.as_bytes(), world.payload.to_string().as_bytes());
        let refusal = world.check_token(&token).unwrap_err();
        assert_eq!(refusal.code(), "KID_UNKNOWN", "{other}");
        assert!(refusal.wants_newer_keyset());
    }
}

#[test]
fn step_4_the_algorithm_is_the_keys_and_not_the_tokens() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let world = world_of(alg);
        let names =
            ["none", "None", "", "HS256", "ES384", "RS256", "es256", "eddsa", "Ed25519", "ES256", "EdDSA"];
        for other in names.into_iter().filter(|other| *other != alg.as_str()) {
            let header = world.header().replace(alg.as_str(), other);
            let token = sign_raw(&world.key, header.as_bytes(), world.payload.to_string().as_bytes());
            assert_eq!(code(world.check_token(&token)), "ALG_MISMATCH", "{other}");
        }
    }
}

#[test]
fn step_5_another_key_cannot_sign_under_a_trusted_id() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let world = world_of(alg);
        let header = encode_header(alg, world.key.kid(), None);
        let header = URL_SAFE_NO_PAD.decode(header).unwrap();
        let token = sign_raw(&new_key(alg), &header, world.payload.to_string().as_bytes());
        assert_eq!(code(world.check_token(&token)), "SIGNATURE");
    }
}

#[test]
fn step_5_a_signature_has_64_bytes_and_numbers_in_range() {
    for alg in [Alg::Es256, Alg::EdDsa] {
        let world = world_of(alg);
        let token = world.token();
        let (input, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let bad = [
            vec![0],
            vec![0; 64],
            vec![0xff; 64],
            signature[..63].to_vec(),
            [signature.as_slice(), &[0]].concat(),
            [&[0], signature.as_slice()].concat(),
            [signature.as_slice(), signature.as_slice()].concat(),
            [&signature[..32], &[0; 32]].concat(),
            [&[0; 32], &signature[32..]].concat(),
            [&signature[..32], &[0xff; 32]].concat(),
        ];
        for bad in bad {
            let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(&bad));
            assert_eq!(code(world.check_token(&token)), "SIGNATURE", "{bad:?}");
        }
    }
}

#[test]
fn step_5_comes_before_the_payload_is_looked_at() {
    let world = world();
    let header = world.header();
    let token = sign_raw(&new_key(Alg::Es256), header.as_bytes(), b"not json");
    assert_eq!(code(world.check_token(&token)), "SIGNATURE");
}

#[test]
fn step_6_a_payload_is_strict_json() {
    let world = world();
    let good = world.payload.to_string();
    let deep = |levels: usize| {
        good.replace("\"v\":1", &format!("\"v\":1,\"x\":{}{}", "[".repeat(levels), "]".repeat(levels)))
    };
    world.check_token(&sign(&world.key, deep(7).as_bytes())).unwrap();
    let bad: Vec<Vec<u8>> = vec![
        deep(8).into(),
        format!("\u{feff}{good}").into(),
        format!("{good}{good}").into(),
        format!("{good}\0").into(),
        format!("[{good}]").into(),
        b"null".to_vec(),
        b"{".to_vec(),
        good.replace("dec_1", "dec_\\ud800").into(),
        [good.replace("\"dec_1\"", "\"").as_bytes(), b"\xff\"}"].concat(),
        good.replace("\"size_bytes\":15", "\"size_bytes\":15.0").into(),
        good.replace("\"size_bytes\":15", "\"size_bytes\":15e0").into(),
        good.replace("\"v\":1", "\"v\":1,\"v\":1").into(),
        good.replace("\"v\":1", "\"v\":1,\"x\":{\"y\":1,\"y\":1}").into(),
        good.replace("\"v\":1", "\"v\":1,\"x\":9007199254740992").into(),
        good.replace("\"v\":1", "\"v\":1,\"x\":0.5").into(),
        good.replace("\"installer_type\"", "\"sha256\":\"x\",\"installer_type\"").into(),
        good.replace("\"seq\":42", "\"seq\":9007199254740993").into(),
    ];
    for bad in bad {
        let token = sign(&world.key, &bad);
        assert_eq!(code(world.check_token(&token)), "PAYLOAD_JSON", "{}", String::from_utf8_lossy(&bad));
    }
}

#[test]
fn step_6_the_format_version_is_the_integer_1() {
    for (value, expected) in [
        (json!(2), "FORMAT_VERSION"),
        (json!(0), "FORMAT_VERSION"),
        (json!(-1), "FORMAT_VERSION"),
        (json!("1"), "PAYLOAD_MEMBER"),
        (json!(true), "PAYLOAD_MEMBER"),
        (json!(null), "PAYLOAD_MEMBER"),
    ] {
        assert_eq!(code_with("v", value), expected);
    }
    assert_eq!(code(world().with("v", None).check()), "PAYLOAD_MEMBER");
}

#[test]
fn step_6_critical_claims_are_understood_or_refused() {
    accepts("crit_claims", json!([]));
    accepts("crit_claims", json!(["nonce", "seq"]));
    accepts("x_future", json!({"a": [1]}));
    for value in
        [json!(["x_future"]), json!([""]), json!(["seq", "x"]), json!(["Seq"]), json!(["release.floor"])]
    {
        assert_eq!(code_with("crit_claims", value), "CRITICAL_CLAIM");
    }
    for value in [
        json!("x"),
        json!(""),
        json!(null),
        json!({}),
        json!([1]),
        json!([null]),
        json!([["seq"]]),
        json!(0),
        json!(false),
    ] {
        assert_eq!(code_with("crit_claims", value), "PAYLOAD_MEMBER");
    }
}

#[test]
fn step_6_every_required_member_is_there() {
    let top = [
        "iss",
        "jti",
        "iat",
        "exp",
        "product_id",
        "channel",
        "platform",
        "arch",
        "from_version",
        "epoch",
        "seq",
        "action",
        "reason",
        "release.release_id",
        "release.version",
        "artifact.artifact_id",
        "artifact.sha256",
        "artifact.size_bytes",
        "artifact.url",
        "artifact.installer_type",
    ];
    for path in top {
        let refusal = world().with(path, None).check().unwrap_err();
        let Refusal::PayloadMember(member) = refusal else { panic!("{path}: {refusal}") };
        assert_eq!((member.name.as_str(), member.found), (path, "missing"));
    }
}

#[test]
fn step_6_every_known_member_has_its_type() {
    let texts = [
        "iss",
        "jti",
        "nonce",
        "product_id",
        "channel",
        "platform",
        "arch",
        "from_version",
        "tenant_id",
        "action",
        "reason",
        "release.release_id",
        "release.version",
        "release.channel",
        "release.floor",
        "release.notes_url",
        "artifact.artifact_id",
        "artifact.sha256",
        "artifact.url",
        "artifact.installer_type",
        "artifact.file_name",
        "artifact.access",
        "artifact.verification",
    ];
    let integers = ["iat", "exp", "epoch", "seq", "artifact.size_bytes"];
    let flags = ["release.allow_downgrade", "release.critical", "artifact.requires_admin"];
    let objects = ["release", "artifact"];
    let all = [
        (texts.as_slice(), vec![json!(null), json!(1), json!(true), json!(["a"]), json!({})]),
        (&integers, vec![json!(null), json!("1"), json!(true), json!([1]), json!({})]),
        (&flags, vec![json!(null), json!(1), json!("true"), json!([true]), json!({})]),
        (&objects, vec![json!(null), json!(1), json!("x"), json!(false), json!([]), json!([{}])]),
    ];
    for (paths, values) in all {
        for path in paths {
            for value in &values {
                assert_eq!(code_with(path, value.clone()), "PAYLOAD_MEMBER", "{path} {value}");
            }
        }
    }
}
