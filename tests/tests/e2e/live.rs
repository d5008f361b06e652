//! What only AWS itself can show, asked of a deployed stack: how long it takes until events come, copies are made and
//! decisions are signed. Run by `cargo xtask aws live` alone; the figures are printed.

use std::time::{Duration, Instant};

use e2e::{
    Api, Server,
    bytes::Large,
    settings,
    story::{header, until},
};
use serde_json::{Value, json};

/// More than is copied while somebody waits for it, in MiB: what is proved at once was proved before.
const LATER: u64 = 300;
/// How many signatures are measured.
const SAMPLES: usize = 20;

/// Sends a file through the bare door; the path of its upload.
async fn sent(api: &Api, file: &Large) -> String {
    let body = json!({ "size_bytes": file.len(), "sha256": file.sha256() });
    let upload = api.post("/v1/artifacts/uploads", &body).await.ok(201);
    let url = upload["upload_url"].as_str().expect("a URL");
    let sent = reqwest::Client::new().put(url).header("content-length", file.len()).body(file.body());
    assert!(sent.send().await.expect("an answer").status().is_success());
    format!("/v1/artifacts/uploads/{}", upload["upload_id"].as_str().expect("an id"))
}

/// Completes an upload that is left to the queue, and waits until it is done.
async fn finished(api: &Api, path: &str, seconds: u64) -> Duration {
    let began = Instant::now();
    let answer = api.post_empty(&format!("{path}/complete")).await;
    assert!([200, 202].contains(&answer.status), "{}", answer.text());
    until("the upload is completed", seconds, async || api.get(path).await.ok(200)["state"] == "COMPLETED")
        .await;
    began.elapsed()
}

#[tokio::test]
async fn the_store_tells_of_an_object_and_it_is_copied_before_anybody_completes_its_upload() {
    let api = Server::shared().admin();
    // Completing ends the question, so that each wait is asked of an upload of its own.
    for seconds in [5, 15, 60] {
        let path = sent(&api, &Large::mebibytes(LATER)).await;
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        // 202 would leave the copy to a task: nobody has made it.
        if api.post_empty(&format!("{path}/complete")).await.status == 200 {
            println!("event and copy of {LATER} MiB: within {seconds} s of the PUT");
            return;
        }
    }
    panic!("no event has had the bytes copied within a minute");
}

#[tokio::test]
async fn a_large_upload_through_the_bare_door_is_finished_by_the_queue() {
    let api = Server::shared().admin();
    let path = sent(&api, &Large::mebibytes(LATER)).await;
    let took = finished(&api, &path, 300).await;
    println!("a bare upload of {LATER} MiB, from complete to COMPLETED: {} ms", took.as_millis());
}

#[tokio::test]
async fn five_gigabytes_through_the_bare_door_are_copied_in_one_call() {
    let api = Server::shared().admin();
    // The most that a PUT may send, and that CopyObject takes, is 5 GiB.
    let path = sent(&api, &Large::mebibytes(5_119)).await;
    let took = finished(&api, &path, 900).await;
    println!("a bare upload of 5 GiB, from complete to COMPLETED: {} s", took.as_secs());
}

/// Asks once; how long that took, unless the signing budget is used up.
async fn decided(api: &Api, product: &str, nonce: Option<&str>) -> Option<(Duration, Value)> {
    let row =
        json!({ "product_id": product, "current_version": "1.0.0", "platform": "windows", "arch": "x86_64" });
    let mut question = json!({ "products": [row] });
    if let Some(nonce) = nonce {
        question["nonce"] = nonce.into();
    }
    let began = Instant::now();
    let answer = api.post("/v1/decision", &question).await;
    let took = began.elapsed();
    if answer.status == 503 {
        tokio::time::sleep(Duration::from_secs(answer.header("retry-after").parse().unwrap_or(1))).await;
        return None;
    }
    Some((took, answer.ok(200)["decisions"][0].clone()))
}

/// The median of so many answers.
async fn median(api: &Api, product: &str, nonces: bool) -> Duration {
    let mut times = Vec::new();
    for number in 0..SAMPLES * 10 {
        // 24 characters of base64url, 18 bytes.
        let nonce = format!("nonce-of-a-live-test{number:04}");
        if let Some((took, decision)) = decided(api, product, nonces.then_some(nonce.as_str())).await {
            assert!(!nonces || decision["nonce"] == nonce.as_str(), "{decision}");
            times.push(took);
        }
        if times.len() == SAMPLES {
            times.sort_unstable();
            return times[SAMPLES / 2];
        }
    }
    panic!("{SAMPLES} answers were not to be had in ten times as many questions");
}

#[tokio::test]
async fn decisions_with_nonces_are_signed_in_time() {
    let server = Server::shared();
    assert!(matches!(settings::stack(), settings::Stack::Deployed { .. }));
    let (api, anyone) = (server.admin(), server.anonymous());
    let product = api.product("live").await;
    api.publish(&product, "1.1.0", json!({})).await;
    // The first answer without a nonce is signed, the others are remembered: what is left is the way there and back.
    let (remembered, fresh) = (median(&anyone, &product, false).await, median(&anyone, &product, true).await);
    println!("decisions from memory: {} ms in the median of {SAMPLES}", remembered.as_millis());
    println!("decisions with a nonce: {} ms in the median of {SAMPLES}", fresh.as_millis());
    let (_, decision) = decided(&anyone, &product, None).await.expect("an answer from memory");
    if header(&decision).get("dlg").is_some() {
        println!(
            "KMS signs delegations alone in this stack: deploy with SigningMode=direct to see a signature"
        );
    } else {
        println!("a signature of KMS: {} ms", fresh.saturating_sub(remembered).as_millis());
    }
}
