//! `bp serve` over buckets: both doors, parts, and what is served whatever is put there afterwards. Each test runs over
//! `MinIO` and over what stands in for S3, where `cargo xtask test` has started them.

use std::time::Duration;

use e2e::bucket::{Bucket, Store};
use e2e::bytes::{installer, sha256};
use e2e::story::{text, until};
use e2e::{Answer, Api, Server};
use serde_json::{Value, json};

mod gcs;
mod lacking;

const PART: usize = 5 << 20;

/// A service over a bucket of its own.
struct World {
    bucket: Bucket,
    server: Server,
    api: Api,
}

impl World {
    async fn new(store: Store, versions: bool, more: &str) -> Self {
        let bucket = Bucket::new(store, versions).await;
        let server = Server::start_with(&format!("{}{more}", bucket.configuration()));
        let api = server.admin();
        Self { bucket, server, api }
    }

    /// What a client gets, which is to be sent to the bucket for it.
    async fn served(&self, artifact: &Value) -> Vec<u8> {
        let path = format!("/v1/artifacts/{}/download", text(artifact, "artifact_id"));
        let answer = self.server.anonymous().get(&path).await;
        assert_eq!(answer.status, 302, "{}", answer.text());
        let url = answer.header("location");
        assert!(url.starts_with(self.bucket.endpoint()), "{url}");
        let got = self.server.anonymous().get(url).await;
        assert_eq!(got.status, 200, "{}", got.text());
        got.body
    }
}

fn path(upload: &Value) -> String {
    format!("/v1/artifacts/uploads/{}", text(upload, "upload_id"))
}

fn other(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| byte ^ 1).collect()
}

async fn the_documented_put_becomes_an_artifact(store: Store) {
    for versions in [true, false] {
        let world = World::new(store, versions, "").await;
        let bytes = installer(300_000);
        let upload = world.api.initiate(&bytes, json!({"file_name": "setup.exe"})).await;
        assert!(text(&upload, "upload_url").starts_with(world.bucket.endpoint()), "{upload}");
        world.api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
        assert_eq!(world.api.put_bare(&upload, &bytes).await.status, 200);
        let artifact = world.api.complete(&upload).await.ok(200);
        assert_eq!(
            (text(&artifact, "state"), text(&artifact, "verification")),
            ("AVAILABLE", "STORE_CHECKSUM")
        );
        assert!(world.served(&artifact).await == bytes);
        assert_eq!(world.api.complete(&upload).await.ok(200), artifact);
        let warned = world.server.log().contains("keeps no versions");
        assert_eq!(warned, !(versions && store.keeps_versions()), "{}", world.server.log());
        assert!(!world.server.log().contains("does less than S3"), "{}", world.server.log());
    }
}

async fn other_bytes_and_another_size_never_become_one(store: Store) {
    let World { api, .. } = &World::new(store, true, "").await;
    let bytes = installer(200_000);
    let upload = api.initiate(&bytes, json!({})).await;
    assert_eq!(api.put_bare(&upload, &other(&bytes)).await.status, 200);
    api.complete(&upload).await.refused(422, "CHECKSUM_MISMATCH");
    api.complete(&upload).await.refused(422, "CHECKSUM_MISMATCH");
    let upload = api.initiate(&bytes, json!({})).await;
    let longer = [&bytes[..], b"!"].concat();
    assert!(!(200..300).contains(&api.put_bare(&upload, &longer).await.status));
    api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
    let found = api.get(&format!("/v1/artifacts?sha256={}", sha256(&bytes))).await.ok(200);
    assert_eq!(found["artifacts"], json!([]));
}

async fn a_second_put_never_changes_what_is_served(store: Store) {
    let world = World::new(store, false, "").await;
    let api = &world.api;
    let bytes = installer(250_000);
    // Before: where it overwrites, as on MinIO, the upload fails; where it does not, the first bytes count.
    let upload = api.initiate(&bytes, json!({})).await;
    assert_eq!(api.put_bare(&upload, &bytes).await.status, 200);
    let again = api.put_bare(&upload, &other(&bytes)).await.status;
    let outcome = api.complete(&upload).await;
    match again {
        412 => assert_eq!(outcome.ok(200)["sha256"], sha256(&bytes)),
        _ => drop(outcome.refused(422, "CHECKSUM_MISMATCH")),
    }
    // After: what was proved stays.
    let bytes = installer(250_000);
    let upload = api.initiate(&bytes, json!({})).await;
    assert_eq!(api.put_bare(&upload, &bytes).await.status, 200);
    let artifact = api.complete(&upload).await.ok(200);
    api.put_bare(&upload, &other(&bytes)).await;
    assert!(world.served(&artifact).await == bytes);
    assert_eq!(api.complete(&upload).await.ok(200), artifact);
    assert!(world.served(&artifact).await == bytes);
}

async fn puts_while_it_is_completed_never_change_what_is_served(store: Store) {
    let world = World::new(store, true, "").await;
    let (mut right, mut wrong) = (0, 0);
    for round in 0..12 {
        let bytes = installer(400_000);
        let upload = world.api.initiate(&bytes, json!({})).await;
        assert_eq!(world.api.put_bare(&upload, &bytes).await.status, 200);
        let puts = async {
            tokio::time::sleep(Duration::from_millis(round * 3)).await;
            for _ in 0..3 {
                world.api.put_bare(&upload, &other(&bytes)).await;
            }
        };
        let (outcome, ()) = tokio::join!(world.api.complete(&upload), puts);
        if outcome.status == 200 {
            right += 1;
            assert!(world.served(&outcome.json()).await == bytes);
        } else {
            wrong += 1;
            assert_eq!(outcome.status, 422, "{}", outcome.text());
        }
    }
    assert_eq!(right + wrong, 12);
}

async fn the_locked_door_takes_the_declared_bytes_alone_and_needs_no_copy(store: Store) {
    let world = World::new(store, true, "").await;
    let bytes = installer(150_000);
    let upload = world.api.initiate(&bytes, json!({})).await;
    assert_eq!(world.api.put_locked(&upload, &other(&bytes)).await.status, 400);
    world.api.complete(&upload).await.refused(409, "OBJECT_NOT_UPLOADED");
    assert_eq!(world.api.put_locked(&upload, &bytes).await.status, 200);
    // Garage takes the very bytes again, which changes nothing.
    let again = if store == Store::Garage { 200 } else { 412 };
    assert_eq!(world.api.put_locked(&upload, &bytes).await.status, again);
    let artifact = world.api.complete(&upload).await.ok(200);
    assert_eq!(artifact["verification"], "STORE_CHECKSUM");
    assert!(world.served(&artifact).await == bytes);
}

/// An upload of these bytes whose parts were all put.
async fn in_parts(api: &Api, bytes: &[u8]) -> Value {
    let upload = api.initiate_parts(bytes, json!({})).await;
    let size =
        usize::try_from(upload["multipart"]["part_size_bytes"].as_u64().expect("a size")).expect("small");
    for (number, part) in (1..).zip(bytes.chunks(size)) {
        let put: Answer = api.put_part(&upload, number, part).await;
        assert_eq!(put.status, 200, "part {number}: {}", put.text());
    }
    upload
}

async fn parts_become_an_artifact_that_can_be_checked_again(store: Store) {
    let world = World::new(store, true, "").await;
    let (api, bytes) = (&world.api, installer(2 * PART + 11));
    let upload = in_parts(api, &bytes).await;
    api.complete(&upload).await.ok(202);
    let artifact = api.completed(&upload).await;
    assert_eq!(artifact["verification"], "FETCHED");
    assert!(world.served(&artifact).await == bytes);
    let path = format!("/v1/artifacts/{}", text(&artifact, "artifact_id"));
    api.post_empty(&format!("{path}/verify")).await.ok(202);
    let told = api
        .get_until(&format!("{path}/verification"), |told| {
            told["checks"].as_array().is_some_and(|all| all.len() > 1)
        })
        .await;
    for check in told["checks"].as_array().expect("checks") {
        assert_eq!((&check["result"], &check["means"]), (&json!("MATCH"), &json!("FETCHED")), "{told}");
    }
    let wrong = installer(PART + 7);
    let upload = api.initiate_parts(&wrong, json!({})).await;
    for (number, part) in (1..).zip(other(&wrong).chunks(PART)) {
        assert_eq!(api.put_part(&upload, number, part).await.status, 200);
    }
    api.complete(&upload).await.ok(202);
    let failed = api.get_until(&self::path(&upload), |upload| upload["state"] != "COMPLETING").await;
    assert!(text(&failed, "reason").starts_with("CHECKSUM_MISMATCH"), "{failed}");
}

async fn kill_9_between_slices_goes_on_from_the_last_slice(store: Store) {
    let World { api, mut server, bucket: _bucket } =
        World::new(store, true, "uploads: { slice_bytes: 1048576 }\n").await;
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
    assert!(
        looked["state"] == "COMPLETED" || looked["verified_bytes"].as_u64() >= Some(seen),
        "{seen}: {looked}"
    );
    assert_eq!(api.completed(&upload).await["sha256"], sha256(&bytes));
    let told = api.audit(text(&upload, "upload_id")).await;
    assert_eq!(told.iter().filter(|event| event["type"] == "upload.completed").count(), 1);
}

mod minio {
    use super::Store;

    #[tokio::test]
    async fn the_documented_put_becomes_an_artifact() {
        super::the_documented_put_becomes_an_artifact(Store::Minio).await;
    }

    #[tokio::test]
    async fn other_bytes_and_another_size_never_become_one() {
        super::other_bytes_and_another_size_never_become_one(Store::Minio).await;
    }

    #[tokio::test]
    async fn a_second_put_never_changes_what_is_served() {
        super::a_second_put_never_changes_what_is_served(Store::Minio).await;
    }

    #[tokio::test]
    async fn puts_while_it_is_completed_never_change_what_is_served() {
        super::puts_while_it_is_completed_never_change_what_is_served(Store::Minio).await;
    }

    #[tokio::test]
    async fn the_locked_door_takes_the_declared_bytes_alone_and_needs_no_copy() {
        super::the_locked_door_takes_the_declared_bytes_alone_and_needs_no_copy(Store::Minio).await;
    }

    #[tokio::test]
    async fn parts_become_an_artifact_that_can_be_checked_again() {
        super::parts_become_an_artifact_that_can_be_checked_again(Store::Minio).await;
    }

    #[tokio::test]
    async fn kill_9_between_slices_goes_on_from_the_last_slice() {
        super::kill_9_between_slices_goes_on_from_the_last_slice(Store::Minio).await;
    }
}

/// Without versions, which Garage does not keep.
mod garage {
    use super::Store;

    #[tokio::test]
    async fn the_documented_put_becomes_an_artifact() {
        super::the_documented_put_becomes_an_artifact(Store::Garage).await;
    }

    #[tokio::test]
    async fn other_bytes_and_another_size_never_become_one() {
        super::other_bytes_and_another_size_never_become_one(Store::Garage).await;
    }

    #[tokio::test]
    async fn a_second_put_never_changes_what_is_served() {
        super::a_second_put_never_changes_what_is_served(Store::Garage).await;
    }

    #[tokio::test]
    async fn puts_while_it_is_completed_never_change_what_is_served() {
        super::puts_while_it_is_completed_never_change_what_is_served(Store::Garage).await;
    }

    #[tokio::test]
    async fn the_locked_door_takes_the_declared_bytes_alone_and_needs_no_copy() {
        super::the_locked_door_takes_the_declared_bytes_alone_and_needs_no_copy(Store::Garage).await;
    }

    #[tokio::test]
    async fn parts_become_an_artifact_that_can_be_checked_again() {
        super::parts_become_an_artifact_that_can_be_checked_again(Store::Garage).await;
    }

    #[tokio::test]
    async fn kill_9_between_slices_goes_on_from_the_last_slice() {
        super::kill_9_between_slices_goes_on_from_the_last_slice(Store::Garage).await;
    }
}

mod s3 {
    use super::Store;

    #[tokio::test]
    async fn the_documented_put_becomes_an_artifact() {
        super::the_documented_put_becomes_an_artifact(Store::S3).await;
    }

    #[tokio::test]
    async fn other_bytes_and_another_size_never_become_one() {
        super::other_bytes_and_another_size_never_become_one(Store::S3).await;
    }

    #[tokio::test]
    async fn a_second_put_never_changes_what_is_served() {
        super::a_second_put_never_changes_what_is_served(Store::S3).await;
    }

    #[tokio::test]
    async fn puts_while_it_is_completed_never_change_what_is_served() {
        super::puts_while_it_is_completed_never_change_what_is_served(Store::S3).await;
    }

    #[tokio::test]
    async fn the_locked_door_takes_the_declared_bytes_alone_and_needs_no_copy() {
        super::the_locked_door_takes_the_declared_bytes_alone_and_needs_no_copy(Store::S3).await;
    }

    #[tokio::test]
    async fn parts_become_an_artifact_that_can_be_checked_again() {
        super::parts_become_an_artifact_that_can_be_checked_again(Store::S3).await;
    }

    #[tokio::test]
    async fn kill_9_between_slices_goes_on_from_the_last_slice() {
        super::kill_9_between_slices_goes_on_from_the_last_slice(Store::S3).await;
    }
}
