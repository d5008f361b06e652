//! Over Google Cloud Storage, which `tests/python/run_gcs.py` stands for: one door, no digest, and generations.

use std::io::Write as _;

use e2e::bytes::{installer, sha256, unique};
use e2e::story::{text, until};
use e2e::{Api, Server, settings};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{PART, in_parts, other, path};

/// The vectors that Google has published, with the key of an account that does not exist.
const VECTORS: &str = include_str!("../../../../shared/src/adapters/v4/google.json");

/// A service over a bucket of its own.
struct World {
    endpoint: String,
    server: Server,
    api: Api,
    _key: NamedTempFile,
}

impl World {
    async fn new(more: &str) -> Self {
        let endpoint = settings::server("BP_TEST_GCS");
        let bucket = format!("big-picture-{}-{}", std::process::id(), unique("bucket"));
        let made =
            Api::new(&endpoint, None).post("/storage/v1/b?project=p", &json!({ "name": bucket })).await;
        assert_eq!(made.status, 200, "{}", made.text());
        let key = key_file();
        let storage = format!(
            "storage: {{ type: gcs, gcs: {{ bucket: {bucket}, endpoint: \"{endpoint}\", credentials: \"file:{}\" }} }}\n",
            key.path().display()
        );
        let server = Server::start_with(&format!("{storage}{more}"));
        let api = server.admin();
        Self { endpoint, server, api, _key: key }
    }

    /// What a client gets, which is to be sent to the bucket for it.
    async fn served(&self, artifact: &Value) -> Vec<u8> {
        let path = format!("/v1/artifacts/{}/download", text(artifact, "artifact_id"));
        let answer = self.server.anonymous().get(&path).await;
        assert_eq!(answer.status, 302, "{}", answer.text());
        let url = answer.header("location");
        assert!(url.starts_with(&self.endpoint) && url.contains("&generation="), "{url}");
        let got = self.server.anonymous().get(url).await;
        assert_eq!(got.status, 200, "{}", got.text());
        got.body
    }
}

fn key_file() -> NamedTempFile {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let mut account = vectors["account"].clone();
    for (name, value) in [("type", "service_account"), ("project_id", "a-project"), ("private_key_id", "1")] {
        account[name] = json!(value);
    }
    let mut file = NamedTempFile::new().expect("a temporary file");
    write!(file, "{account}").expect("a written file");
    file
}

#[tokio::test]
async fn the_documented_put_becomes_an_artifact() {
    let world = World::new("").await;
    let bytes = installer(300_000);
    let upload = world.api.initiate(&bytes, json!({"file_name": "setup.exe"})).await;
    assert!(text(&upload, "upload_url").starts_with(&world.endpoint), "{upload}");
    assert!(upload["checksum_locked"].is_null(), "{upload}");
    world.api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
    assert_eq!(world.api.put_bare(&upload, &bytes).await.status, 200);
    let artifact = world.api.complete(&upload).await.ok(200);
    assert_eq!((text(&artifact, "state"), text(&artifact, "verification")), ("AVAILABLE", "FETCHED"));
    assert!(world.served(&artifact).await == bytes);
    assert_eq!(world.api.complete(&upload).await.ok(200), artifact);
    let again = format!("/v1/artifacts/{}", text(&artifact, "artifact_id"));
    world.api.post_empty(&format!("{again}/verify")).await.ok(202);
    let two = |told: &Value| told["checks"].as_array().is_some_and(|all| all.len() > 1);
    let told = world.api.get_until(&format!("{again}/verification"), two).await;
    assert!(
        told["checks"].as_array().expect("checks").iter().all(|check| check["result"] == "MATCH"),
        "{told}"
    );
}

#[tokio::test]
async fn other_bytes_and_another_size_never_become_one() {
    let world = World::new("").await;
    let api = &world.api;
    let bytes = installer(200_000);
    let upload = api.initiate(&bytes, json!({})).await;
    assert_eq!(api.put_bare(&upload, &other(&bytes)).await.status, 200);
    api.complete(&upload).await.refused(422, "CHECKSUM_MISMATCH");
    api.complete(&upload).await.refused(422, "CHECKSUM_MISMATCH");
    let upload = api.initiate(&bytes, json!({})).await;
    let longer = [&bytes[..], b"!"].concat();
    assert_eq!(api.put_bare(&upload, &longer).await.status, 403);
    api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
    let found = api.get(&format!("/v1/artifacts?sha256={}", sha256(&bytes))).await.ok(200);
    assert_eq!(found["artifacts"], json!([]));
}

#[tokio::test]
async fn a_second_put_never_changes_what_is_served() {
    let world = World::new("").await;
    let api = &world.api;
    // Before: it overwrites, and what is there is what counts.
    let bytes = installer(250_000);
    let upload = api.initiate(&bytes, json!({})).await;
    assert_eq!(api.put_bare(&upload, &other(&bytes)).await.status, 200);
    assert_eq!(api.put_bare(&upload, &bytes).await.status, 200);
    let artifact = api.complete(&upload).await.ok(200);
    // After: what was proved stays.
    assert_eq!(api.put_bare(&upload, &other(&bytes)).await.status, 200);
    assert!(world.served(&artifact).await == bytes);
    assert_eq!(api.complete(&upload).await.ok(200), artifact);
}

#[tokio::test]
async fn puts_while_it_is_completed_never_change_what_is_served() {
    let world = World::new("").await;
    for round in 0..8 {
        let bytes = installer(400_000);
        let upload = world.api.initiate(&bytes, json!({})).await;
        assert_eq!(world.api.put_bare(&upload, &bytes).await.status, 200);
        let puts = async {
            tokio::time::sleep(std::time::Duration::from_millis(round * 5)).await;
            for _ in 0..3 {
                world.api.put_bare(&upload, &other(&bytes)).await;
            }
        };
        let (outcome, ()) = tokio::join!(world.api.complete(&upload), puts);
        match outcome.status {
            200 => assert!(world.served(&outcome.json()).await == bytes),
            status => assert_eq!(status, 422, "{}", outcome.text()),
        }
    }
}

#[tokio::test]
async fn a_large_bare_upload_is_left_to_a_task() {
    let world = World::new("").await;
    let bytes = installer((256 << 20) + 1);
    let upload = world.api.initiate(&bytes, json!({})).await;
    assert_eq!(world.api.put_bare(&upload, &bytes).await.status, 200);
    assert_eq!(world.api.complete(&upload).await.ok(202)["state"], "COMPLETING");
    let artifact = world.api.completed(&upload).await;
    assert_eq!((&artifact["sha256"], &artifact["verification"]), (&json!(sha256(&bytes)), &json!("FETCHED")));
}

#[tokio::test]
async fn parts_become_an_artifact_and_wrong_ones_do_not() {
    let world = World::new("").await;
    let (api, bytes) = (&world.api, installer(2 * PART + 11));
    let upload = in_parts(api, &bytes).await;
    api.complete(&upload).await.ok(202);
    let artifact = api.completed(&upload).await;
    assert_eq!(artifact["verification"], "FETCHED");
    assert!(world.served(&artifact).await == bytes);
    let wrong = installer(PART + 7);
    let upload = api.initiate_parts(&wrong, json!({})).await;
    for (number, part) in (1..).zip(other(&wrong).chunks(PART)) {
        assert_eq!(api.put_part(&upload, number, part).await.status, 200);
    }
    api.complete(&upload).await.ok(202);
    let failed = api.get_until(&path(&upload), |upload| upload["state"] != "COMPLETING").await;
    assert!(text(&failed, "reason").starts_with("CHECKSUM_MISMATCH"), "{failed}");
}

#[tokio::test]
async fn kill_9_between_slices_goes_on_from_the_last_slice() {
    let World { api, mut server, _key, .. } = World::new("uploads: { slice_bytes: 1048576 }\n").await;
    let bytes = installer(96 << 20);
    let upload = in_parts(&api, &bytes).await;
    api.complete(&upload).await.ok(202);
    let mut seen = 0;
    until("some slices are read", 60, async || {
        let looked = api.get(&path(&upload)).await.ok(200);
        assert_eq!(looked["state"], "COMPLETING", "it was read before anybody could look");
        seen = looked["verified_bytes"].as_u64().expect("how far it was read");
        seen > 0
    })
    .await;
    server.kill();
    server.restart();
    let api = server.admin();
    let looked = api.get(&path(&upload)).await.ok(200);
    let further = looked["verified_bytes"].as_u64() >= Some(seen);
    assert!(looked["state"] == "COMPLETED" || further, "{seen}: {looked}");
    assert_eq!(api.completed(&upload).await["sha256"], sha256(&bytes));
}
