//! Objects of S3: a double of what `HeadObject` and `GetObject` answer.

use std::sync::Arc;

use base64::{Engine, engine::general_purpose::STANDARD};
use shared::{
    adapters::fetcher::{Kind, https::HttpsRepository},
    domain::artifact::Verification,
    ports::fetcher::{FetchError, Fetcher},
};

use crate::{
    server::{Identity, Network, Server},
    world::{
        BODY, NOW, answer, asked, digest, fetcher, header, read, redirect, repository_of, request, status,
    },
};

const URL: &str = "https://pub.test/releases/editor%20(1).msi";

fn entry() -> HttpsRepository {
    repository_of(Kind::S3, "https://pub.test/releases", Some("AKIDEXAMPLE:s3cret"))
}

fn in_base64(bytes: &[u8]) -> String {
    STANDARD.encode(digest(bytes).as_bytes())
}

/// A bucket with one object, of which this is said where checksums are asked for.
async fn bucket(said: Option<String>) -> Server {
    Server::start(Identity::Trusted, move |head| {
        let signed = "Credential=AKIDEXAMPLE/20231114/eu-central-1/s3/aws4_request";
        if !header(head, "authorization").is_some_and(|value| value.contains(signed)) {
            return status("403 Forbidden");
        }
        let asked = header(head, "x-amz-checksum-mode") == Some("ENABLED");
        let said = said.as_ref().filter(|_| asked).map_or(String::new(), |said| format!("\n{said}"));
        let head_of = format!("HTTP/1.1 200 OK\nContent-Length: 15\nETag: \"e1\"{said}");
        answer(&head_of, if head.starts_with("HEAD") { b"" } else { BODY })
    })
    .await
}

#[tokio::test]
async fn the_checksum_of_a_whole_object_proves_it() {
    for kind in ["", "\nx-amz-checksum-type: FULL_OBJECT"] {
        let said = format!("x-amz-checksum-sha256: {}{kind}", in_base64(BODY));
        let server = bucket(Some(said)).await;
        let network = Arc::new(Network::to(&server));
        let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(URL)).await.unwrap();
        assert_eq!((fetched.verification, fetched.bytes_read), (Verification::Repository, 0));
        let sent = server.requests().concat();
        assert!(
            sent.contains("SignedHeaders=host;x-amz-checksum-mode;x-amz-content-sha256;x-amz-date"),
            "{sent}"
        );
        assert!(!sent.contains("s3cret"));
        assert_eq!(asked(&server), ["HEAD pub.test/releases/editor%20%281%29.msi"]);
    }
}

#[tokio::test]
async fn where_there_is_no_checksum_or_one_of_parts_the_object_is_read() {
    let composite = format!("x-amz-checksum-sha256: {}-2\nx-amz-checksum-type: COMPOSITE", in_base64(BODY));
    let of_parts = format!("x-amz-checksum-sha256: {}\nx-amz-checksum-type: COMPOSITE", in_base64(BODY));
    for said in [None, Some(composite), Some(of_parts), Some("x-amz-checksum-crc64nvme: AAAAAAAAAAA=".into())]
    {
        let server = bucket(said).await;
        let network = Arc::new(Network::to(&server));
        let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(URL)).await.unwrap();
        assert_eq!((fetched.verification, fetched.bytes_read), (Verification::Fetched, 15));
        assert_eq!(fetched.validators.etag.as_deref(), Some("\"e1\""));
    }
}

#[tokio::test]
async fn another_checksum_is_drift_and_is_not_told() {
    let server = bucket(Some(format!("x-amz-checksum-sha256: {}", in_base64(b"other")))).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![entry()]);
    let error = fetcher.fetch(&request(URL)).await.unwrap_err();
    assert!(matches!(error, FetchError::Differs), "{error:?}");
    let said = fetcher.probe(&request(URL).url, NOW).await.unwrap();
    assert_eq!(said.sha256, Some(digest(b"other")));
}

#[tokio::test]
async fn nothing_is_signed_for_another_host_and_its_word_is_not_the_buckets() {
    let server = Server::start(Identity::Trusted, |head| match header(head, "host") {
        Some("pub.test") => redirect("https://cdn.test/releases/editor.msi"),
        _ if head.starts_with("HEAD") => answer(
            &format!("HTTP/1.1 200 OK\nContent-Length: 15\nx-amz-checksum-sha256: {}", in_base64(BODY)),
            b"",
        ),
        _ => crate::world::ok(BODY),
    })
    .await;
    let network = Arc::new(Network::to(&server));
    let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(URL)).await.unwrap();
    assert_eq!(fetched.verification, Verification::Fetched);
    for head in server.requests() {
        assert_eq!(
            header(&head, "authorization").is_some(),
            header(&head, "host") == Some("pub.test"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_public_bucket_is_asked_without_a_signature() {
    let said = format!("\nx-amz-checksum-sha256: {}", in_base64(BODY));
    let server = Server::start(Identity::Trusted, move |_| {
        answer(&format!("HTTP/1.1 200 OK\nContent-Length: 15{said}"), b"")
    })
    .await;
    let network = Arc::new(Network::to(&server));
    let public = repository_of(Kind::S3, "https://pub.test/releases", None);
    let fetched = read(&fetcher(&server, &network, vec![public]), &request(URL)).await.unwrap();
    assert_eq!((fetched.verification, fetched.concealed), (Verification::Repository, false));
    assert!(!server.requests().concat().to_lowercase().contains("authorization"));
}
