//! A gigabyte up and down, with memory that does not grow with it.

use e2e::bytes::{Large, hex, installer};
use e2e::story::{text, until};
use e2e::{Api, Server};
use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

async fn store(api: &Api, file: &Large, digest: &str, locked: bool) -> Value {
    let body = json!({"size_bytes": file.len(), "sha256": digest});
    let upload = api.post("/v1/artifacts/uploads", &body).await.ok(201);
    let mut request = if locked {
        let door = &upload["checksum_locked"];
        let headers = door["headers"].as_object().expect("headers").iter();
        let unsized_headers = headers.filter(|(name, _)| !name.eq_ignore_ascii_case("content-length"));
        unsized_headers.fold(api.request(Method::PUT, text(door, "url")), |request, (name, value)| {
            request.header(name, value.as_str().expect("a value"))
        })
    } else {
        api.request(Method::PUT, text(&upload, "upload_url")).header(CONTENT_TYPE, "application/octet-stream")
    };
    request = request.header(CONTENT_LENGTH, file.len()).body(file.body());
    let put = api.send(request).await;
    assert!((200..300).contains(&put.status), "{}: {}", put.status, put.text());
    let done = api.complete(&upload).await;
    if done.status == 200 {
        return done.json();
    }
    assert_eq!(done.status, 202, "{}", done.text());
    assert!(!done.header("location").is_empty());
    let path = format!("/v1/artifacts/uploads/{}", text(&upload, "upload_id"));
    until("the upload is completed", 120, async || api.get(&path).await.ok(200)["state"] == "COMPLETED")
        .await;
    let upload = api.get(&path).await.ok(200);
    api.get(&format!("/v1/artifacts/{}", text(&upload, "artifact_id"))).await.ok(200)
}

async fn fetch(api: &Api, id: &str) -> (u64, String) {
    let mut request = api.request(Method::GET, &format!("/v1/artifacts/{id}/download"));
    let (mut size, mut hash) = (0, Sha256::new());
    loop {
        let mut response = request.send().await.expect("an answer");
        if let Some(to) = response.headers().get("location") {
            request = api.request(Method::GET, to.to_str().expect("text"));
            continue;
        }
        assert_eq!(response.status(), 200);
        while let Some(chunk) = response.chunk().await.expect("bytes") {
            size += chunk.len() as u64;
            hash.update(&chunk);
        }
        return (size, hex(&hash.finalize()));
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_gigabyte_goes_up_through_both_doors_and_down_and_memory_stays_flat() {
    let server = Server::start();
    let api = server.admin();
    // What any server needs for its first uploads and downloads is not growth.
    let small = api.upload_bare(&installer(10 << 20), json!({})).await;
    fetch(&api, text(&small, "artifact_id")).await;
    let before = server.peak_kib();
    for locked in [false, true] {
        let file = Large::mebibytes(1_024);
        let digest = file.sha256();
        let artifact = store(&api, &file, &digest, locked).await;
        assert_eq!((text(&artifact, "sha256"), text(&artifact, "state")), (digest.as_str(), "AVAILABLE"));
        assert_eq!(fetch(&api, text(&artifact, "artifact_id")).await, (file.len(), digest));
    }
    let grown = server.peak_kib() - before;
    assert!(grown <= 8 * 1_024, "{grown} KiB more than before");
}
