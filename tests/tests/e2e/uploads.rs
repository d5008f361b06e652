//! The two doors, completion, and the races around them.

use e2e::bytes::{installer, sha256};
use e2e::story::text;
use e2e::{Api, Server};
use serde_json::{Value, json};

async fn state(api: &Api, upload: &Value) -> Value {
    api.get(&format!("/v1/artifacts/uploads/{}", text(upload, "upload_id"))).await.ok(200)
}

async fn stored(api: &Api, bytes: &[u8]) -> usize {
    let found = api.get(&format!("/v1/artifacts?sha256={}", sha256(bytes))).await.ok(200);
    found["artifacts"].as_array().expect("artifacts").len()
}

#[tokio::test]
async fn bytes_come_back_as_they_went_in_through_either_door() {
    let server = Server::shared();
    let api = server.admin();
    let (bare, locked) = (installer(70_000), installer(70_001));
    for (bytes, artifact) in [
        (&bare, api.upload_bare(&bare, json!({})).await),
        (&locked, api.upload_locked(&locked, json!({})).await),
    ] {
        assert_eq!(artifact["state"], "AVAILABLE", "{artifact}");
        assert_eq!(artifact["source_type"], "MANAGED", "{artifact}");
        assert_eq!(artifact["sha256"], sha256(bytes), "{artifact}");
        assert_eq!(artifact["size_bytes"], bytes.len(), "{artifact}");
        let got = server.anonymous().download(text(&artifact, "artifact_id")).await;
        assert_eq!((got.status, &got.body == bytes), (200, true), "{}", got.asked);
    }
}

#[tokio::test]
async fn completing_twice_in_a_row_gives_the_same_answer_one_artifact_and_one_audit_entry() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(3_000);
    let upload = api.initiate(&bytes, json!({})).await;
    api.put_bare(&upload, &bytes).await;
    let first = api.complete(&upload).await.ok(200);
    let second = api.complete(&upload).await.ok(200);
    assert_eq!(first, second);
    assert_eq!(stored(&api, &bytes).await, 1);
    assert_eq!(api.audit(text(&first, "artifact_id")).await.len(), 1);
}

#[tokio::test]
async fn of_fifty_completions_at_once_one_works_and_the_rest_hear_the_same_or_wait() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(300_000);
    let upload = api.initiate(&bytes, json!({})).await;
    api.put_bare(&upload, &bytes).await;
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let (api, upload) = (api.clone(), upload.clone());
            tokio::spawn(async move { api.complete(&upload).await })
        })
        .collect();
    let mut said = Vec::new();
    for answer in asked {
        let answer = answer.await.expect("an answer");
        if answer.status == 200 {
            said.push(answer.json());
        } else {
            answer.refused(409, "UPLOAD_IN_PROGRESS");
            assert!(answer.header("retry-after").parse::<u32>().is_ok(), "409 without Retry-After");
        }
    }
    let last = api.complete(&upload).await.ok(200);
    assert!(!said.is_empty(), "nobody did the work");
    assert!(said.iter().all(|artifact| *artifact == last), "different answers");
    assert_eq!(stored(&api, &bytes).await, 1);
    assert_eq!(api.audit(text(&last, "artifact_id")).await.len(), 1);
}

#[tokio::test]
async fn completing_before_the_put_is_409_and_put_and_complete_then_succeed() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(3_000);
    let upload = api.initiate(&bytes, json!({})).await;
    api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
    assert_eq!(state(&api, &upload).await["state"], "INITIATED");
    api.put_bare(&upload, &bytes).await;
    assert_eq!(api.complete(&upload).await.ok(200)["state"], "AVAILABLE");
}

#[tokio::test]
async fn a_put_after_completion_leaves_the_served_bytes_as_they_are() {
    let server = Server::shared();
    let api = server.admin();
    let (bytes, other) = (installer(3_000), installer(3_000));
    let upload = api.initiate(&bytes, json!({})).await;
    api.put_bare(&upload, &bytes).await;
    let artifact = api.completed(&upload).await;
    for body in [&other, &bytes] {
        api.put_bare(&upload, body).await;
        api.put_locked(&upload, body).await;
    }
    assert_eq!(api.complete(&upload).await.ok(200), artifact);
    assert_eq!(api.download(text(&artifact, "artifact_id")).await.body, bytes);
}

#[tokio::test]
async fn other_bytes_of_the_right_size_through_the_bare_door_are_refused_and_never_served() {
    let server = Server::shared();
    let api = server.admin();
    let (bytes, other) = (installer(3_000), installer(3_000));
    let upload = api.initiate(&bytes, json!({})).await;
    api.put_bare(&upload, &other).await;
    api.complete(&upload).await.refused(422, "CHECKSUM_MISMATCH");
    let failed = state(&api, &upload).await;
    assert_eq!(failed["state"], "FAILED", "{failed}");
    assert!(failed["reason"].is_string(), "{failed}");
    api.complete(&upload).await.refused(422, "CHECKSUM_MISMATCH");
    assert_eq!((stored(&api, &bytes).await, stored(&api, &other).await), (0, 0));
}

#[tokio::test]
async fn the_locked_door_refuses_other_bytes_and_takes_the_right_ones_afterwards() {
    let server = Server::shared();
    let api = server.admin();
    let (bytes, other) = (installer(3_000), installer(3_000));
    let upload = api.initiate(&bytes, json!({})).await;
    let refused = api.put_locked(&upload, &other).await;
    assert!((400..500).contains(&refused.status), "{}", refused.status);
    api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
    let put = api.put_locked(&upload, &bytes).await;
    assert!((200..300).contains(&put.status), "{}: {}", put.status, put.text());
    assert_eq!(api.complete(&upload).await.ok(200)["state"], "AVAILABLE");
}

#[tokio::test]
async fn a_wrong_declared_size_leaves_no_object_or_is_422() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(3_000);
    for declared in [2_999, 3_001] {
        let upload = api.initiate(&bytes, json!({"size_bytes": declared})).await;
        let put = api.put_bare(&upload, &bytes).await;
        let done = api.complete(&upload).await;
        if (200..300).contains(&put.status) {
            done.refused(422, "");
        } else {
            done.refused(409, "OBJECT_NOT_UPLOADED");
        }
    }
    assert_eq!(stored(&api, &bytes).await, 0);
}

#[tokio::test]
async fn two_initiates_of_one_sha256_may_both_finish_and_are_one_artifact() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(3_000);
    let (one, two) = (api.initiate(&bytes, json!({})).await, api.initiate(&bytes, json!({})).await);
    assert_ne!(one["upload_id"], two["upload_id"]);
    api.put_bare(&one, &bytes).await;
    api.put_locked(&two, &bytes).await;
    let (one, two) = tokio::join!(api.completed(&one), api.completed(&two));
    assert_eq!(one["artifact_id"], two["artifact_id"]);
    assert_eq!(stored(&api, &bytes).await, 1);
    assert_eq!(api.download(text(&one, "artifact_id")).await.body, bytes);
}

#[tokio::test]
async fn completing_without_a_put_is_409_also_when_the_same_sha256_is_stored() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(3_000);
    api.upload_bare(&bytes, json!({})).await;
    let upload = api.initiate(&bytes, json!({})).await;
    api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
}

#[tokio::test]
async fn completing_after_expiry_is_410_though_the_bytes_are_there() {
    let server = Server::start_with("uploads: { expires_in_seconds: 2 }\n");
    let api = server.admin();
    let bytes = installer(3_000);
    let upload = api.initiate(&bytes, json!({})).await;
    api.put_bare(&upload, &bytes).await;
    let path = format!("/v1/artifacts/uploads/{}", text(&upload, "upload_id"));
    api.get_until(&path, |upload| upload["state"] == "EXPIRED").await;
    api.complete(&upload).await.refused(410, "UPLOAD_EXPIRED");
    assert_eq!(stored(&api, &bytes).await, 0);
}

#[tokio::test]
async fn an_aborted_upload_is_410_and_its_addresses_lead_nowhere() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(3_000);
    let upload = api.initiate(&bytes, json!({})).await;
    let path = format!("/v1/artifacts/uploads/{}", text(&upload, "upload_id"));
    let gone = api.delete(&path).await;
    assert!((200..300).contains(&gone.status), "{}: {}", gone.status, gone.text());
    assert_eq!(state(&api, &upload).await["state"], "ABORTED");
    api.put_bare(&upload, &bytes).await;
    api.complete(&upload).await.refused(410, "UPLOAD_ABORTED");
    assert_eq!(stored(&api, &bytes).await, 0);
}

#[tokio::test]
async fn another_checksum_at_completion_is_422_and_changes_nothing() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(3_000);
    let upload = api.initiate(&bytes, json!({})).await;
    api.put_bare(&upload, &bytes).await;
    let path = format!("/v1/artifacts/uploads/{}/complete", text(&upload, "upload_id"));
    api.post(&path, &json!({"checksum": sha256(b"other")})).await.refused(422, "CHECKSUM_MISMATCH");
    assert_eq!(state(&api, &upload).await["state"], "INITIATED");
    let upper = sha256(&bytes).to_uppercase();
    assert_eq!(api.post(&path, &json!({"checksum": upper})).await.ok(200)["sha256"], sha256(&bytes));
}

#[tokio::test]
async fn an_upload_shows_itself_with_fresh_addresses_while_it_is_initiated_and_its_artifact_afterwards() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(3_000);
    let upload = api.initiate(&bytes, json!({"file_name": "setup 1.0.exe"})).await;
    for member in ["upload_id", "upload_url", "url_expires_at", "expires_at"] {
        text(&upload, member);
    }
    let fresh = state(&api, &upload).await;
    assert_eq!((&fresh["sha256"], &fresh["size_bytes"]), (&json!(sha256(&bytes)), &json!(3_000)), "{fresh}");
    let put = api.put_bare(&fresh, &bytes).await;
    assert!((200..300).contains(&put.status), "the fresh address: {}", put.text());
    let artifact = api.completed(&upload).await;
    let done = state(&api, &upload).await;
    assert_eq!((&done["state"], &done["artifact_id"]), (&json!("COMPLETED"), &artifact["artifact_id"]));
    assert!(done["upload_url"].is_null(), "a completed upload has no address: {done}");
}

#[tokio::test]
async fn an_upload_address_with_a_changed_letter_is_refused() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(3_000);
    let mut upload = api.initiate(&bytes, json!({})).await;
    let url = text(&upload, "upload_url").to_owned();
    let (start, last) = url.split_at(url.len() - 1);
    upload["upload_url"] = json!(format!("{start}{}", if last == "0" { "1" } else { "0" }));
    let put = api.put_bare(&upload, &bytes).await;
    assert!((400..500).contains(&put.status), "{}", put.status);
    api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
}

#[tokio::test]
async fn sizes_outside_the_bounds_are_422() {
    let server = Server::start_with("uploads: { max_size_bytes: 5000 }\n");
    let api = server.admin();
    for size in [json!(0), json!(-1), json!(5_001), json!(1.5)] {
        let body = json!({"size_bytes": size, "sha256": sha256(b"x")});
        let answer = api.post("/v1/artifacts/uploads", &body).await;
        assert!(
            answer.status == 422 || (answer.status == 400 && size != json!(5_001)),
            "{size}: {}",
            answer.text()
        );
        answer.refused(answer.status, "");
    }
    api.post("/v1/artifacts/uploads", &json!({"size_bytes": 5_000, "sha256": sha256(b"x")})).await.ok(201);
}
