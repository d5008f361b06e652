//! The process and its folder: who may read it, one process at a time, a gentle end, and keys that are not exchanged by
//! accident.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use e2e::bytes::installer;
use e2e::story::{payload, text, until, verdict};
use e2e::{Api, Server};
use reqwest::Method;
use serde_json::{Value, json};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode()
        & 0o777
}

#[tokio::test]
async fn the_data_folder_and_its_secrets_are_their_owners_alone() {
    let server = Server::start();
    let data = server.data();
    assert_eq!(mode(&data), 0o700, "{:o}", mode(&data));
    for file in ["signing.pem", "upload-urls.key", "admin.token"] {
        let mode = mode(&data.join(file));
        assert_eq!(mode, 0o600, "{file}: {mode:o}");
    }
}

#[tokio::test]
async fn a_second_process_over_the_same_data_is_refused_and_the_first_goes_on() {
    let server = Server::start();
    let said = server.refused_start();
    let folder = server.data().display().to_string();
    assert!(said.contains("in use") && said.contains(&folder) && said.contains("--data"), "{said}");
    server.admin().product("goes-on").await;
}

#[tokio::test]
async fn at_sigterm_a_slow_download_is_finished_nobody_else_is_let_in_and_the_process_ends_with_0() {
    let mut server = Server::start();
    let api = server.admin();
    // More than the buffers between two processes hold.
    let stored = installer(16 << 20);
    let artifact = api.upload_locked(&stored, json!({})).await;
    let path = format!("/v1/artifacts/{}/download", text(&artifact, "artifact_id"));
    let request = api.request(Method::GET, &path);
    let mut download = request.send().await.expect("a download");
    assert_eq!(download.status(), 200);
    let mut bytes = download.chunk().await.expect("a piece").expect("a piece").to_vec();

    server.ask_to_stop();
    let stranger = server.anonymous();
    until("nobody else is let in", 10, async || {
        stranger
            .try_send(stranger.request(Method::GET, "/healthz").header("connection", "close"))
            .await
            .is_err()
    })
    .await;
    assert!(server.ended().is_none(), "it has ended in the middle of a download");
    // Not a wait for something: the reader is slow.
    tokio::time::sleep(Duration::from_secs(1)).await;
    while let Some(piece) = download.chunk().await.expect("the download goes on") {
        bytes.extend_from_slice(&piece);
    }
    assert!(bytes == stored, "{} bytes", bytes.len());
    until("it ends", 10, async || server.ended().is_some()).await;
    assert_eq!(server.ended().and_then(|status| status.code()), Some(0));
}

#[tokio::test]
async fn what_was_there_before_a_stop_is_there_after_the_next_start() {
    let mut server = Server::start();
    let api = server.admin();
    let product = api.product("kept").await;
    let release = api.publish(&product, "1.0.0", json!({"release_notes": "Kept."})).await;
    let artifact = text(&release["artifacts"][0], "artifact_id").to_owned();
    api.put(&format!("/v1/products/{product}/policy"), &json!({"mode": "NOTIFY_ONLY"})).await.ok(200);
    let user = api.post("/v1/tokens", &json!({"name": "kept", "scopes": ["artifacts:read"]})).await.ok(201);
    let user = text(&user, "token").to_owned();
    let upload = api.initiate(b"kept open", json!({})).await;
    let body = json!({"product_id": format!("{product}-keyed")});
    api.post_keyed("/v1/products", "kept", &body).await.ok(201);
    let paths = [
        "/v1/keyset".to_owned(),
        "/.well-known/jwks.json".to_owned(),
        "/v1/products".to_owned(),
        format!("/v1/releases/{}", text(&release, "release_id")),
        format!("/v1/artifacts/{artifact}"),
        format!("/v1/artifacts/{artifact}/verification"),
        format!("/v1/products/{product}/policy"),
        "/v1/tokens".to_owned(),
        "/v1/audit/events?limit=100".to_owned(),
    ];
    let seen = async |api: &Api| -> Vec<Value> {
        let mut seen = Vec::new();
        for path in &paths {
            seen.push(api.get(path).await.ok(200));
        }
        seen
    };
    let (before, token) = (seen(&api).await, server.admin_token());
    let bytes = api.download(&artifact).await.body;
    let asked = payload(&api.decide(&product, "0.9.0", json!({})).await);

    server.ask_to_stop();
    until("it ends", 20, async || server.ended().is_some()).await;
    server.restart();
    let (api, user) = (server.admin(), server.anonymous().with_token(&user));
    assert_eq!(server.admin_token(), token);
    assert_eq!(seen(&api).await, before);
    assert_eq!(api.download(&artifact).await.body, bytes);
    let decision = api.decide(&product, "0.9.0", json!({})).await;
    assert_eq!(verdict(&decision), "NOTIFY/NEW_RELEASE 1.0.0");
    assert_eq!(payload(&decision)["seq"], asked["seq"]);
    user.get("/v1/artifacts?limit=1").await.ok(200);
    api.post_keyed("/v1/products", "kept", &body).await.ok(201);
    let put = api.put_bare(&upload, b"kept open").await;
    assert!((200..300).contains(&put.status), "an upload's address outlives a restart: {}", put.text());
    api.completed(&upload).await;
}

/// Writes a file for its owner alone.
fn secret(path: &std::path::Path, text: &[u8]) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("a written file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode");
}

/// The key id in the header of a decision.
fn kid(decision: &Value) -> String {
    use base64::Engine;
    let header = text(decision, "signature").split('.').next().expect("a header");
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(header).expect("base64url");
    let header: Value = serde_json::from_slice(&header).expect("JSON");
    text(&header, "kid").to_owned()
}

fn kids(keyset: &Value) -> Vec<String> {
    keyset["keys"].as_array().expect("keys").iter().map(|key| text(key, "kid").to_owned()).collect()
}

#[tokio::test]
async fn a_replaced_signing_key_is_refused_at_the_start_and_taken_up_in_a_new_keyset_where_the_operator_says_so()
 {
    let mut server = Server::start();
    let api = server.admin();
    let old = api.get("/v1/keyset").await.ok(200);
    let old_kid = kid(&api.decide("any", "1.0.0", json!({})).await);
    let file = server.data().join("signing.pem");
    let first = fs::read(&file).expect("a key");
    let second = fs::read(Server::start().data().join("signing.pem")).expect("another server's key");
    server.kill();

    fs::remove_file(&file).expect("a removed key");
    let said = server.refused_start();
    assert!(said.contains("missing") && said.contains("signing.take_up_new_key"), "{said}");
    assert!(!file.exists(), "no key is made in its place");
    secret(&file, &second);
    let said = server.refused_start();
    assert!(said.contains("keyset") && said.contains("signing.take_up_new_key"), "{said}");
    assert!(!said.contains("PRIVATE KEY"), "{said}");
    fs::write(&file, &first).expect("the first key put back");
    server.restart();
    let api = server.admin();
    assert_eq!(api.get("/v1/keyset").await.ok(200), old);
    server.kill();

    fs::write(&file, &second).expect("another key");
    server.configure("signing: { take_up_new_key: true }\n");
    server.restart();
    let api = server.admin();
    let new = api.get("/v1/keyset").await.ok(200);
    assert_eq!(new["version"].as_u64(), old["version"].as_u64().map(|version| version + 1), "{new}");
    let new_kid = kid(&api.decide("any", "1.0.0", json!({})).await);
    assert_ne!(new_kid, old_kid);
    assert_eq!(kids(&new), [old_kid, new_kid.clone()]);
    assert_eq!(api.get(&format!("/v1/keyset/{}", old["version"])).await.ok(200), old);
    assert_eq!(api.get(&format!("/v1/keyset/{}", new["version"])).await.ok(200), new);

    server.kill();
    server.configure("signing: { take_up_new_key: false }\n");
    server.restart();
    let api = server.admin();
    assert_eq!(kid(&api.decide("any", "1.0.0", json!({})).await), new_kid);
    assert_eq!(api.get("/v1/keyset").await.ok(200), new);
}
