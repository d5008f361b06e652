//! Artifactory of JFrog: a double of the parts that are used, in the shapes that its documents publish.

use std::sync::Arc;

use serde_json::json;
use shared::{
    adapters::fetcher::Kind,
    domain::artifact::Verification,
    ports::fetcher::{FetchError, Fetcher},
};

use crate::{
    server::{Identity, Network, Server, Step},
    world::{
        BODY, NOW, answer, asked, digest, document, fetcher, header, ok, read, redirect, repository_of,
        request, status,
    },
};

const URL: &str = "https://acme.jfrog.test/artifactory/releases/editor/1.0/editor.msi";
const HEAD: &str = "HEAD acme.jfrog.test/artifactory/releases/editor/1.0/editor.msi";
const GET: &str = "GET acme.jfrog.test/artifactory/releases/editor/1.0/editor.msi";
const STORAGE: &str = "GET acme.jfrog.test/artifactory/api/storage/releases/editor/1.0/editor.msi";

fn entry() -> shared::adapters::fetcher::https::HttpsRepository {
    repository_of(Kind::Jfrog, "https://acme.jfrog.test/artifactory/releases", Some("s3cret"))
}

/// What Artifactory says with a file, and in the document about it.
struct Says {
    header: Option<String>,
    storage: Option<String>,
}

async fn artifactory(says: Says) -> Server {
    Server::start(Identity::Trusted, move |head| {
        if header(head, "authorization") != Some("Bearer s3cret") {
            return status("401 Unauthorized");
        }
        if head.contains("/api/storage/") {
            return match &says.storage {
                Some(sha256) => document(&json!({
                    "repo": "releases", "path": "/editor/1.0/editor.msi", "created": "2026-08-01T12:00:00.000Z",
                    "downloadUri": URL, "mimeType": "application/x-msi", "size": "15",
                    "checksums": { "sha1": "00", "md5": "00", "sha256": sha256 }, "uri": "…",
                })),
                None => status("404 Not Found"),
            };
        }
        let sha256 = says.header.as_ref().map_or(String::new(), |sha256| format!("\nX-Checksum-Sha256: {sha256}"));
        let head_of = format!("HTTP/1.1 200 OK\nContent-Length: 15\nETag: \"e1\"{sha256}");
        answer(&head_of, if head.starts_with("HEAD") { b"" } else { BODY })
    })
    .await
}

#[tokio::test]
async fn the_checksum_in_the_head_of_an_answer_proves_a_file() {
    let server = artifactory(Says { header: Some(digest(BODY).to_string()), storage: None }).await;
    let network = Arc::new(Network::to(&server));
    let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(URL)).await.unwrap();
    assert_eq!((fetched.verification, fetched.bytes_read), (Verification::Repository, 0));
    assert_eq!(fetched.validators.etag.as_deref(), Some("\"e1\""));
    assert_eq!(asked(&server), [HEAD]);
}

#[tokio::test]
async fn the_document_about_a_file_is_the_second_way() {
    let server = artifactory(Says { header: None, storage: Some(digest(BODY).to_string()) }).await;
    let network = Arc::new(Network::to(&server));
    let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(URL)).await.unwrap();
    assert_eq!(fetched.verification, Verification::Repository);
    assert_eq!(asked(&server), [HEAD, STORAGE]);
}

#[tokio::test]
async fn a_file_of_which_nothing_is_said_is_read() {
    let server = artifactory(Says { header: None, storage: None }).await;
    let network = Arc::new(Network::to(&server));
    let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(URL)).await.unwrap();
    assert_eq!((fetched.verification, fetched.bytes_read), (Verification::Fetched, 15));
    assert_eq!(asked(&server), [HEAD, STORAGE, GET]);
}

#[tokio::test]
async fn another_checksum_is_drift_and_is_not_told() {
    let other = digest(b"other").to_string();
    for says in [
        Says { header: Some(other.clone()), storage: None },
        Says { header: None, storage: Some(other.clone()) },
    ] {
        let server = artifactory(says).await;
        let network = Arc::new(Network::to(&server));
        let fetcher = fetcher(&server, &network, vec![entry()]);
        let error = fetcher.fetch(&request(URL)).await.unwrap_err();
        assert!(matches!(error, FetchError::Differs), "{error:?}");
        let said = fetcher.probe(&request(URL).url, NOW).await.unwrap();
        assert_eq!(said.sha256, Some(digest(b"other")));
    }
}

#[tokio::test]
async fn the_checksum_of_a_host_that_it_redirects_to_is_not_its_word() {
    let own = |head: &str| header(head, "host") == Some("acme.jfrog.test");
    let server = Server::start(Identity::Trusted, move |head| -> Vec<Step> {
        match head {
            head if own(head) => redirect("https://cdn.test/blob"),
            head if head.starts_with("HEAD") => answer(
                &format!("HTTP/1.1 200 OK\nContent-Length: 15\nX-Checksum-Sha256: {}", digest(BODY)),
                b"",
            ),
            _ => ok(BODY),
        }
    })
    .await;
    let network = Arc::new(Network::to(&server));
    let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(URL)).await.unwrap();
    assert_eq!((fetched.verification, fetched.bytes_read), (Verification::Fetched, 15));
    let with_token = server.requests().into_iter().filter(|head| header(head, "authorization").is_some());
    assert!(with_token.into_iter().all(|head| own(&head)));
}

#[tokio::test]
async fn a_head_that_is_refused_behind_a_redirect_leaves_the_document() {
    let server = Server::start(Identity::Trusted, |head| {
        if head.contains("/api/storage/") {
            return document(&json!({ "checksums": { "sha256": digest(BODY).to_string() } }));
        }
        if header(head, "host") == Some("cdn.test") {
            status("403 Forbidden")
        } else {
            redirect("https://cdn.test/x")
        }
    })
    .await;
    let network = Arc::new(Network::to(&server));
    let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(URL)).await.unwrap();
    assert_eq!(fetched.verification, Verification::Repository);
}

#[tokio::test]
async fn a_token_that_is_refused_is_a_bad_day_and_no_proof() {
    let server = Server::start(Identity::Trusted, |_| status("401 Unauthorized")).await;
    let network = Arc::new(Network::to(&server));
    let error = fetcher(&server, &network, vec![entry()]).fetch(&request(URL)).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 401, .. }) && !error.definite(), "{error:?}");
}
