//! Releases of GitHub: a double of the parts of its API that are used, in the shapes that its documents publish.

use std::{sync::Arc, time::Duration};

use serde_json::{Value, json};
use shared::{
    adapters::fetcher::Kind,
    domain::artifact::Verification,
    ports::fetcher::{FetchError, Fetcher},
};

use crate::{
    server::{Identity, Network, Server, Step},
    world::{
        BODY, NOW, asked, digest, document, fetcher, header, ok, read, redirect, repository_of, request,
        status,
    },
};

const URL: &str = "https://github.com/acme/editor/releases/download/v1.0/editor.msi";
const RELEASE: &str = "GET api.github.com/repos/acme/editor/releases/tags/v1.0";
const ASSET: &str = "GET api.github.com/repos/acme/editor/releases/assets/7";

/// A release as the API shows it.
fn release(digest: &Value, size: usize) -> Value {
    let asset = |id: u64, name: &str, digest: &Value, size: usize| {
        json!({
            "url": format!("https://api.github.com/repos/acme/editor/releases/assets/{id}"),
            "id": id, "node_id": "RA_x", "name": name, "label": "", "content_type": "application/x-msi",
            "state": "uploaded", "size": size, "digest": digest, "download_count": 3,
            "created_at": "2026-08-01T12:00:00Z", "updated_at": "2026-08-01T12:00:05Z",
            "browser_download_url": format!("https://github.com/acme/editor/releases/download/v1.0/{name}"),
        })
    };
    let other = asset(6, "other.msi", &json!("sha256:00"), 4);
    json!({ "id": 1, "tag_name": "v1.0", "draft": false, "assets": [other, asset(7, "editor.msi", digest, size)] })
}

/// GitHub, with one release; a private one shows nothing on its pages.
async fn github(document_of: Value, private: bool) -> Server {
    Server::start(Identity::Trusted, move |head| {
        let path = head.split(' ').nth(1).unwrap();
        let known = !private || header(head, "authorization") == Some("Bearer ghp_s3cret");
        match (header(head, "host").unwrap(), path) {
            ("api.github.com", _) if !known => status("404 Not Found"),
            ("api.github.com", "/repos/acme/editor/releases/tags/v1.0") => document(&document_of),
            ("api.github.com", "/repos/acme/editor/releases/assets/7")
                if header(head, "accept") == Some("application/octet-stream") =>
            {
                redirect("https://cdn.test/blob?sig=abc")
            }
            ("github.com", "/acme/editor/releases/download/v1.0/editor.msi") if !private => {
                redirect("https://cdn.test/blob?sig=abc")
            }
            ("cdn.test", "/blob?sig=abc") => ok(BODY),
            _ => status("404 Not Found"),
        }
    })
    .await
}

fn stated() -> Value {
    json!(format!("sha256:{}", digest(BODY)))
}

fn token_went_to(server: &Server) -> Vec<String> {
    let with = server.requests().into_iter().filter(|head| header(head, "authorization").is_some());
    with.map(|head| header(&head, "host").unwrap().to_owned()).collect()
}

fn entry(private: bool) -> shared::adapters::fetcher::https::HttpsRepository {
    repository_of(Kind::GitHub, "https://github.com/acme", private.then_some("ghp_s3cret"))
}

#[tokio::test]
async fn the_digest_of_the_api_proves_an_asset_of_which_no_byte_is_read() {
    for private in [false, true] {
        let server = github(release(&stated(), BODY.len()), private).await;
        let network = Arc::new(Network::to(&server));
        let fetched = read(&fetcher(&server, &network, vec![entry(private)]), &request(URL)).await.unwrap();
        assert_eq!((fetched.verification, fetched.bytes_read), (Verification::Repository, 0));
        assert_eq!(fetched.validators.sha256, Some(digest(BODY)));
        assert_eq!(asked(&server), [RELEASE], "{private}");
        assert_eq!(fetched.concealed, private);
    }
}

#[tokio::test]
async fn an_asset_without_a_digest_is_read_and_the_token_does_not_follow_to_the_object_host() {
    for (private, from) in
        [(false, "GET github.com/acme/editor/releases/download/v1.0/editor.msi"), (true, ASSET)]
    {
        let server = github(release(&Value::Null, BODY.len()), private).await;
        let network = Arc::new(Network::to(&server));
        let fetched = read(&fetcher(&server, &network, vec![entry(private)]), &request(URL)).await.unwrap();
        assert_eq!((fetched.verification, fetched.bytes_read), (Verification::Fetched, 15));
        assert_eq!(asked(&server), [RELEASE, from, "GET cdn.test/blob?sig=abc"]);
        let expected: &[&str] = if private { &["api.github.com", "api.github.com"] } else { &[] };
        assert_eq!(token_went_to(&server), expected);
    }
}

#[tokio::test]
async fn another_digest_or_size_is_drift_and_told_of_a_public_one_alone() {
    let other = json!(format!("sha256:{}", digest(b"other")));
    for (asset, code) in
        [(release(&other, BODY.len()), "CHECKSUM_MISMATCH"), (release(&stated(), 4711), "SIZE_MISMATCH")]
    {
        for private in [false, true] {
            let server = github(asset.clone(), private).await;
            let network = Arc::new(Network::to(&server));
            let fetcher = fetcher(&server, &network, vec![entry(private)]);
            let error = fetcher.fetch(&request(URL)).await.unwrap_err();
            assert!(error.definite(), "{error:?}");
            assert_eq!(error.code(), if private { "CHECKSUM_MISMATCH" } else { code });
            assert_eq!(matches!(error, FetchError::Differs), private);
        }
    }
}

#[tokio::test]
async fn a_look_sees_that_an_asset_was_replaced() {
    let other = json!(format!("sha256:{}", digest(b"other")));
    let server = github(release(&other, 5), true).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![entry(true)]);
    let said = fetcher.probe(&request(URL).url, NOW).await.unwrap();
    assert_eq!((said.sha256, said.size_bytes), (Some(digest(b"other")), Some(5)));
    assert_eq!(asked(&server), [RELEASE]);
}

#[tokio::test]
async fn a_limit_that_is_used_up_is_waited_out_and_nothing_else_is_asked() {
    let limits: [(&str, Option<u64>); 4] = [
        ("403 Forbidden\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1785586200", Some(600)),
        ("429 Too Many\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1785586200", Some(600)),
        ("403 Forbidden\nRetry-After: 60", Some(60)),
        ("403 Forbidden\nX-RateLimit-Remaining: 12\nX-RateLimit-Reset: 1785586200", None),
    ];
    for (line, wait) in limits {
        let steps: Vec<Step> = status(&format!("{line}\nDate: Sat, 01 Aug 2026 12:00:00 GMT"));
        let server = Server::start(Identity::Trusted, move |_| steps.clone()).await;
        let network = Arc::new(Network::to(&server));
        let fetcher = fetcher(&server, &network, vec![entry(true)]);
        let error = fetcher.fetch(&request(URL)).await.unwrap_err();
        assert_eq!(error.retry_after(), wait.map(Duration::from_secs), "{line}");
        assert!(!error.definite());
        assert_eq!(asked(&server), [RELEASE], "{line}");
    }
}

#[tokio::test]
async fn the_token_goes_to_no_host_that_only_looks_like_github() {
    let server = Server::start(Identity::Trusted, |_| ok(BODY)).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![entry(true)]);
    for url in [
        "https://github.com.cdn.test/acme/editor/releases/download/v1.0/editor.msi",
        "https://github.com:8443/acme/editor/releases/download/v1.0/editor.msi",
        "https://github.com/acme-evil/editor/releases/download/v1.0/editor.msi",
    ] {
        read(&fetcher, &request(url)).await.unwrap();
    }
    assert_eq!(token_went_to(&server), [""; 0]);
    assert!(asked(&server).iter().all(|line| !line.contains("api.github.com")));
}

#[tokio::test]
async fn the_api_may_not_lead_the_token_elsewhere() {
    let server = Server::start(Identity::Trusted, |head| {
        if header(head, "host") == Some("api.github.com") {
            redirect("https://cdn.test/releases")
        } else {
            document(&release(&stated(), BODY.len()))
        }
    })
    .await;
    let network = Arc::new(Network::to(&server));
    let error = fetcher(&server, &network, vec![entry(true)]).fetch(&request(URL)).await.unwrap_err();
    assert_eq!((error.code(), error.definite()), ("UPSTREAM_INVALID", false));
    assert_eq!(token_went_to(&server), ["api.github.com"]);
}

#[tokio::test]
async fn an_asset_that_is_gone_is_not_found() {
    let server = github(json!({ "tag_name": "v1.0", "assets": [] }), false).await;
    let network = Arc::new(Network::to(&server));
    let error = fetcher(&server, &network, vec![entry(false)]).fetch(&request(URL)).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 404, .. }), "{error:?}");
}

#[tokio::test]
async fn a_document_without_end_or_meaning_is_no_proof() {
    let endless = vec![
        Step::Send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec()),
        Step::Repeat([b"10000\r\n".as_slice(), &[b' '; 65_536], b"\r\n"].concat(), 1_000),
    ];
    for steps in [endless, ok(b"<html>"), ok(b"")] {
        let server = Server::start(Identity::Trusted, move |_| steps.clone()).await;
        let network = Arc::new(Network::to(&server));
        let error = fetcher(&server, &network, vec![entry(false)]).fetch(&request(URL)).await.unwrap_err();
        assert_eq!((error.code(), error.definite()), ("UPSTREAM_INVALID", false), "{error:?}");
    }
}
