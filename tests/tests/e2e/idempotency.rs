//! `Idempotency-Key`: the same thing again, and nothing else under the same key.

use e2e::Server;
use e2e::bytes::{installer, sha256, unique};
use e2e::story::{msi, text};
use serde_json::json;

#[tokio::test]
async fn the_same_key_and_body_are_the_same_upload_with_addresses_that_work() {
    let server = Server::shared();
    let api = server.admin();
    let (key, bytes) = (unique("key"), installer(2_000));
    let body = json!({"size_bytes": bytes.len(), "sha256": sha256(&bytes)});
    let first = api.post_keyed("/v1/artifacts/uploads", &key, &body).await.ok(201);
    let again = api.post_keyed("/v1/artifacts/uploads", &key, &body).await.ok(201);
    assert_eq!(first["upload_id"], again["upload_id"]);
    let put = api.put_bare(&again, &bytes).await;
    assert!((200..300).contains(&put.status), "{}", put.text());
    api.completed(&first).await;
}

#[tokio::test]
async fn the_same_key_with_another_body_is_422() {
    let server = Server::shared();
    let api = server.admin();
    let key = unique("key");
    let (one, two) = (unique("keyed"), unique("keyed"));
    api.post_keyed("/v1/products", &key, &json!({"product_id": one})).await.ok(201);
    let other = json!({"product_id": two});
    api.post_keyed("/v1/products", &key, &other).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    api.get(&format!("/v1/products/{two}")).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn the_same_key_creates_one_release_and_answers_alike_also_after_it_has_changed_hands() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("keyed").await;
    let key = unique("key");
    let body = json!({"product_id": product, "version": "1.0.0", "channel": "stable",
        "artifacts": [msi(&api.artifact().await)]});
    let (one, two) = tokio::join!(
        api.post_keyed("/v1/releases", &key, &body),
        api.post_keyed("/v1/releases", &key, &body)
    );
    let created: Vec<_> = [&one, &two].into_iter().filter(|answer| answer.status == 201).collect();
    assert!(!created.is_empty(), "{} {}", one.text(), two.text());
    for answer in [&one, &two] {
        if answer.status != 201 {
            answer.refused(409, "IDEMPOTENCY_IN_PROGRESS");
        }
    }
    let again = api.post_keyed("/v1/releases", &key, &body).await.ok(201);
    assert_eq!(again["release_id"], created[0].json()["release_id"]);
}

#[tokio::test]
async fn a_key_belongs_to_its_token_and_path() {
    let server = Server::shared();
    let api = server.admin();
    let key = unique("key");
    let (one, two) = (unique("scoped"), unique("scoped"));
    api.post_keyed("/v1/products", &key, &json!({"product_id": one})).await.ok(201);
    let other = api.token(&["admin:write"], json!({})).await;
    other.post_keyed("/v1/products", &key, &json!({"product_id": two})).await.ok(201);
    let upload = json!({"size_bytes": 10, "sha256": sha256(b"x")});
    api.post_keyed("/v1/artifacts/uploads", &key, &upload).await.ok(201);
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let server = Server::shared();
    let api = server.admin();
    let key = unique("key");
    let product = unique("later");
    let body = json!({"product_id": product, "version": "1.0.0", "channel": "stable",
        "artifacts": [msi(&api.artifact().await)]});
    api.post_keyed("/v1/releases", &key, &body).await.refused(404, "NOT_FOUND");
    api.post("/v1/products", &json!({"product_id": product})).await.ok(201);
    api.post_keyed("/v1/releases", &key, &body).await.ok(201);
}

#[tokio::test]
async fn an_ill_formed_key_is_refused() {
    let server = Server::shared();
    let api = server.admin();
    for key in ["x".repeat(256), "two words".to_owned(), String::new()] {
        let answer = api.post_keyed("/v1/products", &key, &json!({"product_id": unique("odd-key")})).await;
        answer.refused(if answer.status == 400 { 400 } else { 422 }, "");
    }
    let longest = "x".repeat(255);
    api.post_keyed("/v1/products", &longest, &json!({"product_id": unique("longest-key")})).await.ok(201);
}

#[tokio::test]
async fn registering_the_same_reference_again_is_200_and_the_same_artifact() {
    let server = Server::shared();
    let api = server.admin();
    let body = json!({"source_type": "EXTERNAL", "sha256": sha256(unique("external")), "size_bytes": 1_000,
        "external_url": "https://downloads.example.com/files/installer.msi"});
    let first = api.post("/v1/artifacts", &body).await.ok(201);
    let again = api.post("/v1/artifacts", &body).await.ok(200);
    assert_eq!(text(&first, "artifact_id"), text(&again, "artifact_id"));
}

#[tokio::test]
async fn a_registration_of_what_was_there_keeps_its_key_too() {
    let server = Server::shared();
    let api = server.admin();
    let body = |name: &str| {
        json!({"source_type": "EXTERNAL", "sha256": sha256(name), "size_bytes": 1_000,
            "external_url": format!("https://downloads.example.com/files/{name}.msi")})
    };
    let (key, name) = (unique("key"), unique("known"));
    let first = api.post("/v1/artifacts", &body(&name)).await.ok(201);
    for _ in 0..2 {
        let again = api.post_keyed("/v1/artifacts", &key, &body(&name)).await.ok(200);
        assert_eq!(again["artifact_id"], first["artifact_id"]);
    }
    let other = unique("other");
    api.post_keyed("/v1/artifacts", &key, &body(&other)).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    let found = api.get(&format!("/v1/artifacts?sha256={}", sha256(&other))).await.ok(200);
    assert_eq!(found["artifacts"], json!([]));
}

#[tokio::test]
async fn initiating_again_under_the_key_of_an_upload_that_was_aborted_is_410() {
    let server = Server::shared();
    let api = server.admin();
    let (key, bytes) = (unique("key"), installer(2_000));
    let body = json!({"size_bytes": bytes.len(), "sha256": sha256(&bytes)});
    let upload = api.post_keyed("/v1/artifacts/uploads", &key, &body).await.ok(201);
    api.delete(&format!("/v1/artifacts/uploads/{}", text(&upload, "upload_id"))).await.ok(200);
    api.post_keyed("/v1/artifacts/uploads", &key, &body).await.refused(410, "UPLOAD_ABORTED");
    api.post_keyed("/v1/artifacts/uploads", &unique("key"), &body).await.ok(201);
}
