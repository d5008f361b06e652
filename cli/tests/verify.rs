//! `bp decision verify`, the built binary, over every public vector.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may")]

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/decisions.json");

fn vectors() -> Value {
    serde_json::from_slice(&std::fs::read(VECTORS).unwrap()).unwrap()
}

/// Runs `bp decision verify` with the token on standard input.
fn verify(folder: &Path, keyset: &Value, expected: &Value, input: &[u8]) -> Output {
    let (keyset_file, expected_file) = (folder.join("keyset.json"), folder.join("expected.json"));
    std::fs::write(&keyset_file, keyset.to_string()).unwrap();
    std::fs::write(&expected_file, expected.to_string()).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_bp"))
        .args(["decision", "verify", "--keyset"])
        .arg(&keyset_file)
        .arg("--expected")
        .arg(&expected_file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// The token of the vector and what its context trusts and expects.
fn case(vectors: &Value, id: &str) -> (String, Value, Value) {
    let vector = vectors["vectors"].as_array().unwrap().iter().find(|vector| vector["id"] == id).unwrap();
    let context = &vectors["contexts"][vector["context"].as_str().unwrap_or("default")];
    (vector["token"].as_str().unwrap().to_owned(), context["keyset"].clone(), context["expected"].clone())
}

#[test]
fn every_vector_gets_its_verdict_from_the_binary() {
    let vectors = vectors();
    let folder = tempfile::tempdir().unwrap();
    let mut counted = (0, 0);
    for vector in vectors["vectors"].as_array().unwrap() {
        let id = vector["id"].as_str().unwrap();
        let (token, keyset, expected) = case(&vectors, id);
        let output = verify(folder.path(), &keyset, &expected, token.as_bytes());
        let (stdout, stderr) = (output.stdout, String::from_utf8(output.stderr).unwrap());
        match vector["expect"].as_str().unwrap() {
            "accept" => {
                assert_eq!(output.status.code(), Some(0), "{id}: {stderr}");
                let payload = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
                assert_eq!(stdout, [payload, b"\n".to_vec()].concat(), "{id}");
                counted.0 += 1;
            }
            "reject" => {
                assert_eq!(output.status.code(), Some(1), "{id}: {stderr}");
                assert!(stdout.is_empty(), "{id}");
                assert!(stderr.starts_with("error: ") && stderr.contains("\n  code: "), "{id}: {stderr}");
                counted.1 += 1;
            }
            other => panic!("{id}: unknown verdict `{other}`"),
        }
    }
    assert!(counted.0 >= 10 && counted.1 >= 30, "{counted:?}");
}

#[test]
fn one_new_line_after_the_token_is_the_shells_and_a_second_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let (token, keyset, expected) = case(&vectors(), "D001");
    let code = |input: String| verify(folder.path(), &keyset, &expected, input.as_bytes()).status.code();
    assert_eq!(code(format!("{token}\n")), Some(0));
    assert_eq!(code(format!("{token}\n\n")), Some(1));
    assert_eq!(code(format!(" {token}")), Some(1));
    assert_eq!(code(format!("{token}\r\n")), Some(1));
}

#[test]
fn a_token_that_is_not_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, keyset, expected) = case(&vectors(), "D001");
    let output = verify(folder.path(), &keyset, &expected, &[0xff, 0xfe]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn an_expectation_that_is_not_understood_is_wrong_usage() {
    let folder = tempfile::tempdir().unwrap();
    let (token, keyset, mut expected) = case(&vectors(), "D001");
    expected["isuer"] = Value::from("https://elsewhere.example.com");
    let output = verify(folder.path(), &keyset, &expected, token.as_bytes());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8(output.stderr).unwrap().contains("`isuer`"));
}

#[test]
fn a_keyset_that_is_none_verifies_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (token, mut keyset, expected) = case(&vectors(), "D001");
    keyset["v"] = Value::from(2);
    let output = verify(folder.path(), &keyset, &expected, token.as_bytes());
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("code: KEYSET"));
}

#[test]
fn with_json_the_reason_is_json_on_standard_error() {
    let folder = tempfile::tempdir().unwrap();
    let (_, keyset, expected) = case(&vectors(), "D001");
    std::fs::write(folder.path().join("k"), keyset.to_string()).unwrap();
    std::fs::write(folder.path().join("e"), expected.to_string()).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bp"))
        .current_dir(folder.path())
        .args(["--json", "decision", "verify", "--keyset", "k", "--expected", "e"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let error: Value = serde_json::from_slice(&output.stderr).unwrap();
    assert_eq!(error["code"], "TOKEN_SEGMENTS");
    assert_eq!(error["exit_code"], 1);
}
