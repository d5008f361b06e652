//! Restricted channels: open to tokens with the scope, within their limits alone.

use e2e::bytes::unique;
use e2e::story::verdict;
use e2e::{Api, Server};
use serde_json::{Value, json};

const OPEN: &str = "INSTALL/NEW_RELEASE 1.1.0";
const LOOKS_EMPTY: &str = "NONE/UP_TO_DATE";

/// A product whose channel `canary` is restricted and has release 1.1.0.
async fn product(api: &Api) -> String {
    let product = unique("restricted");
    let body = json!({"product_id": product, "restricted_channels": ["canary"]});
    api.post("/v1/products", &body).await.ok(201);
    api.publish(&product, "1.1.0", json!({"channel": "canary"})).await;
    product
}

fn question(product: &str, more: Value) -> Value {
    let mut row = json!({"product_id": product, "current_version": "1.0.0", "platform": "windows",
        "arch": "x86_64", "channel": "canary"});
    let Value::Object(more) = more else { panic!("not an object: {more}") };
    row.as_object_mut().expect("an object").extend(more);
    json!({"products": [row]})
}

async fn said(client: &Api, product: &str, more: Value) -> String {
    let said = client.post("/v1/decision", &question(product, more)).await.ok(200);
    verdict(&said["decisions"][0])
}

#[tokio::test]
async fn restricted_channels_look_empty_without_the_scope() {
    let server = Server::shared();
    let api = server.admin();
    let product = product(&api).await;
    for (client, wanted) in [
        (server.anonymous(), LOOKS_EMPTY),
        (api.token(&["artifacts:read"], json!({})).await, LOOKS_EMPTY),
        (api.token(&["decisions:restricted"], json!({})).await, OPEN),
    ] {
        assert_eq!(said(&client, &product, json!({})).await, wanted);
    }
}

#[tokio::test]
async fn a_token_of_a_product_opens_the_restricted_channels_of_that_product_alone() {
    let server = Server::shared();
    let api = server.admin();
    let (own, other) = (product(&api).await, product(&api).await);
    let limited = api.token(&["decisions:restricted"], json!({"product_id": own})).await;
    assert_eq!(said(&limited, &own, json!({})).await, OPEN);
    assert_eq!(said(&limited, &other, json!({})).await, LOOKS_EMPTY);
    let mut both = question(&own, json!({}));
    both["products"]
        .as_array_mut()
        .expect("rows")
        .extend([question(&other, json!({}))["products"][0].clone()]);
    let rows = limited.post("/v1/decision", &both).await.ok(200);
    assert_eq!([verdict(&rows["decisions"][0]), verdict(&rows["decisions"][1])], [OPEN, LOOKS_EMPTY]);
}

#[tokio::test]
async fn a_token_of_a_tenant_opens_restricted_channels_in_that_tenants_questions_alone() {
    let server = Server::shared();
    let api = server.admin();
    let product = product(&api).await;
    let (own, other) = (unique("tenant"), unique("tenant"));
    let limited = api.token(&["decisions:restricted"], json!({"tenant_id": own})).await;
    assert_eq!(said(&limited, &product, json!({"tenant_id": own})).await, OPEN);
    assert_eq!(said(&limited, &product, json!({"tenant_id": other})).await, LOOKS_EMPTY);
    assert_eq!(said(&limited, &product, json!({})).await, LOOKS_EMPTY, "a question without a tenant");
    let mut defaulted = question(&product, json!({}));
    defaulted["tenant_id"] = json!(own);
    let rows = limited.post("/v1/decision", &defaulted).await.ok(200);
    assert_eq!(verdict(&rows["decisions"][0]), OPEN, "the tenant of the whole request");
}

#[tokio::test]
async fn an_explanation_opens_no_channel_that_the_decision_does_not() {
    let server = Server::shared();
    let api = server.admin();
    let product = product(&api).await;
    let explained = async |client: &Api| {
        let said = client.post("/v1/decision/explain", &question(&product, json!({}))).await.ok(200);
        assert_eq!(
            said.to_string().contains("1.1.0"),
            said["decisions"][0]["decision"]["reason"] == "NEW_RELEASE"
        );
        said["decisions"][0]["decision"]["reason"].clone()
    };
    let reader = api.token(&["admin:read"], json!({})).await;
    assert_eq!(explained(&reader).await, "UP_TO_DATE");
    let both = ["admin:read", "decisions:restricted"];
    assert_eq!(explained(&api.token(&both, json!({})).await).await, "NEW_RELEASE");
    let own = api.token(&both, json!({"product_id": product})).await;
    assert_eq!(explained(&own).await, "NEW_RELEASE");
    let other = api.token(&both, json!({"product_id": api.product("other").await})).await;
    other.post("/v1/decision/explain", &question(&product, json!({}))).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn it_tools_see_a_restricted_channel_with_the_scope_alone() {
    let server = Server::shared();
    let api = server.admin();
    let product = product(&api).await;
    let tenant = unique("tenant");
    let own = format!("/v1/tenants/{tenant}/policies/{product}");
    api.put(&own, &json!({"channel": "canary"})).await.ok(200);
    let path = format!(
        "/v1/tenants/{tenant}/update-decisions?product_id={product}&platform=windows&arch=x86_64&current_version=1.0.0"
    );
    let seen = async |client: &Api| {
        let row = client.get(&path).await.ok(200)["decisions"][0].clone();
        (row["reason"].clone(), row["available_version"].clone())
    };
    let nothing = (json!("UP_TO_DATE"), json!(null));
    let release = (json!("NEW_RELEASE"), json!("1.1.0"));
    assert_eq!(seen(&api.token(&["admin:read"], json!({})).await).await, nothing);
    assert_eq!(seen(&api.token(&["admin:read"], json!({"tenant_id": tenant})).await).await, nothing);
    let both = ["admin:read", "decisions:restricted"];
    assert_eq!(seen(&api.token(&both, json!({})).await).await, release);
    assert_eq!(seen(&api.token(&both, json!({"tenant_id": tenant})).await).await, release);
    assert_eq!(seen(&api.token(&both, json!({"product_id": product})).await).await, release);
    let elsewhere = api.token(&both, json!({"tenant_id": unique("tenant")})).await;
    elsewhere.get(&path).await.refused(404, "NOT_FOUND");
}
