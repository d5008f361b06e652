//! The same bytes again: by another token, at another address, with another `access`, at the same moment.

use e2e::bytes::{installer, sha256, unique};
use e2e::story::{msi, text};
use e2e::{Api, Server};
use serde_json::{Value, json};

fn reference(bytes: &[u8], url: &str, access: &str) -> Value {
    json!({"source_type": "EXTERNAL", "external_url": url, "sha256": sha256(bytes), "size_bytes": bytes.len(),
        "access": access})
}

fn address() -> String {
    format!("https://downloads.example.com/{}.msi", unique("same"))
}

/// A token that does everything with the artifacts and releases of one product.
async fn team(api: &Api, product: &str) -> Api {
    api.token(&["artifacts:read", "artifacts:write", "ci:write"], json!({"product_id": product})).await
}

#[tokio::test]
async fn two_teams_that_upload_the_same_bytes_share_the_artifact_and_each_can_read_and_release_it() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(3_000);
    let mut ids = Vec::new();
    for prefix in ["one", "two", "three"] {
        let product = api.product(prefix).await;
        let team = team(&api, &product).await;
        let artifact = team.upload_bare(&bytes, json!({})).await;
        let id = text(&artifact, "artifact_id").to_owned();
        assert_eq!(team.get(&format!("/v1/artifacts/{id}")).await.ok(200)["state"], "AVAILABLE");
        let listed = team.get(&format!("/v1/artifacts?sha256={}", sha256(&bytes))).await.ok(200);
        assert_eq!(listed["artifacts"][0]["artifact_id"], id.as_str(), "{listed}");
        let release = team.publish(&product, "1.0.0", json!({"artifacts": [msi(&id)]})).await;
        assert_eq!(release["status"], "published", "{release}");
        ids.push(id);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    let stranger = team(&api, &api.product("stranger").await).await;
    stranger.get(&format!("/v1/artifacts/{}", ids[0])).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn two_teams_that_register_the_same_reference_share_the_artifact_and_each_sees_it() {
    let server = Server::shared();
    let api = server.admin();
    let body = reference(&installer(3_000), &address(), "public");
    let one = team(&api, &api.product("one").await).await;
    let two = team(&api, &api.product("two").await).await;
    let first = one.post("/v1/artifacts", &body).await.ok(201);
    let path = format!("/v1/artifacts/{}", text(&first, "artifact_id"));
    two.get(&path).await.refused(404, "NOT_FOUND");
    let again = two.post("/v1/artifacts", &body).await.ok(200);
    assert_eq!(again["artifact_id"], first["artifact_id"]);
    one.get(&path).await.ok(200);
    two.get(&path).await.ok(200);
}

#[tokio::test]
async fn of_two_registrations_of_the_same_bytes_with_another_access_at_once_exactly_one_wins() {
    let server = Server::shared();
    let api = server.admin();
    for round in 0..20 {
        let bytes = installer(1_000);
        let bodies = ["public", "token"].map(|access| reference(&bytes, &address(), access));
        let (one, two) =
            tokio::join!(api.post("/v1/artifacts", &bodies[0]), api.post("/v1/artifacts", &bodies[1]));
        let (winner, loser) = if one.status == 201 { (one, two) } else { (two, one) };
        let made = winner.ok(201);
        let refused = loser.refused(409, "ARTIFACT_EXISTS");
        assert_eq!(refused["details"]["artifact_id"], made["artifact_id"], "round {round}");
        let all = api.get(&format!("/v1/artifacts?sha256={}", sha256(&bytes))).await.ok(200);
        assert_eq!(all["artifacts"].as_array().map(Vec::len), Some(1), "round {round}: {all}");
    }
}

#[tokio::test]
async fn the_access_of_bytes_is_free_again_once_their_last_artifact_is_deleted() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(1_000);
    let mut paths = Vec::new();
    for _ in 0..2 {
        let made = api.post("/v1/artifacts", &reference(&bytes, &address(), "public")).await.ok(201);
        paths.push(format!("/v1/artifacts/{}", text(&made, "artifact_id")));
    }
    let other = reference(&bytes, &address(), "token");
    for path in paths {
        api.post("/v1/artifacts", &other).await.refused(409, "ARTIFACT_EXISTS");
        assert_eq!(api.delete(&path).await.status, 204, "{path}");
    }
    api.post("/v1/artifacts", &other).await.ok(201);
}

#[tokio::test]
async fn every_artifact_with_a_digest_is_found_by_it_managed_and_external_page_by_page() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(2_000);
    let mut made = Vec::new();
    for _ in 0..2 {
        let artifact = api.post("/v1/artifacts", &reference(&bytes, &address(), "public")).await.ok(201);
        made.push(text(&artifact, "artifact_id").to_owned());
        api.artifact().await;
    }
    made.push(text(&api.upload_locked(&bytes, json!({})).await, "artifact_id").to_owned());
    let base = format!("/v1/artifacts?sha256={}", sha256(&bytes));
    let ids = |page: &Value| -> Vec<String> {
        let rows = page["artifacts"].as_array().expect("rows");
        rows.iter().map(|row| text(row, "artifact_id").to_owned()).collect()
    };
    let whole = api.get(&base).await.ok(200);
    assert_eq!((ids(&whole), &whole["next_cursor"]), (made.clone(), &json!(null)));
    let (mut paged, mut path) = (Vec::new(), format!("{base}&limit=1"));
    loop {
        let page = api.get(&path).await.ok(200);
        assert!(ids(&page).len() <= 1, "{page}");
        paged.extend(ids(&page));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{base}&limit=1&cursor={cursor}");
    }
    assert_eq!(paged, made);
    let managed = api.get(&format!("{base}&state=AVAILABLE")).await.ok(200);
    assert_eq!(ids(&managed), made[2..]);
    let other = sha256(installer(100));
    assert_eq!(api.get(&format!("/v1/artifacts?sha256={other}")).await.ok(200)["artifacts"], json!([]));
}
