//! `bp artifact upload` against a stand-in: the doors, the retries, and going on where a broken run stopped.

use std::process::Output;

use crate::double::{Answer, Double, Seen, code, stderr, stdout};
use serde_json::{Value, json};

const BYTES: &[u8] = b"hello artifact\n";
const SHA256: &str = "51bc0fc1f19104fa6e89ce50be9aa1f57c3346c1ca51ab49f5f00e14ce8f8076";
const INITIATE: &str = "POST /v1/artifacts/uploads";
const LOOK: &str = "GET /v1/artifacts/uploads/upl_1";
const COMPLETE: &str = "POST /v1/artifacts/uploads/upl_1/complete";

fn upload(double: &Double, state: &str, locked: bool) -> Value {
    let base = &double.base_url;
    let door = json!({"url": format!("{base}/locked?signed"), "headers": {"x-amz-checksum-sha256": "UbwP"}});
    json!({"upload_id": "upl_1", "state": state, "sha256": SHA256, "size_bytes": 15,
        "upload_url": format!("{base}/bare?signed"), "checksum_locked": if locked { door } else { Value::Null },
        "multipart": null, "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z",
        "url_expires_at": "2026-01-01T01:00:00Z"})
}

fn artifact() -> Value {
    json!({"artifact_id": "art_1", "source_type": "MANAGED", "state": "AVAILABLE", "sha256": SHA256, "size_bytes": 15,
        "access": "public", "created_at": "2026-01-01T00:00:00Z", "warnings": []})
}

/// A service that lets everything pass.
fn willing(double: &Double, seen: &Seen) -> Answer {
    match seen.line().as_str() {
        INITIATE => Answer::json(201, &upload(double, "INITIATED", true)),
        LOOK => Answer::json(200, &upload(double, "INITIATED", true)),
        COMPLETE => Answer::json(200, &artifact()),
        "PUT /locked" | "PUT /bare" => Answer::empty(200),
        other => panic!("unexpected {other}"),
    }
}

async fn run(double: &Double, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("editor.msi");
    std::fs::write(&file, BYTES).unwrap();
    double.bp(&[&["artifact", "upload", file.to_str().unwrap(), "--json"], more].concat()).await
}

#[tokio::test]
async fn the_bytes_go_through_the_checksum_locked_door_with_its_headers() {
    let double = Double::start(willing).await;
    let output = run(&double, &["--label", "team=desktop", "--access", "token"]).await;
    assert_eq!(code(&output), 0);
    let declared = json!({"size_bytes": 15, "sha256": SHA256, "file_name": "editor.msi", "access": "token",
        "labels": {"team": "desktop"}});
    assert_eq!(double.only(INITIATE).json(), declared);
    let put = double.only("PUT /locked");
    assert_eq!(put.body, BYTES);
    assert_eq!(put.header("x-amz-checksum-sha256"), "UbwP");
    assert_eq!(put.header("content-length"), "15");
    assert_eq!(put.header("transfer-encoding"), "");
    assert_eq!(put.header("authorization"), "", "the token is not the store's business");
    assert_eq!(double.only(COMPLETE).json(), json!({"checksum": SHA256}));
    assert_eq!(serde_json::from_str::<Value>(&stdout(&output)).unwrap(), artifact());
}

#[tokio::test]
async fn without_a_locked_door_the_bare_one_is_used() {
    let double = Double::start(|double, seen| match seen.line().as_str() {
        INITIATE | LOOK => Answer::json(200, &upload(double, "INITIATED", false)),
        _ => willing(double, seen),
    })
    .await;
    assert_eq!(code(&run(&double, &[]).await), 0);
    let put = double.only("PUT /bare");
    assert_eq!(put.body, BYTES);
    assert_eq!(put.header("content-type"), "application/octet-stream");
}

#[tokio::test]
async fn the_same_file_has_the_same_key_and_the_bare_door_another() {
    let double = Double::start(willing).await;
    for more in [&[][..], &[][..], &["--bare"][..]] {
        assert_eq!(code(&run(&double, more).await), 0);
    }
    let initiated: Vec<Seen> = double.seen().into_iter().filter(|seen| seen.line() == INITIATE).collect();
    let keys: Vec<&str> = initiated.iter().map(|seen| seen.header("idempotency-key")).collect();
    assert_eq!(keys[0], keys[1]);
    assert_ne!(keys[0], keys[2]);
}

#[tokio::test]
async fn bytes_that_are_there_already_are_only_completed() {
    let double = Double::start(|double, seen| match seen.line().as_str() {
        "PUT /locked" => Answer::empty(412),
        _ => willing(double, seen),
    })
    .await;
    assert_eq!(code(&run(&double, &[]).await), 0);
    assert_eq!(double.count("PUT /locked"), 1);
    assert_eq!(double.count(COMPLETE), 1);
}

#[tokio::test]
async fn a_completed_upload_is_not_sent_again() {
    let double = Double::start(|double, seen| match seen.line().as_str() {
        LOOK => Answer::json(200, &upload(double, "COMPLETED", true)),
        _ => willing(double, seen),
    })
    .await;
    assert_eq!(code(&run(&double, &[]).await), 0);
    assert_eq!(double.count("PUT /locked"), 0);
}

#[tokio::test]
async fn an_upload_that_ended_badly_is_left_behind_for_a_new_one() {
    let double = Double::start(|double, seen| match (seen.line().as_str(), double.count(LOOK)) {
        (LOOK, 0) => Answer::json(200, &upload(double, "FAILED", true)),
        (LOOK, 1) => Answer::refusal(404, "NOT_FOUND"),
        _ => willing(double, seen),
    })
    .await;
    assert_eq!(code(&run(&double, &[]).await), 0);
    let initiated: Vec<Seen> = double.seen().into_iter().filter(|seen| seen.line() == INITIATE).collect();
    let mut keys: Vec<&str> = initiated.iter().map(|seen| seen.header("idempotency-key")).collect();
    keys.dedup();
    assert_eq!(keys.len(), 3, "three editions, each with a key of its own");
    assert_eq!(double.count("PUT /locked"), 1);
}

#[tokio::test]
async fn a_broken_put_is_made_again_unless_the_bytes_have_arrived() {
    let double = Double::start(|double, seen| match (seen.line().as_str(), double.count("PUT /locked")) {
        ("PUT /locked", 0) => Answer::empty(503),
        (COMPLETE, 1) => Answer::refusal(409, "OBJECT_NOT_UPLOADED"),
        _ => willing(double, seen),
    })
    .await;
    assert_eq!(code(&run(&double, &[]).await), 0);
    assert_eq!(double.count("PUT /locked"), 2);
    assert_eq!(double.count(LOOK), 2, "fresh URLs before the second attempt");
}

#[tokio::test]
async fn a_long_check_is_awaited() {
    let double = Double::start(|double, seen| match seen.line().as_str() {
        COMPLETE if double.count(COMPLETE) == 0 => {
            let answer = json!({"upload_id": "upl_1", "state": "COMPLETING", "retry_after_seconds": 1});
            Answer::json(202, &answer).header("retry-after", "1")
        }
        LOOK if double.count(LOOK) == 1 => Answer::json(200, &upload(double, "COMPLETING", true)),
        LOOK if double.count(LOOK) > 1 => Answer::json(200, &upload(double, "COMPLETED", true)),
        _ => willing(double, seen),
    })
    .await;
    let output = run(&double, &[]).await;
    assert_eq!(code(&output), 0);
    assert_eq!(double.count(COMPLETE), 2);
}

#[tokio::test]
async fn waiting_ends_with_exit_code_3() {
    let double = Double::start(|double, seen| match seen.line().as_str() {
        COMPLETE => Answer::refusal(409, "UPLOAD_IN_PROGRESS").header("retry-after", "1"),
        _ => willing(double, seen),
    })
    .await;
    let output = run(&double, &["--timeout", "1"]).await;
    assert_eq!(code(&output), 3);
    assert!(stderr(&output).contains("TIMEOUT"));
}

#[tokio::test]
async fn other_bytes_are_refused_for_good() {
    let double = Double::start(|double, seen| match seen.line().as_str() {
        COMPLETE => Answer::refusal(422, "CHECKSUM_MISMATCH"),
        _ => willing(double, seen),
    })
    .await;
    let output = run(&double, &[]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("CHECKSUM_MISMATCH"));
}

#[tokio::test]
async fn a_digest_that_the_store_refuses_is_a_checksum_mismatch() {
    let double = Double::start(|double, seen| match seen.line().as_str() {
        "PUT /locked" => Answer {
            status: 400,
            body: b"<Error><Code>BadDigest</Code></Error>".to_vec(),
            ..Answer::default()
        },
        _ => willing(double, seen),
    })
    .await;
    let output = run(&double, &[]).await;
    assert_eq!(code(&output), 1);
    let error: Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(error["code"], "CHECKSUM_MISMATCH");
    assert_eq!(double.count("PUT /locked"), 1);
}

const PARTS: &str = "POST /v1/artifacts/uploads/upl_1/parts";

/// An upload of fifteen bytes in four parts.
fn in_parts(state: &str) -> Value {
    json!({"upload_id": "upl_1", "state": state, "sha256": SHA256, "size_bytes": 15, "upload_url": null,
        "checksum_locked": null, "multipart": {"part_size_bytes": 4, "part_count": 4}, "url_expires_at": null,
        "created_at": "2026-01-01T00:00:00Z", "expires_at": "2026-01-02T00:00:00Z"})
}

fn lacks(parts: &[u64]) -> Answer {
    Answer::json(
        409,
        &json!({"code": "OBJECT_NOT_UPLOADED", "message": "parts are missing", "request_id": "req-7",
            "details": {"missing_parts": parts, "missing_count": parts.len()}}),
    )
}

/// A service that takes parts, of which these are missing at first.
fn taking_parts(double: &Double, seen: &Seen, missing: &[u64]) -> Answer {
    match (seen.line().as_str(), double.count(COMPLETE)) {
        (INITIATE, _) => Answer::json(201, &in_parts("INITIATED")),
        (LOOK, _) if double.count(COMPLETE) == 0 => Answer::json(200, &in_parts("INITIATED")),
        (LOOK, _) => Answer::json(200, &in_parts("COMPLETED")),
        (PARTS, _) => {
            let number = seen.json()["parts"][0]["part_number"].as_u64().unwrap();
            let door = json!({"part_number": number, "url": format!("{}/part/{number}?signed", double.base_url),
                "headers": {"x-amz-checksum-sha256": format!("of part {number}")}});
            Answer::json(200, &json!({"parts": [door], "url_expires_at": "2026-01-01T01:00:00Z"}))
        }
        (COMPLETE, 0) => lacks(missing),
        (COMPLETE, 1) => {
            let answer = json!({"upload_id": "upl_1", "state": "COMPLETING", "retry_after_seconds": 1});
            Answer::json(202, &answer).header("retry-after", "1")
        }
        (COMPLETE, _) => Answer::json(200, &artifact()),
        (line, _) if line.starts_with("PUT /part/") => Answer::empty(200),
        (other, _) => panic!("unexpected {other}"),
    }
}

#[tokio::test]
async fn parts_are_sent_one_by_one_with_their_digests_and_headers() {
    let double = Double::start(|double, seen| taking_parts(double, seen, &[1, 2, 3, 4])).await;
    assert_eq!(code(&run(&double, &["--multipart"]).await), 0);
    assert_eq!(double.only(INITIATE).json()["multipart"], true);
    for (number, bytes) in (1..).zip(BYTES.chunks(4)) {
        let put = double.only(&format!("PUT /part/{number}"));
        assert_eq!(
            (put.body.as_slice(), put.header("content-length")),
            (bytes, bytes.len().to_string().as_str())
        );
        assert_eq!(put.header("x-amz-checksum-sha256"), format!("of part {number}"));
        assert_eq!(put.header("authorization"), "", "the token is not the store's business");
    }
    let asked: Vec<Value> =
        double.seen().iter().filter(|seen| seen.line() == PARTS).map(Seen::json).collect();
    let first = asked.iter().find(|asked| asked["parts"][0]["part_number"] == 1).unwrap();
    assert_eq!(
        first["parts"][0]["sha256"],
        "0ebdc3317b75839f643387d783535adc360ca01f33c75f7c1e7373adcd675c0b"
    );
}

#[tokio::test]
async fn only_the_parts_that_are_missing_are_sent_and_each_is_tried_again_by_itself() {
    let double = Double::start(|double, seen| match seen.line().as_str() {
        "PUT /part/3" if double.count("PUT /part/3") == 0 => Answer::empty(503),
        _ => taking_parts(double, seen, &[2, 3]),
    })
    .await;
    assert_eq!(code(&run(&double, &["--multipart"]).await), 0);
    let puts = |number: u64| double.count(&format!("PUT /part/{number}"));
    assert_eq!((puts(1), puts(2), puts(3), puts(4)), (0, 1, 2, 0));
    assert_eq!(double.count(PARTS), 3, "a fresh URL for each attempt");
}

#[tokio::test]
async fn a_service_that_cuts_a_file_into_parts_gets_parts() {
    let double = Double::start(|double, seen| taking_parts(double, seen, &[1, 2, 3, 4])).await;
    assert_eq!(code(&run(&double, &[]).await), 0);
    assert_eq!(double.count(PARTS), 4);
}

#[tokio::test]
async fn a_refusal_of_a_part_ends_the_command() {
    let double = Double::start(|double, seen| match seen.line().as_str() {
        PARTS => Answer::refusal(422, "INVALID_MEMBER"),
        _ => taking_parts(double, seen, &[1]),
    })
    .await;
    let output = run(&double, &["--multipart"]).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("INVALID_MEMBER"));
}
