//! A deployment in miniature: it signs what a test tells it to say.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::{Path as UrlPath, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use client::{Clock, Updater, UpdaterBuilder};
use decision::delegation::Delegation;
use decision::keyset::KeysetKey;
use decision::root::{Draft, Root};
use decision::sign::LocalKey;
use decision::{Alg, Keyset, jws};
use serde_json::{Value, json};

/// The time in these tests.
pub(crate) const NOW: i64 = 1_767_225_600;
/// Ten years.
pub(crate) const TEN_YEARS: i64 = 315_576_000;

pub(crate) fn new_key(alg: Alg) -> LocalKey {
    LocalKey::from_pkcs8_der(&LocalKey::generate(alg).unwrap()).unwrap()
}

/// A clock that a test sets; it waits for nothing, and remembers what it should have waited for.
#[derive(Debug)]
pub(crate) struct TestClock {
    now: Mutex<i64>,
    waits: Mutex<Vec<Duration>>,
}

impl TestClock {
    pub(crate) fn at(now: i64) -> Arc<Self> {
        Arc::new(Self { now: Mutex::new(now), waits: Mutex::default() })
    }

    pub(crate) fn waits(&self) -> Vec<Duration> {
        self.waits.lock().unwrap().clone()
    }
}

impl Clock for TestClock {
    fn now(&self) -> i64 {
        *self.now.lock().unwrap()
    }

    fn wait(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.waits.lock().unwrap().push(duration);
        Box::pin(tokio::task::yield_now())
    }
}

/// What the service answers once, instead of a signed decision as it should be.
pub(crate) enum Instead {
    /// A status, with `Retry-After` where given.
    Status(u16, Option<&'static str>),
    /// A body with status 200.
    Body(&'static str),
    /// A signed decision with members changed (`null` takes one out).
    Claims(Value),
    /// A decision whose signature is not that of the key which it names.
    Forged,
}

#[derive(Default)]
pub(crate) struct Told {
    pub(crate) instead: VecDeque<Instead>,
    /// Members that every decision has beside or instead of the usual.
    pub(crate) claims: Value,
    pub(crate) keysets: BTreeMap<u64, Vec<u8>>,
    pub(crate) asked: Vec<Value>,
    pub(crate) keysets_asked: Vec<String>,
    /// The key of the process, where it signs with one, under a delegation from a minute ago for an hour.
    pub(crate) process: Option<LocalKey>,
}

/// The deployment.
pub(crate) struct World {
    pub(crate) base_url: String,
    pub(crate) told: Arc<Mutex<Told>>,
    pub(crate) roots: Vec<LocalKey>,
    signer: Arc<Mutex<LocalKey>>,
    keyset: Keyset,
}

impl World {
    /// Keyset version 1, epoch 1, one P-256 key, two of three root keys.
    pub(crate) async fn new() -> Self {
        let signer = Arc::new(Mutex::new(new_key(Alg::Es256)));
        let keyset = keyset(1, 1, &[signer.lock().unwrap().public()]);
        let told = Arc::new(Mutex::new(Told { claims: json!({}), ..Told::default() }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let service = Service { base_url: base_url.clone(), told: told.clone(), signer: signer.clone() };
        let app = Router::new()
            .route("/v1/decision", post(decide))
            .route("/v1/keyset/{file}", get(signed_keyset))
            .with_state(service);
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        let roots = (0..3).map(|_| new_key(Alg::EdDsa)).collect();
        Self { base_url, told, roots, signer, keyset }
    }

    /// Adds members to every decision from now on.
    pub(crate) fn say(&self, claims: Value) {
        self.told.lock().unwrap().claims = claims;
    }

    /// Answers something else, once.
    pub(crate) fn once(&self, instead: Instead) {
        self.told.lock().unwrap().instead.push_back(instead);
    }

    /// Offers version 1.5.0 with these bytes at this URL.
    pub(crate) fn offer(&self, url: &str, bytes: &[u8]) {
        self.say(offer(url, bytes));
    }

    /// Signs with a key of the process from now on, for which the keyset's key vouches.
    pub(crate) fn delegate(&self, alg: Alg) {
        self.told.lock().unwrap().process = Some(new_key(alg));
    }

    pub(crate) fn asked(&self) -> Vec<Value> {
        self.told.lock().unwrap().asked.clone()
    }

    pub(crate) fn root(&self) -> Root {
        Root::new(2, self.roots.iter().map(|key| *key.public()).collect()).unwrap()
    }

    /// The keyset that clients ship with, signed by the first two root keys.
    pub(crate) fn shipped(&self) -> Vec<u8> {
        self.signed(&self.keyset, &[0, 1])
    }

    /// A keyset of this deployment, signed by some root keys.
    pub(crate) fn signed(&self, keyset: &Keyset, by: &[usize]) -> Vec<u8> {
        let draft = Draft::new(&self.base_url, keyset, &self.root()).unwrap();
        let signed = by.iter().fold(draft, |draft, key| draft.signed(&self.roots[*key]).unwrap());
        signed.to_file().into_bytes()
    }

    /// Serves this file as that version of the keyset.
    pub(crate) fn serve_keyset(&self, version: u64, file: Vec<u8>) {
        self.told.lock().unwrap().keysets.insert(version, file);
    }

    /// Signs with another key from now on; answers the present one's public half.
    pub(crate) fn rotate(&self, key: LocalKey) -> decision::PublicKey {
        std::mem::replace(&mut *self.signer.lock().unwrap(), key).public().to_owned()
    }

    pub(crate) fn signer(&self) -> decision::PublicKey {
        *self.signer.lock().unwrap().public()
    }

    /// An updater of `editor` 1.4.0, which ships with version 1 of the keyset.
    pub(crate) fn builder(&self, state: &Path, clock: Arc<TestClock>) -> UpdaterBuilder {
        Updater::builder(&self.base_url, "editor", "1.4.0")
            .platform("linux", "x86_64")
            .keyset(&self.shipped())
            .state(state)
            .clock(clock)
            .allow_loopback_http(true)
    }

    pub(crate) fn updater(&self, state: &Path) -> Updater {
        self.builder(state, TestClock::at(NOW)).build().unwrap()
    }
}

/// A keyset of these keys, in force for ten days around the time of the tests.
pub(crate) fn keyset(version: u64, epoch: u64, keys: &[&decision::PublicKey]) -> Keyset {
    let (from, until) = (NOW - 864_000, NOW + 864_000);
    let key = |key: &&decision::PublicKey| KeysetKey::new(**key, from, until, vec!["*".to_owned()]);
    Keyset { v: 1, version, epoch, expires: until, nonces: true, keys: keys.iter().map(key).collect() }
}

pub(crate) fn offer(url: &str, bytes: &[u8]) -> Value {
    json!({"action": "INSTALL", "reason": "NEW_RELEASE",
        "release": {"release_id": "rel_1", "version": "1.5.0", "channel": "stable"},
        "artifact": {"artifact_id": "art_1", "sha256": sha256(bytes), "size_bytes": bytes.len(), "url": url,
            "installer_type": "deb", "file_name": "editor.deb"}})
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    let digits = |byte: &u8| [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap());
    digest.as_ref().iter().flat_map(digits).collect()
}

/// Bytes that look like nothing else, the same for the same seed.
pub(crate) fn bytes(seed: u64, count: usize) -> Vec<u8> {
    let mut chance = Chance(seed);
    (0..count).map(|_| chance.next().to_be_bytes()[0]).collect()
}

/// A seeded generator (splitmix64), so that a failure can be repeated.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(bound).unwrap()).unwrap()
    }
}

#[derive(Clone)]
struct Service {
    base_url: String,
    told: Arc<Mutex<Told>>,
    signer: Arc<Mutex<LocalKey>>,
}

async fn decide(State(service): State<Service>, Json(question): Json<Value>) -> Response {
    let (instead, mut claims) = {
        let mut told = service.told.lock().unwrap();
        told.asked.push(question.clone());
        (told.instead.pop_front(), told.claims.clone())
    };
    let mut forged = false;
    match instead {
        None => {}
        Some(Instead::Status(status, retry_after)) => {
            let headers = retry_after.map(|value| [("retry-after", value)]);
            let status = StatusCode::from_u16(status).unwrap();
            return match headers {
                Some(headers) => (status, headers).into_response(),
                None => status.into_response(),
            };
        }
        Some(Instead::Body(body)) => return body.into_response(),
        Some(Instead::Claims(more)) => merge(&mut claims, &more),
        Some(Instead::Forged) => forged = true,
    }
    let mut token = service.sign(&question, &claims);
    if forged {
        token.replace_range(token.rfind('.').unwrap() + 1.., &"A".repeat(86));
    }
    Json(json!({"decisions": [{"action": "the mirror is not read", "signature": token}]})).into_response()
}

impl Service {
    fn sign(&self, question: &Value, claims: &Value) -> String {
        let row = &question["products"][0];
        let mut payload = json!({"v": 1, "iss": self.base_url, "jti": "dec_1", "iat": NOW, "exp": NOW + 3_600,
            "product_id": row["product_id"], "channel": row.get("channel").unwrap_or(&json!("stable")),
            "platform": row["platform"], "arch": row["arch"], "from_version": row["current_version"],
            "epoch": 1, "seq": 10, "action": "NONE", "reason": "UP_TO_DATE"});
        for (name, value) in [("nonce", question.get("nonce")), ("tenant_id", row.get("tenant_id"))] {
            if let Some(value) = value {
                payload[name] = value.clone();
            }
        }
        merge(&mut payload, claims);
        let (trusted, told) = (self.signer.lock().unwrap(), self.told.lock().unwrap());
        let dlg = told.process.as_ref().map(|process| {
            let issuer = self.base_url.as_str().into();
            let delegation = Delegation::new(issuer, process.public(), NOW - 60, NOW + 3_540).unwrap();
            signed(&trusted, delegation.signing_input(trusted.alg(), trusted.kid()).unwrap())
        });
        let key = told.process.as_ref().unwrap_or(&trusted);
        let header = jws::encode_header(key.alg(), key.kid(), dlg.as_deref());
        signed(key, jws::signing_input(&header, payload.to_string().as_bytes()))
    }
}

fn signed(key: &LocalKey, input: String) -> String {
    let signature = key.sign(input.as_bytes()).unwrap();
    jws::compact(input, &signature)
}

fn merge(into: &mut Value, more: &Value) {
    for (name, value) in more.as_object().unwrap() {
        match value {
            Value::Null => drop(into.as_object_mut().unwrap().remove(name)),
            value => into[name] = value.clone(),
        }
    }
}

async fn signed_keyset(State(service): State<Service>, UrlPath(file): UrlPath<String>) -> Response {
    let mut told = service.told.lock().unwrap();
    told.keysets_asked.push(file.clone());
    let version = file.strip_suffix(".keyset").and_then(|version| version.parse::<u64>().ok());
    match version.and_then(|version| told.keysets.get(&version)) {
        Some(file) => file.clone().into_response(),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
