//! Copies of external artifacts, over HTTP: hosts that lose them, and clients that get them all the same.

use e2e::bytes::{installer, sha256};
use e2e::host::{Host, Page};
use e2e::story::{msi, text, verdict};
use e2e::{Api, Server};
use serde_json::{Value, json};

async fn registered(api: &Api, url: &str, bytes: &[u8]) -> Value {
    let body = json!({"source_type": "EXTERNAL", "external_url": url, "sha256": sha256(bytes),
        "size_bytes": bytes.len(), "escrow": true});
    let made = api.post("/v1/artifacts", &body).await.ok(201);
    assert_eq!(made["escrow"], json!({"kept_at": null, "served": false, "original": null}), "{made}");
    let id = text(&made, "artifact_id");
    api.get_until(&format!("/v1/artifacts/{id}"), |artifact| artifact["state"] != "VERIFYING").await
}

#[tokio::test]
async fn when_the_original_drifts_decisions_lead_to_the_copy_which_has_the_right_bytes() {
    let host = Host::start().await;
    let server = Server::start_with(&host.configuration(""));
    let api = server.admin();
    let bytes = installer(3_000_000);
    let url = host.serve("/files/editor.msi", Page::Bytes(bytes.clone()));
    let artifact = registered(&api, &url, &bytes).await;
    assert_eq!((&artifact["state"], &artifact["verification"]), (&json!("AVAILABLE"), &json!("FETCHED")));
    assert!(artifact["escrow"]["kept_at"].is_string(), "{artifact}");
    let id = text(&artifact, "artifact_id");
    let product = api.product("escrow").await;
    api.publish(&product, "1.0.0", json!({"artifacts": [msi(id)]})).await;
    let decision = api.decide(&product, "0.9.0", json!({})).await;
    assert_eq!(
        (verdict(&decision), text(&decision["artifact"], "url")),
        ("INSTALL/NEW_RELEASE 1.0.0".into(), url.as_str())
    );
    let sent_to = api.get(&format!("/v1/artifacts/{id}/download")).await;
    assert_eq!((sent_to.status, sent_to.header("location")), (302, url.as_str()));

    host.serve("/files/editor.msi", Page::Bytes(installer(3_000_000)));
    assert_eq!(api.post_empty(&format!("/v1/artifacts/{id}/verify")).await.status, 202);
    let path = format!("/v1/artifacts/{id}");
    let drifted = api.get_until(&path, |artifact| artifact["escrow"]["original"].is_string()).await;
    assert_eq!(
        (&drifted["state"], &drifted["escrow"]["served"]),
        (&json!("AVAILABLE"), &json!(true)),
        "{drifted}"
    );
    assert!(text(&drifted["escrow"], "original").starts_with("DRIFT: "), "{drifted}");
    let decision = api.decide(&product, "0.9.0", json!({})).await;
    let ours = format!("{}/v1/artifacts/{id}/download", server.base());
    assert_eq!(
        (verdict(&decision), text(&decision["artifact"], "url")),
        ("INSTALL/NEW_RELEASE 1.0.0".into(), ours.as_str())
    );
    let download = api.download(id).await;
    assert_eq!((download.status, sha256(&download.body)), (200, sha256(&bytes)));
    let checks = api.get(&format!("{path}/verification")).await.ok(200);
    let results: Vec<&Value> =
        checks["checks"].as_array().unwrap().iter().map(|check| &check["result"]).collect();
    assert_eq!(results, ["MATCH", "MISMATCH"], "{checks}");
    let told = api.get("/v1/audit/events?type=artifact.original_lost").await.ok(200);
    assert_eq!(told["events"][0]["subject"], id, "{told}");

    host.serve("/files/editor.msi", Page::Bytes(bytes));
    assert_eq!(api.post_empty(&format!("/v1/artifacts/{id}/verify")).await.status, 202);
    api.get_until(&path, |artifact| artifact["escrow"]["original"].is_null()).await;
    let decision = api.decide(&product, "0.9.0", json!({})).await;
    assert_eq!(text(&decision["artifact"], "url"), url);
}

#[tokio::test]
async fn a_repository_with_credentials_serves_everybody_through_its_copy() {
    let host = Host::start().await;
    let secret = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(secret.path(), "Bearer a-secret").unwrap();
    let credentials = format!(", credentials: \"file:{}\"", secret.path().display());
    let server = Server::start_with(&host.configuration(&credentials));
    let api = server.admin();
    let bytes = installer(50_000);
    let url =
        host.serve("/files/private.msi", Page::Guarded("Bearer a-secret".into(), Vec::new(), bytes.clone()));
    let body = json!({"source_type": "EXTERNAL", "external_url": url, "sha256": sha256(&bytes),
        "size_bytes": bytes.len()});
    api.post("/v1/artifacts", &body).await.refused(422, "INVALID_MEMBER");
    let artifact = registered(&api, &url, &bytes).await;
    assert_eq!(
        (&artifact["state"], &artifact["escrow"]["served"]),
        (&json!("AVAILABLE"), &json!(true)),
        "{artifact}"
    );
    let download = api.download(text(&artifact, "artifact_id")).await;
    assert_eq!((download.status, sha256(&download.body)), (200, sha256(&bytes)));
}

#[tokio::test]
async fn escrow_is_not_for_those_who_bring_their_own_credentials_nor_beyond_its_bound() {
    let server = Server::shared();
    let api = server.admin();
    let mut body = json!({"source_type": "EXTERNAL", "external_url": "https://downloads.example.com/a.msi",
        "sha256": sha256(installer(10)), "size_bytes": 10, "escrow": true, "access": "client_authenticates"});
    assert_eq!(
        api.post("/v1/artifacts", &body).await.refused(422, "INVALID_MEMBER")["details"]["member"],
        "escrow"
    );
    body["access"] = json!("public");
    body["size_bytes"] = json!(5_368_709_121_i64);
    assert_eq!(
        api.post("/v1/artifacts", &body).await.refused(422, "INVALID_MEMBER")["details"]["member"],
        "size_bytes"
    );
    body["escrow"] = json!(false);
    body["external_url"] = json!("http://downloads.example.com/a.msi");
    api.post("/v1/artifacts", &body).await.refused(422, "URL_SCHEME_NOT_ALLOWED");
}
