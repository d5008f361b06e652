//! The audit log, and what never enters the other one.

use e2e::Server;
use e2e::bytes::{installer, sha256};
use e2e::host::{Host, Page};
use e2e::story::{msi, text};
use serde_json::json;

#[tokio::test]
async fn every_change_leaves_an_entry_with_who_what_on_what_when_and_from_where() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("audited").await;
    let release = api.publish(&product, "1.0.0", json!({})).await;
    let id = text(&release, "release_id");
    let artifact = text(&release["artifacts"][0], "artifact_id").to_owned();
    api.patch(&format!("/v1/releases/{id}/rollout"), &json!({"percentage": 5})).await.ok(200);
    api.post(&format!("/v1/artifacts/{artifact}/quarantine"), &json!({"reason": "a test"})).await.ok(200);
    api.post(&format!("/v1/releases/{id}/revoke"), &json!({"reason": "a test"})).await.ok(200);
    api.put(&format!("/v1/products/{product}/policy"), &json!({"paused": true})).await.ok(200);

    let about = |entries: &[serde_json::Value], subject: &str| {
        entries.iter().filter(|entry| text(entry, "subject").contains(subject)).count()
    };
    let of_release = api.audit(id).await;
    assert_eq!(about(&of_release, id), 3, "created, rollout, revoked: {of_release:?}");
    let of_artifact = api.audit(&artifact).await;
    let own = of_artifact.iter().filter(|entry| text(entry, "subject") != id).count();
    assert_eq!(own, 2, "completed, quarantined: {of_artifact:?}");
    let of_product = api.audit(&product).await;
    assert!(about(&of_product, &product) >= 2, "created, policy: {of_product:?}");
    for entry in of_release.iter().chain(&of_product) {
        assert!(text(entry, "event_id").starts_with("evt_"), "{entry}");
        assert!(text(entry, "actor").starts_with("tok_"), "{entry}");
        assert!(text(entry, "at").ends_with('Z'), "{entry}");
        assert!(text(entry, "source_ip").starts_with("127.0.0.1"), "{entry}");
        assert!(!text(entry, "type").is_empty() && !text(entry, "request_id").is_empty(), "{entry}");
    }
    let rollout =
        of_release.iter().find(|entry| text(entry, "type").contains("rollout")).expect("a rollout entry");
    assert!(
        rollout["before"].to_string().contains("100") && rollout["after"].to_string().contains('5'),
        "{rollout}"
    );
}

#[tokio::test]
async fn a_refused_change_leaves_no_entry() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("refused").await;
    let before = api.audit(&product).await.len();
    api.post("/v1/products", &json!({"product_id": product})).await.refused(409, "PRODUCT_EXISTS");
    api.try_publish(&product, "1.0.0-rc.1", json!({})).await.refused(422, "");
    assert_eq!(api.audit(&product).await.len(), before);
}

#[tokio::test]
async fn the_log_is_narrowed_by_type_actor_and_time() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("narrowed").await;
    let made = api.audit(&product).await.first().cloned().expect("an entry");
    let (kind, actor) = (text(&made, "type"), text(&made, "actor"));
    let found = api.get(&format!("/v1/audit/events?type={kind}&actor={actor}&limit=100")).await.ok(200);
    let events = found["events"].as_array().expect("events");
    assert!(events.contains(&made), "{kind} by {actor} is missing");
    assert!(events.iter().all(|event| event["type"] == kind && event["actor"] == actor));
    let none = api.get("/v1/audit/events?since=2999-01-01T00:00:00Z").await.ok(200);
    assert_eq!(none["events"], json!([]));
    let nobody = api.get("/v1/audit/events?actor=tok_01jd9xq2v6m4t8r0c5b7n3k1fz").await.ok(200);
    assert_eq!(nobody["events"], json!([]));
}

#[tokio::test]
async fn no_token_signature_or_signed_address_is_in_the_log() {
    let server = Server::start();
    let api = server.admin();
    let product = api.product("secrets").await;
    let bytes = installer(2_000);
    let upload = api.initiate(&bytes, json!({})).await;
    api.put_bare(&upload, &bytes).await;
    let artifact = api.completed(&upload).await;
    api.download(text(&artifact, "artifact_id")).await;
    let made = api.post("/v1/tokens", &json!({"name": "quiet", "scopes": ["artifacts:read"]})).await.ok(201);
    let secret = text(&made, "token").to_owned();
    api.with_token(&secret).get("/v1/artifacts").await.ok(200);
    api.with_token(&format!("{secret}x")).get("/v1/artifacts").await.refused(401, "");
    api.publish(&product, "1.0.0", json!({})).await;
    let decision = api.decide(&product, "0.9.0", json!({"client_id": "device-0815"})).await;
    api.get("/v1/artifacts?limit=1").await.ok(200);

    let log = server.log();
    assert!(log.contains("/v1/artifacts"), "requests are in the log:\n{log}");
    let query = |url: &str| url.split_once('?').map(|(_, query)| query.to_owned()).unwrap_or_default();
    let url = text(&upload, "upload_url");
    let mut secrets =
        vec![server.admin_token(), secret, text(&decision, "signature").to_owned(), url.to_owned()];
    secrets.extend(query(url).split('&').filter(|part| part.len() > 24).map(str::to_owned));
    secrets.extend(
        query(text(&upload["checksum_locked"], "url"))
            .split('&')
            .filter(|part| part.len() > 24)
            .map(str::to_owned),
    );
    secrets.push("device-0815".to_owned());
    for secret in secrets {
        assert!(!log.contains(&secret), "`{secret}` is in the log");
    }
    // The lines to copy that are printed at the first start name the header; log lines are JSON.
    let lines: String = log.lines().filter(|line| line.starts_with('{')).collect();
    let lower = lines.to_lowercase();
    for word in ["signature=", "authorization", "bearer ", "begin private key"] {
        assert!(!lower.contains(word), "`{word}` is in the log");
    }
}

#[tokio::test]
async fn what_the_service_does_by_itself_is_in_the_log_as_done_by_system() {
    let host = Host::start().await;
    let server = Server::start_with(&host.configuration(""));
    let api = server.admin();
    let bytes = installer(2_000);
    let url = host.serve("/files/late.msi", Page::Status(503));
    let body = json!({"source_type": "EXTERNAL", "external_url": url, "sha256": sha256(&bytes), "size_bytes": 2_000});
    let made = api.post("/v1/artifacts", &body).await.ok(201);
    let artifact = text(&made, "artifact_id").to_owned();
    let product = api.product("by-itself").await;
    let release = api.publish(&product, "1.0.0", json!({"artifacts": [msi(&artifact)]})).await;
    let release = text(&release, "release_id");
    host.serve("/files/late.msi", Page::Bytes(bytes));
    api.post_empty(&format!("/v1/artifacts/{artifact}/verify")).await.ok(202);
    api.get_until(&format!("/v1/releases/{release}"), |release| release["status"] == "published").await;

    let page = api.get("/v1/audit/events?actor=system&limit=100").await.ok(200);
    let entries = page["events"].as_array().expect("events");
    for (kind, subject) in
        [("keyset.published", "keyset/1"), ("artifact.verified", &artifact), ("release.published", release)]
    {
        let found: Vec<_> =
            entries.iter().filter(|entry| entry["type"] == kind && entry["subject"] == subject).collect();
        assert_eq!(found.len(), 1, "{kind}: {page}");
        assert_eq!((&found[0]["actor"], &found[0]["source_ip"]), (&json!("system"), &json!(null)), "{kind}");
    }
    let registered = api.get("/v1/audit/events?type=artifact.registered").await.ok(200);
    assert_ne!(registered["events"][0]["actor"], "system", "{registered}");
}

#[tokio::test]
async fn asking_again_for_what_is_so_already_leaves_no_second_entry() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("twice").await;
    let release = api.publish(&product, "1.0.0", json!({})).await;
    let id = text(&release, "release_id");
    let artifact = api.artifact().await;
    for reason in ["the first", "the second"] {
        let reason = json!({"reason": reason});
        api.post(&format!("/v1/releases/{id}/revoke"), &reason).await.ok(200);
        let withheld = api.post(&format!("/v1/artifacts/{artifact}/quarantine"), &reason).await.ok(200);
        assert_eq!(withheld["reason"], "the first");
    }
    for (about, kind) in [(id, "release.revoked"), (artifact.as_str(), "artifact.quarantined")] {
        let entries = api.audit(about).await;
        assert_eq!(entries.iter().filter(|entry| entry["type"] == kind).count(), 1, "{kind}: {entries:?}");
    }
}
