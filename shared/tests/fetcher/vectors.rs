//! The vectors that are judged while fetching.

use std::{fs, path::Path, time::Duration};

use serde_json::Value;
use shared::ports::fetcher::FetchError;

use crate::{
    server::{Identity, Server, Step},
    world::{BODY, answer, fetch, fetch_in_a_hurry, ok, redirect},
};

fn vectors() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/urls.json");
    let all: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    all.into_iter().filter(|vector| vector["stage"] == "fetch").collect()
}

/// What the server of a vector sends.
fn script(vector: &Value, head: &str) -> Vec<Step> {
    if let Some(redirects) = vector["redirects"].as_array() {
        let here = head.split(' ').nth(1).unwrap();
        let hops = redirects.iter().map(|hop| hop.as_str().unwrap());
        // The n-th redirect is the answer to the target of the one before.
        let next = hops.clone().find(|hop| !hop.ends_with(here)).unwrap();
        return redirect(next);
    }
    let response = &vector["response"];
    if let Some(length) = response["content_length"].as_u64() {
        let head = format!("HTTP/1.1 200 OK\nContent-Length: {length}");
        return [answer(&head, b""), vec![Step::Pause(Duration::from_secs(30))]].concat();
    }
    if response["drip_seconds"].is_u64() {
        // A twentieth of the vector's time; the limits are as much shorter.
        return [
            answer("HTTP/1.1 200 OK\nContent-Length: 15", b""),
            vec![Step::Drip(15, Duration::from_millis(500))],
        ]
        .concat();
    }
    if let Some(bytes) = response["header_bytes"].as_u64() {
        let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
        let count = usize::try_from(bytes).unwrap() / line.len();
        return vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Repeat(line.into_bytes(), count)];
    }
    if response["content_type"] == "text/html" {
        let page = b"<p>Sign in!</p>";
        assert_eq!(page.len(), BODY.len());
        return answer("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 15", page);
    }
    assert!(vector["tls"].is_string(), "a vector of a new kind: {vector}");
    ok(BODY)
}

async fn outcome(vector: &Value) -> FetchError {
    let identity = match vector["tls"].as_str() {
        Some("expired") => Identity::Expired,
        Some("self_signed") => Identity::SelfSigned,
        Some(other) => panic!("certificate of a new kind: {other}"),
        None => Identity::Trusted,
    };
    let scripted = vector.clone();
    let server = Server::start(identity, move |head| script(&scripted, head)).await;
    let in_a_hurry = vector["response"]["drip_seconds"].is_u64();
    let outcome = if in_a_hurry { fetch_in_a_hurry(&server).await } else { fetch(&server).await };
    outcome.unwrap_err()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fetch_vector_gets_its_code() {
    let vectors = vectors();
    assert!(vectors.len() >= 9, "only {} vectors", vectors.len());
    for vector in vectors {
        assert_eq!((&vector["expect"], &vector["url"]), (&"REJECT".into(), &"https://pub.test/a".into()));
        let error = outcome(&vector).await;
        assert_eq!(vector["code"], error.code(), "{}: {error:?}", vector["id"]);
        assert_eq!(
            error.definite(),
            matches!(error.code(), "CHECKSUM_MISMATCH" | "SIZE_MISMATCH"),
            "{error:?}"
        );
    }
}
