//! The published vectors, through everything that an updater does with a token.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::{Json, Router, routing::post};
use decision::Expected;
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;

const NONCE: &str = "bm9uY2Utbm9uY2UtMDAwMQ";

#[derive(Deserialize)]
struct File {
    contexts: BTreeMap<String, Context>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Context {
    keyset: Value,
    expected: Expected,
}

#[derive(Deserialize)]
struct Vector {
    name: String,
    token: String,
    expect: String,
    context: Option<String>,
}

/// A clock that stands still and waits for nothing.
#[derive(Debug)]
struct Still(i64, Mutex<Vec<Duration>>);

impl Clock for Still {
    fn now(&self) -> i64 {
        self.0
    }

    fn wait(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.1.lock().unwrap().push(duration);
        Box::pin(async {})
    }
}

/// A deployment that has but one answer; it answers only who asks as the vector's client did.
async fn deployment(token: String, asked: Value) -> String {
    let answer = move |Json(question): Json<Value>| async move {
        assert_eq!(question, asked);
        Json(json!({"decisions": [{"signature": token}]}))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let app = Router::new().route("/v1/decision", post(answer));
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    base_url
}

fn question(expected: &Expected) -> Value {
    let mut row = json!({"product_id": expected.product_id, "current_version": expected.installed_version,
        "channel": expected.channel, "platform": expected.platform, "arch": expected.arch});
    if let Some(tenant) = &expected.tenant_id {
        row["tenant_id"] = json!(tenant);
    }
    let mut question = json!({"products": [row]});
    if let Some(nonce) = &expected.nonce {
        question["nonce"] = json!(nonce);
    }
    question
}

fn updater(base_url: &str, context: &Context, state: &Path) -> (Updater, Arc<Still>) {
    let expected = &context.expected;
    let mut keyset = context.keyset.clone();
    keyset["nonces"] = json!(expected.nonce.is_some());
    let clock = Arc::new(Still(expected.now, Mutex::default()));
    let version = expected.installed_version.to_string();
    let mut builder = Updater::builder(base_url, &expected.product_id, &version)
        .issuer(&expected.issuer)
        .channel(&expected.channel)
        .platform(&expected.platform, &expected.arch)
        .limits(Limits { max_artifact_bytes: expected.max_artifact_bytes, ..Limits::default() })
        .pinned_keyset(keyset.to_string().as_bytes())
        .state(state)
        .clock(clock.clone())
        .allow_loopback_http(true);
    if let Some(tenant) = &expected.tenant_id {
        builder = builder.tenant(tenant);
    }
    let mut updater = builder.build().unwrap();
    updater.allow_loopback_http = expected.allow_loopback_http;
    updater.make_nonce = || Ok(NONCE.to_owned());
    (updater, clock)
}

#[tokio::test]
async fn every_published_vector_gets_its_verdict_from_an_updater() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/decisions.json");
    let File { contexts, vectors } = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert!(vectors.len() >= 53, "{} vectors", vectors.len());
    let mut wrong = Vec::new();
    for vector in vectors {
        let context = &contexts[vector.context.as_deref().unwrap_or("default")];
        let base_url = deployment(vector.token, question(&context.expected)).await;
        let folder = tempfile::tempdir().unwrap();
        let (updater, clock) = updater(&base_url, context, folder.path());
        let scope = updater.scope();
        let stored = context.expected.stored.unwrap();
        updater.state.change(|state| state.remember(&scope, stored)).unwrap();
        let before = std::fs::read(updater.state.file()).unwrap();
        let outcome = updater.check().await;
        let after = updater.state.load().unwrap().stored(&scope).unwrap();
        let as_stated = match (vector.expect.as_str(), &outcome) {
            ("accept", Ok(checked)) => after == checked.decision().payload.to_store() && after >= stored,
            ("reject", Err(UpdateError::Refused(refusal))) => {
                let waits = clock.1.lock().unwrap().clone();
                let again = if refusal.may_be_older_server() { 2 } else { 0 };
                assert_eq!(waits, vec![Duration::from_secs(30); again], "{}", vector.name);
                before == std::fs::read(updater.state.file()).unwrap()
            }
            // Tokens that are good but for the time are told apart, and are not believed either.
            ("reject", Err(UpdateError::Clock { .. })) => {
                before == std::fs::read(updater.state.file()).unwrap()
            }
            _ => false,
        };
        if !as_stated {
            wrong.push(format!("{}: {} expected, got {outcome:?}", vector.name, vector.expect));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test]
async fn an_answer_that_drips_comes_to_an_end() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                _ = stream.read(&mut [0; 4_096]).await;
                _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n").await;
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            });
        }
    });
    let keyset = json!({"v": 1, "version": 1, "epoch": 1, "expires": 2_000_000_000, "keys": []});
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Still(0, Mutex::default()));
    let builder = Updater::builder(&base_url, "editor", "1.4.0").pinned_keyset(keyset.to_string().as_bytes());
    let builder = builder.state(folder.path()).clock(clock.clone()).allow_loopback_http(true);
    let mut updater = builder.build().unwrap();
    updater.client.answer_within = Duration::from_millis(100);
    let error = updater.check().await.unwrap_err();
    assert!(matches!(error, UpdateError::Client(ClientError::Unreachable { .. })), "{error:?}");
    assert_eq!(clock.1.lock().unwrap().len(), 3, "it was tried four times");
}

#[tokio::test]
async fn what_another_updater_has_accepted_meanwhile_is_not_gone_back_from() {
    let folder = tempfile::tempdir().unwrap();
    let keyset = json!({"v": 1, "version": 1, "epoch": 1, "expires": 2_000_000_000, "keys": []});
    let builder = Updater::builder("https://u.example", "editor", "1.4.0").state(folder.path());
    let updater = builder.pinned_keyset(keyset.to_string().as_bytes()).build().unwrap();
    for (epoch, seq, outcome) in [
        (1, 5, None),
        (1, 5, None),
        (1, 4, Some("REPLAYED")),
        (2, 1, None),
        (1, 9, Some("EPOCH_REPLAYED")),
        (2, 2, None),
    ] {
        let pair = decision::verify::Stored { epoch, seq };
        let found = check::remember(&updater, pair).await.err().map(|error| error.code());
        assert_eq!(found, outcome, "{epoch} {seq}");
    }
    let kept = updater.state.load().unwrap().stored(&updater.scope()).unwrap();
    assert_eq!((kept.epoch, kept.seq), (2, 2));
}
