//! Asking and downloading, over HTTP.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may")]

use std::path::Path;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use client::{Artifact, Client, ClientError, ProductQuestion, Question};

const BYTES: &[u8] = b"hello artifact\n";
const SHA256: &str = "51bc0fc1f19104fa6e89ce50be9aa1f57c3346c1ca51ab49f5f00e14ce8f8076";

/// Paths, and the token that came with each.
type Seen = Arc<Mutex<Vec<(String, Option<String>)>>>;

async fn serve(app: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    base_url
}

fn question() -> Question {
    Question::about(ProductQuestion::new("editor", "1.4.0", "windows", "x86_64"))
}

async fn ask(status: u16, body: &'static str) -> Result<client::Answer, ClientError> {
    let answer = move || async move { (StatusCode::from_u16(status).unwrap(), body) };
    let base_url = serve(Router::new().route("/v1/decision", post(answer))).await;
    Client::new(&base_url).unwrap().ask(&question()).await
}

fn artifact(url: String) -> Artifact {
    Artifact { url, size_bytes: 15, sha256: SHA256.to_owned() }
}

/// Downloads from a server that answers with `answer`; what is in the folder afterwards is the second result.
async fn download(answer: fn() -> Response) -> (Result<(), ClientError>, Vec<String>) {
    let base_url = serve(Router::new().route("/file", get(move || async move { answer() }))).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("editor.msi");
    let client = Client::new(&base_url).unwrap();
    let result = client.download(&artifact(format!("{base_url}/file?signature=secret")), &path).await;
    (result, names(folder.path()))
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[tokio::test]
async fn one_token_for_each_product_is_an_answer_and_the_mirror_is_not_read() {
    let answer = ask(200, r#"{"decisions":[{"action":7,"signature":"a.b.c"}]}"#).await.unwrap();
    assert_eq!(answer.tokens, ["a.b.c"]);
}

#[tokio::test]
async fn an_empty_or_short_answer_is_an_error_and_never_no_update() {
    for body in ["", "{}", r#"{"decisions":[]}"#, r#"{"decisions":[{}]}"#, "<html>"] {
        let error = ask(200, body).await.unwrap_err();
        assert!(matches!(error, ClientError::NotUnderstood { .. }), "{body}: {error:?}");
    }
}

#[tokio::test]
async fn a_refusal_keeps_its_code_and_says_whether_to_ask_again() {
    let body = r#"{"code":"UNAVAILABLE","message":"not now","request_id":"req-1"}"#;
    let error = ask(503, body).await.unwrap_err();
    assert!(error.retryable());
    let ClientError::Refused { status, code, request_id, .. } = error else { panic!("{error:?}") };
    assert_eq!((status, code.as_str(), request_id.as_deref()), (503, "UNAVAILABLE", Some("req-1")));
    assert!(!ask(422, "{}").await.unwrap_err().retryable());
}

#[tokio::test]
async fn a_deployment_under_a_path_is_asked_there() {
    let answer = || async { r#"{"decisions":[{"signature":"a.b.c"}]}"# };
    let base_url = serve(Router::new().route("/updates/v1/decision", post(answer))).await;
    let client = Client::new(&format!("{base_url}/updates/")).unwrap();
    assert_eq!(client.base_url(), format!("{base_url}/updates"));
    assert_eq!(client.ask(&question()).await.unwrap().tokens.len(), 1);
}

#[test]
fn a_base_url_is_http_or_https_and_nothing_but_a_place() {
    for url in ["", "updates.example.com", "ftp://h", "https://h/?q", "https://h/#f", "https://user:pw@h"] {
        assert!(matches!(Client::new(url), Err(ClientError::BaseUrl { .. })), "{url}");
    }
}

#[test]
fn what_is_expected_is_what_was_asked() {
    let client = Client::new("https://updates.example.com/").unwrap();
    let question = question().with_fresh_nonce().unwrap();
    let expected = client.expected(&question, &question.products[0], 7).unwrap();
    assert_eq!(expected.issuer, "https://updates.example.com");
    assert_eq!(expected.channel, "stable");
    assert_eq!(expected.nonce, question.nonce);
    assert!(!expected.allow_loopback_http);
    let bad = ProductQuestion::new("editor", "1.4", "windows", "x86_64");
    assert!(matches!(client.expected(&question, &bad, 7), Err(ClientError::Version(_))));
}

#[tokio::test]
async fn the_signed_bytes_arrive_in_their_place_and_nothing_beside() {
    let (result, names) = download(|| BYTES.into_response()).await;
    result.unwrap();
    assert_eq!(names, ["editor.msi"]);
}

#[tokio::test]
async fn other_bytes_of_the_right_size_leave_nothing() {
    let (result, names) = download(|| b"jello artifact\n".into_response()).await;
    assert!(matches!(result, Err(ClientError::DigestMismatch { .. })), "{result:?}");
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn a_declared_length_other_than_the_signed_one_ends_it_at_once() {
    let (result, names) = download(|| b"hello".into_response()).await;
    assert!(matches!(result, Err(ClientError::SizeMismatch { signed: 15, found: 5 })), "{result:?}");
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn an_endless_body_is_cut_off_past_the_signed_size() {
    let endless = || {
        let chunks = futures_util::stream::repeat_with(|| Ok::<_, std::io::Error>("x".repeat(1024)));
        Body::from_stream(chunks).into_response()
    };
    let (result, names) = download(endless).await;
    assert!(matches!(result, Err(ClientError::SizeMismatch { signed: 15, .. })), "{result:?}");
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn fewer_bytes_without_a_declared_length_leave_nothing() {
    let short = || {
        let chunks = futures_util::stream::iter([Ok::<_, std::io::Error>("hello")]);
        Body::from_stream(chunks).into_response()
    };
    let (result, names) = download(short).await;
    assert!(matches!(result, Err(ClientError::SizeMismatch { signed: 15, found: 5 })), "{result:?}");
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn a_refused_download_shows_no_signature_of_its_url() {
    let (result, names) = download(|| StatusCode::FORBIDDEN.into_response()).await;
    let error = result.unwrap_err();
    assert!(matches!(error, ClientError::Refused { status: 403, .. }), "{error:?}");
    assert!(!format!("{error:?} {error}").contains("secret"));
    assert!(names.is_empty(), "{names:?}");
}

#[tokio::test]
async fn an_earlier_file_stays_until_the_new_one_is_proved() {
    let base_url = serve(Router::new().route("/file", get(|| async { b"jello artifact\n" }))).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("editor.msi");
    std::fs::write(&path, b"earlier").unwrap();
    let client = Client::new(&base_url).unwrap();
    assert!(client.download(&artifact(format!("{base_url}/file")), &path).await.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"earlier");
    assert_eq!(names(folder.path()), ["editor.msi"]);
}

#[tokio::test]
async fn the_token_goes_to_the_deployment_alone() {
    let seen = Seen::default();
    let record = |seen: &Seen, path: String, headers: &HeaderMap| {
        let token = headers.get(header::AUTHORIZATION).map(|value| value.to_str().unwrap().to_owned());
        seen.lock().unwrap().push((path, token));
    };
    let store_seen = seen.clone();
    let store = serve(Router::new().fallback(move |request: Request| async move {
        record(&store_seen, request.uri().path().to_owned(), request.headers());
        BYTES
    }))
    .await
    // Another host, as far as HTTP is concerned.
    .replace("127.0.0.1", "localhost");
    let (own_seen, target) = (seen.clone(), format!("{store}/object"));
    let base_url = serve(Router::new().fallback(move |request: Request| async move {
        record(&own_seen, request.uri().path().to_owned(), request.headers());
        Redirect::temporary(&target)
    }))
    .await;
    let client = Client::new(&base_url).unwrap().with_token("bp_secret");
    assert!(!format!("{client:?}").contains("bp_secret"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    client.download(&artifact(format!("{base_url}/own")), &path).await.unwrap();
    client.download(&artifact(format!("{store}/external")), &path).await.unwrap();
    let expected = [("/own", Some("Bearer bp_secret")), ("/object", None), ("/external", None)];
    let seen = seen.lock().unwrap().clone();
    let seen: Vec<(&str, Option<&str>)> =
        seen.iter().map(|(path, token)| (path.as_str(), token.as_deref())).collect();
    assert_eq!(seen, expected);
}
