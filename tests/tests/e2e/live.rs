//! What only AWS itself can show, asked of a deployed stack: how long it takes until events come, copies are made and
//! decisions are signed. Run by `cargo xtask aws live` alone; the figures are printed.

use std::time::{Duration, Instant};

use e2e::bytes::{Large, installer};
use e2e::story::until;
use e2e::{Server, settings};
use serde_json::{Value, json};

#[tokio::test]
async fn the_store_tells_of_an_object_before_anybody_completes_its_upload() {
    let api = Server::shared().admin();
    let bytes = installer(5 << 20);
    let upload = api.initiate(&bytes, json!({})).await;
    assert_eq!(api.put_bare(&upload, &bytes).await.status, 200);
    // What the event starts cannot be seen from outside but by how little is left to do.
    tokio::time::sleep(Duration::from_secs(15)).await;
    let began = Instant::now();
    api.completed(&upload).await;
    println!("complete, 15 s after the PUT: {} ms", began.elapsed().as_millis());
}

#[tokio::test]
async fn a_large_upload_through_the_bare_door_is_finished_by_the_queue() {
    let api = Server::shared().admin();
    let file = Large::mebibytes(300);
    let body = json!({ "size_bytes": file.len(), "sha256": file.sha256() });
    let upload = api.post("/v1/artifacts/uploads", &body).await.ok(201);
    let url = upload["upload_url"].as_str().expect("a URL");
    let sent = reqwest::Client::new().put(url).header("content-length", file.len()).body(file.body());
    assert!(sent.send().await.expect("an answer").status().is_success());
    let began = Instant::now();
    let path = format!("/v1/artifacts/uploads/{}", upload["upload_id"].as_str().expect("an id"));
    let answer = api.post_empty(&format!("{path}/complete")).await;
    assert!([200, 202].contains(&answer.status), "{}", answer.text());
    until("the upload is completed", 300, async || api.get(&path).await.ok(200)["state"] == "COMPLETED")
        .await;
    println!("a bare upload of 300 MiB, from complete to COMPLETED: {} ms", began.elapsed().as_millis());
}

#[tokio::test]
async fn decisions_with_nonces_are_signed_in_time() {
    let server = Server::shared();
    let api = server.admin();
    let product = api.product("live").await;
    api.publish(&product, "1.1.0", json!({})).await;
    let mut times = Vec::new();
    for index in 0..100 {
        let nonce = format!("nonce-of-a-live-test-{index:04}");
        let row = json!({ "product_id": product, "current_version": "1.0.0", "platform": "windows", "arch": "x86_64" });
        let began = Instant::now();
        let answer: Value = server
            .anonymous()
            .post("/v1/decision", &json!({ "products": [row], "nonce": nonce }))
            .await
            .ok(200);
        times.push(began.elapsed().as_millis());
        assert_eq!(answer["decisions"][0]["nonce"], nonce.as_str());
    }
    times.sort_unstable();
    println!(
        "decisions with a nonce: {} ms in the median, {} ms the slowest of a hundred",
        times[50], times[99]
    );
    assert!(matches!(settings::stack(), settings::Stack::Deployed { .. }));
}
