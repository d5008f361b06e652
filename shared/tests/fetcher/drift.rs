//! Drift, as the sentinel finds it over the real fetcher: for each system a double whose file is replaced and put back.

use std::sync::{Arc, Mutex};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::json;
use shared::{
    adapters::fetcher::{Kind, https::HttpsRepository},
    domain::artifact::{ArtifactState, Verification},
};

use crate::{
    deployment::{Deployment, HOUR, MINUTE},
    gcs,
    server::{Identity, Network, Server, Step},
    world::{BODY, answer, digest, document, fetcher, header, ok, repository, repository_of, status},
};

/// As long as [`BODY`], so that nothing but the bytes can tell.
const OTHER: &[u8] = b"another fifteen";

/// What is there now, and how often it was replaced.
#[derive(Debug, Clone)]
struct Shelf(Arc<Mutex<(u32, &'static [u8])>>);

impl Shelf {
    fn new() -> Self {
        assert_eq!(OTHER.len(), BODY.len());
        Self(Arc::new(Mutex::new((1, BODY))))
    }

    fn now(&self) -> (u32, &'static [u8]) {
        *self.0.lock().unwrap()
    }

    fn put(&self, right: bool) {
        let mut there = self.0.lock().unwrap();
        *there = (there.0 + 1, if right { BODY } else { OTHER });
    }
}

/// A head with these lines; the bytes follow where they are asked for.
fn file(head: &str, lines: &str, bytes: &[u8]) -> Vec<Step> {
    let of = format!("HTTP/1.1 200 OK\nContent-Length: {}{lines}", bytes.len());
    answer(&of, if head.starts_with("HEAD") { b"" } else { bytes })
}

/// Drift over a double; all that is told of it.
async fn drifts(
    entry: HttpsRepository,
    url: &str,
    means: Verification,
    script: impl Fn(&str, u32, &[u8]) -> Vec<Step> + Send + Sync + 'static,
) {
    let shelf = Shelf::new();
    let there = shelf.clone();
    let server = Server::start(Identity::Trusted, move |head| {
        let (number, bytes) = there.now();
        script(head, number, bytes)
    })
    .await;
    let network = Arc::new(Network::to(&server));
    let private = entry.credentials.is_some();
    let entries = vec![entry];
    let deployment = Deployment::with(fetcher(&server, &network, entries.clone()), &entries).await;
    let told = deployment.drifts(url, means, |right| shelf.put(right)).await;
    if private {
        assert!(told.contains("the artifact differs from what was declared"), "{told}");
        assert!(!told.contains(&digest(OTHER).to_string()), "{told}");
    }
}

fn in_base64(bytes: &[u8]) -> String {
    STANDARD.encode(digest(bytes).as_bytes())
}

const KEY: Option<&str> = Some("AKIDEXAMPLE:s3cret");

#[tokio::test]
async fn an_object_of_s3_that_is_replaced_is_quarantined_by_its_checksum_and_given_back() {
    let entry = repository_of(Kind::S3, "https://pub.test/releases", KEY);
    drifts(entry, "https://pub.test/releases/editor.msi", Verification::Repository, |head, _, bytes| {
        if header(head, "authorization").is_none() {
            return status("403 Forbidden");
        }
        file(head, &format!("\nx-amz-checksum-sha256: {}", in_base64(bytes)), bytes)
    })
    .await;
}

#[tokio::test]
async fn an_object_of_minio_without_a_checksum_that_is_replaced_is_read_and_quarantined_and_given_back() {
    let entry = repository_of(Kind::S3, "https://pub.test/releases", KEY);
    drifts(entry, "https://pub.test/releases/editor.msi", Verification::Fetched, |head, number, bytes| {
        if header(head, "authorization").is_none() {
            return status("403 Forbidden");
        }
        file(head, &format!("\nETag: \"e{number}\""), bytes)
    })
    .await;
}

fn of_google(head: &str, number: u32, bytes: &[u8]) -> Vec<Step> {
    let query = head.split(' ').nth(1).unwrap().split_once('?').unwrap_or_default().1;
    if !query.contains("X-Goog-Signature=") {
        return status("403 Forbidden");
    }
    let wanted = query.split('&').find_map(|pair| pair.strip_prefix("generation="));
    if wanted.is_some_and(|wanted| wanted != number.to_string()) {
        return status("404 Not Found");
    }
    file(head, &format!("\nETag: \"g{number}\"\nx-goog-generation: {number}"), bytes)
}

#[tokio::test]
async fn an_object_of_google_that_is_replaced_is_quarantined_by_its_generation_and_given_back() {
    drifts(gcs::entry(), gcs::URL, Verification::Fetched, of_google).await;
}

#[tokio::test]
async fn an_object_of_google_is_registered_read_of_its_generation_and_released() {
    let server = Server::start(Identity::Trusted, |head| of_google(head, 7, BODY)).await;
    let network = Arc::new(Network::to(&server));
    let entries = vec![gcs::entry()];
    let deployment = Deployment::with(fetcher(&server, &network, entries.clone()), &entries).await;
    let id = deployment.released(gcs::URL).await;
    let artifact = deployment.artifact(id).await;
    assert_eq!(artifact.verification, Some(Verification::Fetched));
    assert_eq!(artifact.validators.and_then(|said| said.version).as_deref(), Some("7"));
}

#[tokio::test]
async fn a_file_of_artifactory_that_is_replaced_is_quarantined_by_its_checksum_and_given_back() {
    let prefix = "https://acme.jfrog.test/artifactory/releases";
    let entry = repository_of(Kind::Jfrog, prefix, Some("s3cret"));
    drifts(entry, &format!("{prefix}/editor.msi"), Verification::Repository, |head, _, bytes| {
        if header(head, "authorization") != Some("Bearer s3cret") {
            return status("401 Unauthorized");
        }
        file(head, &format!("\nX-Checksum-Sha256: {}", digest(bytes)), bytes)
    })
    .await;
}

#[tokio::test]
async fn an_asset_of_github_that_is_replaced_is_quarantined_by_its_digest_and_given_back() {
    let entry = repository_of(Kind::GitHub, "https://github.com/acme", Some("ghp_s3cret"));
    let url = "https://github.com/acme/editor/releases/download/v1.0/editor.msi";
    drifts(entry, url, Verification::Repository, |head, number, bytes| {
        if header(head, "authorization") != Some("Bearer ghp_s3cret") {
            return status("404 Not Found");
        }
        let asset = json!({ "id": number, "name": "editor.msi", "size": bytes.len(),
            "digest": format!("sha256:{}", digest(bytes)) });
        document(&json!({ "tag_name": "v1.0", "assets": [asset] }))
    })
    .await;
}

#[tokio::test]
async fn a_file_of_any_host_that_is_replaced_is_read_and_quarantined_and_given_back() {
    let script = |head: &str, number: u32, bytes: &[u8]| file(head, &format!("\nETag: \"e{number}\""), bytes);
    drifts(repository("https://pub.test/a"), "https://pub.test/a/x", Verification::Fetched, script).await;
}

#[tokio::test]
async fn a_file_that_is_gone_is_quarantined_however_late_its_host_wants_to_be_asked_again() {
    for line in ["404 Not Found", "410 Gone"] {
        let gone = Arc::new(Mutex::new(false));
        let there = Arc::clone(&gone);
        let server = Server::start(Identity::Trusted, move |_| {
            if *there.lock().unwrap() { status(&format!("{line}\nRetry-After: 3600")) } else { ok(BODY) }
        })
        .await;
        let network = Arc::new(Network::to(&server));
        let deployment = Deployment::with(fetcher(&server, &network, Vec::new()), &[]).await;
        let id = deployment.released("https://pub.test/a").await;
        *gone.lock().unwrap() = true;
        deployment.later(2 * HOUR).await;
        deployment.later(5 * MINUTE).await;
        let artifact = deployment.artifact(id).await;
        assert_eq!(artifact.state, ArtifactState::Quarantined, "{line}");
        assert!(artifact.reason.is_some_and(|reason| reason.starts_with("UNREACHABLE: ")));
        *gone.lock().unwrap() = false;
        deployment.later(HOUR).await;
        assert_eq!(deployment.artifact(id).await.state, ArtifactState::Available);
    }
}

#[tokio::test]
async fn a_host_that_answers_429_for_a_hundred_assets_gets_a_few_requests_an_hour() {
    let server =
        Server::start(Identity::Trusted, |_| status("429 Too Many Requests\nRetry-After: 3600")).await;
    let network = Arc::new(Network::to(&server));
    let deployment = Deployment::with(fetcher(&server, &network, Vec::new()), &[]).await;
    for number in 0..100 {
        deployment
            .register(format!("asset {number}").as_bytes(), &format!("https://pub.test/{number}"))
            .await;
    }
    deployment.check().await;
    for minute in 0..180 {
        let (asked, hours) = (server.requests().len(), minute / 60 + 1);
        assert!((1..=4 * hours).contains(&asked), "{asked} requests after {minute} minutes");
        deployment.later(MINUTE).await;
    }
    assert!(server.requests().len() >= 3, "it is asked again, hour by hour");
}
