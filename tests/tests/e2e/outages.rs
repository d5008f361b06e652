//! The key in KMS disabled, throttled or out of reach: decisions go on as long as they may, and then there are none,
//! rather than unsigned ones. Asked of the functions alone, since `bp serve` has its key at hand.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::story::{header, payload, text, until};
use e2e::{Answer, Fault, Kms, Server};
use serde_json::{Value, json};

use crate::signatures::verified;

const FAULTS: [Fault; 3] = [Fault::Disabled, Fault::Throttled, Fault::Down];
const NONCE: &str = "bm9uY2Utbm9uY2UtMDAwMQ";

/// Functions whose key can fail, with a release to decide about and the keyset that clients have pinned.
struct World {
    server: Server,
    kms: Kms,
    product: String,
    folder: tempfile::TempDir,
}

impl World {
    /// Delegations and decisions live ten seconds, so that their end can be waited for.
    async fn of(mode: &str) -> Self {
        let kms = Kms::start();
        let server = Server::start_with(&format!(
            "signing: {{ mode: {mode}, delegation_lifetime_seconds: 10, kms: {{ endpoint: '{}' }} }}\n\
             decisions: {{ lifetime_seconds: 10 }}\n",
            kms.url()
        ));
        let product = server.admin().product("outage").await;
        server.admin().publish(&product, "1.1.0", json!({})).await;
        let folder = tempfile::tempdir().expect("a folder");
        let world = Self { server, kms, product, folder };
        let keyset = world.server.anonymous().get("/v1/keyset").await.ok(200);
        assert_eq!(keyset["nonces"], mode == "delegated");
        std::fs::write(world.keyset(), keyset.to_string()).expect("a file");
        world
    }

    fn keyset(&self) -> PathBuf {
        self.folder.path().join("keyset.json")
    }

    async fn ask(&self, version: &str, nonce: Option<&str>) -> Answer {
        let row = json!({"product_id": self.product, "current_version": version, "platform": "windows",
            "arch": "x86_64"});
        let mut body = json!({ "products": [row] });
        if let Some(nonce) = nonce {
            body["nonce"] = json!(nonce);
        }
        self.server.anonymous().post("/v1/decision", &body).await
    }

    /// What a process that has just begun answers, so that its delegation and its tokens are new.
    async fn begun(&self, nonce: Option<&str>) -> Value {
        self.server.cool_down();
        decision(&self.ask("1.0.0", nonce).await)
    }

    /// A client that checks everything believes what it is told now.
    fn is_believed(&self) {
        let shown = verified(&self.server, &self.keyset(), &self.product, &[]);
        assert_eq!(shown["decision"]["release"]["version"], "1.1.0", "{shown}");
    }

    /// Asks until there is no decision any more, which has to be when `ends` says of the first one, and not before.
    async fn goes_on_until_its_end(&self, nonce: Option<&str>, ends: impl Fn(&Value) -> i64) {
        let first = decision(&self.ask("1.0.0", nonce).await);
        let (end, mut served) = (ends(&first), 0);
        loop {
            let answer = self.ask("1.0.0", nonce).await;
            if answer.status != 200 {
                nothing_is_signed(&answer);
                assert!(now() >= end, "no answer {} s before the end", end - now());
                break;
            }
            let decision = decision(&answer);
            assert_eq!(ends(&decision), end, "nothing was signed anew by the key");
            assert!(payload(&decision)["iat"].as_i64().expect("a time") < end, "{decision}");
            assert!(now() < end + 20, "an answer after its end");
            served += 1;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(served > 0, "it ended at once");
    }

    /// What needs no signature is answered, whatever is wrong with the key.
    async fn the_rest_goes_on(&self) {
        self.server.admin().get("/v1/products").await.ok(200);
        self.server.anonymous().get("/v1/keyset").await.ok(200);
        self.server
            .admin()
            .publish(&self.product, &e2e::bytes::unique("1.0.0-a"), json!({"channel": "beta"}))
            .await;
    }

    async fn recovers(&self) {
        self.kms.works().await;
        until("decisions are signed again", 20, async || self.ask("1.0.0", Some(NONCE)).await.status == 200)
            .await;
        self.is_believed();
    }
}

#[expect(clippy::disallowed_methods, reason = "the functions are other processes, which have this clock")]
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    i64::try_from(elapsed.as_secs()).expect("a time")
}

fn decision(answer: &Answer) -> Value {
    answer.ok(200)["decisions"][0].clone()
}

/// When the delegation of a decision ends.
fn delegation_ends(decision: &Value) -> i64 {
    let header = header(decision);
    let part = text(&header, "dlg").split('.').nth(1).expect("three segments");
    let payload: Value =
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON");
    payload["exp"].as_i64().expect("a time")
}

/// 503 with `Retry-After` in the service's envelope, and nothing that anybody could take for a decision.
fn nothing_is_signed(answer: &Answer) {
    answer.refused(503, "UNAVAILABLE");
    assert!(!answer.text().contains("\"action\""), "{}", answer.text());
}

#[tokio::test]
async fn without_the_key_delegated_decisions_go_on_until_the_delegation_ends_and_then_there_are_none() {
    let world = World::of("delegated").await;
    for fault in FAULTS {
        world.is_believed();
        world.begun(Some(NONCE)).await;
        world.kms.fails(fault).await;
        world.goes_on_until_its_end(Some(NONCE), delegation_ends).await;
        nothing_is_signed(&world.ask("1.0.0", None).await);
        world.the_rest_goes_on().await;
        world.recovers().await;
    }
}

#[tokio::test]
async fn without_the_key_direct_decisions_are_served_until_they_end_and_no_other_is_made() {
    let world = World::of("direct").await;
    for fault in FAULTS {
        world.is_believed();
        let before = world.begun(None).await;
        world.kms.fails(fault).await;
        nothing_is_signed(&world.ask("1.0.0", Some(NONCE)).await);
        nothing_is_signed(&world.ask("1.0.1", None).await);
        let exp = |decision: &Value| payload(decision)["exp"].as_i64().expect("a time");
        assert_eq!(decision(&world.ask("1.0.0", None).await)["jti"], before["jti"], "what was remembered");
        world.goes_on_until_its_end(None, exp).await;
        world.the_rest_goes_on().await;
        world.recovers().await;
    }
}

#[tokio::test]
async fn a_cold_process_without_the_key_answers_503_and_signs_as_soon_as_it_can() {
    for mode in ["delegated", "direct"] {
        let world = World::of(mode).await;
        for fault in FAULTS {
            world.is_believed();
            world.kms.fails(fault).await;
            world.server.cool_down();
            for nonce in [None, Some(NONCE)] {
                nothing_is_signed(&world.ask("1.0.0", nonce).await);
            }
            world.the_rest_goes_on().await;
            world.recovers().await;
        }
    }
}
