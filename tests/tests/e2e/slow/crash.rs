//! `kill -9` at any moment loses nothing that was acknowledged.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::bytes::{installer, sha256, unique};
use e2e::story::{msi, text, until};
use e2e::{Api, Server};
use reqwest::Method;
use serde_json::{Value, json};

/// What the service has said yes to.
#[derive(Default)]
struct Acknowledged {
    products: Vec<String>,
    artifacts: Vec<(String, String)>,
    releases: Vec<(String, String)>,
    /// Uploads whose bytes were taken, but whose completion was never answered.
    open: Vec<(Value, Vec<u8>)>,
}

/// Works until the server is gone, noting every yes; ends at the first request without an answer.
async fn work(api: Api, seen: Arc<Mutex<Acknowledged>>) -> Option<()> {
    loop {
        let product = unique("crash");
        ask(&api, Method::POST, "/v1/products", &json!({"product_id": product}), 201).await?;
        seen.lock().expect("a lock").products.push(product.clone());
        let bytes = installer(150_000);
        let body = json!({"size_bytes": bytes.len(), "sha256": sha256(&bytes)});
        let upload = ask(&api, Method::POST, "/v1/artifacts/uploads", &body, 201).await?;
        let put = api
            .request(Method::PUT, text(&upload, "upload_url"))
            .header("content-type", "application/octet-stream")
            .body(bytes.clone());
        let put = api.try_send(put).await.ok()?;
        assert!((200..300).contains(&put.status), "{}", put.text());
        seen.lock().expect("a lock").open.push((upload.clone(), bytes.clone()));
        let path = format!("/v1/artifacts/uploads/{}/complete", text(&upload, "upload_id"));
        let artifact = ask(&api, Method::POST, &path, &json!({}), 200).await?;
        let id = text(&artifact, "artifact_id").to_owned();
        {
            let mut seen = seen.lock().expect("a lock");
            seen.open.retain(|(open, _)| open != &upload);
            seen.artifacts.push((id.clone(), sha256(&bytes)));
        }
        let release =
            json!({"product_id": product, "version": "1.0.0", "channel": "stable", "artifacts": [msi(&id)]});
        let release = ask(&api, Method::POST, "/v1/releases", &release, 201).await?;
        seen.lock().expect("a lock").releases.push((text(&release, "release_id").to_owned(), product));
    }
}

/// The answer, or nothing where the server is gone; any other status than the wanted one is a mistake.
async fn ask(api: &Api, method: Method, path: &str, body: &Value, wanted: u16) -> Option<Value> {
    let answer = api.try_send(api.request(method, path).json(body)).await.ok()?;
    Some(answer.ok(wanted))
}

async fn everything_is_there(api: &Api, seen: &Acknowledged) {
    for product in &seen.products {
        api.get(&format!("/v1/products/{product}")).await.ok(200);
    }
    for (id, digest) in &seen.artifacts {
        assert_eq!(api.get(&format!("/v1/artifacts/{id}")).await.ok(200)["state"], "AVAILABLE");
        let got = api.download(id).await;
        assert_eq!((got.status, &sha256(&got.body)), (200, digest), "{id}");
    }
    for (id, product) in &seen.releases {
        assert_eq!(api.get(&format!("/v1/releases/{id}")).await.ok(200)["status"], "published");
        let decision = api.decide(product, "0.9.0", json!({})).await;
        assert_eq!(decision["release"]["release_id"], id.as_str(), "{decision}");
    }
}

#[tokio::test]
async fn kill_9_at_any_moment_loses_nothing_acknowledged_and_the_restart_answers_within_5_seconds() {
    let mut server = Server::start();
    let seen = Arc::new(Mutex::new(Acknowledged::default()));
    let mut interrupted = Vec::new();
    for round in 0..8_u64 {
        let workers: Vec<_> = (0..3).map(|_| tokio::spawn(work(server.admin(), Arc::clone(&seen)))).collect();
        // Not a wait for something: the moment of the kill is what varies.
        tokio::time::sleep(Duration::from_millis(150 + round * 137)).await;
        server.kill();
        for worker in workers {
            worker.await.expect("no answer was wrong");
        }
        let took = server.restart();
        assert!(took < Duration::from_secs(5), "{took:?}");
        let api = server.admin();
        let mut seen = std::mem::take(&mut *seen.lock().expect("a lock"));
        everything_is_there(&api, &seen).await;
        interrupted.append(&mut seen.open);
    }
    for (upload, bytes) in &interrupted {
        is_completed_after_all(&server.admin(), upload, bytes).await;
    }
}

/// A crash in the middle of a completion leaves a lease of 60 seconds behind at most.
async fn is_completed_after_all(api: &Api, upload: &Value, bytes: &[u8]) {
    until("the interrupted completion is taken over", 90, async || {
        let answer = api.complete(upload).await;
        if answer.status == 200 {
            assert_eq!(answer.json()["sha256"], sha256(bytes));
            return true;
        }
        answer.refused(409, "UPLOAD_IN_PROGRESS");
        false
    })
    .await;
}
