//! What the store promises in Google's own way.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{StreamExt as _, TryStreamExt as _, future::join_all};
use shared::{
    contract::objects::{CONTENT, torn, upload},
    domain::{
        ids::UploadId,
        multipart::{Begun, Multipart},
        upload::ObjectKey,
    },
    ports::{
        large_objects::{Held, Large, LargeObjects as _, PartsGrant, WantedPart},
        objects::{DownloadRequest, ObjectError, ObjectStat, Objects as _},
    },
};

use crate::{
    wire::{Request, bytes_at, get},
    world::{World, now},
};

fn of(key: ObjectKey) -> DownloadRequest {
    DownloadRequest { key, version: None, file_name: None, content_type: None, now: now(), range: None }
}

async fn put(world: &World, content: &[u8]) {
    let doors = world.doors(upload(1), content).await;
    assert_eq!(Request::new(&doors.upload_url, content.len()).send(content).await.status, 200);
}

async fn assert_nothing(world: &World, key: ObjectKey) {
    let found = world.objects.stat(&key).await;
    assert!(matches!(found, Err(ObjectError::NotFound(_))), "{key}: {found:?}");
}

async fn read(world: &World, key: ObjectKey, stat: &ObjectStat, from: u64) -> Vec<u8> {
    let bytes = world.objects.read(&key, stat.version.as_deref(), from).await.unwrap();
    bytes.try_collect::<Vec<_>>().await.unwrap().concat()
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_torn_upload_is_not_found() {
    let world = World::new().await;
    let doors = world.doors(upload(1), CONTENT).await;
    for sent in [0, 1, CONTENT.len() - 1] {
        let request = Request::new(&doors.upload_url, CONTENT.len());
        assert!(request.send_stream(torn(&CONTENT[..sent])).await.torn);
        assert_nothing(&world, ObjectKey::Staging(upload(1))).await;
    }
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_second_put_reaches_no_copy() {
    let world = World::new().await;
    let copy = ObjectKey::Copied(upload(1));
    put(&world, CONTENT).await;
    let first = world.objects.promote(upload(1)).await.unwrap();
    let other = CONTENT.to_ascii_uppercase();
    put(&world, &other).await;
    assert_eq!(world.objects.promote(upload(1)).await.unwrap(), first);
    assert_eq!(read(&world, copy, &first, 0).await, CONTENT);
    assert_eq!(bytes_at(&world.download(&of(ObjectKey::Staging(upload(1)))).await).await, other);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn puts_and_promotes_at_once_give_one_whole_copy() {
    let world = World::new().await;
    put(&world, CONTENT).await;
    let other = CONTENT.to_ascii_uppercase();
    let (puts, promotes) = tokio::join!(
        join_all((0..8).map(|_| put(&world, &other))),
        join_all((0..8).map(|_| world.objects.promote(upload(1))))
    );
    assert_eq!(puts.len(), 8);
    // A generation that was replaced under the hands of all of them is no copy: then nothing was made, and that is said.
    let made: Vec<_> = promotes.into_iter().flatten().collect();
    let last = world.objects.promote(upload(1)).await.unwrap();
    assert!(made.iter().all(|stat| *stat == last), "{made:?}");
    let bytes = read(&world, ObjectKey::Copied(upload(1)), &last, 0).await;
    assert!(bytes == CONTENT || bytes == other);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn promote_without_staging_finds_nothing() {
    let world = World::new().await;
    let outcome = world.objects.promote(upload(1)).await;
    assert!(matches!(outcome, Err(ObjectError::NotFound(ObjectKey::Staging(_)))), "{outcome:?}");
    assert_nothing(&world, ObjectKey::Copied(upload(1))).await;
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn staging_and_copy_have_generations_and_no_digest() {
    let world = World::new().await;
    put(&world, CONTENT).await;
    let staged = world.objects.stat(&ObjectKey::Staging(upload(1))).await.unwrap();
    let copy = world.objects.promote(upload(1)).await.unwrap();
    assert_eq!((staged.size_bytes, staged.sha256, copy.size_bytes, copy.sha256), (25, None, 25, None));
    assert!(staged.version.is_some() && copy.version.is_some() && staged.version != copy.version);
    assert_eq!(world.objects.stat(&ObjectKey::Copied(upload(1))).await.unwrap(), copy);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_url_ends_when_it_says() {
    let world = World::new().await;
    for (ago, status) in [(901_000, 400), (900_000, 400), (870_000, 200)] {
        let doors = world.doors_at(now() - ago, upload(1), CONTENT).await;
        assert_eq!(doors.expires_at, now() - ago + 900_000);
        let answer = Request::new(&doors.upload_url, CONTENT.len()).send(CONTENT).await;
        assert_eq!(answer.status, status, "{ago}: {answer:?}");
        if status == 400 {
            assert_nothing(&world, ObjectKey::Staging(upload(1))).await;
        }
    }
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn every_changed_value_of_the_query_is_refused() {
    let world = World::new().await;
    let url = world.doors(upload(1), CONTENT).await.upload_url;
    let (path, query) = url.split_once('?').unwrap();
    let pairs: Vec<&str> = query.split('&').collect();
    for at in 0..pairs.len() {
        let (name, value) = pairs[at].split_once('=').unwrap();
        for place in [0, value.len() / 2, value.len() - 1] {
            let digit = if value[place..].starts_with('7') { "8" } else { "7" };
            let changed = format!("{name}={}{digit}{}", &value[..place], &value[place + 1..]);
            let mut other: Vec<String> = pairs.iter().map(|pair| (*pair).to_owned()).collect();
            other[at] = changed;
            let answer =
                Request::new(&format!("{path}?{}", other.join("&")), CONTENT.len()).send(CONTENT).await;
            assert!([400, 403].contains(&answer.status), "{other:?}: {answer:?}");
        }
    }
    assert_nothing(&world, ObjectKey::Staging(upload(1))).await;
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn every_added_or_missing_parameter_is_refused() {
    let world = World::new().await;
    let url = world.doors(upload(1), CONTENT).await.upload_url;
    let (path, query) = url.split_once('?').unwrap();
    let pairs: Vec<&str> = query.split('&').collect();
    let mut queries = vec![String::new(), query.replace('&', ";")];
    for at in 0..pairs.len() {
        let mut fewer = pairs.clone();
        fewer.remove(at);
        queries.push(fewer.join("&"));
        for added in ["x=y", "X-Goog-Expires=604800", pairs[at]] {
            let mut more = pairs.clone();
            more.insert(at, added);
            queries.push(more.join("&"));
        }
    }
    for query in queries {
        let answer = Request::new(&format!("{path}?{query}"), CONTENT.len()).send(CONTENT).await;
        assert!([400, 403].contains(&answer.status), "{query}: {answer:?}");
    }
    assert_nothing(&world, ObjectKey::Staging(upload(1))).await;
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_large_object_comes_back_whole() {
    let world = World::new().await;
    let content: Vec<u8> =
        (0..5_000_011_u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    put(&world, &content).await;
    let copy = world.objects.promote(upload(1)).await.unwrap();
    let key = ObjectKey::Copied(upload(1));
    assert!(read(&world, key, &copy, 0).await == content);
    let request = DownloadRequest { version: copy.version, ..of(key) };
    assert!(bytes_at(&world.download(&request).await).await == content);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_download_is_of_the_proved_generation_whatever_comes_after_it() {
    for versions in [true, false] {
        let world = World::with_versions(versions).await;
        let key = ObjectKey::Staging(upload(1));
        put(&world, CONTENT).await;
        let stat = world.objects.stat(&key).await.unwrap();
        put(&world, b"something else in its place").await;
        let url = world.download(&DownloadRequest { version: stat.version.clone(), ..of(key) }).await;
        let kept = world.objects.read(&key, stat.version.as_deref(), 0).await;
        if versions {
            assert_eq!(bytes_at(&url).await, CONTENT);
            assert_eq!(kept.unwrap().try_collect::<Vec<_>>().await.unwrap().concat(), CONTENT);
        } else {
            assert_eq!(get(&url, None).await.status(), 404);
            assert!(matches!(kept.err(), Some(ObjectError::NotFound(_))));
        }
    }
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_download_is_an_attachment_of_the_registered_type_whatever_the_uploader_said() {
    let world = World::new().await;
    let doors = world.doors(upload(1), CONTENT).await;
    let page = Request::new(&doors.upload_url, CONTENT.len())
        .header("Content-Type", "text/html")
        .header("Content-Encoding", "gzip")
        .header("Cache-Control", "public, max-age=31536000");
    assert_eq!(page.send(CONTENT).await.status, 200);
    let copy = world.objects.promote(upload(1)).await.unwrap();
    let key = ObjectKey::Copied(upload(1));
    let named =
        DownloadRequest { file_name: Some("Setup 1.0.msi".to_owned()), version: copy.version, ..of(key) };
    let response = get(&world.download(&named).await, Some((4, 8))).await;
    let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(response.status(), 206);
    assert_eq!(header("content-range").as_deref(), Some("bytes 4-8/25"));
    assert_eq!(header("content-type").as_deref(), Some("application/octet-stream"));
    assert_eq!(header("content-disposition").as_deref(), Some("attachment; filename=\"Setup 1.0.msi\""));
    assert_eq!((header("content-encoding"), header("cache-control")), (None, None));
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_download_url_ends() {
    let world = World::new().await;
    let key = ObjectKey::Staging(upload(1));
    put(&world, CONTENT).await;
    let url = world.download(&DownloadRequest { now: now() - 301_000, ..of(key) }).await;
    assert_eq!(get(&url, None).await.status(), 400);
    let url = world.download(&DownloadRequest { now: now() - 270_000, ..of(key) }).await;
    assert_eq!(get(&url, None).await.status(), 200);
}

/// An upload in seventy parts of two bytes: more than one composition takes.
fn seventy(id: UploadId) -> Large {
    let begun = Begun { store_id: String::new(), checksums: false };
    let cut = Multipart { part_size_bytes: 2, part_count: 70, begun: Some(begun.clone()) };
    Large { upload_id: id, size_bytes: 139, cut, begun }
}

async fn put_parts(world: &World, large: &Large, content: &[u8]) {
    let wanted = |(part_number, bytes): (u32, &[u8])| WantedPart {
        part_number,
        size_bytes: bytes.len() as u64,
        sha256: None,
    };
    let parts = (1..).zip(content.chunks(2)).map(wanted).collect();
    let grant = PartsGrant { large: large.clone(), parts, now: now(), expires_in: Duration::from_secs(900) };
    let doors = world.objects.presign_parts(&grant).await.unwrap().parts;
    for (door, bytes) in doors.iter().zip(content.chunks(2)) {
        assert_eq!(door.headers, BTreeMap::new());
        assert_eq!(Request::new(&door.url, bytes.len()).send(bytes).await.status, 200);
    }
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn seventy_parts_are_composed_in_their_order_and_leave_nothing_behind() {
    let world = World::new().await;
    let large = seventy(upload(1));
    let content: Vec<u8> = (0..139).collect();
    put_parts(&world, &large, &content).await;
    let all = join_all((0..3).map(|_| world.objects.assemble(&large))).await;
    assert!(all.iter().any(Result::is_ok), "{all:?}");
    let Held::Whole(stat) = world.objects.assemble(&large).await.unwrap() else { panic!("it is not whole") };
    assert!(read(&world, ObjectKey::Whole(upload(1)), &stat, 0).await == content);
    world.objects.abort(upload(1), "").await.unwrap();
    let listed = format!("{}/storage/v1/b/{}/o", world.endpoint, world.bucket);
    let listed = world.http.get(listed).headers(world.headers().await).send().await.unwrap();
    let listed: serde_json::Value = serde_json::from_slice(&listed.bytes().await.unwrap()).unwrap();
    let names: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| &item["name"]).collect();
    assert_eq!(names, [&ObjectKey::Whole(upload(1)).to_string()]);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_part_that_was_put_again_in_between_is_composed_as_it_was_listed_or_not_at_all() {
    let world = World::new().await;
    let large = seventy(upload(1));
    let (first, second): (Vec<u8>, Vec<u8>) = ((0..139).collect(), (100..239).collect());
    put_parts(&world, &large, &first).await;
    let (outcome, ()) = tokio::join!(world.objects.assemble(&large), put_parts(&world, &large, &second));
    // Where a listed generation was gone, nothing was made, and the next one lists again.
    assert!(matches!(outcome, Ok(Held::Whole(_)) | Err(ObjectError::Unavailable(_))), "{outcome:?}");
    let Held::Whole(stat) = world.objects.assemble(&large).await.unwrap() else { panic!("it is not whole") };
    let whole = read(&world, ObjectKey::Whole(upload(1)), &stat, 0).await;
    for (at, byte) in whole.iter().enumerate() {
        assert!(*byte == first[at] || *byte == second[at], "{at}");
    }
    assert_eq!(whole.len(), 139);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn after_the_last_byte_there_is_nothing_to_read() {
    let world = World::new().await;
    put(&world, CONTENT).await;
    let key = ObjectKey::Staging(upload(1));
    let stat = world.objects.stat(&key).await.unwrap();
    assert_eq!(read(&world, key, &stat, 24).await, &CONTENT[24..]);
    let mut rest = world.objects.read(&key, stat.version.as_deref(), 25).await.unwrap();
    assert!(rest.next().await.is_none());
}
