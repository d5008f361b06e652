//! `bp decision get`, `explain` and `updates` against a stand-in that signs.

use decision::jws;
use decision::sign::LocalKey;
use decision::{Alg, Keyset, keyset::KeysetKey};
use serde_json::{Value, json};

use crate::double::{Answer, Double, Seen, code, stderr, stdout};

const ASK: &[&str] = &[
    "decision",
    "get",
    "--product",
    "editor",
    "--current-version",
    "1.4.0",
    "--platform",
    "windows",
    "--arch",
    "x86_64",
];

fn key() -> LocalKey {
    LocalKey::from_pkcs8_der(&LocalKey::generate(Alg::Es256).unwrap()).unwrap()
}

fn now() -> i64 {
    i64::try_from(std::time::UNIX_EPOCH.elapsed().unwrap().as_secs()).unwrap()
}

fn keyset(key: &LocalKey) -> String {
    let key = KeysetKey::new(*key.public(), now() - 60, now() + 3600, vec!["*".to_owned()]);
    let keyset = Keyset { v: 1, version: 1, epoch: 1, expires: now() + 3600, nonces: true, keys: vec![key] };
    serde_json::to_string(&keyset).unwrap()
}

/// A signed "no update" for the question, under the nonce.
fn token(key: &LocalKey, issuer: &str, nonce: &Value) -> String {
    let payload = json!({"v": 1, "iss": issuer, "jti": "dec_01hzzzzzzzzzzzzzzzzzzzzzzz", "iat": now(),
        "exp": now() + 60, "nonce": nonce, "product_id": "editor", "channel": "stable", "platform": "windows",
        "arch": "x86_64", "from_version": "1.4.0", "epoch": 1, "seq": 5, "action": "NONE", "reason": "UP_TO_DATE"});
    let header = jws::encode_header(Alg::Es256, key.kid(), None);
    let input = jws::signing_input(&header, payload.to_string().as_bytes());
    let signature = key.sign(input.as_bytes()).unwrap();
    jws::compact(input, &signature)
}

/// A service that signs with `signing` and serves the keyset of `serving`; it echoes the nonce, or another.
async fn signing(signing: LocalKey, served: String, echo: bool) -> Double {
    Double::start(move |double: &Double, seen: &Seen| match seen.path.as_str() {
        "/v1/keyset" => Answer { status: 200, body: served.clone().into_bytes(), ..Answer::default() },
        "/v1/decision" => {
            let nonce = if echo { seen.json()["nonce"].clone() } else { "bm9uY2Utbm9uY2UtMDAwMQ".into() };
            let token = token(&signing, &double.base_url, &nonce);
            Answer::json(200, &json!({"decisions": [{"action": "INSTALL", "signature": token}]}))
        }
        other => panic!("unexpected {other}"),
    })
    .await
}

#[tokio::test]
async fn a_decision_is_asked_with_a_nonce_and_verified_and_the_mirror_is_not_believed() {
    let key = key();
    let served = keyset(&key);
    let double = signing(key, served, true).await;
    let output = double.bp(&[ASK, &["--json"]].concat()).await;
    assert_eq!(code(&output), 0);
    let sent = double.only("POST /v1/decision").json();
    let nonce = sent["nonce"].as_str().unwrap();
    assert_eq!(nonce.len(), 22);
    let asked = json!([{"product_id": "editor", "current_version": "1.4.0", "platform": "windows", "arch": "x86_64"}]);
    assert_eq!(sent["products"], asked);
    let shown: Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(shown["verified"], true);
    assert_eq!(shown["keyset"], "fetched");
    assert_eq!(shown["decision"]["action"], "NONE");
    assert_eq!(shown["decision"]["nonce"], nonce);
}

#[tokio::test]
async fn a_fetched_keyset_is_said_to_prove_no_more_than_the_transport() {
    let key = key();
    let served = keyset(&key);
    let double = signing(key, served, true).await;
    let output = double.bp(ASK).await;
    assert_eq!(code(&output), 0);
    assert!(stdout(&output).contains("reason     UP_TO_DATE"));
    assert!(stderr(&output).contains("proves what the transport proves"));
}

#[tokio::test]
async fn an_old_decision_is_refused() {
    let key = key();
    let served = keyset(&key);
    let double = signing(key, served, false).await;
    let output = double.bp(ASK).await;
    assert_eq!(code(&output), 1);
    assert!(output.stdout.is_empty());
    assert!(stderr(&output).contains("code: NONCE"), "{}", stderr(&output));
}

#[tokio::test]
async fn a_pinned_keyset_refuses_whoever_is_not_in_it() {
    let (key, stranger) = (key(), key());
    let served = keyset(&stranger);
    let folder = tempfile::tempdir().unwrap();
    let pinned = folder.path().join("keyset.json");
    std::fs::write(&pinned, keyset(&key)).unwrap();
    let double = signing(stranger, served, true).await;
    let output = double.bp(&[ASK, &["--keyset", pinned.to_str().unwrap()]].concat()).await;
    assert_eq!(code(&output), 1);
    assert!(stderr(&output).contains("code: KID_UNKNOWN"));
    assert_eq!(double.count("GET /v1/keyset"), 0);
}

#[tokio::test]
async fn raw_prints_the_token_alone() {
    let key = key();
    let served = keyset(&key);
    let double = signing(key, served, true).await;
    let output = double.bp(&[ASK, &["--raw"]].concat()).await;
    assert_eq!(code(&output), 0);
    assert_eq!(stdout(&output).trim_end().split('.').count(), 3);
}

#[tokio::test]
async fn an_explanation_shows_policy_and_rules_in_order() {
    let explanation = json!({"decisions": [{
        "decision": {"product_id": "editor", "action": "NONE", "reason": "PINNED"},
        "policy": {"channel": {"value": "stable", "levels": ["default"]},
                   "pinned_range": {"value": "^1", "levels": ["tenant", "global"]}},
        "steps": [{"rule": "PINNED", "saw": "2.0.0 outside ^1", "did": "passed over"}],
    }]});
    let double = Double::start(move |_, _| Answer::json(200, &explanation)).await;
    let args =
        ["decision", "explain", "--product", "editor", "--current-version", "1.4.0", "--tenant", "acme"];
    let output = double.bp(&args).await;
    assert_eq!(code(&output), 0);
    let text = stdout(&output);
    assert!(text.contains("pinned_range  ^1      tenant, global"), "{text}");
    assert!(text.contains("PINNED  2.0.0 outside ^1  passed over"), "{text}");
    assert_eq!(double.only("POST /v1/decision/explain").json()["products"][0]["tenant_id"], "acme");
}

#[tokio::test]
async fn updates_ask_for_the_tenants_view() {
    let double = Double::start(|_, _| Answer::json(200, &json!({"decisions": []}))).await;
    let args = [
        "decision",
        "updates",
        "--tenant",
        "acme",
        "--product",
        "editor",
        "--current-version",
        "1.4.0",
        "--platform",
        "macos",
        "--arch",
        "arm64",
    ];
    assert_eq!(code(&double.bp(&args).await), 0);
    let seen = double.only("GET /v1/tenants/acme/update-decisions");
    assert_eq!(seen.query, "product_id=editor&platform=macos&arch=arm64&current_version=1.4.0");
}
