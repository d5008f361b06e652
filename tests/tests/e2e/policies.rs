//! The four levels of policy, and how they add up.

use e2e::Server;
use e2e::bytes::unique;
use e2e::story::{msi, text, verdict};
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_level_never_set_is_200_with_nulls_and_an_etag() {
    let server = Server::start();
    let api = server.admin();
    let product = api.product("unset").await;
    for path in [
        "/v1/policy".to_owned(),
        "/v1/tenants/acme/policy".to_owned(),
        format!("/v1/products/{product}/policy"),
        format!("/v1/tenants/acme/policies/{product}"),
    ] {
        let answer = api.get(&path).await;
        let nulls = json!({"channel": null, "mode": null, "pinned_range": null, "blocked_versions": null,
            "paused": null, "min_version": null});
        assert_eq!(answer.ok(200), nulls, "{path}");
        assert!(!answer.header("etag").is_empty(), "{path}");
    }
}

#[tokio::test]
async fn each_field_comes_from_the_most_specific_level_that_sets_it() {
    let server = Server::start();
    let api = server.admin();
    let product = api.product("levels").await;
    api.publish(&product, "1.5.0", json!({})).await;
    api.publish(&product, "2.0.0", json!({})).await;
    let said = async || verdict(&api.decide(&product, "1.0.0", json!({"tenant_id": "acme"})).await);
    assert_eq!(said().await, "INSTALL/NEW_RELEASE 2.0.0");
    api.put("/v1/policy", &json!({"mode": "NOTIFY_ONLY", "pinned_range": "<2"})).await.ok(200);
    assert_eq!(said().await, "NOTIFY/NEW_RELEASE 1.5.0");
    api.put("/v1/tenants/acme/policy", &json!({"mode": "DOWNLOAD_ONLY"})).await.ok(200);
    assert_eq!(said().await, "DOWNLOAD/NEW_RELEASE 1.5.0");
    api.put(&format!("/v1/products/{product}/policy"), &json!({"pinned_range": "*"})).await.ok(200);
    assert_eq!(said().await, "DOWNLOAD/NEW_RELEASE 2.0.0");
    let own = format!("/v1/tenants/acme/policies/{product}");
    api.put(&own, &json!({"mode": "MANAGED_BY_IT"})).await.ok(200);
    assert_eq!(said().await, "NONE/MANAGED_BY_IT");
    api.put(&own, &json!({"mode": null})).await.ok(200);
    assert_eq!(said().await, "DOWNLOAD/NEW_RELEASE 2.0.0");
    let other = verdict(&api.decide(&product, "1.0.0", json!({})).await);
    assert_eq!(other, "NOTIFY/NEW_RELEASE 2.0.0", "a question without a tenant");
}

#[tokio::test]
async fn blocked_versions_add_up_and_a_pause_of_any_level_cannot_be_overruled_from_below() {
    let server = Server::start();
    let api = server.admin();
    let product = api.product("adds-up").await;
    for version in ["1.1.0", "1.2.0", "1.3.0"] {
        api.publish(&product, version, json!({})).await;
    }
    let said = async || verdict(&api.decide(&product, "1.0.0", json!({"tenant_id": "acme"})).await);
    let own = format!("/v1/tenants/acme/policies/{product}");
    api.put(&format!("/v1/products/{product}/policy"), &json!({"blocked_versions": ["1.3.0"]})).await.ok(200);
    api.put(&own, &json!({"blocked_versions": ["~1.2"]})).await.ok(200);
    assert_eq!(said().await, "INSTALL/NEW_RELEASE 1.1.0");
    api.put("/v1/policy", &json!({"paused": true})).await.ok(200);
    api.put(&own, &json!({"paused": false})).await.ok(200);
    assert_eq!(said().await, "NONE/PAUSED");
}

#[tokio::test]
async fn pins_blocks_and_minimums_give_their_reasons() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("reasons").await;
    api.publish(&product, "2.0.0", json!({})).await;
    let path = format!("/v1/products/{product}/policy");
    for (policy, wanted) in [
        (json!({"pinned_range": "^1"}), "NONE/PINNED"),
        (json!({"blocked_versions": ["2.*"]}), "NONE/BLOCKED"),
        (json!({"min_version": "2.0.1"}), "NONE/BELOW_MINIMUM"),
        (json!({"channel": "beta"}), "NONE/UP_TO_DATE"),
        (json!({}), "INSTALL/NEW_RELEASE 2.0.0"),
    ] {
        api.put(&path, &policy).await.ok(200);
        assert_eq!(verdict(&api.decide(&product, "1.0.0", json!({})).await), wanted, "{policy}");
    }
}

#[tokio::test]
async fn a_put_replaces_the_whole_level_and_a_stale_if_match_is_412() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("etag").await;
    let path = format!("/v1/products/{product}/policy");
    let put = async |etag: &str, body| {
        api.send(api.request(Method::PUT, &path).header("if-match", etag).json(&body)).await
    };
    let fresh = api.get(&path).await.header("etag").to_owned();
    let first = put(&fresh, json!({"mode": "NOTIFY_ONLY", "min_version": "1.0.0"})).await;
    assert_eq!(first.ok(200)["mode"], "NOTIFY_ONLY");
    let current = first.header("etag").to_owned();
    assert_eq!(api.get(&path).await.header("etag"), current);
    put(&fresh, json!({"mode": "AUTO_INSTALL"})).await.refused(412, "PRECONDITION_FAILED");
    let second = put(&current, json!({"channel": "beta"})).await.ok(200);
    assert_eq!((&second["mode"], &second["min_version"]), (&json!(null), &json!(null)), "{second}");
    assert_eq!(api.get(&path).await.ok(200), second);
}

#[tokio::test]
async fn a_policy_of_no_meaning_is_422() {
    let server = Server::shared();
    let api = server.admin();
    let path = format!("/v1/products/{}/policy", api.product("no-meaning").await);
    for body in [
        json!({"pinned_range": "1.0"}),
        json!({"pinned_range": ">=1 <2"}),
        json!({"pinned_range": ""}),
        json!({"blocked_versions": vec!["1.0.0"; 101]}),
        json!({"blocked_versions": [format!("=1.0.0-{}", "x".repeat(128))]}),
        json!({"min_version": "1"}),
        json!({"mode": "SOMETIMES"}),
        json!({"channel": "No Name"}),
    ] {
        let answer = api.put(&path, &body).await;
        assert_eq!(answer.status, 422, "{body}: {}", answer.text());
        answer.refused(422, "");
    }
}

#[tokio::test]
async fn a_tenant_is_listed_once_it_has_a_policy() {
    let server = Server::shared();
    let api = server.admin();
    let tenant = unique("tenant");
    let listed = async || {
        let page = api.get("/v1/tenants?limit=100").await.ok(200);
        page["tenants"].as_array().expect("tenants").iter().any(|row| row["tenant_id"] == tenant.as_str())
    };
    assert!(!listed().await);
    api.put(&format!("/v1/tenants/{tenant}/policy"), &json!({"paused": false})).await.ok(200);
    assert!(listed().await);
}

#[tokio::test]
async fn it_tools_read_the_available_version_with_address_and_checksum() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("it").await;
    let tenant = unique("tenant");
    let release = api.publish(&product, "1.5.0", json!({})).await;
    let managed = json!({"mode": "MANAGED_BY_IT"});
    api.put(&format!("/v1/tenants/{tenant}/policies/{product}"), &managed).await.ok(200);
    let query = |version| {
        format!(
            "/v1/tenants/{tenant}/update-decisions?product_id={product}&platform=windows&arch=x86_64&current_version={version}"
        )
    };
    let row = api.get(&query("1.4.0")).await.ok(200)["decisions"][0].clone();
    assert_eq!(
        (&row["available_version"], &row["release_id"]),
        (&json!("1.5.0"), &release["release_id"]),
        "{row}"
    );
    let artifact = &row["artifacts"][0];
    let stored = api.get(&format!("/v1/artifacts/{}", text(artifact, "artifact_id"))).await.ok(200);
    assert_eq!((&artifact["sha256"], &artifact["size_bytes"]), (&stored["sha256"], &stored["size_bytes"]));
    let url = text(artifact, "url");
    assert!(url.starts_with(server.base()), "{url}");
    assert!(server.anonymous().get(url).await.status < 400, "{url}");
    let none = api.get(&query("1.5.0")).await.ok(200)["decisions"][0].clone();
    assert_eq!((&none["available_version"], &none["artifacts"]), (&json!(null), &json!([])), "{none}");
}

#[tokio::test]
async fn it_tools_see_artifacts_that_need_some_os_version_with_the_version_that_each_needs() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("it-os").await;
    let tenant = unique("tenant");
    let id = api.artifact().await;
    let mut old = msi(&id);
    old["min_os_version"] = json!("10.0");
    let mut new = msi(&id);
    new["min_os_version"] = json!("999999.1");
    let mut mac = msi(&id);
    mac["platform"] = json!("macos");
    mac["min_os_version"] = json!("14");
    api.publish(&product, "1.5.0", json!({"artifacts": [old, new, mac]})).await;
    let path = format!(
        "/v1/tenants/{tenant}/update-decisions?product_id={product}&platform=windows&arch=x86_64&current_version=1.4.0"
    );
    let row = api.get(&path).await.ok(200)["decisions"][0].clone();
    assert_eq!(
        (&row["available_version"], &row["reason"]),
        (&json!("1.5.0"), &json!("NEW_RELEASE")),
        "{row}"
    );
    let needed: Vec<&str> =
        row["artifacts"].as_array().expect("artifacts").iter().map(|a| text(a, "min_os_version")).collect();
    assert_eq!(needed, ["10.0", "999999.1"]);
    let client = verdict(&api.decide(&product, "1.4.0", json!({})).await);
    assert_eq!(client, "NONE/NO_COMPATIBLE_ARTIFACT", "a client that does not say its OS version");
}
