//! What a release may be, and what becomes of it.

use e2e::story::{msi, text, verdict};
use e2e::{Api, Server};
use serde_json::{Value, json};

fn entry(id: &str, platform: &str, arch: &str, installer_type: &str) -> Value {
    json!({"artifact_id": id, "platform": platform, "arch": arch, "installer_type": installer_type})
}

async fn refused_422(api: &Api, product: &str, version: &str, more: Value) {
    let answer = api.try_publish(product, version, more.clone()).await;
    assert_eq!(answer.status, 422, "{more}: {}", answer.text());
    answer.refused(422, "");
}

#[tokio::test]
async fn a_release_of_available_artifacts_is_published_at_once_and_found_again() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("found").await;
    let made =
        api.publish(&product, "1.0.0", json!({"release_notes": "Opens faster.", "critical": true})).await;
    assert_eq!((&made["status"], &made["critical"]), (&json!("published"), &json!(true)), "{made}");
    let id = text(&made, "release_id");
    assert_eq!(api.get(&format!("/v1/releases/{id}")).await.ok(200), made);
    let beta = api.publish(&product, "2.0.0-beta.1", json!({"channel": "beta"})).await;
    for (query, wanted) in [
        ("", vec![&beta["release_id"], &made["release_id"]]),
        ("?channel=beta", vec![&beta["release_id"]]),
        ("?status=published&channel=stable", vec![&made["release_id"]]),
        ("?status=revoked", vec![]),
    ] {
        let listed = api.get(&format!("/v1/products/{product}/releases{query}")).await.ok(200);
        let ids: Vec<_> =
            listed["releases"].as_array().expect("a list").iter().map(|r| &r["release_id"]).collect();
        assert_eq!(ids, wanted, "{query}");
    }
    let latest = api.get(&format!("/v1/products/{product}/releases/latest?channel=beta")).await.ok(200);
    assert_eq!(latest["release_id"], beta["release_id"]);
    api.get(&format!("/v1/products/{product}/releases/latest?channel=canary"))
        .await
        .refused(404, "NOT_FOUND");

    let notes = server.anonymous().get(&format!("/v1/releases/{id}/notes")).await;
    assert_eq!((notes.status, notes.text().as_str()), (200, "Opens faster."));
    assert!(notes.header("content-type").starts_with("text/plain"), "{:?}", notes.headers);
    assert_eq!(notes.header("x-content-type-options"), "nosniff");
}

#[tokio::test]
async fn latest_is_the_newest_by_precedence_and_not_by_time() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("latest").await;
    for version in ["1.9.0", "1.10.0", "1.2.0"] {
        api.publish(&product, version, json!({})).await;
    }
    let latest = api.get(&format!("/v1/products/{product}/releases/latest?channel=stable")).await.ok(200);
    assert_eq!(latest["version"], "1.10.0");
}

#[tokio::test]
async fn what_a_release_may_not_be_is_422() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("may-not").await;
    let one = msi(&api.artifact().await);
    refused_422(&api, &product, "1.0.0-rc.1", json!({"artifacts": [one]})).await;
    refused_422(&api, &product, "1.0", json!({"artifacts": [one]})).await;
    refused_422(&api, &product, "01.0.0", json!({"artifacts": [one]})).await;
    refused_422(&api, &product, "9007199254740992.0.0", json!({"artifacts": [one]})).await;
    for more in [
        json!({"artifacts": []}),
        json!({"artifacts": vec![one.clone(); 41]}),
        json!({"artifacts": [one, one]}),
        json!({"artifacts": [one], "min_from_version": "1.0.1"}),
        json!({"artifacts": [one], "floor": "1.0.1"}),
        json!({"artifacts": [one], "require_platforms": ["windows/x86_64", "macos/arm64"]}),
        json!({"artifacts": [one], "require_platforms": ["windows"]}),
        json!({"artifacts": [one], "release_notes": "x".repeat(32 * 1024 + 1)}),
        json!({"artifacts": [one], "rollout": {"percentage": 100.01}}),
        json!({"artifacts": [one], "rollout": {"percentage": 12.345}}),
        json!({"artifacts": [one], "channel": "Stable"}),
    ] {
        refused_422(&api, &product, "1.0.0", more).await;
    }
    let mut odd = one.clone();
    odd["min_os_version"] = json!("ten");
    refused_422(&api, &product, "1.0.0", json!({"artifacts": [odd]})).await;
    let known = json!({"artifacts": [one], "require_platforms": ["windows/x86_64"]});
    api.publish(&product, "1.0.0", known).await;
}

#[tokio::test]
async fn one_artifact_may_serve_several_entries() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("several").await;
    let id = api.artifact().await;
    let mut newer = entry(&id, "windows", "x86_64", "exe");
    newer["min_os_version"] = json!("10.0");
    let entries = [
        entry(&id, "windows", "x86_64", "exe"),
        newer,
        entry(&id, "windows", "arm64", "exe"),
        entry(&id, "windows", "x86", "exe"),
    ];
    let release = api.publish(&product, "1.0.0", json!({"artifacts": entries})).await;
    assert_eq!(release["artifacts"].as_array().map(Vec::len), Some(4));
}

#[tokio::test]
async fn a_promoted_release_is_the_same_version_with_the_same_artifacts_in_another_channel() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("promoted").await;
    let source = api.publish(&product, "1.0.0", json!({"channel": "beta", "critical": true})).await;
    let path = format!("/v1/releases/{}/promote", text(&source, "release_id"));
    let made = api.post(&path, &json!({"channel": "stable", "rollout": {"percentage": 10}})).await.ok(201);
    assert_ne!(made["release_id"], source["release_id"]);
    assert_eq!((&made["version"], &made["artifacts"]), (&source["version"], &source["artifacts"]));
    assert_eq!((&made["channel"], &made["critical"]), (&json!("stable"), &json!(true)));
    assert_eq!(made["rollout"]["percentage"].as_f64(), Some(10.0));
    api.post(&path, &json!({"channel": "stable"})).await.refused(409, "RELEASE_EXISTS");
    api.post(&path, &json!({"channel": "beta"})).await.refused(409, "RELEASE_EXISTS");
}

#[tokio::test]
async fn promoting_a_revoked_release_is_409_and_a_pre_release_to_stable_is_422() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("unpromoted").await;
    let early = api.publish(&product, "1.0.0-rc.1", json!({"channel": "beta"})).await;
    let early = format!("/v1/releases/{}", text(&early, "release_id"));
    api.post(&format!("{early}/promote"), &json!({"channel": "stable"})).await.refused(422, "");
    api.post(&format!("{early}/revoke"), &json!({"reason": "a test"})).await.ok(200);
    api.post(&format!("{early}/promote"), &json!({"channel": "canary"}))
        .await
        .refused(409, "RELEASE_REVOKED");
}

#[tokio::test]
async fn the_very_same_artifacts_in_another_channel_are_a_release_of_their_own() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("own").await;
    let entries = json!([msi(&api.artifact().await)]);
    let beta = api.publish(&product, "1.0.0", json!({"channel": "beta", "artifacts": entries})).await;
    let stable = api.publish(&product, "1.0.0", json!({"artifacts": entries})).await;
    assert_ne!(beta["release_id"], stable["release_id"]);
}

#[tokio::test]
async fn clients_of_a_revoked_release_with_allow_downgrade_are_taken_back_but_never_below_its_floor() {
    let server = Server::shared();
    let api = server.admin();
    for (floor, wanted) in [(None, "INSTALL/ROLLBACK 1.0.0"), (Some("1.5.0"), "NONE/BELOW_MINIMUM")] {
        let product = api.product("back").await;
        api.publish(&product, "1.0.0", json!({})).await;
        let bad = api.publish(&product, "2.0.0", json!({"floor": floor})).await;
        let body = json!({"reason": "loses settings", "allow_downgrade": true});
        api.post(&format!("/v1/releases/{}/revoke", text(&bad, "release_id")), &body).await.ok(200);
        let decision = api.decide(&product, "2.0.0+local", json!({})).await;
        assert_eq!(verdict(&decision), wanted);
        if floor.is_none() {
            assert_eq!(decision["release"]["allow_downgrade"], true, "{decision}");
        }
        assert_eq!(verdict(&api.decide(&product, "2.1.0", json!({})).await), "NONE/UP_TO_DATE");
    }
}

#[tokio::test]
async fn a_revocation_without_allow_downgrade_leaves_its_clients_where_they_are() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("stays").await;
    api.publish(&product, "1.0.0", json!({})).await;
    let bad = api.publish(&product, "2.0.0", json!({})).await;
    let body = json!({"reason": "a test"});
    api.post(&format!("/v1/releases/{}/revoke", text(&bad, "release_id")), &body).await.ok(200);
    assert_eq!(verdict(&api.decide(&product, "2.0.0", json!({})).await), "NONE/UP_TO_DATE");
    assert_eq!(verdict(&api.decide(&product, "0.1.0", json!({})).await), "INSTALL/NEW_RELEASE 1.0.0");
}

#[tokio::test]
async fn a_product_name_is_taken_once_and_an_unknown_product_has_no_releases() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("taken").await;
    api.post("/v1/products", &json!({"product_id": product})).await.refused(409, "PRODUCT_EXISTS");
    assert_eq!(api.get(&format!("/v1/products/{product}")).await.ok(200)["product_id"], json!(product));
    api.get("/v1/products/never-made").await.refused(404, "NOT_FOUND");
    api.try_publish("never-made", "1.0.0", json!({})).await.refused(404, "NOT_FOUND");
    let unknown = msi("art_01jd9xq2v6m4t8r0c5b7n3k1fz");
    api.try_publish(&product, "1.0.0", json!({"artifacts": [unknown]})).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_release_of_what_is_not_there_is_404_and_names_the_member() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("names").await;
    let known = msi(&api.artifact().await);
    let mut unknown = msi("art_01jd9xq2v6m4t8r0c5b7n3k1fz");
    unknown["arch"] = json!("arm64");
    for (product, artifacts, member) in [
        ("never-made", json!([known]), "product_id"),
        (product.as_str(), json!([unknown]), "artifacts[0].artifact_id"),
        (product.as_str(), json!([known, unknown]), "artifacts[1].artifact_id"),
    ] {
        let refused = api.try_publish(product, "1.0.0", json!({"artifacts": artifacts})).await;
        assert_eq!(refused.refused(404, "NOT_FOUND")["details"]["member"], member, "{}", refused.text());
    }
    let limited = api.token(&["ci:write"], json!({"product_id": product})).await;
    let foreign = limited.try_publish(&product, "1.0.0", json!({"artifacts": [known]})).await;
    assert_eq!(foreign.refused(404, "NOT_FOUND")["details"]["member"], "artifacts[0].artifact_id");
    api.publish(&product, "1.0.0", json!({"artifacts": [known]})).await;
}
