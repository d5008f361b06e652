//! Does the server refuse what S3 refuses, and compute what S3 computes? Asked of it with the SDK alone, without our
//! adapter. A server that fails here shows nothing about the adapter.

use std::time::Duration;

use aws_sdk_s3::{
    operation::put_object::builders::PutObjectFluentBuilder,
    presigning::{PresignedRequest, PresigningConfig},
    primitives::ByteStream,
    types::{ChecksumAlgorithm, ChecksumMode, ChecksumType},
};
use shared::contract::objects::{CONTENT, checksum};

use crate::{
    wire::{Answer, Request, get},
    world::{World, now},
};

const OTHER: &[u8] = b"THE BYTES OF AN INSTALLER";

fn put(world: &World) -> PutObjectFluentBuilder {
    let put = world.client.put_object().bucket(&world.bucket).key("key").if_none_match("*");
    put.content_length(25).checksum_sha256(checksum(CONTENT))
}

/// Signed this long ago for a minute.
async fn signed(put: PutObjectFluentBuilder, ago: Duration) -> PresignedRequest {
    let now = Duration::from_millis(now().unsigned_abs());
    let time = PresigningConfig::builder().start_time(std::time::UNIX_EPOCH + now - ago);
    put.presigned(time.expires_in(Duration::from_secs(60)).build().unwrap()).await.unwrap()
}

async fn send(request: &PresignedRequest, url: &str, without: &str, content: &[u8]) -> Answer {
    let given = request.headers().filter(|(name, _)| ![without, "content-length", "host"].contains(name));
    let plain = Request::new(url, content.len());
    given.fold(plain, |plain, (name, value)| plain.header(name, value)).send(content).await
}

async fn is_empty(world: &World) -> bool {
    let head = world.client.head_object().bucket(&world.bucket).key("key").send().await;
    head.is_err_and(|error| error.raw_response().is_some_and(|answer| answer.status().as_u16() == 404))
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn what_is_signed_is_taken_once() {
    let world = World::new().await;
    let request = signed(put(&world), Duration::ZERO).await;
    assert_eq!(send(&request, request.uri(), "", CONTENT).await.status, 200);
    assert_eq!(send(&request, request.uri(), "", CONTENT).await.status, 412);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_condition_in_the_query_is_a_condition() {
    let world = World::new().await;
    let put = world.client.put_object().bucket(&world.bucket).key("key").content_length(25);
    let put = put.customize().mutate_request(|request| {
        let uri = format!("{}&If-None-Match=%2A", request.uri());
        request.set_uri(uri).unwrap();
    });
    let minute = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let request = put.presigned(minute).await.unwrap();
    assert_eq!(send(&request, request.uri(), "", CONTENT).await.status, 200);
    assert_eq!(send(&request, request.uri(), "", OTHER).await.status, 412);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_changed_signature_is_refused() {
    let world = World::new().await;
    let request = signed(put(&world), Duration::ZERO).await;
    let (head, signature) = request.uri().split_once("X-Amz-Signature=").unwrap();
    let turned: String = signature.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect();
    for url in [
        format!("{head}X-Amz-Signature={turned}"),
        request.uri().replace("X-Amz-Expires=60", "X-Amz-Expires=90"),
        request.uri().replace("/key?", "/other?"),
    ] {
        assert_ne!(url, request.uri());
        assert_eq!(send(&request, &url, "", CONTENT).await.status, 403, "{url}");
    }
    assert!(is_empty(&world).await);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn an_expired_url_is_refused() {
    let world = World::new().await;
    let request = signed(put(&world), Duration::from_secs(61)).await;
    assert_eq!(send(&request, request.uri(), "", CONTENT).await.status, 403);
    let request = signed(put(&world), Duration::from_secs(30)).await;
    assert_eq!(send(&request, request.uri(), "", CONTENT).await.status, 200);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_signed_header_must_be_sent() {
    let world = World::new().await;
    let request = signed(put(&world), Duration::ZERO).await;
    for header in ["x-amz-checksum-sha256", "if-none-match"] {
        assert_eq!(send(&request, request.uri(), header, CONTENT).await.status, 403, "{header}");
    }
    assert_eq!(send(&request, request.uri(), "", &CONTENT[1..]).await.status, 403);
    assert!(is_empty(&world).await);
}

/// S3 says 403, which is asked above; here any refusal will do.
#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn without_a_signed_header_nothing_is_kept() {
    let world = World::new().await;
    let request = signed(put(&world), Duration::ZERO).await;
    for header in ["x-amz-checksum-sha256", "if-none-match"] {
        let answer = send(&request, request.uri(), header, CONTENT).await;
        assert!((400..500).contains(&answer.status), "{header}: {answer:?}");
    }
    assert!(is_empty(&world).await);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn other_bytes_than_the_signed_checksum_are_refused_and_not_kept() {
    let world = World::new().await;
    let request = signed(put(&world), Duration::ZERO).await;
    assert_eq!(send(&request, request.uri(), "", OTHER).await.status, 400);
    assert!(is_empty(&world).await);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_copy_has_a_sha256() {
    let world = World::new().await;
    let bytes = ByteStream::from_static(CONTENT);
    world.client.put_object().bucket(&world.bucket).key("from").body(bytes).send().await.unwrap();
    let copy = world.client.copy_object().bucket(&world.bucket).key("key");
    let copy =
        copy.copy_source(format!("{}/from", world.bucket)).checksum_algorithm(ChecksumAlgorithm::Sha256);
    copy.send().await.unwrap();
    let head =
        world.client.head_object().bucket(&world.bucket).key("key").checksum_mode(ChecksumMode::Enabled);
    let head = head.send().await.unwrap();
    assert_eq!(head.checksum_sha256(), Some(checksum(CONTENT).as_str()));
    assert_eq!(head.checksum_type(), Some(&ChecksumType::FullObject));
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_copy_is_not_made_of_another_etag() {
    let world = World::new().await;
    let bytes = ByteStream::from_static(CONTENT);
    world.client.put_object().bucket(&world.bucket).key("from").body(bytes).send().await.unwrap();
    let copy = world.client.copy_object().bucket(&world.bucket).key("key").copy_source_if_match("\"other\"");
    let refused = copy.copy_source(format!("{}/from", world.bucket)).send().await.unwrap_err();
    assert_eq!(refused.raw_response().unwrap().status().as_u16(), 412);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_version_stays_when_the_key_is_used_again() {
    let world = World::new().await;
    let bytes = ByteStream::from_static(CONTENT);
    let first = world.client.put_object().bucket(&world.bucket).key("key").body(bytes).send().await.unwrap();
    world.client.delete_object().bucket(&world.bucket).key("key").send().await.unwrap();
    let bytes = ByteStream::from_static(OTHER);
    world.client.put_object().bucket(&world.bucket).key("key").body(bytes).send().await.unwrap();
    let one =
        world.client.get_object().bucket(&world.bucket).key("key").version_id(first.version_id().unwrap());
    assert_eq!(one.send().await.unwrap().body.collect().await.unwrap().to_vec(), CONTENT);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_changed_download_url_is_refused() {
    let world = World::new().await;
    let bytes = ByteStream::from_static(CONTENT);
    world.client.put_object().bucket(&world.bucket).key("key").body(bytes).send().await.unwrap();
    let request = world.client.get_object().bucket(&world.bucket).key("key");
    let minute = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let url = request.response_content_type("text/plain").presigned(minute).await.unwrap().uri().to_owned();
    assert_eq!(get(&url, None).await.status(), 200);
    assert_eq!(get(&url.replace("text%2Fplain", "text%2Fhtml"), None).await.status(), 403);
}
