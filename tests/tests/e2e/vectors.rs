//! `bp decision verify` against the public vectors.

use std::io::Write;
use std::process::{Command, Stdio};

use e2e::settings;
use serde_json::Value;

#[test]
fn bp_decision_verify_reaches_the_verdict_of_every_public_vector() {
    let text =
        std::fs::read_to_string(settings::checkout("tests/vectors/decisions.json")).expect("the vectors");
    let file: Value = serde_json::from_str(&text).expect("JSON");
    let vectors = file["vectors"].as_array().expect("vectors");
    assert!(vectors.len() > 40, "{} vectors", vectors.len());
    let folder = tempfile::tempdir().expect("a folder");
    let mut wrong = Vec::new();
    for vector in vectors {
        let context = vector["context"].as_str().unwrap_or("default");
        let paths = ["keyset", "expected"].map(|part| {
            let path = folder.path().join(format!("{context}-{part}.json"));
            std::fs::write(&path, file["contexts"][context][part].to_string()).expect("a file");
            path
        });
        let mut child = Command::new(settings::program())
            .args(["decision", "verify", "--keyset"])
            .arg(&paths[0])
            .arg("--expected")
            .arg(&paths[1])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("a started bp");
        // A verifier that refuses early need not read to the end.
        _ = child
            .stdin
            .take()
            .expect("stdin")
            .write_all(vector["token"].as_str().expect("a token").as_bytes());
        let output = child.wait_with_output().expect("an ended bp");
        let accepted =
            output.status.code() == Some(0) && serde_json::from_slice::<Value>(&output.stdout).is_ok();
        let refused =
            output.status.code() == Some(1) && output.stdout.is_empty() && !output.stderr.is_empty();
        let fits = if vector["expect"] == "accept" { accepted } else { refused };
        if !fits {
            wrong.push(format!(
                "{} {}: {:?} {}",
                vector["id"],
                vector["name"],
                output.status.code(),
                String::from_utf8_lossy(&output.stderr).trim()
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors.len(), wrong.join("\n"));
}
