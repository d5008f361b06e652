//! Uploads in parts: put in any order and again, told when they are missing, put together and read whole.

use std::process::{Command, Stdio};
use std::time::Duration;

use e2e::bytes::{installer, sha256};
use e2e::story::{text, until};
use e2e::{Api, Server, settings};
use reqwest::Method;
use serde_json::{Value, json};

/// The size of the parts of files that are not large.
const PART: usize = 5 << 20;

fn path(upload: &Value) -> String {
    format!("/v1/artifacts/uploads/{}", text(upload, "upload_id"))
}

/// The bytes of a part, and its number.
fn parts(bytes: &[u8]) -> Vec<(u64, &[u8])> {
    (1..).zip(bytes.chunks(PART)).collect()
}

async fn put_all(api: &Api, upload: &Value, bytes: &[u8]) {
    for (number, part) in parts(bytes) {
        assert_eq!(api.put_part(upload, number, part).await.status, 200, "part {number}");
    }
}

#[tokio::test]
async fn parts_in_any_order_become_an_artifact() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(2 * PART + 11);
    let upload = api.initiate_parts(&bytes, json!({"file_name": "setup.exe"})).await;
    for member in ["upload_url", "checksum_locked", "url_expires_at"] {
        assert!(upload[member].is_null(), "{upload}");
    }
    assert_eq!(upload["multipart"], json!({"part_size_bytes": PART, "part_count": 3}));
    let looked = api.get(&path(&upload)).await.ok(200);
    assert_eq!((&looked["multipart"], &looked["upload_url"]), (&upload["multipart"], &Value::Null));
    let mut all = parts(&bytes);
    all.reverse();
    for (number, part) in all {
        assert_eq!(api.put_part(&upload, number, part).await.status, 200);
    }
    let answer = api.complete(&upload).await;
    let later = answer.ok(202);
    assert_eq!((text(&later, "state"), answer.header("location")), ("COMPLETING", path(&upload).as_str()));
    let artifact = api.completed(&upload).await;
    assert_eq!((text(&artifact, "state"), text(&artifact, "verification")), ("AVAILABLE", "FETCHED"));
    assert!(api.download(text(&artifact, "artifact_id")).await.body == bytes);
    assert_eq!(api.complete(&upload).await.ok(200), artifact);
    assert!(!server.data().join("objects/parts").join(text(&upload, "upload_id")).exists());
}

#[tokio::test]
async fn a_part_that_is_put_again_counts_as_it_was_put_last() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(PART + 7);
    let upload = api.initiate_parts(&bytes, json!({})).await;
    assert_eq!(api.put_part(&upload, 2, b"mistake").await.status, 200);
    put_all(&api, &upload, &bytes).await;
    assert_eq!(api.completed(&upload).await["sha256"], sha256(&bytes));
}

#[tokio::test]
async fn missing_parts_are_named_with_409_and_can_be_sent_then() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(2 * PART + 11);
    let upload = api.initiate_parts(&bytes, json!({})).await;
    let refusal = api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
    assert_eq!(refusal["details"], json!({"missing_parts": [1, 2, 3], "missing_count": 3}));
    let all = parts(&bytes);
    api.put_part(&upload, 3, all[2].1).await;
    let refusal = api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
    assert_eq!(refusal["details"]["missing_parts"], json!([1, 2]));
    assert_eq!(api.get(&path(&upload)).await.ok(200)["state"], "INITIATED");
    put_all(&api, &upload, &bytes).await;
    api.completed(&upload).await;
}

#[tokio::test]
async fn other_bytes_of_the_right_size_fail_for_good() {
    let server = Server::shared();
    let api = server.admin();
    let (bytes, other) = (installer(PART + 7), installer(PART + 7));
    let upload = api.initiate_parts(&bytes, json!({})).await;
    put_all(&api, &upload, &other).await;
    api.complete(&upload).await.ok(202);
    let failed = api.get_until(&path(&upload), |upload| upload["state"] != "COMPLETING").await;
    assert_eq!(failed["state"], "FAILED");
    assert!(text(&failed, "reason").starts_with("CHECKSUM_MISMATCH"), "{failed}");
    api.complete(&upload).await.refused(422, "CHECKSUM_MISMATCH");
    let found = api.get(&format!("/v1/artifacts?sha256={}", sha256(&other))).await.ok(200);
    assert_eq!(found["artifacts"], json!([]));
}

#[tokio::test]
async fn the_address_of_a_part_takes_its_size_its_digest_and_no_changed_letter() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(PART + 7);
    let upload = api.initiate_parts(&bytes, json!({})).await;
    let last = &bytes[PART..];
    let wanted = json!([{"part_number": 2, "sha256": sha256(last)}, {"part_number": 1, "sha256": sha256(&bytes[..PART])}]);
    let doors = api.parts(&upload, wanted).await.ok(200);
    assert_eq!(doors["parts"][0]["part_number"], 2);
    text(&doors, "url_expires_at");
    let door = &doors["parts"][0];
    api.put_to(door, &last[1..]).await.refused(422, "SIZE_MISMATCH");
    api.put_to(door, b"mistake").await.refused(422, "CHECKSUM_MISMATCH");
    let url = text(door, "url");
    let (start, letter) = url.split_at(url.len() - 1);
    for changed in [
        format!("{start}{}", if letter == "A" { "B" } else { "A" }),
        url.replacen("/2?", "/1?", 1),
        url.replacen("content-length=7", "content-length=8", 1),
        url.replacen("write=again", "write=once", 1),
    ] {
        assert_ne!(changed, url);
        let door = json!({"url": changed, "headers": door["headers"]});
        api.put_to(&door, last).await.refused(403, "ACCESS_DENIED");
    }
    let unsaid = json!({"url": url, "headers": {}});
    api.put_to(&unsaid, last).await.refused(403, "ACCESS_DENIED");
    let refusal = api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
    assert_eq!(refusal["details"]["missing_count"], 2);
}

#[tokio::test]
async fn the_address_of_a_part_ends_with_its_upload() {
    let server = Server::start_with("uploads: { expires_in_seconds: 2 }\n");
    let api = server.admin();
    let bytes = installer(2_000);
    let upload = api.initiate_parts(&bytes, json!({})).await;
    let doors = api.parts(&upload, json!([{"part_number": 1}])).await.ok(200);
    api.get_until(&path(&upload), |upload| upload["state"] == "EXPIRED").await;
    api.put_to(&doors["parts"][0], &bytes).await.refused(403, "ACCESS_DENIED");
    api.parts(&upload, json!([{"part_number": 1}])).await.refused(410, "UPLOAD_EXPIRED");
}

#[tokio::test]
async fn parts_that_are_no_parts_are_422_and_name_the_member() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(PART + 7);
    let upload = api.initiate_parts(&bytes, json!({})).await;
    let many: Vec<Value> = (1..=201).map(|number| json!({"part_number": number})).collect();
    for (wanted, member) in [
        (json!([]), "parts"),
        (json!(many), "parts"),
        (json!([{"part_number": 0}]), "parts[0].part_number"),
        (json!([{"part_number": 1}, {"part_number": 3}]), "parts[1].part_number"),
        (json!([{"part_number": 1}, {"part_number": 1}]), "parts[1].part_number"),
        (json!([{"part_number": 1, "sha256": "no"}]), "parts[0].sha256"),
        (json!([{"part_number": 1}, {"part_number": 2, "sha256": sha256(b"x")}]), "parts[1].sha256"),
    ] {
        let refusal = api.parts(&upload, wanted).await.refused(422, "INVALID_MEMBER");
        assert_eq!(refusal["details"]["member"], member, "{refusal}");
    }
    for wanted in [json!({}), json!([{"part_number": "1"}]), json!([{"number": 1}]), json!([{}])] {
        api.parts(&upload, wanted).await.refused(400, "BAD_REQUEST");
    }
    let whole = api.initiate(&bytes, json!({})).await;
    api.parts(&whole, json!([{"part_number": 1}])).await.refused(422, "INVALID_MEMBER");
    let nobody = json!({"upload_id": "upl_01jd9xq2v6m4t8r0c5b7n3k1fz"});
    api.parts(&nobody, json!([{"part_number": 1}])).await.refused(404, "NOT_FOUND");
}

#[tokio::test]
async fn the_same_key_gives_the_same_upload_in_parts() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(2_000);
    let body = json!({"size_bytes": bytes.len(), "sha256": sha256(&bytes), "multipart": true});
    let first = api.post_keyed("/v1/artifacts/uploads", "in-parts", &body).await.ok(201);
    assert_eq!(api.post_keyed("/v1/artifacts/uploads", "in-parts", &body).await.ok(201), first);
}

#[tokio::test]
async fn what_is_larger_than_five_gibibytes_comes_in_parts_by_itself() {
    let server = Server::shared();
    let api = server.admin();
    let body = |size: u64| json!({"size_bytes": size, "sha256": sha256(b"large")});
    let upload = api.post("/v1/artifacts/uploads", &body(5 << 30)).await.ok(201);
    assert!(upload["multipart"].is_null() && !upload["upload_url"].is_null(), "{upload}");
    let upload = api.post("/v1/artifacts/uploads", &body((5 << 30) + 1)).await.ok(201);
    assert_eq!(upload["multipart"], json!({"part_size_bytes": 64 << 20, "part_count": 81}));
}

#[tokio::test]
async fn an_aborted_upload_keeps_no_parts_and_gives_no_addresses() {
    let server = Server::shared();
    let api = server.admin();
    let bytes = installer(PART + 7);
    let upload = api.initiate_parts(&bytes, json!({})).await;
    put_all(&api, &upload, &bytes).await;
    let folder = server.data().join("objects/parts").join(text(&upload, "upload_id"));
    assert!(folder.exists());
    assert_eq!(api.delete(&path(&upload)).await.ok(200)["state"], "ABORTED");
    assert!(!folder.exists());
    api.parts(&upload, json!([{"part_number": 1}])).await.refused(410, "UPLOAD_ABORTED");
    api.complete(&upload).await.refused(410, "UPLOAD_ABORTED");
}

#[tokio::test]
async fn kill_9_between_slices_goes_on_from_the_last_slice() {
    let mut server = Server::start_with("uploads: { slice_bytes: 1048576 }\n");
    let api = server.admin();
    let bytes = installer(96 << 20);
    let upload = api.initiate_parts(&bytes, json!({})).await;
    let size =
        usize::try_from(upload["multipart"]["part_size_bytes"].as_u64().expect("a size")).expect("small");
    for (number, part) in (1..).zip(bytes.chunks(size)) {
        assert_eq!(api.put_part(&upload, number, part).await.status, 200);
    }
    api.complete(&upload).await.ok(202);
    let read = |upload: &Value| upload["verified_bytes"].as_u64();
    let mut seen = 0;
    until("some slices are read", 60, async || {
        let looked = api.get(&path(&upload)).await.ok(200);
        assert_eq!(looked["state"], "COMPLETING", "it was read before anybody could look");
        seen = read(&looked).expect("how far it was read");
        seen > 0
    })
    .await;
    server.kill();
    server.restart();
    let api = server.admin();
    let looked = api.get(&path(&upload)).await.ok(200);
    assert!(looked["state"] == "COMPLETED" || read(&looked) >= Some(seen), "{seen}: {looked}");
    let artifact = api.completed(&upload).await;
    assert_eq!(artifact["sha256"], sha256(&bytes));
    let download =
        api.request(Method::HEAD, &format!("/v1/artifacts/{}/download", text(&artifact, "artifact_id")));
    assert_eq!(api.send(download.timeout(Duration::from_secs(20))).await.status, 200);
    let told = api.audit(text(&upload, "upload_id")).await;
    assert_eq!(told.iter().filter(|event| event["type"] == "upload.completed").count(), 1);
}

#[tokio::test]
async fn the_command_goes_on_with_the_missing_parts_after_it_was_killed() {
    let server = Server::shared();
    let api = server.admin();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("setup.exe");
    let bytes = installer(12 * PART);
    std::fs::write(&file, &bytes).expect("a file");
    let command = || {
        let mut command = Command::new(settings::program());
        command.args(["artifact", "upload", "--multipart", "--json"]).arg(&file);
        command
            .env("BP_BASE_URL", server.base())
            .env("BP_API_TOKEN", server.admin_token())
            .stdin(Stdio::null());
        command
    };
    let mut killed =
        command().stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a started command");
    let parts = server.data().join("objects/parts");
    let there = || {
        let uploads = std::fs::read_dir(&parts).expect("a folder").filter_map(Result::ok);
        let own = uploads.filter_map(|upload| std::fs::read_dir(upload.path()).ok());
        own.flatten().filter_map(Result::ok).count()
    };
    until("some parts are there", 60, async || there() >= 2).await;
    killed.kill().expect("a killed command");
    killed.wait().expect("an ended command");
    let again = command().output().expect("an ended command");
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.success(), "{said}");
    let artifact: Value = serde_json::from_slice(&again.stdout).expect("JSON");
    assert_eq!((&artifact["sha256"], &artifact["state"]), (&json!(sha256(&bytes)), &json!("AVAILABLE")));
    assert!(api.download(text(&artifact, "artifact_id")).await.body == bytes);
    let log = api.get("/v1/audit/events?type=upload.initiated&limit=100").await.ok(200);
    let begun = log["events"].as_array().expect("events").iter();
    assert_eq!(begun.filter(|event| event["after"]["sha256"] == sha256(&bytes)).count(), 1);
}
