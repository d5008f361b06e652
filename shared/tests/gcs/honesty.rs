//! Does the server refuse what Google refuses? Asked of it with Google's own library and by hand, without our adapter. A
//! server that fails here shows nothing about the adapter.

use std::time::Duration;

use google_cloud_auth::{credentials::service_account, signer::Signer};
use google_cloud_storage::{builder::storage::SignedUrlBuilder, http::Method};
use serde_json::{Value, json};
use shared::contract::objects::{CONTENT, digest};

use crate::{
    wire::{Answer, Request, get},
    world::{World, key_file},
};

const OTHER: &[u8] = b"THE BYTES OF AN INSTALLER";

fn signer() -> Signer {
    service_account::Builder::new(key_file()).build_signer().unwrap()
}

/// A URL with these signed headers, for a minute.
async fn signed(world: &World, method: Method, headers: &[(&str, &str)]) -> String {
    let bucket = format!("projects/_/buckets/{}", world.bucket);
    let url = SignedUrlBuilder::for_object(bucket, "key").with_method(method).with_endpoint(&world.endpoint);
    let url = url.with_expiration(Duration::from_secs(60));
    headers
        .iter()
        .fold(url, |url, (name, value)| url.with_header(*name, *value))
        .sign_with(&signer())
        .await
        .unwrap()
}

async fn send(url: &str, headers: &[(&str, &str)], content: &[u8]) -> Answer {
    let request = Request::new(url, content.len());
    headers.iter().fold(request, |request, (name, value)| request.header(name, value)).send(content).await
}

async fn is_empty(world: &World) -> bool {
    world.metadata("key").await.is_none()
}

/// Puts something under a name; answers with its generation.
async fn stored(world: &World, name: &str, content: &[u8]) -> String {
    let bucket = format!("projects/_/buckets/{}", world.bucket);
    let url = SignedUrlBuilder::for_object(bucket, name).with_method(Method::PUT);
    let url = url.with_endpoint(&world.endpoint).sign_with(&signer()).await.unwrap();
    assert_eq!(send(&url, &[], content).await.status, 200);
    generation(&world.metadata(name).await.unwrap())
}

fn generation(metadata: &Value) -> String {
    metadata["generation"].as_str().unwrap().to_owned()
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn what_is_signed_is_taken_and_given_out() {
    let world = World::new().await;
    let url = signed(&world, Method::PUT, &[("content-length", "25")]).await;
    assert_eq!(send(&url, &[], CONTENT).await.status, 200);
    let url = signed(&world, Method::GET, &[]).await;
    assert_eq!(get(&url, None).await.status(), 200);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_changed_signature_is_refused() {
    let world = World::new().await;
    let url = signed(&world, Method::PUT, &[]).await;
    let (head, signature) = url.split_once("X-Goog-Signature=").unwrap();
    let turned: String = signature.chars().map(|digit| if digit == '0' { '1' } else { '0' }).collect();
    for changed in [
        format!("{head}X-Goog-Signature={turned}"),
        url.replace("X-Goog-Expires=60", "X-Goog-Expires=90"),
        url.replace("/key?", "/other?"),
    ] {
        assert_ne!(changed, url);
        assert_eq!(send(&changed, &[], CONTENT).await.status, 403, "{changed}");
    }
    assert_eq!(get(&url, None).await.status(), 403, "it is for a PUT");
    assert!(is_empty(&world).await);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn an_expired_url_is_refused() {
    let world = World::new().await;
    let bucket = format!("projects/_/buckets/{}", world.bucket);
    let url = SignedUrlBuilder::for_object(bucket, "key").with_method(Method::PUT);
    let url = url.with_endpoint(&world.endpoint).with_expiration(Duration::from_secs(1));
    let url = url.sign_with(&signer()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(send(&url, &[], CONTENT).await.status, 400);
    assert!(is_empty(&world).await);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_signed_header_must_be_sent_as_it_was_signed() {
    let world = World::new().await;
    let url =
        signed(&world, Method::PUT, &[("content-length", "25"), ("content-type", "application/x-msi")]).await;
    for headers in [&[][..], &[("Content-Type", "text/html")][..]] {
        assert_eq!(send(&url, headers, CONTENT).await.status, 403, "{headers:?}");
    }
    assert_eq!(send(&url, &[("Content-Type", "application/x-msi")], &CONTENT[1..]).await.status, 403);
    assert!(is_empty(&world).await);
    assert_eq!(send(&url, &[("Content-Type", "application/x-msi")], CONTENT).await.status, 200);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn an_extension_header_that_nobody_signed_is_refused() {
    let world = World::new().await;
    let url = signed(&world, Method::PUT, &[]).await;
    assert_eq!(send(&url, &[("x-goog-meta-a", "b")], CONTENT).await.status, 403);
    assert!(is_empty(&world).await);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_length_outside_the_signed_range_is_refused() {
    let world = World::new().await;
    for range in ["0,24", "26,30"] {
        let header = [("x-goog-content-length-range", range)];
        let url = signed(&world, Method::PUT, &header).await;
        assert_eq!(send(&url, &header, CONTENT).await.status, 400, "{range}");
    }
    assert!(is_empty(&world).await);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_body_of_another_digest_than_the_signed_one_is_refused() {
    let world = World::new().await;
    let digest = digest(CONTENT).to_string();
    let header = [("x-goog-content-sha256", digest.as_str())];
    let url = signed(&world, Method::PUT, &header).await;
    assert_eq!(send(&url, &header, OTHER).await.status, 400);
    assert_eq!(send(&url, &[], CONTENT).await.status, 403);
    assert!(is_empty(&world).await);
    assert_eq!(send(&url, &header, CONTENT).await.status, 200);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_condition_of_a_put_holds() {
    let world = World::new().await;
    let header = [("x-goog-if-generation-match", "0")];
    let url = signed(&world, Method::PUT, &header).await;
    assert_eq!(send(&url, &header, CONTENT).await.status, 200);
    assert_eq!(send(&url, &header, OTHER).await.status, 412);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_rewrite_takes_its_calls_and_keeps_to_its_conditions() {
    let world = World::new().await;
    let first = stored(&world, "key", CONTENT).await;
    let second = stored(&world, "key", OTHER).await;
    assert_ne!(first, second);
    let to = format!("{}/rewriteTo/b/{}/o/copy", world.api("key"), world.bucket);
    let of = |generation: &str| format!("{to}?ifSourceGenerationMatch={generation}&ifGenerationMatch=0");
    let body = json!({ "contentType": "application/octet-stream" });
    assert_eq!(world.post(&of(&first), &body).await.0, 412);
    assert_eq!(world.post(&format!("{to}?sourceGeneration={first}"), &body).await.0, 404);
    let (status, begun) = world.post(&of(&second), &body).await;
    assert_eq!((status, &begun["done"]), (200, &json!(false)));
    assert!(world.metadata("copy").await.is_none(), "a rewrite that was begun is nothing yet");
    let token = begun["rewriteToken"].as_str().unwrap();
    let (status, ended) = world.post(&format!("{}&rewriteToken={token}", of(&second)), &body).await;
    assert_eq!((status, &ended["done"]), (200, &json!(true)));
    assert_eq!(world.post(&of(&second), &body).await.0, 412, "it is there already");
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_composition_keeps_to_its_conditions() {
    let world = World::new().await;
    let first = stored(&world, "key", CONTENT).await;
    let second = stored(&world, "key", OTHER).await;
    let path = format!("{}/compose", world.api("whole"));
    let of = |generation: &str, source: &str| {
        json!({ "destination": { "contentType": "application/octet-stream" },
            "sourceObjects": [{ "name": source, "objectPreconditions": { "ifGenerationMatch": generation } }] })
    };
    assert_eq!(world.post(&path, &of(&first, "key")).await.0, 412);
    assert_eq!(world.post(&path, &of(&second, "nothing")).await.0, 404);
    let once = format!("{path}?ifGenerationMatch=0");
    assert_eq!(world.post(&once, &of(&second, "key")).await.0, 200);
    assert_eq!(world.post(&once, &of(&second, "key")).await.0, 412);
    let many = json!({ "sourceObjects": vec![json!({ "name": "key" }); 33], "destination": {} });
    assert_eq!(world.post(&path, &many).await.0, 400);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn a_generation_that_is_gone_is_not_read() {
    let world = World::new().await;
    let first = stored(&world, "key", CONTENT).await;
    stored(&world, "key", OTHER).await;
    let url = format!("{}?alt=media&generation={first}", world.api("key"));
    let answer = world.http.get(url).headers(world.headers().await).send().await.unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test]
#[ignore = "needs a server: set BP_TEST_GCS"]
async fn without_a_token_of_the_account_nothing_is_told() {
    let world = World::new().await;
    stored(&world, "key", CONTENT).await;
    assert_eq!(world.http.get(world.api("key")).send().await.unwrap().status(), 401);
    let mut headers = world.headers().await;
    let token = headers.get("authorization").unwrap().to_str().unwrap().to_owned();
    let (rest, letter) = token.split_at(token.len() - 8);
    let changed = format!("{rest}{}", if letter.starts_with('A') { "BBBBBBBB" } else { "AAAAAAAA" });
    headers.insert("authorization", changed.parse().unwrap());
    assert_eq!(world.http.get(world.api("key")).headers(headers).send().await.unwrap().status(), 401);
}
