//! What S3 keeps in its own way: its clock, its versions, its headers.

use std::time::Duration;

use aws_sdk_s3::types::{ChecksumAlgorithm, ChecksumType, CompletedMultipartUpload, CompletedPart};
use futures_util::{StreamExt as _, future::join_all, stream};
use shared::{
    contract::objects::{CONTENT, digest, torn, upload},
    domain::upload::ObjectKey,
    ports::objects::{DownloadRequest, LockedDoor, ObjectError, Objects as _, UploadDoors},
};

use crate::{
    wire::{Request, bytes_at, get},
    world::{World, now},
};

fn locked(doors: &UploadDoors) -> &LockedDoor {
    doors.checksum_locked.as_ref().unwrap()
}

fn put_locked(doors: &UploadDoors) -> Request {
    Request::new(&locked(doors).url, CONTENT.len()).headers(&locked(doors).headers)
}

fn put_bare(doors: &UploadDoors) -> Request {
    Request::new(&doors.upload_url, CONTENT.len()).header("Content-Type", "application/octet-stream")
}

fn of(key: ObjectKey) -> DownloadRequest {
    DownloadRequest { key, version: None, file_name: None, content_type: None, now: now(), range: None }
}

async fn assert_nothing(world: &World, key: ObjectKey) {
    let found = world.objects.stat(&key).await;
    assert!(matches!(found, Err(ObjectError::NotFound(missing)) if missing == key), "{found:?}");
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_torn_upload_is_not_found() {
    let world = World::new().await;
    let doors = world.doors(upload(1), CONTENT).await;
    for request in [put_bare(&doors), put_locked(&doors)] {
        for sent in [0, 1, CONTENT.len() - 1] {
            assert!(request.send_stream(torn(&CONTENT[..sent])).await.torn);
        }
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_nothing(&world, ObjectKey::Staging(upload(1))).await;
    assert_nothing(&world, ObjectKey::Locked(upload(1))).await;
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_url_ends_when_it_says() {
    let world = World::new().await;
    let doors = world.doors_at(now() - 890_000, upload(1), CONTENT).await;
    assert!((8_000..=10_000).contains(&(doors.expires_at - now())));
    assert_eq!(put_bare(&doors).send(CONTENT).await.status, 200);
    assert_eq!(put_locked(&doors).send(CONTENT).await.status, 200);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn an_expired_url_is_refused() {
    let world = World::new().await;
    let doors = world.doors_at(now() - 901_000, upload(1), CONTENT).await;
    for request in [put_bare(&doors), put_locked(&doors)] {
        assert_eq!(request.send(CONTENT).await.status, 403);
    }
    assert_nothing(&world, ObjectKey::Staging(upload(1))).await;
    assert_nothing(&world, ObjectKey::Locked(upload(1))).await;
}

/// The query with each letter and digit of each value changed in turn.
fn changed(query: &str) -> Vec<String> {
    let mut changed = Vec::new();
    let (mut in_value, mut escaped) = (false, 0);
    for (at, old) in query.char_indices() {
        in_value = if old == '=' { true } else { in_value && old != '&' };
        escaped = if old == '%' { 3_u8 } else { escaped.saturating_sub(1) };
        if in_value && escaped == 0 && old.is_ascii_alphanumeric() {
            let new = if old == '0' { '1' } else { '0' };
            changed
                .push(query.char_indices().map(|(here, kept)| if here == at { new } else { kept }).collect());
        }
    }
    changed
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn every_changed_value_of_the_query_is_refused() {
    let world = World::new().await;
    let doors = world.doors(upload(1), CONTENT).await;
    for request in [put_bare(&doors), put_locked(&doors)] {
        let (path, query) = request.url.split_once('?').unwrap();
        let changed = changed(query);
        assert!(changed.len() > 150);
        for query in changed {
            let answer = Request { url: format!("{path}?{query}"), ..request.clone() }.send(CONTENT).await;
            assert!([400, 403].contains(&answer.status), "{query}: {answer:?}");
        }
    }
    assert_nothing(&world, ObjectKey::Staging(upload(1))).await;
    assert_nothing(&world, ObjectKey::Locked(upload(1))).await;
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn every_added_or_missing_parameter_is_refused() {
    let world = World::new().await;
    let doors = world.doors(upload(1), CONTENT).await;
    for request in [put_bare(&doors), put_locked(&doors)] {
        let (path, query) = request.url.split_once('?').unwrap();
        let pairs: Vec<&str> = query.split('&').collect();
        let fewer = (0..pairs.len()).map(|at| [&pairs[..at], &pairs[at + 1..]].concat().join("&"));
        let more = (0..=pairs.len()).map(|at| [&pairs[..at], &["x=y"], &pairs[at..]].concat().join("&"));
        for query in fewer.chain(more) {
            let answer = Request { url: format!("{path}?{query}"), ..request.clone() }.send(CONTENT).await;
            assert!([400, 403].contains(&answer.status), "{query}: {answer:?}");
        }
    }
    assert_nothing(&world, ObjectKey::Staging(upload(1))).await;
    assert_nothing(&world, ObjectKey::Locked(upload(1))).await;
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_second_put_changes_nothing() {
    let world = World::new().await;
    let doors = world.doors(upload(1), CONTENT).await;
    let (staging, safe) = (ObjectKey::Staging(upload(1)), ObjectKey::Locked(upload(1)));
    for (request, key) in [(put_bare(&doors), staging), (put_locked(&doors), safe)] {
        assert_eq!(request.send(CONTENT).await.status, 200);
        let first = world.objects.stat(&key).await.unwrap();
        assert_eq!(request.send(CONTENT).await.status, 412);
        let other = request.send(&CONTENT.to_ascii_uppercase()).await;
        assert!([400, 412].contains(&other.status), "{other:?}");
        assert!(request.send_stream(torn(&CONTENT[..7])).await.torn);
        assert_eq!(world.objects.stat(&key).await.unwrap(), first);
        assert_eq!(bytes_at(&world.download(&of(key)).await).await, CONTENT);
    }
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_large_object_comes_back_whole() {
    let world = World::new().await;
    let content: Vec<u8> =
        (0..5_000_011_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    let doors = world.doors(upload(1), &content).await;
    let put = Request::new(&locked(&doors).url, content.len()).headers(&locked(&doors).headers);
    assert_eq!(put.send(&content).await.status, 200);
    assert!(bytes_at(&world.download(&of(ObjectKey::Locked(upload(1)))).await).await == content);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn two_puts_at_once_through_the_locked_door_keep_exactly_one() {
    let world = World::new().await;
    let doors = world.doors(upload(1), CONTENT).await;
    let answers = join_all((0..8).map(|_| async { put_locked(&doors).send(CONTENT).await.status })).await;
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 1, "{answers:?}");
    assert!(answers.iter().all(|status| [200, 409, 412].contains(status)), "{answers:?}");
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_body_of_unknown_length_is_refused_at_the_locked_door_too() {
    let world = World::new().await;
    let doors = world.doors(upload(1), CONTENT).await;
    let chunked = Request { content_length: None, ..put_locked(&doors) };
    let sent = chunked.send_stream(stream::iter([Ok(CONTENT.into())]).boxed()).await;
    assert!([403, 411].contains(&sent.answer.unwrap().status));
    assert_nothing(&world, ObjectKey::Locked(upload(1))).await;
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn staging_has_no_digest_but_a_version_and_the_copy_has_both() {
    let world = World::new().await;
    put_bare(&world.doors(upload(1), CONTENT).await).send(CONTENT).await;
    let staged = world.objects.stat(&ObjectKey::Staging(upload(1))).await.unwrap();
    assert_eq!((staged.size_bytes, staged.sha256), (25, None));
    assert!(staged.version.is_some());
    let copy = world.objects.promote(upload(1)).await.unwrap();
    assert_eq!((copy.size_bytes, copy.sha256), (25, Some(digest(CONTENT))));
    assert!(copy.version.is_some() && copy.version != staged.version);
    assert_eq!(world.objects.promote(upload(1)).await.unwrap(), copy);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_download_is_of_the_proved_version_whatever_comes_after_it() {
    let world = World::new().await;
    let key = ObjectKey::Locked(upload(1));
    put_locked(&world.doors(upload(1), CONTENT).await).send(CONTENT).await;
    let version = world.objects.stat(&key).await.unwrap().version;
    let other = b"something else in its place".as_slice();
    world.objects.delete(&key).await.unwrap();
    let put = world.client.put_object().bucket(&world.bucket).key(key.to_string());
    put.body(other.to_vec().into()).send().await.unwrap();
    assert_eq!(bytes_at(&world.download(&DownloadRequest { version, ..of(key) }).await).await, CONTENT);
    assert_eq!(bytes_at(&world.download(&of(key)).await).await, other);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_download_is_an_attachment_of_the_registered_type_whatever_the_uploader_said() {
    let world = World::new().await;
    let doors = world.doors(upload(1), CONTENT).await;
    let page = Request::new(&doors.upload_url, CONTENT.len())
        .header("Content-Type", "text/html")
        .header("Content-Encoding", "gzip");
    assert_eq!(page.send(CONTENT).await.status, 200);
    world.objects.promote(upload(1)).await.unwrap();
    let gzip = put_locked(&doors).header("Content-Encoding", "gzip").header("Content-Type", "text/html");
    assert_eq!(gzip.send(CONTENT).await.status, 200);
    for key in [ObjectKey::Copied(upload(1)), ObjectKey::Locked(upload(1))] {
        let named = DownloadRequest { file_name: Some("Setup 1.0.msi".to_owned()), ..of(key) };
        let response = get(&world.download(&named).await, Some((4, 8))).await;
        let header =
            |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(response.status(), 206);
        assert_eq!(header("content-range").as_deref(), Some("bytes 4-8/25"));
        assert_eq!(header("content-type").as_deref(), Some("application/octet-stream"));
        assert_eq!(header("content-disposition").as_deref(), Some("attachment; filename=\"Setup 1.0.msi\""));
        assert_ne!(header("content-encoding").as_deref(), Some("gzip"));
    }
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn a_download_url_ends() {
    let world = World::new().await;
    let key = ObjectKey::Locked(upload(1));
    put_locked(&world.doors(upload(1), CONTENT).await).send(CONTENT).await;
    let url = world.download(&DownloadRequest { now: now() - 301_000, ..of(key) }).await;
    assert_eq!(get(&url, None).await.status(), 403);
    let url = world.download(&DownloadRequest { now: now() - 290_000, ..of(key) }).await;
    assert_eq!(get(&url, None).await.status(), 200);
}

#[tokio::test]
#[ignore = "needs S3: set BP_TEST_S3"]
async fn the_composite_digest_of_a_multipart_upload_proves_nothing() {
    let world = World::new().await;
    let key = ObjectKey::Staging(upload(1));
    let (bucket, name) = (&world.bucket, key.to_string());
    let began = world.client.create_multipart_upload().bucket(bucket).key(&name);
    let began = began.checksum_algorithm(ChecksumAlgorithm::Sha256).checksum_type(ChecksumType::Composite);
    let id = began.send().await.unwrap().upload_id.unwrap();
    let part = world.client.upload_part().bucket(bucket).key(&name).upload_id(&id).part_number(1);
    let part = part
        .checksum_algorithm(ChecksumAlgorithm::Sha256)
        .body(CONTENT.to_vec().into())
        .send()
        .await
        .unwrap();
    let done = CompletedPart::builder()
        .part_number(1)
        .set_e_tag(part.e_tag)
        .set_checksum_sha256(part.checksum_sha256);
    let parts = CompletedMultipartUpload::builder().parts(done.build()).build();
    let end = world.client.complete_multipart_upload().bucket(bucket).key(&name).upload_id(&id);
    end.multipart_upload(parts).send().await.unwrap();
    assert_eq!(world.objects.stat(&key).await.unwrap().sha256, None);
    assert_eq!(world.objects.promote(upload(1)).await.unwrap().sha256, Some(digest(CONTENT)));
}
