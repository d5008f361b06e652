//! Cleaning up: shown first, removed when asked for, and never what somebody needs.

use std::fs;

use e2e::bytes::{installer, sha256};
use e2e::story::{msi, text};
use e2e::{Api, Server};
use serde_json::{Value, json};

async fn uploaded(api: &Api, bytes: &[u8]) -> String {
    text(&api.upload_locked(bytes, json!({})).await, "artifact_id").to_owned()
}

/// Everything that would be removed, over all pages.
async fn removable(api: &Api) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), Value::Null);
    loop {
        let page = api.post("/v1/gc", &json!({ "dry_run": true, "cursor": cursor })).await.ok(200);
        assert_eq!(page["kept"], json!([]), "{page}");
        found.extend(page["removable"].as_array().unwrap().clone());
        cursor = page["next_cursor"].clone();
        if cursor.is_null() {
            return found;
        }
    }
}

#[tokio::test]
async fn what_nothing_refers_to_is_shown_then_removed_and_what_is_served_stays() {
    let server = Server::start();
    let api = server.admin();
    let (kept, lost) = (installer(60_000), installer(70_000));
    let (kept_id, lost_id) = (uploaded(&api, &kept).await, uploaded(&api, &lost).await);
    let product = api.product("gc").await;
    api.publish(&product, "1.0.0", json!({ "artifacts": [msi(&kept_id)] })).await;
    assert_eq!(removable(&api).await, Vec::<Value>::new());
    // Bytes as a crash leaves them: an old object of which no record tells.
    let objects = server.data().join("objects").join("objects");
    let stray = objects.join("upl_01hf7yat000000000000000000").join("copy");
    let own = fs::read_dir(&objects).unwrap().map(|entry| entry.unwrap().path());
    let of_lost = own.flat_map(|upload| fs::read_dir(upload).unwrap().map(|entry| entry.unwrap().path()));
    let of_lost =
        of_lost.into_iter().find(|place| fs::metadata(place.join("data")).unwrap().len() == 70_000).unwrap();
    fs::create_dir_all(&stray).unwrap();
    fs::copy(of_lost.join("data"), stray.join("data")).unwrap();
    let mut meta: Value = serde_json::from_slice(&fs::read(of_lost.join("meta.json")).unwrap()).unwrap();
    meta["stored_at"] = json!(1_700_000_000_000_i64);
    fs::write(stray.join("meta.json"), meta.to_string()).unwrap();

    let found = removable(&api).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((&found[0]["kind"], &found[0]["size_bytes"]), (&json!("object"), &json!(70_000)));
    assert!(stray.exists(), "looking removes nothing");
    let run = api.post("/v1/gc", &json!({ "dry_run": false })).await.ok(202);
    assert_eq!(run["run"]["older_than_seconds"], 604_800, "{run}");
    let run = api.get_until("/v1/gc", |answer| answer["run"]["state"] == "FINISHED").await;
    assert!(!stray.exists(), "{run}");
    for (id, bytes) in [(&kept_id, &kept), (&lost_id, &lost)] {
        assert_eq!(sha256(&api.download(id).await.body), sha256(bytes));
    }
    let removed = api.get("/v1/audit/events?type=gc.removed").await.ok(200);
    assert_eq!(removed["events"].as_array().unwrap().len(), 1, "{removed}");
    assert_eq!(removed["events"][0]["actor"], "system");
}

#[tokio::test]
async fn only_operators_clean_up_and_what_is_young_is_never_asked_for() {
    let server = Server::shared();
    let api = server.admin();
    let limited =
        api.token(&["artifacts:read", "artifacts:write", "ci:write", "admin:read"], json!({})).await;
    limited.post("/v1/gc", &json!({ "dry_run": true })).await.refused(403, "FORBIDDEN");
    limited.get("/v1/gc").await.ok(200);
    for seconds in [0, 3_599, 31_536_001] {
        let asked = json!({ "dry_run": true, "older_than_seconds": seconds });
        api.post("/v1/gc", &asked).await.refused(422, "INVALID_MEMBER");
    }
    api.post("/v1/gc", &json!({ "dry_run": false, "cursor": "x" })).await.refused(422, "INVALID_MEMBER");
    api.post("/v1/gc", &json!({ "dry_run": true, "cursor": "x" })).await.refused(422, "INVALID_MEMBER");
}

#[tokio::test]
async fn a_service_over_the_store_of_another_removes_nothing_of_it() {
    let owner = Server::start();
    let api = owner.admin();
    let bytes = installer(50_000);
    let id = uploaded(&api, &bytes).await;
    let marks = owner.data().join("objects").join("deployment");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while fs::read_dir(&marks).map_or(0, Iterator::count) == 0 {
        assert!(std::time::Instant::now() < deadline, "the store is not marked");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    // Everything in it is as old as what may go.
    let objects = owner.data().join("objects").join("objects");
    for upload in fs::read_dir(&objects).unwrap() {
        for place in fs::read_dir(upload.unwrap().path()).unwrap() {
            let meta = place.unwrap().path().join("meta.json");
            let mut told: Value = serde_json::from_slice(&fs::read(&meta).unwrap()).unwrap();
            told["stored_at"] = json!(1_700_000_000_000_i64);
            fs::write(meta, told.to_string()).unwrap();
        }
    }
    let root = owner.data().join("objects").display().to_string();
    let other = Server::start_with(&format!("storage: {{ filesystem: {{ root: '{root}' }} }}\n"));
    let theirs = other.admin();
    // It has looked by itself at its start, and nobody can insist.
    let run = theirs.get_until("/v1/gc", |answer| answer["run"]["state"] == "REFUSED").await;
    assert!(text(&run["run"], "refused").contains("another deployment"), "{run}");
    for force in [false, true] {
        let asked = json!({ "dry_run": false, "force": force });
        theirs.post("/v1/gc", &asked).await.refused(409, "GC_REFUSED");
    }
    assert_eq!(sha256(&api.download(&id).await.body), sha256(&bytes));
    let run = api.post("/v1/gc", &json!({ "dry_run": false })).await.ok(202);
    assert_eq!(run["run"]["refused"], Value::Null, "{run}");
}
