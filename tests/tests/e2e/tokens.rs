//! Tokens: what they may, where, and how long.

use e2e::Server;
use e2e::bytes::{installer, unique};
use e2e::story::{msi, text, until};
use serde_json::json;

#[tokio::test]
async fn a_token_is_shown_once_works_and_is_refused_once_deleted() {
    let server = Server::shared();
    let api = server.admin();
    let body = json!({"name": unique("once"), "scopes": ["artifacts:read"]});
    let made = api.post("/v1/tokens", &body).await.ok(201);
    let (id, secret) = (text(&made, "token_id"), text(&made, "token"));
    assert!(secret.starts_with("bp_") && id.starts_with("tok_"), "{id}");
    let user = server.anonymous().with_token(secret);
    user.get("/v1/artifacts?limit=1").await.ok(200);
    let listed = api.get("/v1/tokens?limit=100").await;
    let rows = listed.ok(200);
    assert!(rows["tokens"].as_array().expect("tokens").iter().any(|row| row["token_id"] == id));
    assert!(!listed.text().contains(secret), "a secret in the list");
    assert_eq!(api.delete(&format!("/v1/tokens/{id}")).await.status, 204);
    user.get("/v1/artifacts?limit=1").await.refused(401, "UNAUTHORIZED");
    api.delete(&format!("/v1/tokens/{id}")).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_token_grants_only_scopes_that_it_has() {
    let server = Server::shared();
    let limited = server.admin().token(&["admin:write", "artifacts:read"], json!({})).await;
    limited.token(&["artifacts:read"], json!({})).await;
    let more = json!({"name": "more", "scopes": ["artifacts:read", "ci:write"]});
    limited.post("/v1/tokens", &more).await.refused(403, "FORBIDDEN");
}

#[tokio::test]
async fn an_expired_token_is_401() {
    let server = Server::shared();
    let api = server.admin();
    // The server's own clock, as far as it shows: the time of something that was just made.
    let artifact = api.upload_locked(&installer(100), json!({})).await;
    let expires = later(text(&artifact, "created_at"), 3);
    let short = api.token(&["artifacts:read"], json!({"expires_at": expires})).await;
    until("the token has expired", 20, async || short.get("/v1/artifacts?limit=1").await.status == 401).await;
    short.get("/v1/artifacts").await.refused(401, "UNAUTHORIZED");
}

/// A time of the form `2026-01-01T00:00:00…Z`, so many seconds later, but on the same day.
fn later(time: &str, seconds: u32) -> String {
    let (day, clock) = time.split_at(11);
    let numbers: Vec<u32> = clock[..8].split(':').map(|part| part.parse().expect("a number")).collect();
    let total = (numbers[0] * 3_600 + numbers[1] * 60 + numbers[2] + seconds).min(86_399);
    format!("{day}{:02}:{:02}:{:02}Z", total / 3_600, total / 60 % 60, total % 60)
}

#[tokio::test]
async fn a_token_of_a_tenant_reaches_that_tenants_routes_alone() {
    let server = Server::shared();
    let api = server.admin();
    let (own, other) = (unique("tenant"), unique("tenant"));
    let product = api.product("tenants").await;
    api.put(&format!("/v1/tenants/{other}/policy"), &json!({"paused": true})).await.ok(200);
    let scopes = ["admin:read", "admin:write", "artifacts:read", "artifacts:write"];
    let limited = api.token(&scopes, json!({"tenant_id": own})).await;
    limited.put(&format!("/v1/tenants/{own}/policy"), &json!({"paused": false})).await.ok(200);
    limited.get(&format!("/v1/tenants/{own}/policies/{product}")).await.ok(200);
    limited.get("/v1/products").await.ok(200);
    limited.get(&format!("/v1/products/{product}")).await.ok(200);
    for path in [
        format!("/v1/tenants/{other}/policy"),
        "/v1/policy".to_owned(),
        format!("/v1/products/{product}/policy"),
        "/v1/artifacts".to_owned(),
        "/v1/audit/events".to_owned(),
    ] {
        let answer = limited.get(&path).await;
        answer.refused(if answer.status == 404 { 404 } else { 403 }, "");
    }
    let wider = json!({"name": "wider", "scopes": ["admin:read"]});
    limited.post("/v1/tokens", &wider).await.refused(403, "FORBIDDEN");
}

#[tokio::test]
async fn a_token_of_a_product_sees_and_changes_what_belongs_to_that_product_alone() {
    let server = Server::shared();
    let api = server.admin();
    let (own, other) = (api.product("own").await, api.product("other").await);
    let foreign = api.publish(&other, "1.0.0", json!({})).await;
    let foreign_artifact = text(&foreign["artifacts"][0], "artifact_id").to_owned();
    let used = api.publish(&own, "0.9.0", json!({})).await;
    let scopes = ["artifacts:read", "artifacts:write", "ci:write", "admin:read", "admin:write"];
    let limited = api.token(&scopes, json!({"product_id": own})).await;

    let mine = text(&limited.upload_locked(&installer(500), json!({})).await, "artifact_id").to_owned();
    limited.publish(&own, "1.0.0", json!({"artifacts": [msi(&mine)]})).await;
    limited.get(&format!("/v1/artifacts/{mine}")).await.ok(200);
    let of_a_release = text(&used["artifacts"][0], "artifact_id");
    limited.get(&format!("/v1/artifacts/{of_a_release}")).await.ok(200);
    limited.put(&format!("/v1/products/{own}/policy"), &json!({"paused": false})).await.ok(200);

    let hidden = limited.get(&format!("/v1/artifacts/{foreign_artifact}")).await;
    let absent = limited.get("/v1/artifacts/art_01jd9xq2v6m4t8r0c5b7n3k1fz").await;
    assert_eq!(hidden.refused(404, "NOT_FOUND")["message"], absent.refused(404, "NOT_FOUND")["message"]);
    let listed = limited.get("/v1/artifacts?limit=100").await.ok(200).to_string();
    assert!(listed.contains(&mine) && !listed.contains(&foreign_artifact), "{listed}");
    limited.get(&format!("/v1/releases/{}", text(&foreign, "release_id"))).await.refused(404, "NOT_FOUND");
    let body =
        json!({"product_id": other, "version": "2.0.0", "channel": "stable", "artifacts": [msi(&mine)]});
    let refused = limited.post("/v1/releases", &body).await;
    refused.refused(if refused.status == 404 { 404 } else { 403 }, "");
    let policy = limited.put(&format!("/v1/products/{other}/policy"), &json!({})).await;
    policy.refused(if policy.status == 404 { 404 } else { 403 }, "");
    limited.put("/v1/policy", &json!({})).await.refused(403, "FORBIDDEN");
}

#[tokio::test]
async fn a_token_cannot_outlive_the_one_that_makes_it() {
    let server = Server::shared();
    let api = server.admin();
    let scopes = ["admin:write", "artifacts:read"];
    let mortal = api.token(&scopes, json!({"expires_at": "2090-06-01T00:00:00Z"})).await;
    for expires_at in [json!(null), json!("2090-06-01T00:00:01Z"), json!("2091-01-01T00:00:00Z")] {
        let body = json!({"name": unique("heir"), "scopes": ["artifacts:read"], "expires_at": expires_at});
        let refused = mortal.post("/v1/tokens", &body).await.refused(422, "INVALID_MEMBER");
        assert_eq!(refused["details"]["member"], "expires_at", "{refused}");
    }
    mortal.post("/v1/tokens", &json!({"name": "heir", "scopes": ["artifacts:read"]})).await.refused(422, "");
    for expires_at in ["2090-06-01T00:00:00Z", "2089-01-01T00:00:00Z"] {
        mortal.token(&["artifacts:read"], json!({"expires_at": expires_at})).await;
    }
    api.token(&["artifacts:read"], json!({})).await;
}
