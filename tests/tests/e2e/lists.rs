//! Lists: whole, in pages, and only with the cursor that belongs to them.

use std::collections::BTreeSet;

use e2e::Server;
use e2e::bytes::unique;
use e2e::story::text;
use serde_json::json;

#[tokio::test]
async fn pages_together_are_the_whole_list_and_no_row_comes_twice() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("pages").await;
    for minor in 0..7 {
        api.publish(&product, &format!("1.{minor}.0"), json!({})).await;
    }
    let base = format!("/v1/products/{product}/releases");
    let whole = api.get(&base).await.ok(200);
    assert_eq!(whole["next_cursor"], json!(null));
    let mut paged = Vec::new();
    let mut path = format!("{base}?limit=3");
    loop {
        let page = api.get(&path).await.ok(200);
        let rows = page["releases"].as_array().expect("rows");
        assert!(rows.len() <= 3);
        paged.extend(rows.clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("{base}?limit=3&cursor={cursor}");
    }
    assert_eq!(json!(paged), whole["releases"]);
    let ids: BTreeSet<&str> = paged.iter().map(|row| text(row, "release_id")).collect();
    assert_eq!((paged.len(), ids.len()), (7, 7));
}

#[tokio::test]
async fn a_cursor_is_tied_to_its_token_and_query() {
    let server = Server::shared();
    let api = server.admin();
    for _ in 0..3 {
        api.product("cursor").await;
        api.artifact().await;
    }
    let cursor = text(&api.get("/v1/products?limit=1").await.ok(200), "next_cursor").to_owned();
    api.get(&format!("/v1/products?limit=1&cursor={cursor}")).await.ok(200);
    let other = api.token(&["artifacts:read"], json!({})).await;
    other.get(&format!("/v1/products?limit=1&cursor={cursor}")).await.refused(422, "");
    api.get(&format!("/v1/tokens?limit=1&cursor={cursor}")).await.refused(422, "");
    let state =
        text(&api.get("/v1/artifacts?limit=1&state=AVAILABLE").await.ok(200), "next_cursor").to_owned();
    api.get(&format!("/v1/artifacts?limit=1&state=REVOKED&cursor={state}")).await.refused(422, "");
    let changed = format!("{}{}", &cursor[..cursor.len() - 1], if cursor.ends_with('A') { 'B' } else { 'A' });
    api.get(&format!("/v1/products?limit=1&cursor={changed}")).await.refused(422, "");
}

#[tokio::test]
async fn a_row_made_between_two_pages_neither_repeats_nor_hides_another() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("between").await;
    for minor in 0..4 {
        api.publish(&product, &format!("1.{minor}.0"), json!({})).await;
    }
    let base = format!("/v1/products/{product}/releases?limit=2");
    let first = api.get(&base).await.ok(200);
    api.publish(&product, "2.0.0", json!({"release_notes": unique("late")})).await;
    let cursor = text(&first, "next_cursor");
    let second = api.get(&format!("{base}&cursor={cursor}")).await.ok(200);
    let versions: BTreeSet<String> = [&first, &second]
        .into_iter()
        .flat_map(|page| page["releases"].as_array().expect("rows").clone())
        .map(|row| text(&row, "version").to_owned())
        .filter(|version| version != "2.0.0")
        .collect();
    assert_eq!(versions.into_iter().collect::<Vec<_>>(), ["1.0.0", "1.1.0", "1.2.0", "1.3.0"]);
}
