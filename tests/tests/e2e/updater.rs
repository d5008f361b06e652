//! An updater against the real service: the root ceremony, checking, downloading, and being killed on the way.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use e2e::bytes::{installer, sha256};
use e2e::story::text;
use e2e::{Server, settings};
use serde_json::{Value, json};

/// How long one command may take.
const LONGEST: Duration = Duration::from_secs(60);

fn bp(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(settings::program());
    command.args(arguments).current_dir(folder).env_remove("BP_API_TOKEN").env_remove("BP_BASE_URL");
    command.env("no_proxy", "127.0.0.1").stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    bp(folder, arguments).output().expect("an ended bp")
}

fn ok(folder: &Path, arguments: &[&str]) -> Value {
    let output = run(folder, &[arguments, &["--json"]].concat());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// The exit code and the stable code of a failure; nothing may be on standard output.
fn refused(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output = run(folder, &[arguments, &["--json"]].concat());
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    let told: Value = serde_json::from_slice(&output.stderr).expect("JSON");
    (output.status.code().expect("a code"), text(&told, "code").to_owned())
}

/// The question of a client, less the state and the keyset.
fn question<'a>(base: &'a str, product: &'a str, version: &'a str) -> Vec<&'a str> {
    let row =
        ["--product", product, "--current-version", version, "--platform", "windows", "--arch", "x86_64"];
    [["--base-url", base, "--state", "state"].as_slice(), &row].concat()
}

async fn plain_keyset(server: &Server, folder: &Path) -> PathBuf {
    let path = folder.join("keyset.json");
    let keyset = server.anonymous().get("/v1/keyset").await.ok(200);
    std::fs::write(&path, keyset.to_string()).expect("a file");
    path
}

/// The keyset of the service, signed by two of three root keys as version 1 of the chain.
async fn signed_keyset(server: &Server, folder: &Path) {
    plain_keyset(server, folder).await;
    ok(folder, &["root", "init", "ceremony", "--keys", "3", "--threshold", "2"]);
    let make = ["--keyset", "keyset.json", "--root", "ceremony/root.json", "--issuer", server.base()];
    ok(folder, &[&["root", "sign", "1.keyset", "--key", "ceremony/root-1.pem"][..], &make].concat());
    assert_eq!(refused(folder, &["root", "verify", "1.keyset"]), (1, "ROOT_SIGNATURES".to_owned()));
    ok(folder, &["root", "sign", "1.keyset", "--key", "ceremony/root-3.pem"]);
}

#[tokio::test]
async fn the_ceremony_ends_in_a_keyset_that_clients_trust() {
    let server = Server::shared();
    let folder = tempfile::tempdir().expect("a folder");
    signed_keyset(&server, folder.path()).await;
    let verified = ok(folder.path(), &["root", "verify", "1.keyset"]);
    assert_eq!(
        (&verified["trusted"], &verified["version"], &verified["issuer"]),
        (&json!(true), &json!(1), &json!(server.base()))
    );
    let product = server.admin().product("updater").await;
    let asked = question(server.base(), &product, "1.0.0");
    let checked = ok(folder.path(), &[&["update", "check", "--keyset", "1.keyset"], &asked[..]].concat());
    assert_eq!((&checked["action"], &checked["reason"]), (&json!("NONE"), &json!("UP_TO_DATE")));
}

#[tokio::test]
async fn a_second_version_needs_both_roots_and_the_same_key_signs_once() {
    let server = Server::shared();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    signed_keyset(&server, path).await;
    let mut next: Value =
        serde_json::from_slice(&std::fs::read(path.join("keyset.json")).expect("a file")).expect("JSON");
    next["version"] = json!(2);
    std::fs::write(path.join("keyset.json"), next.to_string()).expect("a file");
    ok(path, &["root", "init", "next", "--keys", "2", "--threshold", "2"]);
    let make = ["--keyset", "keyset.json", "--root", "next/root.json", "--issuer", server.base()];
    ok(path, &[&["root", "sign", "2.keyset", "--key", "next/root-1.pem"][..], &make].concat());
    for key in ["next/root-2.pem", "ceremony/root-2.pem"] {
        ok(path, &["root", "sign", "2.keyset", "--key", key]);
        assert_eq!(refused(path, &["root", "verify", "1.keyset", "2.keyset"]).1, "ROOT_SIGNATURES");
    }
    ok(path, &["root", "sign", "2.keyset", "--key", "ceremony/root-3.pem"]);
    assert_eq!(ok(path, &["root", "verify", "1.keyset", "2.keyset"])["version"], 2);
    assert_eq!(refused(path, &["root", "verify", "2.keyset", "1.keyset"]).1, "ROOT_SIGNATURES");
    let again = ["root", "sign", "2.keyset", "--key", "next/root-1.pem"];
    assert_eq!(refused(path, &again), (1, "ROOT_SIGNATURES".to_owned()));
    assert_eq!(refused(path, &[&again[..], &make].concat()), (2, "USAGE".to_owned()));
    assert_eq!(refused(path, &["root", "init", "next"]), (2, "FILE".to_owned()), "keys are never replaced");
}

#[cfg(unix)]
#[test]
fn root_keys_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    ok(folder.path(), &["root", "init", "keys"]);
    for number in 1..=3 {
        let path = folder.path().join(format!("keys/root-{number}.pem"));
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777;
        let text = std::fs::read_to_string(&path).expect("text");
        assert!(mode == 0o600 && text.starts_with("-----BEGIN PRIVATE KEY-----\n"), "{mode:o}");
    }
    let public = std::fs::read_to_string(folder.path().join("keys/root.json")).expect("text");
    assert!(!public.contains("\"d\"") && public.contains("\"threshold\": 2"), "{public}");
}

#[tokio::test]
async fn an_updater_checks_downloads_and_is_not_shown_an_older_state() {
    let server = Server::shared();
    let api = server.admin();
    let folder = tempfile::tempdir().expect("a folder");
    signed_keyset(&server, folder.path()).await;
    let product = api.product("updater").await;
    let bytes = installer(300_000);
    let artifact = api.upload_locked(&bytes, json!({"file_name": "editor-2.msi"})).await;
    let entry = e2e::story::msi(text(&artifact, "artifact_id"));
    api.publish(&product, "2.0.0", json!({"artifacts": [entry]})).await;
    let asked = question(server.base(), &product, "1.0.0");
    let with = |command: &str| -> Vec<String> {
        let all = [&["update", command, "--keyset", "1.keyset"], &asked[..]].concat();
        all.into_iter().map(str::to_owned).collect()
    };
    let (check, download) = (with("check"), with("download"));
    let (check, download): (Vec<&str>, Vec<&str>) =
        (check.iter().map(String::as_str).collect(), download.iter().map(String::as_str).collect());
    let checked = ok(folder.path(), &check);
    assert_eq!(
        (&checked["action"], &checked["decision"]["release"]["version"]),
        (&json!("INSTALL"), &json!("2.0.0"))
    );
    let done = ok(folder.path(), &download);
    assert_eq!(done["path"], "editor-2.msi");
    let found = std::fs::read(folder.path().join("editor-2.msi")).expect("a file");
    assert_eq!(sha256(&found), sha256(&bytes));
    // A state from the future of this service: what it answers now is older.
    let state = std::fs::read_to_string(folder.path().join("state/state.json")).expect("a state");
    assert!(state.contains(&product) && state.contains(server.base()), "{state}");
    std::fs::write(folder.path().join("state/state.json"), &state[..state.len() - 3]).expect("a file");
    assert_eq!(refused(folder.path(), &check), (1, "STATE".to_owned()));
}

#[tokio::test]
async fn nothing_to_download_is_a_negative_answer() {
    let server = Server::shared();
    let folder = tempfile::tempdir().expect("a folder");
    plain_keyset(&server, folder.path()).await;
    let product = server.admin().product("updater").await;
    let asked = question(server.base(), &product, "1.0.0");
    let download = [&["update", "download", "--keyset", "keyset.json"], &asked[..]].concat();
    assert_eq!(refused(folder.path(), &download), (1, "NO_OFFER".to_owned()));
}

#[tokio::test]
async fn a_keyset_of_another_deployment_tells_nothing() {
    let (server, other) = (Server::shared(), Server::start());
    let folder = tempfile::tempdir().expect("a folder");
    signed_keyset(&other, folder.path()).await;
    plain_keyset(&other, folder.path()).await;
    let product = server.admin().product("updater").await;
    let asked = question(server.base(), &product, "1.0.0");
    let check = |keyset| [&["update", "check", "--keyset", keyset], &asked[..]].concat();
    assert_eq!(refused(folder.path(), &check("keyset.json")), (1, "KID_UNKNOWN".to_owned()));
    assert_eq!(refused(folder.path(), &check("1.keyset")), (2, "USAGE".to_owned()));
}

#[tokio::test]
async fn a_download_that_is_killed_again_and_again_goes_on_and_ends_in_the_signed_bytes() {
    let server = Server::shared();
    let api = server.admin();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    plain_keyset(&server, path).await;
    let product = api.product("updater").await;
    let bytes = installer(48 * 1024 * 1024);
    let artifact = api.upload_locked(&bytes, json!({"file_name": "large.msi"})).await;
    let entry = e2e::story::msi(text(&artifact, "artifact_id"));
    api.publish(&product, "2.0.0", json!({"artifacts": [entry]})).await;
    let asked = question(server.base(), &product, "1.0.0");
    let download = [&["update", "download", "--keyset", "keyset.json"], &asked[..]].concat();
    let part = path.join(format!(".large.msi.{}.part", &sha256(&bytes)[..16]));
    let there = || std::fs::metadata(&part).map_or(0, |meta| meta.len());
    let mut kills = 0;
    for wanted in (1..=20_u64).map(|step| step * 2 * 1024 * 1024 + 4_321) {
        let mut child = bp(path, &download).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("bp");
        let started = Instant::now();
        while there() < wanted && child.try_wait().expect("a child").is_none() {
            assert!(started.elapsed() < LONGEST, "{} bytes", there());
            std::hint::spin_loop();
        }
        let before = child.try_wait().expect("a child");
        _ = child.kill();
        child.wait().expect("an ended bp");
        if before.is_some() {
            break;
        }
        kills += 1;
        // Between its last byte and its name, a download may have been killed too: then the name is there, whole.
        if path.join("large.msi").exists() {
            break;
        }
    }
    assert!(kills >= 3, "{kills} kills");
    ok(path, &download);
    assert_eq!(sha256(std::fs::read(path.join("large.msi")).expect("a file")), sha256(&bytes));
    assert!(!part.exists());
}
