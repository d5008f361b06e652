//! Decisions verified by JOSE libraries that know nothing of this project.

use std::path::Path;
use std::process::Command;

use e2e::{Server, settings};
use serde_json::{Value, json};

/// Decisions of a server, an offer and a refusal, beside its JWKS; answers what the program says of them.
async fn judged(mut verifier: Command) -> Vec<String> {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("signed").await;
    api.publish(&product, "1.1.0", json!({})).await;
    let offer = api.decide(&product, "1.0.0", json!({})).await;
    let none = api.decide(&product, "1.1.0", json!({})).await;
    let mut tokens: Vec<String> = [&offer, &none]
        .iter()
        .map(|row| row["signature"].as_str().expect("a signature").to_owned())
        .collect();
    let flipped: String = {
        let (start, last) = tokens[0].split_at(tokens[0].rfind('.').expect("dots") + 1);
        let first = if last.starts_with('A') { 'B' } else { 'A' };
        format!("{start}{first}{}", &last[1..])
    };
    tokens.push(flipped);
    let jwks: Value = server.anonymous().get("/.well-known/jwks.json").await.ok(200);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("question.json");
    std::fs::write(&file, json!({"jwks": jwks, "tokens": tokens}).to_string()).expect("a file");
    let output = verifier.arg(&file).output().expect("a started verifier");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).expect("text");
    said.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn decisions_verify_with_pyjwt_against_the_jwks_and_a_changed_signature_does_not() {
    let mut verifier = Command::new(settings::python("python"));
    verifier.arg(settings::checkout("tests/python/verify.py"));
    assert_eq!(judged(verifier).await, ["INSTALL", "NONE", "refused"]);
}

#[tokio::test]
async fn decisions_verify_with_jose_against_the_jwks_and_a_changed_signature_does_not() {
    // Node.js looks for packages beside the script, so the script is copied to where they are installed.
    let folder = settings::javascript();
    std::fs::copy(settings::checkout("tests/js/verify.mjs"), folder.join("verify.mjs"))
        .expect("a copied script");
    let mut verifier = Command::new("node");
    verifier.arg(Path::new(&folder).join("verify.mjs"));
    assert_eq!(judged(verifier).await, ["INSTALL", "NONE", "refused"]);
}

#[test]
fn the_python_client_passes_its_own_tests() {
    let mut tests = Command::new(settings::python("python"));
    tests.args(["-B", "-m", "unittest", "discover", "-s"]).arg(settings::checkout("clients/python"));
    let output = tests.output().expect("started tests");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn the_python_client_checks_and_downloads_an_update() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("python").await;
    api.publish(&product, "1.1.0", json!({})).await;
    let folder = tempfile::tempdir().expect("a folder");
    let keyset: Value = server.anonymous().get("/v1/keyset").await.ok(200);
    std::fs::write(folder.path().join("keyset.json"), keyset.to_string()).expect("a file");
    let client = |version: &str| {
        let mut client = Command::new(settings::python("python"));
        client.arg("-B").arg(settings::checkout("clients/python/bigpicture_client.py"));
        client.args(["download", "--server", server.base(), "--keyset", "keyset.json", "--state", "state"]);
        client.args([
            "--product",
            &product,
            "--version",
            version,
            "--platform",
            "windows",
            "--arch",
            "x86_64",
        ]);
        client.args(["--into", ".", "--always-nonce", "--allow-loopback-http"]).current_dir(folder.path());
        let output = client.output().expect("a started client");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    let update = client("1.0.0");
    let artifact = &update["decision"]["artifact"];
    let bytes = std::fs::read(folder.path().join(update["path"].as_str().expect("a path"))).expect("a file");
    assert_eq!(e2e::bytes::sha256(&bytes), artifact["sha256"].as_str().expect("a digest"));
    assert_eq!(client("1.1.0")["decision"]["reason"], "UP_TO_DATE");
}

/// What `bp decision get` finds, with the pinned keyset.
pub(crate) fn verified(server: &Server, keyset: &Path, product: &str, more: &[&str]) -> Value {
    let output = Command::new(settings::program())
        .args([
            "--json",
            "--base-url",
            server.base(),
            "decision",
            "get",
            "--product",
            product,
            "--current-version",
            "1.0.0",
        ])
        .args(["--platform", "windows", "--arch", "x86_64", "--keyset"])
        .arg(keyset)
        .args(more)
        .output()
        .expect("a started program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[tokio::test]
async fn a_service_in_delegated_mode_asks_for_nonces_and_a_client_with_its_keyset_believes_it_in_either_mode()
{
    let mut server = Server::start_with("signing: { mode: delegated }\n");
    let folder = tempfile::tempdir().expect("a folder");
    let pinned = folder.path().join("keyset.json");
    let product = server.admin().product("delegated").await;
    server.admin().publish(&product, "1.1.0", json!({})).await;
    let keyset: Value = server.anonymous().get("/v1/keyset").await.ok(200);
    assert_eq!(keyset["nonces"], true);
    std::fs::write(&pinned, keyset.to_string()).expect("a file");
    for (mode, delegated) in [("delegated", true), ("direct", false), ("delegated", true)] {
        server.kill();
        server.configure(&format!("signing: {{ mode: {mode} }}\n"));
        server.restart();
        for more in [[].as_slice(), &["--no-nonce"]] {
            let shown = verified(&server, &pinned, &product, more);
            assert_eq!(shown["verified"], true, "{shown}");
            assert_eq!(shown["decision"]["release"]["version"], "1.1.0", "{shown}");
            let header = shown["signature"].as_str().expect("a token").split('.').next().expect("a header");
            assert_eq!(
                header.len() > 400,
                delegated,
                "a delegation is in the header of delegated tokens alone"
            );
        }
        assert_eq!(server.anonymous().get("/v1/keyset").await.ok(200)["nonces"], delegated);
    }
}
