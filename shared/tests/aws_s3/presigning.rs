//! What the SDK really signs, read from the URLs: no server is needed.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, UNIX_EPOCH},
};

use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use aws_sdk_s3::{
    Client,
    config::{ConfigBag, Intercept, RuntimeComponents, interceptors::BeforeTransmitInterceptorContextMut},
    error::BoxError,
};
use shared::{
    adapters::objects::s3::S3Objects,
    contract::objects::{CONTENT, NOW, checksum, digest, grant, upload},
    domain::{
        digest::Sha256,
        multipart::{Begun, Multipart},
        upload::ObjectKey,
    },
    ports::{
        large_objects::{Large, LargeObjects as _, PartsGrant, WantedPart},
        objects::{Download, DownloadRequest, ObjectError, Objects as _, UploadDoors, UploadGrant},
    },
};
use url::Url;

use crate::world::{client, some_credentials, store};

const ENDPOINT: &str = "http://127.0.0.1:9";
/// `contract::objects::NOW`, as a signature has it.
const DATE: &str = "20231114T221320Z";

async fn doors(grant: &UploadGrant, credentials: &Credentials) -> Result<UploadDoors, ObjectError> {
    store(ENDPOINT, "bucket", credentials).presign_upload(grant).await
}

struct Signed {
    path: String,
    headers: BTreeSet<String>,
    query: BTreeMap<String, String>,
}

fn read(url: &str) -> Signed {
    let url = Url::parse(url).unwrap();
    let mut query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    assert_eq!(query.len(), url.query_pairs().count());
    let headers = query.remove("X-Amz-SignedHeaders").unwrap().split(';').map(str::to_owned).collect();
    Signed { path: url.path().to_owned(), headers, query }
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn the_bare_door_signs_length_and_write_once_and_asks_no_other_header_of_curl() {
    let doors = doors(&grant(upload(1), CONTENT), &some_credentials()).await.unwrap();
    let signed = read(&doors.upload_url);
    assert_eq!(signed.path, format!("/bucket/staging/{}", upload(1)));
    assert_eq!(signed.headers, set(&["content-length", "host"]));
    assert_eq!(signed.query["If-None-Match"], "*");
    assert_eq!(signed.query["X-Amz-Expires"], "900");
    assert_eq!(signed.query["X-Amz-Date"], DATE);
    assert!(signed.query.keys().all(|name| !name.to_lowercase().contains("checksum")), "{:?}", signed.query);
}

#[tokio::test]
async fn the_bare_door_signs_a_declared_media_type() {
    let mut grant = grant(upload(1), CONTENT);
    grant.content_type = Some("application/x-msi; version=\"1 & 2\"".to_owned());
    let doors = doors(&grant, &some_credentials()).await.unwrap();
    assert_eq!(read(&doors.upload_url).headers, set(&["content-length", "content-type", "host"]));
    let locked = read(&doors.checksum_locked.unwrap().url);
    assert!(!locked.headers.contains("content-type"));
}

#[tokio::test]
async fn the_locked_door_signs_digest_length_and_write_once_as_headers() {
    let doors = doors(&grant(upload(1), CONTENT), &some_credentials()).await.unwrap();
    let door = doors.checksum_locked.unwrap();
    let signed = read(&door.url);
    assert_eq!(signed.path, format!("/bucket/objects/{}/locked", upload(1)));
    assert_eq!(signed.headers, set(&["content-length", "host", "if-none-match", "x-amz-checksum-sha256"]));
    assert_eq!(signed.query["X-Amz-Expires"], "900");
    let sent = [("x-amz-checksum-sha256", checksum(CONTENT)), ("if-none-match", "*".to_owned())];
    assert_eq!(door.headers, sent.map(|(name, value)| (name.to_owned(), value)).into());
}

#[tokio::test]
async fn doors_of_nothing_and_of_five_gigabytes_sign_their_length_too() {
    for size_bytes in [0, 5 << 30] {
        let grant = UploadGrant { size_bytes, ..grant(upload(1), b"") };
        let doors = doors(&grant, &some_credentials()).await.unwrap();
        for url in [doors.upload_url, doors.checksum_locked.unwrap().url] {
            assert!(read(&url).headers.contains("content-length"));
        }
    }
    let grant = UploadGrant { size_bytes: u64::MAX, ..grant(upload(1), b"") };
    assert!(matches!(doors(&grant, &some_credentials()).await, Err(ObjectError::Unavailable(_))));
}

/// The credentials of a role, with a token, that end at this time or at none that is known.
fn part_grant(sha256: Option<Sha256>) -> PartsGrant {
    let begun = Begun { store_id: "the/upload+id=".to_owned(), checksums: sha256.is_some() };
    let cut = Multipart { begun: Some(begun.clone()), ..Multipart::cut(11 << 20, 5 << 20) };
    let large = Large { upload_id: upload(1), size_bytes: 11 << 20, cut, begun };
    let parts = [1, 3].map(|part_number| WantedPart { part_number, size_bytes: 1 << 20, sha256 }).to_vec();
    PartsGrant { large, parts, now: NOW, expires_in: Duration::from_secs(900) }
}

#[tokio::test]
async fn a_part_signs_its_number_its_length_and_its_digest_where_there_is_one() {
    let store = store(ENDPOINT, "bucket", &some_credentials());
    for sha256 in [None, Some(digest(CONTENT))] {
        let doors = store.presign_parts(&part_grant(sha256)).await.unwrap();
        assert_eq!(doors.expires_at, NOW + 900_000);
        for (door, number) in doors.parts.iter().zip(["1", "3"]) {
            let signed = read(&door.url);
            assert_eq!(signed.path, format!("/bucket/objects/{}/whole", upload(1)));
            assert_eq!(
                (door.part_number.to_string().as_str(), signed.query["partNumber"].as_str()),
                (number, number)
            );
            assert_eq!(signed.query["uploadId"], "the/upload+id=");
            assert_eq!(signed.query["X-Amz-Expires"], "900");
            let mut headers = set(&["content-length", "host"]);
            let mut told = BTreeMap::new();
            if sha256.is_some() {
                headers.insert("x-amz-checksum-sha256".to_owned());
                told.insert("x-amz-checksum-sha256".to_owned(), checksum(CONTENT));
            }
            assert_eq!((signed.headers, &door.headers), (headers, &told));
        }
    }
}

fn role(ends: Option<u64>) -> Credentials {
    let end = ends.map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds));
    Credentials::new("ASIAEXAMPLE", "secret", Some("the+session/token=".to_owned()), end, "test")
}

#[tokio::test]
async fn a_url_ends_no_later_than_the_credentials_and_says_so() {
    let mut grant = grant(upload(1), CONTENT);
    grant.expires_in = Duration::from_secs(86_400);
    for (ends, lifetime) in [(Some(1_700_000_060), 60), (Some(1_800_000_000), 86_400), (None, 900)] {
        let doors = doors(&grant, &role(ends)).await.unwrap();
        assert_eq!(doors.expires_at, (1_700_000_000 + lifetime) * 1000);
        for url in [&doors.upload_url, &doors.checksum_locked.unwrap().url] {
            let signed = read(url);
            assert_eq!(signed.query["X-Amz-Expires"], lifetime.to_string());
            assert_eq!(signed.query["X-Amz-Security-Token"], "the+session/token=");
        }
    }
    let ended = doors(&grant, &role(Some(1_700_000_000))).await;
    assert!(matches!(ended, Err(ObjectError::Unavailable(_))), "{ended:?}");
}

#[tokio::test]
async fn a_url_of_a_second_begins_and_ends_in_whole_seconds() {
    let mut grant = grant(upload(1), CONTENT);
    grant.now += 999;
    let doors = doors(&grant, &some_credentials()).await.unwrap();
    assert_eq!(doors.expires_at, 1_700_000_900_000);
    assert_eq!(read(&doors.upload_url).query["X-Amz-Date"], DATE);
}

#[tokio::test]
async fn a_download_signs_version_name_and_media_type_and_asks_no_header() {
    let request = DownloadRequest {
        key: ObjectKey::Copied(upload(1)),
        version: Some("3/L4+kq".to_owned()),
        file_name: Some("Setup 1.0+x & \"y\".msi".to_owned()),
        content_type: Some("application/x-msi".to_owned()),
        now: 1_700_000_000_000,
        range: Some((0, 9)),
    };
    let store = store(ENDPOINT, "bucket", &some_credentials());
    let Download::Redirect(url) = store.download(&request).await.unwrap() else {
        panic!("S3 hands out URLs")
    };
    let signed = read(&url);
    assert_eq!(signed.path, format!("/bucket/objects/{}/copy", upload(1)));
    assert_eq!(signed.headers, set(&["host"]));
    assert_eq!(signed.query["versionId"], "3/L4+kq");
    let disposition = "attachment; filename=\"Setup 1.0+x & y.msi\"";
    assert_eq!(signed.query["response-content-disposition"], disposition);
    assert_eq!(signed.query["response-content-type"], "application/x-msi");
    assert_eq!(signed.query["X-Amz-Expires"], "300");

    let plain = DownloadRequest { version: None, file_name: None, content_type: None, ..request };
    let Download::Redirect(url) = store.download(&plain).await.unwrap() else { panic!("S3 hands out URLs") };
    let signed = read(&url);
    assert!(!signed.query.contains_key("versionId"));
    assert_eq!(signed.query["response-content-disposition"], "attachment");
    assert_eq!(signed.query["response-content-type"], "application/octet-stream");
}

/// What somebody might add to the client one day.
#[derive(Debug)]
struct OneMoreHeader;

impl Intercept for OneMoreHeader {
    fn name(&self) -> &'static str {
        "OneMoreHeader"
    }

    fn modify_before_signing(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        context.request_mut().headers_mut().insert("x-amz-meta-more", "1");
        Ok(())
    }
}

#[tokio::test]
async fn a_url_that_is_not_what_it_promises_is_not_handed_out() {
    let credentials = some_credentials();
    let config = client(ENDPOINT, credentials.clone()).config().to_builder().interceptor(OneMoreHeader);
    let client = Client::from_conf(config.build());
    let store = S3Objects::new(client, "bucket", SharedCredentialsProvider::new(credentials));
    let doors = store.presign_upload(&grant(upload(1), CONTENT)).await.map(drop);
    let parts = store.presign_parts(&part_grant(None)).await.map(drop);
    for refused in [doors, parts] {
        let Err(ObjectError::Unavailable(cause)) = refused else { panic!("{refused:?}") };
        assert!(cause.to_string().contains("`x-amz-meta-more`"), "{cause}");
    }
}

#[test]
fn no_credentials_are_printed() {
    let text = format!("{:?}", store(ENDPOINT, "bucket", &some_credentials()));
    assert!(text.contains("bucket"), "{text}");
    assert!(!text.contains("AKID") && !text.contains("wJalr"), "{text}");
}
