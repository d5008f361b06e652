//! The published vectors, each with the verdict it states.

use std::collections::BTreeMap;
use std::path::Path;

use decision::{Expected, Keyset, verify};
use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    contexts: BTreeMap<String, Context>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Context {
    keyset: serde_json::Value,
    expected: Expected,
}

#[derive(Deserialize)]
struct Vector {
    id: String,
    name: String,
    token: String,
    expect: String,
    context: Option<String>,
}

fn file() -> File {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/decisions.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_published_vector_gets_its_verdict() {
    let File { contexts, vectors } = file();
    assert!(vectors.len() >= 53, "{} vectors", vectors.len());
    let mut wrong = Vec::new();
    for Vector { id, name, token, expect, context } in vectors {
        let context = &contexts[context.as_deref().unwrap_or("default")];
        let keyset = Keyset::parse(context.keyset.to_string().as_bytes()).unwrap();
        let verdict = verify(&token, &keyset, &context.expected);
        let as_stated = match expect.as_str() {
            "accept" => verdict.is_ok(),
            "reject" => verdict.is_err(),
            other => panic!("verdict `{other}`"),
        };
        if !as_stated {
            wrong.push(format!("{id} {name}: {expect} expected, got {verdict:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn published_vectors_are_refused_for_their_own_reason() {
    let File { contexts, vectors } = file();
    let keyset = Keyset::parse(contexts["default"].keyset.to_string().as_bytes()).unwrap();
    let codes = [
        ("sig_63_bytes", "SIGNATURE"),
        ("sig_r_eq_n", "SIGNATURE"),
        ("wrong_key_same_kid", "SIGNATURE"),
        ("alg_None", "TOKEN_SEGMENTS"),
        ("alg_hs256_pubkey_pem", "ALG_MISMATCH"),
        ("kid_path", "KID_UNKNOWN"),
        ("hdr_typ_JWT", "HEADER_TYPE"),
        ("hdr_dup_alg", "HEADER_JSON"),
        ("payload_dup_escaped", "PAYLOAD_JSON"),
        ("payload_deep", "PAYLOAD_JSON"),
        ("b64_noncanonical_bits", "TOKEN_BASE64"),
        ("exp_float", "PAYLOAD_JSON"),
        ("exp_negative", "EXPIRED"),
        ("exp_null", "PAYLOAD_MEMBER"),
        ("nonce_mismatch", "NONCE"),
        ("epoch_ahead_of_root", "EPOCH"),
        ("downgrade", "DOWNGRADE"),
        ("sha_unicode_digits", "SHA256"),
        ("no_update_with_artifact", "SHAPE"),
        ("unknown_critical_claim", "CRITICAL_CLAIM"),
        ("unexpected_tenant", "QUESTION"),
        ("same_version", "SAME_VERSION"),
        ("url_loopback_http", "URL"),
        ("dlg_expired", "DELEGATION_EXPIRED"),
        ("dlg_unknown_signer", "KID_UNKNOWN"),
        ("dlg_scope", "DELEGATION_SCOPE"),
        ("dlg_scope_missing", "DELEGATION_MEMBER"),
        ("dlg_typ", "DELEGATION_FORM"),
        ("dlg_as_decision", "HEADER_TYPE"),
        ("dlg_empty", "DELEGATION_FORM"),
        ("dlg_tampered", "DELEGATION_SIGNATURE"),
    ];
    for (name, code) in codes {
        let vector = vectors.iter().find(|vector| vector.name == name).unwrap();
        let refusal = verify(&vector.token, &keyset, &contexts["default"].expected).unwrap_err();
        assert_eq!(refusal.code(), code, "{name}: {refusal}");
    }
}
