//! A world in which everything is right, to be spoilt one thing at a time.

use decision::keyset::KeysetKey;
use decision::sign::LocalKey;
use decision::verify::Stored;
use decision::{Alg, Expected, Keyset, Refusal, Verified, Version, jws, verify};
use serde_json::{Value, json};

/// The time of every check.
pub(crate) const NOW: i64 = 1_767_225_600;
pub(crate) const ISSUER: &str = "https://updates.example.com";
pub(crate) const NONCE: &str = "bm9uY2Utbm9uY2UtMDAwMQ";

pub(crate) struct World {
    pub(crate) key: LocalKey,
    pub(crate) keyset: Keyset,
    pub(crate) expected: Expected,
    pub(crate) payload: Value,
}

pub(crate) fn new_key(alg: Alg) -> LocalKey {
    LocalKey::from_pkcs8_der(&LocalKey::generate(alg).unwrap()).unwrap()
}

/// A world with a key of that algorithm.
pub(crate) fn world_of(alg: Alg) -> World {
    let key = new_key(alg);
    let trusted = KeysetKey::new(*key.public(), NOW - 1_000_000, NOW + 1_000_000, vec!["acme".to_owned()]);
    let keyset =
        Keyset { v: 1, version: 7, epoch: 3, expires: NOW + 9_000_000, nonces: true, keys: vec![trusted] };
    World { key, keyset, expected: expected(), payload: payload() }
}

pub(crate) fn world() -> World {
    world_of(Alg::Es256)
}

fn expected() -> Expected {
    Expected {
        now: NOW,
        issuer: ISSUER.to_owned(),
        product_id: "acme".to_owned(),
        channel: "stable".to_owned(),
        platform: "windows".to_owned(),
        arch: "x86_64".to_owned(),
        tenant_id: None,
        installed_version: Version::parse("1.4.0").unwrap(),
        nonce: Some(NONCE.to_owned()),
        stored: Some(Stored { epoch: 3, seq: 41 }),
        max_artifact_bytes: 1_000,
        allow_loopback_http: false,
        installer_types: Vec::new(),
    }
}

fn payload() -> Value {
    json!({
        "v": 1, "iss": ISSUER, "jti": "dec_1", "iat": NOW, "exp": NOW + 3_600, "nonce": NONCE, "product_id": "acme",
        "channel": "stable", "platform": "windows", "arch": "x86_64", "from_version": "1.4.0", "epoch": 3, "seq": 42,
        "action": "INSTALL", "reason": "NEW_RELEASE",
        "release": {"release_id": "rel_1", "version": "1.5.0", "channel": "stable", "floor": "1.0.0"},
        "artifact": {"artifact_id": "art_1", "sha256": "5a".repeat(32), "size_bytes": 15,
            "url": "https://dl.example.com/x", "installer_type": "msi"},
    })
}

/// A token of any header and payload, signed by `key`.
pub(crate) fn sign_raw(key: &LocalKey, header: &[u8], payload: &[u8]) -> String {
    use base64::Engine as _;
    let header = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(header);
    let input = jws::signing_input(&header, payload);
    let signature = key.sign(input.as_bytes()).unwrap();
    jws::compact(input, &signature)
}

/// A token with the right header, signed by `key`.
pub(crate) fn sign(key: &LocalKey, payload: &[u8]) -> String {
    let input = jws::signing_input(&jws::encode_header(key.alg(), key.kid(), None), payload);
    let signature = key.sign(input.as_bytes()).unwrap();
    jws::compact(input, &signature)
}

impl World {
    /// The token of the world's payload.
    pub(crate) fn token(&self) -> String {
        sign(&self.key, self.payload.to_string().as_bytes())
    }

    pub(crate) fn check(&self) -> Result<Verified, Refusal> {
        self.check_token(&self.token())
    }

    pub(crate) fn check_token(&self, token: &str) -> Result<Verified, Refusal> {
        verify(token, &self.keyset, &self.expected)
    }

    /// The header as it is written, for spoiling.
    pub(crate) fn header(&self) -> String {
        format!(r#"{{"alg":"{}","kid":"{}","typ":"update-decision+jws"}}"#, self.key.alg(), self.key.kid())
    }

    /// Sets a member of the payload, `release.floor` style, or takes it out.
    pub(crate) fn with(mut self, path: &str, value: Option<Value>) -> Self {
        set(&mut self.payload, path, value);
        self
    }
}

pub(crate) fn set(payload: &mut Value, path: &str, value: Option<Value>) {
    let (parent, name) = match path.rsplit_once('.') {
        None => (payload, path),
        Some((parent, name)) => (payload.get_mut(parent).unwrap(), name),
    };
    let members = parent.as_object_mut().unwrap();
    match value {
        Some(value) => drop(members.insert(name.to_owned(), value)),
        None => drop(members.remove(name)),
    }
}

/// The code with which the world's payload is refused once `path` is `value`.
pub(crate) fn code_with(path: &str, value: impl Into<Value>) -> &'static str {
    let value: Value = value.into();
    let outcome = world().with(path, Some(value.clone())).check();
    outcome.err().unwrap_or_else(|| panic!("`{path}` as {value} was accepted")).code()
}

/// Panics unless the world's payload is accepted once `path` is `value`.
pub(crate) fn accepts(path: &str, value: impl Into<Value>) {
    let value: Value = value.into();
    let outcome = world().with(path, Some(value.clone())).check();
    assert!(outcome.is_ok(), "`{path}` as {value}: {}", outcome.unwrap_err());
}

pub(crate) fn code(outcome: Result<Verified, Refusal>) -> &'static str {
    outcome.expect_err("accepted").code()
}
