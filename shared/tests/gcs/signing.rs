//! What the URLs cover, read from the URLs themselves, and who signs them: a key file here, or IAM for a machine that has
//! none, which a double on loopback stands for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{rand::SystemRandom, rsa::KeyPair, signature::RSA_PKCS1_SHA256};
use serde_json::{Value, json};
use shared::{
    adapters::objects::gcs::{GcsCredentials, GcsObjects, GcsSettings},
    contract::objects::{CONTENT, NOW, digest, grant, upload},
    domain::{
        multipart::{Begun, Multipart},
        secret::Secret,
        upload::ObjectKey,
    },
    ports::{
        large_objects::{Large, LargeObjects as _, PartsGrant, WantedPart},
        objects::{Download, DownloadRequest, ObjectError, Objects as _},
    },
};
use url::Url;

use crate::world::{key_file, store};

const GOOGLE: &str = "https://storage.googleapis.com";

/// The path of a URL, and its parameters.
fn read(url: &str) -> (String, BTreeMap<String, String>) {
    let url = Url::parse(url).unwrap();
    let pairs: Vec<_> = url.query_pairs().into_owned().collect();
    let query: BTreeMap<_, _> = pairs.iter().cloned().collect();
    assert_eq!(query.len(), pairs.len(), "none is there twice");
    assert_eq!(query["X-Goog-Algorithm"], "GOOG4-RSA-SHA256");
    assert_eq!(query["X-Goog-Date"], "20231114T221320Z");
    assert!(query["X-Goog-Credential"].ends_with("/20231114/auto/storage/goog4_request"));
    assert_eq!(query["X-Goog-Signature"].len(), 512);
    (format!("{}{}", url.host_str().unwrap(), url.path()), query)
}

fn download(version: Option<&str>) -> DownloadRequest {
    DownloadRequest {
        key: ObjectKey::Copied(upload(1)),
        version: version.map(str::to_owned),
        file_name: Some("Setup 1.0.msi".to_owned()),
        content_type: Some("application/x-msi".to_owned()),
        now: NOW,
        range: None,
    }
}

async fn link(objects: &GcsObjects, request: &DownloadRequest) -> String {
    match objects.download(request).await.unwrap() {
        Download::Redirect(url) => url,
        Download::Stream(_) => panic!("Google hands out URLs"),
    }
}

#[tokio::test]
async fn the_door_covers_length_and_media_type_and_is_the_only_one() {
    let objects = store(GOOGLE, "a-bucket").await;
    let mut wanted = grant(upload(1), CONTENT);
    for (media, headers) in
        [(None, "content-length;host"), (Some("application/x-msi"), "content-length;content-type;host")]
    {
        wanted.content_type = media.map(str::to_owned);
        let doors = objects.presign_upload(&wanted).await.unwrap();
        assert_eq!((doors.checksum_locked, doors.expires_at), (None, NOW + 900_000));
        let (path, query) = read(&doors.upload_url);
        assert_eq!(path, format!("storage.googleapis.com/a-bucket/staging/{}", upload(1)));
        assert_eq!(
            (query["X-Goog-SignedHeaders"].as_str(), query["X-Goog-Expires"].as_str()),
            (headers, "900")
        );
        assert_eq!(query.len(), 6, "{query:?}");
    }
    // What is covered shows in the signature.
    let url = objects.presign_upload(&wanted).await.unwrap().upload_url;
    wanted.size_bytes += 1;
    assert_ne!(objects.presign_upload(&wanted).await.unwrap().upload_url, url);
}

#[tokio::test]
async fn a_part_covers_its_number_its_length_and_its_digest() {
    let objects = store(GOOGLE, "a-bucket").await;
    let begun = Begun { store_id: String::new(), checksums: true };
    let cut = Multipart { part_size_bytes: 5, part_count: 2, begun: Some(begun.clone()) };
    let large = Large { upload_id: upload(1), size_bytes: 9, cut, begun };
    let part = |part_number, sha256| WantedPart { part_number, size_bytes: 4, sha256 };
    let parts = vec![part(1, None), part(2, Some(digest(CONTENT)))];
    let wanted = PartsGrant { large, parts, now: NOW, expires_in: Duration::from_secs(60) };
    let doors = objects.presign_parts(&wanted).await.unwrap();
    assert_eq!(doors.expires_at, NOW + 60_000);
    let [plain, safe] = &doors.parts[..] else { panic!("{doors:?}") };
    let (path, query) = read(&plain.url);
    assert_eq!(path, format!("storage.googleapis.com/a-bucket/parts/{}/1", upload(1)));
    assert_eq!((query["X-Goog-SignedHeaders"].as_str(), plain.headers.len()), ("content-length;host", 0));
    let (path, query) = read(&safe.url);
    assert_eq!(path, format!("storage.googleapis.com/a-bucket/parts/{}/2", upload(1)));
    assert_eq!(query["X-Goog-SignedHeaders"], "content-length;host;x-goog-content-sha256");
    assert_eq!(safe.headers["x-goog-content-sha256"], digest(CONTENT).to_string());
}

#[tokio::test]
async fn a_download_covers_its_generation_and_how_it_is_presented() {
    let objects = store(GOOGLE, "a-bucket").await;
    let (path, query) = read(&link(&objects, &download(Some("1700000000000001"))).await);
    assert_eq!(path, format!("storage.googleapis.com/a-bucket/objects/{}/copy", upload(1)));
    assert_eq!(query["generation"], "1700000000000001");
    assert_eq!(query["response-content-disposition"], "attachment; filename=\"Setup 1.0.msi\"");
    assert_eq!(query["response-content-type"], "application/x-msi");
    assert_eq!((query["X-Goog-SignedHeaders"].as_str(), query["X-Goog-Expires"].as_str()), ("host", "300"));
    assert!(!read(&link(&objects, &download(None)).await).1.contains_key("generation"));
}

#[tokio::test]
async fn what_is_no_key_file_is_refused_without_being_repeated() {
    for text in ["", "{}", r#"{"client_email":"a@b","private_key":"c2VjcmV0"}"#] {
        let credentials = GcsCredentials::KeyFile(Secret::new(text.to_owned()));
        let settings = GcsSettings { bucket: "b".to_owned(), endpoint: None, credentials };
        let error = GcsObjects::open(settings).await.unwrap_err();
        assert!(error.to_string().contains("service account"), "{error}");
        assert!(!format!("{error:?}").contains("c2VjcmV0"));
    }
}

/// The metadata server of a machine, and IAM, as Google describes them.
#[derive(Clone)]
struct Cloud {
    key: Arc<KeyPair>,
    email: String,
    seen: Arc<Mutex<Vec<String>>>,
    broken: bool,
}

impl Cloud {
    async fn start(broken: bool) -> (Self, String) {
        let file = key_file();
        let pem = file["private_key"].as_str().unwrap();
        let lines: String = pem.lines().filter(|line| !line.starts_with("---")).collect();
        let key = Arc::new(KeyPair::from_pkcs8(&STANDARD.decode(lines).unwrap()).unwrap());
        let email = file["client_email"].as_str().unwrap().to_owned();
        let cloud = Self { key, email, seen: Arc::default(), broken };
        let account = "/computeMetadata/v1/instance/service-accounts/default";
        let router = Router::new()
            .route(&format!("{account}/email"), get(email_of))
            .route(&format!("{account}/token"), get(token))
            .route("/v1/projects/-/serviceAccounts/{account}", post(sign_blob))
            .with_state(cloud.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (cloud, url)
    }

    fn note(&self, what: &str) {
        self.seen.lock().unwrap().push(what.to_owned());
    }
}

fn flavored(headers: &HeaderMap) -> bool {
    headers.get("metadata-flavor").is_some_and(|flavor| flavor == "Google")
}

async fn email_of(State(cloud): State<Cloud>, headers: HeaderMap) -> Result<String, StatusCode> {
    cloud.note("email");
    if flavored(&headers) { Ok(cloud.email) } else { Err(StatusCode::FORBIDDEN) }
}

async fn token(State(cloud): State<Cloud>, headers: HeaderMap) -> Result<Json<Value>, StatusCode> {
    cloud.note("token");
    let token = json!({ "access_token": "of-the-machine", "expires_in": 3600, "token_type": "Bearer" });
    if flavored(&headers) { Ok(Json(token)) } else { Err(StatusCode::FORBIDDEN) }
}

async fn sign_blob(
    State(cloud): State<Cloud>,
    axum::extract::Path(account): axum::extract::Path<String>,
    headers: HeaderMap,
    Json(body): Json<Value>,
) -> Result<Json<Value>, StatusCode> {
    cloud.note("signBlob");
    let opened = headers.get("authorization").is_some_and(|token| token == "Bearer of-the-machine");
    if cloud.broken || !opened || account != format!("{}:signBlob", cloud.email) {
        return Err(StatusCode::FORBIDDEN);
    }
    let text = STANDARD.decode(body["payload"].as_str().unwrap()).unwrap();
    let mut signature = vec![0; cloud.key.public().modulus_len()];
    cloud.key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &text, &mut signature).unwrap();
    Ok(Json(json!({ "keyId": "1", "signedBlob": STANDARD.encode(signature) })))
}

async fn machine(url: &str) -> GcsObjects {
    let (metadata, iam) = (Some(url.to_owned()), Some(url.to_owned()));
    let credentials = GcsCredentials::Machine { metadata, iam };
    GcsObjects::open(GcsSettings { bucket: "a-bucket".to_owned(), endpoint: None, credentials })
        .await
        .unwrap()
}

#[tokio::test]
async fn a_machine_without_a_key_has_iam_sign_the_very_same_urls() {
    let (cloud, url) = Cloud::start(false).await;
    let (machine, key) = (machine(&url).await, store(GOOGLE, "a-bucket").await);
    let wanted = grant(upload(1), CONTENT);
    assert_eq!(
        machine.presign_upload(&wanted).await.unwrap(),
        key.presign_upload(&wanted).await.unwrap(),
        "signatures of this kind have no randomness"
    );
    let request = download(Some("17"));
    assert_eq!(link(&machine, &request).await, link(&key, &request).await);
    let seen = cloud.seen.lock().unwrap();
    let times = |what: &str| seen.iter().filter(|one| *one == what).count();
    assert_eq!((times("email"), times("token"), times("signBlob")), (1, 1, 2), "{seen:?}");
}

#[tokio::test]
async fn where_iam_does_not_sign_no_url_is_handed_out() {
    let (_, url) = Cloud::start(true).await;
    let refused = machine(&url).await.presign_upload(&grant(upload(1), CONTENT)).await;
    assert!(matches!(refused, Err(ObjectError::Unavailable(_))), "{refused:?}");
}
