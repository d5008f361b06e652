//! A server that does less than S3: what it lacks is found out, said once in the log, and done in another way.

use e2e::Server;
use e2e::bucket::{Bucket, Store, Taken, proxy};
use e2e::bytes::installer;
use e2e::story::text;
use serde_json::{Value, json};

use super::{other, path};

/// A service over `MinIO`, from whose answers or requests these headers are taken.
async fn service(asked: &'static str, told: &'static str) -> (Bucket, Server) {
    let bucket = Bucket::new(Store::Minio, true).await;
    let endpoint = proxy(bucket.endpoint(), Taken { asked, told }).await;
    let server = Server::start_with(&bucket.configuration_at(&endpoint));
    (bucket, server)
}

fn said(server: &Server, what: &str) -> usize {
    server.log().lines().filter(|line| line.contains("does less than S3") && line.contains(what)).count()
}

fn proved(artifact: &Value) -> (&str, &str) {
    (text(artifact, "state"), text(artifact, "verification"))
}

mod minio {
    use super::*;

    #[tokio::test]
    async fn where_no_digest_is_told_copies_are_read_and_that_is_logged_once() {
        let (_bucket, server) = service("", "x-amz-checksum").await;
        let api = server.admin();
        for size in [70_000, 80_000] {
            let bytes = installer(size);
            let upload = api.initiate(&bytes, json!({})).await;
            assert_eq!(api.put_bare(&upload, &bytes).await.status, 200);
            let artifact = api.complete(&upload).await.ok(200);
            assert_eq!(proved(&artifact), ("AVAILABLE", "FETCHED"));
            let got = server.anonymous().download(text(&artifact, "artifact_id")).await;
            assert!(got.body == bytes);
        }
        assert_eq!(said(&server, "computes no SHA-256"), 1, "{}", server.log());
        let bytes = installer(90_000);
        let upload = api.initiate(&bytes, json!({})).await;
        assert_eq!(api.put_bare(&upload, &other(&bytes)).await.status, 200);
        api.complete(&upload).await.refused(422, "CHECKSUM_MISMATCH");
        assert_eq!(api.get(&path(&upload)).await.ok(200)["state"], "FAILED");
    }

    #[tokio::test]
    async fn where_digests_are_compared_and_not_told_the_locked_door_is_offered_and_its_bytes_are_read() {
        let (_bucket, server) = service("", "x-amz-checksum").await;
        let api = server.admin();
        let bytes = installer(60_000);
        let upload = api.initiate(&bytes, json!({})).await;
        assert_eq!(api.put_locked(&upload, &other(&bytes)).await.status, 400);
        assert_eq!(api.put_locked(&upload, &bytes).await.status, 200);
        assert_eq!(proved(&api.complete(&upload).await.ok(200)), ("AVAILABLE", "FETCHED"));
    }

    #[tokio::test]
    async fn where_digests_do_not_arrive_there_is_no_locked_door_and_the_bare_one_works() {
        let (_bucket, server) = service("x-amz-checksum-sha256", "").await;
        let api = server.admin();
        for size in [50_000, 51_000] {
            let bytes = installer(size);
            let upload = api.initiate(&bytes, json!({})).await;
            assert!(upload["checksum_locked"].is_null(), "{upload}");
            assert_eq!(api.put_bare(&upload, &bytes).await.status, 200);
            assert_eq!(text(&api.complete(&upload).await.ok(200), "state"), "AVAILABLE");
        }
        assert_eq!(said(&server, "no checksum-locked door"), 1, "{}", server.log());
    }
}
