//! Stored artifacts: their states, who may download them, and what may not come twice.

use e2e::bytes::{installer, sha256};
use e2e::story::text;
use e2e::{Answer, Api, Server};
use reqwest::Method;
use serde_json::{Value, json};

async fn change(api: &Api, id: &str, what: &str) -> Answer {
    api.post(&format!("/v1/artifacts/{id}/{what}"), &json!({"reason": "a test"})).await
}

/// Tries to store bytes to the end; answers with the first refusal, or the completion.
async fn store(api: &Api, bytes: &[u8], more: Value) -> Answer {
    let mut body = json!({"size_bytes": bytes.len(), "sha256": sha256(bytes)});
    body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let begun = api.post("/v1/artifacts/uploads", &body).await;
    if begun.status != 201 {
        return begun;
    }
    let upload = begun.json();
    api.put_bare(&upload, bytes).await;
    api.complete(&upload).await
}

#[tokio::test]
async fn a_quarantined_artifact_is_not_served_until_it_is_restored() {
    let server = Server::shared();
    let api = server.admin();
    let id = api.artifact().await;
    assert_eq!(change(&api, &id, "quarantine").await.ok(200)["state"], "QUARANTINED");
    server.anonymous().download(&id).await.refused(409, "ARTIFACT_NOT_AVAILABLE");
    assert_eq!(change(&api, &id, "restore").await.ok(200)["state"], "AVAILABLE");
    assert_eq!(server.anonymous().download(&id).await.status, 200);
}

#[tokio::test]
async fn revoked_is_final() {
    let server = Server::shared();
    let api = server.admin();
    let id = api.artifact().await;
    change(&api, &id, "quarantine").await.ok(200);
    assert_eq!(change(&api, &id, "revoke").await.ok(200)["state"], "REVOKED");
    server.anonymous().download(&id).await.refused(409, "ARTIFACT_NOT_AVAILABLE");
    change(&api, &id, "restore").await.refused(409, "ARTIFACT_REVOKED");
    change(&api, &id, "quarantine").await.refused(409, "ARTIFACT_REVOKED");
    assert_eq!(api.get(&format!("/v1/artifacts/{id}")).await.ok(200)["state"], "REVOKED");
}

#[tokio::test]
async fn bytes_of_a_revoked_artifact_are_409_when_they_come_again() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(2_000);
    let artifact = api.upload_bare(&bytes, json!({})).await;
    let id = text(&artifact, "artifact_id");
    change(&api, id, "quarantine").await.ok(200);
    change(&api, id, "revoke").await.ok(200);
    store(&api, &bytes, json!({})).await.refused(409, "ARTIFACT_REVOKED");
    let external = json!({"source_type": "EXTERNAL", "sha256": sha256(&bytes), "size_bytes": bytes.len(),
        "external_url": "https://downloads.example.com/installer.msi"});
    api.post("/v1/artifacts", &external).await.refused(409, "ARTIFACT_REVOKED");
}

#[tokio::test]
async fn the_same_sha256_with_another_access_is_409_with_the_id() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(2_000);
    let artifact = api.upload_bare(&bytes, json!({})).await;
    let refused = store(&api, &bytes, json!({"access": "token"})).await.refused(409, "ARTIFACT_EXISTS");
    assert!(refused.to_string().contains(text(&artifact, "artifact_id")), "{refused}");
}

#[tokio::test]
async fn an_artifact_with_access_token_is_downloaded_with_that_scope_alone() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(2_000);
    let artifact = api.upload_bare(&bytes, json!({"access": "token"})).await;
    let id = text(&artifact, "artifact_id");
    assert_eq!(artifact["access"], "token");
    let path = format!("/v1/artifacts/{id}/download");
    let stranger = server.anonymous().get(&path).await;
    stranger.refused(if stranger.status == 404 { 404 } else { 401 }, "");
    let other = api.token(&["artifacts:read"], json!({})).await.get(&path).await;
    other.refused(if other.status == 404 { 404 } else { 403 }, "");
    let reader = api.token(&["artifacts:download"], json!({})).await;
    assert_eq!(reader.download(id).await.body, bytes);
    reader.get(&format!("/v1/artifacts/{id}")).await.refused(403, "FORBIDDEN");
}

#[tokio::test]
async fn a_download_is_an_attachment_with_its_name_and_can_be_had_in_parts() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(5_000);
    let about = json!({"file_name": "Setup 1.0+x.msi", "content_type": "application/x-msi"});
    let artifact = api.upload_locked(&bytes, about).await;
    let path = format!("/v1/artifacts/{}/download", text(&artifact, "artifact_id"));
    let first = server.anonymous().get(&path).await;
    assert!(first.status == 200 || first.header("cache-control").contains("no-store"), "{:?}", first.headers);
    let at = if first.status == 302 { first.header("location").to_owned() } else { path.clone() };

    let api = server.anonymous();
    let whole = api.get(&at).await;
    assert_eq!((whole.status, whole.body == bytes), (200, true));
    assert!(whole.header("content-disposition").starts_with("attachment"), "{:?}", whole.headers);
    assert!(whole.header("content-disposition").contains("Setup 1.0+x.msi"), "{:?}", whole.headers);
    assert_eq!(whole.header("content-type"), "application/x-msi");
    assert!(!whole.header("etag").is_empty(), "{:?}", whole.headers);

    let part = api.send(api.request(Method::GET, &at).header("range", "bytes=1000-1999")).await;
    assert_eq!((part.status, part.body.as_slice()), (206, &bytes[1_000..2_000]));
    assert_eq!(part.header("content-range"), "bytes 1000-1999/5000");
    let beyond = api.send(api.request(Method::GET, &at).header("range", "bytes=5000-")).await;
    assert_eq!(beyond.status, 416);
    let head = api.send(api.request(Method::HEAD, &path)).await;
    assert!(head.status == 200 || head.status == 302, "{}", head.status);
    assert!(head.body.is_empty());
}

#[tokio::test]
async fn an_artifact_that_a_live_release_names_cannot_be_deleted() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("in-use").await;
    let release = api.publish(&product, "1.0.0", json!({})).await;
    let id = text(&release["artifacts"][0], "artifact_id").to_owned();
    let path = format!("/v1/artifacts/{id}");
    api.delete(&path).await.refused(409, "ARTIFACT_IN_USE");
    assert_eq!(api.get(&path).await.ok(200)["state"], "AVAILABLE");

    let free = format!("/v1/artifacts/{}", api.artifact().await);
    let gone = api.delete(&free).await;
    assert!((200..300).contains(&gone.status), "{}", gone.text());
    api.get(&free).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn artifacts_are_found_by_digest_state_and_label() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(2_000);
    let mark = sha256(&bytes)[..12].to_owned();
    let artifact = api.upload_bare(&bytes, json!({"labels": {"build": mark}})).await;
    for query in [
        format!("sha256={}", sha256(&bytes)),
        format!("sha256={}", sha256(&bytes).to_uppercase()),
        format!("label=build:{mark}"),
        format!("label=build:{mark}&state=AVAILABLE"),
    ] {
        let found = api.get(&format!("/v1/artifacts?{query}")).await.ok(200);
        let ids: Vec<_> =
            found["artifacts"].as_array().expect("a list").iter().map(|a| &a["artifact_id"]).collect();
        assert_eq!(ids, [&artifact["artifact_id"]], "{query}");
    }
    let none = api.get(&format!("/v1/artifacts?label=build:{mark}&state=REVOKED")).await.ok(200);
    assert_eq!(none["artifacts"], json!([]));
}

#[tokio::test]
async fn the_verification_of_an_artifact_says_by_which_means_and_when() {
    let server = Server::shared();
    let api = server.admin();
    let id = api.artifact().await;
    assert_eq!(api.get(&format!("/v1/artifacts/{id}")).await.ok(200)["verification"], "STORE_CHECKSUM");
    let seen = api.get(&format!("/v1/artifacts/{id}/verification")).await.ok(200);
    assert_eq!(seen["in_progress"], json!(null), "{seen}");
    let checks = seen["checks"].as_array().expect("a list of checks");
    assert!(!checks.is_empty(), "{seen}");
    for check in checks {
        assert_eq!((text(check, "means"), text(check, "result")), ("STORE_CHECKSUM", "MATCH"), "{seen}");
        assert!(text(check, "checked_at").ends_with('Z'), "{seen}");
    }
}

#[tokio::test]
async fn names_labels_and_reasons_outside_the_bounds_are_422() {
    let server = Server::shared();
    let api = server.admin();
    let many: Value =
        (0..21).map(|n| (format!("k{n}"), json!("v"))).collect::<serde_json::Map<_, _>>().into();
    for more in [
        json!({"file_name": ".hidden"}),
        json!({"file_name": "a/b"}),
        json!({"file_name": ""}),
        json!({"file_name": "x".repeat(129)}),
        json!({"labels": many}),
        json!({"labels": {"k".repeat(65): "v"}}),
        json!({"labels": {"k": "v".repeat(257)}}),
        json!({"sha256": "abc"}),
    ] {
        let answer = store(&api, &installer(100), more.clone()).await;
        assert_eq!(answer.status, 422, "{more}: {}", answer.text());
        answer.refused(422, "");
    }
    let id = api.artifact().await;
    let path = format!("/v1/artifacts/{id}/quarantine");
    api.post(&path, &json!({"reason": "x".repeat(1_025)})).await.refused(422, "");
}

/// Asks for a check, and answers with the artifact once the check was made.
async fn checked_again(api: &Api, id: &str) -> Value {
    let path = format!("/v1/artifacts/{id}/verification");
    let count = |seen: &Value| seen["checks"].as_array().expect("checks").len();
    let before = count(&api.get(&path).await.ok(200));
    assert_eq!(api.post_empty(&format!("/v1/artifacts/{id}/verify")).await.status, 202);
    let seen = api.get_until(&path, |seen| count(seen) > before).await;
    assert_eq!(
        seen["checks"].as_array().expect("checks").last().expect("a check")["result"],
        "MATCH",
        "{seen}"
    );
    api.get(&format!("/v1/artifacts/{id}")).await.ok(200)
}

#[tokio::test]
async fn an_operators_quarantine_stands_however_often_the_bytes_are_found_to_be_right() {
    let server = Server::shared();
    let api = server.admin();
    let id = api.artifact().await;
    for reason in ["a test", "DRIFT", "DRIFT:", " DRIFT: of the build"] {
        let body = json!({"reason": reason});
        api.post(&format!("/v1/artifacts/{id}/quarantine"), &body).await.ok(200);
        let artifact = checked_again(&api, &id).await;
        assert_eq!((&artifact["state"], &artifact["reason"]), (&json!("QUARANTINED"), &json!(reason)));
        assert_eq!(change(&api, &id, "restore").await.ok(200)["state"], "AVAILABLE");
    }
}

#[tokio::test]
async fn the_reason_of_an_operator_cannot_pass_for_that_of_a_check() {
    let server = Server::shared();
    let api = server.admin();
    let id = api.artifact().await;
    for what in ["quarantine", "revoke", "restore"] {
        let body = json!({"reason": "DRIFT: CHECKSUM_MISMATCH: made up"});
        let refused =
            api.post(&format!("/v1/artifacts/{id}/{what}"), &body).await.refused(422, "INVALID_MEMBER");
        assert_eq!(refused["details"]["member"], "reason", "{refused}");
    }
    assert_eq!(api.get(&format!("/v1/artifacts/{id}")).await.ok(200)["state"], "AVAILABLE");
}
