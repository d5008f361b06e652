//! External artifacts in repositories that say more of their files than any host does. What stands in for them here
//! answers as their published documents say; it runs on loopback, over TLS.

use base64::{Engine, engine::general_purpose::STANDARD};
use e2e::bytes::{installer, sha256};
use e2e::foreign::{Foreign, Shown};
use e2e::host::{Host, Page};
use e2e::story::{msi, text, verdict};
use e2e::{Api, Server};
use serde_json::{Value, json};
use sha2::Digest;
use tempfile::NamedTempFile;

fn secret(value: &str) -> (NamedTempFile, String) {
    let file = NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), value).expect("a written file");
    let reference = format!(", credentials: \"file:{}\"", file.path().display());
    (file, reference)
}

fn reference(url: &str, bytes: &[u8], access: &str) -> Value {
    json!({"source_type": "EXTERNAL", "external_url": url, "sha256": sha256(bytes), "size_bytes": bytes.len(),
        "access": access, "file_name": "editor.msi"})
}

async fn settled(api: &Api, url: &str, bytes: &[u8], access: &str) -> Value {
    let made = api.post("/v1/artifacts", &reference(url, bytes, access)).await.ok(201);
    let path = format!("/v1/artifacts/{}", text(&made, "artifact_id"));
    api.get_until(&path, |artifact| artifact["state"] != "VERIFYING").await
}

async fn means(api: &Api, artifact: &Value) -> Value {
    let path = format!("/v1/artifacts/{}/verification", text(artifact, "artifact_id"));
    api.get(&path).await.ok(200)["checks"][0]["means"].clone()
}

fn base64_of(bytes: &[u8]) -> String {
    STANDARD.encode(sha2::Sha256::digest(bytes))
}

/// An object of a private bucket; `said` is its checksum, if the bucket knows one.
fn object(host: &Host, path: &str, bytes: &[u8], said: Option<&[u8]>) -> String {
    let headers = said.map(|said| ("x-amz-checksum-sha256".to_owned(), base64_of(said)));
    host.serve(path, Page::Signed("s3cret".into(), headers.into_iter().collect(), bytes.to_vec()))
}

#[tokio::test]
async fn an_object_of_a_private_bucket_is_proved_by_its_checksum_and_downloaded_through_a_signed_link() {
    let (host, bytes) = (Host::start().await, installer(50_000));
    let (_file, credentials) = secret("AKIDEXAMPLE:s3cret");
    for kind in ["s3", "minio"] {
        let server = Server::start_with(&host.repository(kind, "/bucket", &credentials));
        let api = server.admin();
        let url = object(&host, "/bucket/editor.msi", &bytes, Some(&bytes));
        object(&host, "/bucket/other.msi", &bytes, None);
        let artifact = settled(&api, &url, &bytes, "public").await;
        assert_eq!(
            (&artifact["state"], &artifact["verification"]),
            (&json!("AVAILABLE"), &json!("REPOSITORY"))
        );
        assert_eq!(means(&api, &artifact).await, "REPOSITORY");
        let id = text(&artifact, "artifact_id");
        let product = api.product("private").await;
        api.publish(&product, "1.0.0", json!({"artifacts": [msi(id)]})).await;
        let decision = api.decide(&product, "0.9.0", json!({})).await;
        assert_eq!(verdict(&decision), "INSTALL/NEW_RELEASE 1.0.0");
        let offered = text(&decision["artifact"], "url");
        assert!(offered.ends_with(&format!("/v1/artifacts/{id}/download")), "{offered}");
        // A client without any credentials follows the link, and has the bytes.
        let sent = server.anonymous().get(&format!("/v1/artifacts/{id}/download")).await;
        assert_eq!((sent.status, sent.header("cache-control")), (302, "no-store"));
        let link = sent.header("location");
        assert!(link.starts_with(&format!("{url}?X-Amz-Algorithm=AWS4-HMAC-SHA256&")), "{link}");
        assert!(
            link.contains("response-content-disposition=attachment%3B%20filename%3D%22editor.msi%22"),
            "{link}"
        );
        // The bucket checks what is signed: the link is good for this object, as it is.
        assert_eq!(host.downloaded(link).await.as_deref(), Some(bytes.as_slice()));
        assert_eq!(host.downloaded(&link.replace("editor.msi?", "other.msi?")).await, None);
        assert_eq!(host.downloaded(&link.replace("X-Amz-Expires=9", "X-Amz-Expires=8")).await, None);
        assert_eq!(host.downloaded(&url).await, None, "without the signature");
        for shown in [link, &decision.to_string(), &artifact.to_string(), &server.log()] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
    }
    let got = host.seen().into_iter().filter(|head| !head.starts_with("HEAD ")).collect::<Vec<_>>();
    assert!(got.len() == 8 && got.iter().all(|head| head.contains("curl")), "by clients alone: {got:?}");
}

#[tokio::test]
async fn an_object_without_a_checksum_is_read_and_one_that_differs_is_rejected_without_a_word_of_what_was_found()
 {
    let (host, bytes, other) = (Host::start().await, installer(50_000), installer(50_000));
    let (_file, credentials) = secret("AKIDEXAMPLE:s3cret");
    let server = Server::start_with(&host.repository("s3", "/bucket", &credentials));
    let api = server.admin();
    let url = object(&host, "/bucket/plain.msi", &bytes, None);
    assert_eq!(settled(&api, &url, &bytes, "public").await["verification"], "FETCHED");
    for (path, said) in [("/bucket/said.msi", Some(other.as_slice())), ("/bucket/read.msi", None)] {
        let url = object(&host, path, &other, said);
        let artifact = settled(&api, &url, &bytes, "public").await;
        assert_eq!(artifact["state"], "REJECTED", "{path}: {artifact}");
        let path = format!("/v1/artifacts/{}/verification", text(&artifact, "artifact_id"));
        let told = format!("{artifact} {}", api.get(&path).await.text());
        assert!(!told.contains(&sha256(&other)) && !told.contains(&base64_of(&other)), "{told}");
    }
}

#[tokio::test]
async fn a_link_into_a_private_bucket_is_for_whoever_may_download() {
    let (host, bytes) = (Host::start().await, installer(5_000));
    let (_file, credentials) = secret("AKIDEXAMPLE:s3cret");
    let server = Server::start_with(&host.repository("s3", "/bucket", &credentials));
    let api = server.admin();
    let url = object(&host, "/bucket/editor.msi", &bytes, Some(&bytes));
    let artifact = settled(&api, &url, &bytes, "token").await;
    let path = format!("/v1/artifacts/{}/download", text(&artifact, "artifact_id"));
    server.anonymous().get(&path).await.refused(401, "");
    let link = api.get(&path).await.header("location").to_owned();
    assert_eq!(host.downloaded(&link).await, Some(bytes));
    // Whose clients bring their own credentials are sent there without ours.
    let own = installer(5_001);
    let url = object(&host, "/bucket/own.msi", &own, Some(&own));
    let artifact = settled(&api, &url, &own, "client_authenticates").await;
    let path = format!("/v1/artifacts/{}/download", text(&artifact, "artifact_id"));
    assert_eq!(server.anonymous().get(&path).await.header("location"), url);
}

#[tokio::test]
async fn a_file_of_artifactory_is_proved_by_its_checksum_and_its_clients_authenticate() {
    let (host, bytes) = (Host::start().await, installer(50_000));
    let (_file, credentials) = secret("an-access-token");
    let server = Server::start_with(&host.repository("jfrog", "/artifactory/releases", &credentials));
    let api = server.admin();
    let key = "Bearer an-access-token";
    let said = vec![("X-Checksum-Sha256".to_owned(), sha256(&bytes))];
    let url = host.serve("/artifactory/releases/editor.msi", Page::Guarded(key.into(), said, bytes.clone()));
    let artifact = settled(&api, &url, &bytes, "client_authenticates").await;
    assert_eq!((&artifact["state"], &artifact["verification"]), (&json!("AVAILABLE"), &json!("REPOSITORY")));
    // The second way: the document about the file.
    let second = installer(50_001);
    let url =
        host.serve("/artifactory/releases/second.msi", Page::Guarded(key.into(), vec![], second.clone()));
    let document =
        json!({"checksums": {"sha256": sha256(&second)}, "size": "50001"}).to_string().into_bytes();
    host.serve("/artifactory/api/storage/releases/second.msi", Page::Guarded(key.into(), vec![], document));
    assert_eq!(settled(&api, &url, &second, "client_authenticates").await["verification"], "REPOSITORY");
    assert!(
        host.seen().iter().all(|head| !head.starts_with("GET /artifactory/releases")),
        "no byte was read"
    );
    let product = api.product("jfrog").await;
    let id = text(&artifact, "artifact_id");
    api.publish(&product, "1.0.0", json!({"artifacts": [msi(id)]})).await;
    let decision = api.decide(&product, "0.9.0", json!({})).await;
    assert_eq!(decision["artifact"]["access"], "client_authenticates", "{decision}");
}

#[tokio::test]
async fn a_private_file_of_artifactory_is_downloaded_through_a_url_that_it_signs() {
    let (host, bytes) = (Host::start().await, installer(50_000));
    let (_file, credentials) = secret("an-access-token");
    let server = Server::start_with(&host.repository("jfrog", "/artifactory/releases", &credentials));
    let api = server.admin();
    let key = "Bearer an-access-token";
    let said = vec![("X-Checksum-Sha256".to_owned(), sha256(&bytes))];
    let url = host.serve("/artifactory/releases/editor.msi", Page::Guarded(key.into(), said, bytes.clone()));
    let artifact = settled(&api, &url, &bytes, "public").await;
    assert_eq!(artifact["state"], "AVAILABLE", "{artifact}");
    let path = format!("/v1/artifacts/{}/download", text(&artifact, "artifact_id"));
    let client = server.anonymous();
    // Most editions of Artifactory sign nothing.
    let refused = client.get(&path).await.refused(409, "LINK_REFUSED");
    assert!(refused.to_string().contains("client_authenticates"), "{refused}");
    let signed =
        format!("{}?sig=eyJ.abc", host.serve("/artifactory/signed/editor.msi", Page::Bytes(bytes.clone())));
    let page = Page::Guarded(key.into(), vec![], signed.clone().into_bytes());
    host.serve("/artifactory/api/signed/url", page);
    let sent = client.get(&path).await;
    assert_eq!(
        (sent.status, sent.header("location"), sent.header("cache-control")),
        (302, &*signed, "no-store")
    );
    assert_eq!(host.downloaded(sent.header("location")).await, Some(bytes));
    assert_eq!(host.downloaded(&url).await, None, "the file itself is for who has the token");
    host.serve("/artifactory/api/signed/url", Page::Status(429));
    let busy = client.get(&path).await;
    assert_eq!((busy.status, busy.header("retry-after")), (503, "5"));
    assert!(!server.log().contains("an-access-token"), "{}", server.log());
}

#[tokio::test]
async fn a_private_asset_of_github_is_downloaded_through_the_redirect_of_the_api() {
    let (host, objects, bytes) = (Host::start().await, Host::start().await, installer(50_000));
    let (_file, credentials) = secret("ghp_s3cret");
    let server = Server::start_with(&host.repository("github", "/acme/editor", &credentials));
    let api = server.admin();
    let asset = json!({"id": 7, "name": "editor.msi", "state": "uploaded", "size": bytes.len(),
        "digest": format!("sha256:{}", sha256(&bytes))});
    let release = json!({"tag_name": "v1.0", "assets": [asset]}).to_string().into_bytes();
    let page = Page::Guarded("Bearer ghp_s3cret".into(), vec![], release);
    host.serve("/api/v3/repos/acme/editor/releases/tags/v1.0", page);
    let link = objects.url("/blob?sp=r&sig=abc");
    let by_id = "/api/v3/repos/acme/editor/releases/assets/7";
    host.serve(by_id, Page::Redirect(link.clone()));
    let url = host.url("/acme/editor/releases/download/v1.0/editor.msi");
    let artifact = settled(&api, &url, &bytes, "token").await;
    assert_eq!((&artifact["state"], &artifact["verification"]), (&json!("AVAILABLE"), &json!("REPOSITORY")));
    let path = format!("/v1/artifacts/{}/download", text(&artifact, "artifact_id"));
    server.anonymous().get(&path).await.refused(401, "");
    let sent = api.get(&path).await;
    assert_eq!((sent.status, sent.header("location")), (302, &*link));
    assert!(objects.seen().is_empty(), "the bytes are the client's to read");
    objects.serve("/blob", Page::Bytes(bytes.clone()));
    assert_eq!(objects.downloaded(sent.header("location")).await, Some(bytes));
    // What the link leads to is that asset; one that replaced it is another.
    host.serve(by_id, Page::Status(404));
    api.get(&path).await.refused(409, "LINK_REFUSED");
}

#[tokio::test]
async fn what_is_run_against_real_services_holds_over_doubles() {
    let (host, bytes) = (Host::start().await, installer(20_000));
    let file = |url: &str| json!({"url": url, "sha256": sha256(&bytes), "size_bytes": bytes.len()});
    let ca_file = host.authority().display().to_string();
    let (held, _) = secret("AKIDEXAMPLE:s3cret");
    let public = host.serve("/open/editor.msi", Page::Bytes(bytes.clone()));
    let s3 = Foreign::new(
        "s3",
        json!({"url_prefix": host.url("/bucket"), "credentials": format!("file:{}", held.path().display()),
            "ca_file": ca_file, "allow_private": true,
            "private": file(&object(&host, "/bucket/editor.msi", &bytes, Some(&bytes)))}),
    );
    let shown =
        |what, verification: &str, downloaded| Shown { what, verification: verification.into(), downloaded };
    assert_eq!(s3.show().await, [shown("private", "REPOSITORY", true)]);
    let guarded = Page::Guarded("Basic abc".into(), vec![], bytes.clone());
    let (held, _) = secret("Basic abc");
    let https = Foreign::new(
        "https",
        json!({"url_prefix": host.url("/"), "credentials": format!("file:{}", held.path().display()),
            "ca_file": ca_file, "allow_private": true, "public": file(&public),
            "private": file(&host.serve("/shut/editor.msi", guarded))}),
    );
    let all = [("public", true), ("public, read", true), ("private", false)];
    assert_eq!(https.show().await, all.map(|(what, downloaded)| shown(what, "FETCHED", downloaded)));
}

#[tokio::test]
async fn an_asset_of_a_release_on_a_github_server_is_proved_by_the_digest_of_the_api() {
    let (host, bytes) = (Host::start().await, installer(50_000));
    let server = Server::start_with(&host.repository("github", "/acme/editor", ""));
    let api = server.admin();
    let asset = json!({"id": 7, "name": "editor.msi", "state": "uploaded", "size": bytes.len(),
        "digest": format!("sha256:{}", sha256(&bytes))});
    let release = json!({"tag_name": "v1.0", "assets": [asset]}).to_string().into_bytes();
    host.serve("/api/v3/repos/acme/editor/releases/tags/v1.0", Page::Bytes(release));
    let url = host.url("/acme/editor/releases/download/v1.0/editor.msi");
    let artifact = settled(&api, &url, &bytes, "public").await;
    assert_eq!((&artifact["state"], &artifact["verification"]), (&json!("AVAILABLE"), &json!("REPOSITORY")));
    assert_eq!(host.seen().len(), 1, "{:?}", host.seen());
    // The asset is replaced: the next check sees it.
    let other = json!({"assets": [{"id": 8, "name": "editor.msi", "size": bytes.len(),
        "digest": format!("sha256:{}", sha256(b"other"))}]});
    host.serve("/api/v3/repos/acme/editor/releases/tags/v1.0", Page::Bytes(other.to_string().into_bytes()));
    let path = format!("/v1/artifacts/{}", text(&artifact, "artifact_id"));
    api.post_empty(&format!("{path}/verify")).await.ok(202);
    let drifted = api.get_until(&path, |artifact| artifact["state"] == "QUARANTINED").await;
    assert!(text(&drifted, "reason").starts_with("DRIFT: CHECKSUM_MISMATCH"), "{drifted}");
}

#[tokio::test]
async fn credentials_in_another_form_than_their_repository_needs_stop_the_start_and_are_not_repeated() {
    let (host, mut server) = (Host::start().await, Server::start());
    server.kill();
    for (kind, form) in [("s3", "ACCESS_KEY_ID:SECRET_ACCESS_KEY"), ("gcs", "key file of a service account")]
    {
        let (_file, credentials) = secret("wr0ng");
        server.configure(&host.repository(kind, "/bucket", &credentials));
        let said = server.refused_start();
        assert!(said.contains(form) && !said.contains("wr0ng"), "{said}");
    }
    for place in ["secretsmanager:arn", "ssm:name"] {
        server.configure(&host.repository("s3", "/b", &format!(", credentials: \"{place}\"")));
        let said = server.refused_start();
        assert!(said.contains("AWS_REGION"), "how AWS is reached is not said: {said}");
    }
}
