//! The steps that most stories begin with.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};

use crate::api::{Answer, Api};
use crate::bytes::{installer, sha256, unique};

impl Api {
    /// A new product with a name of its own.
    pub async fn product(&self, prefix: &str) -> String {
        let name = unique(prefix);
        self.post("/v1/products", &json!({"product_id": name})).await.ok(201);
        name
    }

    /// Begins an upload of these bytes; `more` adds or replaces members.
    pub async fn initiate(&self, bytes: &[u8], more: Value) -> Value {
        let mut body = json!({"size_bytes": bytes.len(), "sha256": sha256(bytes)});
        merge(&mut body, more);
        self.post("/v1/artifacts/uploads", &body).await.ok(201)
    }

    /// A bare PUT to the upload's documented address.
    pub async fn put_bare(&self, upload: &Value, bytes: &[u8]) -> Answer {
        let request = self
            .request(Method::PUT, text(upload, "upload_url"))
            .header(CONTENT_TYPE, "application/octet-stream")
            .body(bytes.to_vec());
        self.send(request).await
    }

    /// A PUT through the door that checks the digest itself.
    pub async fn put_locked(&self, upload: &Value, bytes: &[u8]) -> Answer {
        let door = &upload["checksum_locked"];
        let mut request = self.request(Method::PUT, text(door, "url")).body(bytes.to_vec());
        for (name, value) in door["headers"].as_object().expect("headers") {
            request = request.header(name, value.as_str().expect("a header's value"));
        }
        self.send(request).await
    }

    /// Begins an upload of these bytes in parts; `more` adds or replaces members.
    pub async fn initiate_parts(&self, bytes: &[u8], more: Value) -> Value {
        let mut members = json!({"multipart": true});
        merge(&mut members, more);
        self.initiate(bytes, members).await
    }

    /// Asks for addresses of parts.
    pub async fn parts(&self, upload: &Value, parts: Value) -> Answer {
        let path = format!("/v1/artifacts/uploads/{}/parts", text(upload, "upload_id"));
        self.post(&path, &json!({"parts": parts})).await
    }

    /// A PUT of one part, with its digest.
    pub async fn put_part(&self, upload: &Value, number: u64, bytes: &[u8]) -> Answer {
        let wanted = json!([{"part_number": number, "sha256": sha256(bytes)}]);
        let door = self.parts(upload, wanted).await.ok(200)["parts"][0].clone();
        self.put_to(&door, bytes).await
    }

    /// A PUT to a signed address, with the headers that came with it.
    pub async fn put_to(&self, door: &Value, bytes: &[u8]) -> Answer {
        let mut request = self.request(Method::PUT, text(door, "url")).body(bytes.to_vec());
        for (name, value) in door["headers"].as_object().expect("headers") {
            request = request.header(name, value.as_str().expect("a header's value"));
        }
        self.send(request).await
    }

    /// Asks for completion, without a body.
    pub async fn complete(&self, upload: &Value) -> Answer {
        self.post_empty(&format!("/v1/artifacts/uploads/{}/complete", text(upload, "upload_id"))).await
    }

    /// Completes and, where the service works on, waits; answers with the artifact.
    pub async fn completed(&self, upload: &Value) -> Value {
        let answer = self.complete(upload).await;
        if answer.status == 200 {
            return answer.json();
        }
        assert_eq!(answer.status, 202, "{}", answer.text());
        let path = format!("/v1/artifacts/uploads/{}", text(upload, "upload_id"));
        let done = self.get_until(&path, |upload| upload["state"] != "COMPLETING").await;
        assert_eq!(done["state"], "COMPLETED", "{done}");
        self.get(&format!("/v1/artifacts/{}", text(&done, "artifact_id"))).await.ok(200)
    }

    /// Stores these bytes through the documented door; answers with the artifact.
    pub async fn upload_bare(&self, bytes: &[u8], more: Value) -> Value {
        let upload = self.initiate(bytes, more).await;
        let put = self.put_bare(&upload, bytes).await;
        assert!((200..300).contains(&put.status), "{}: {}", put.status, put.text());
        self.completed(&upload).await
    }

    /// Stores these bytes through the locked door; answers with the artifact.
    pub async fn upload_locked(&self, bytes: &[u8], more: Value) -> Value {
        let upload = self.initiate(bytes, more).await;
        let put = self.put_locked(&upload, bytes).await;
        assert!((200..300).contains(&put.status), "{}: {}", put.status, put.text());
        self.completed(&upload).await
    }

    /// The id of a small new artifact.
    pub async fn artifact(&self) -> String {
        let artifact = self.upload_locked(&installer(2_000), json!({"file_name": "installer.msi"})).await;
        text(&artifact, "artifact_id").to_owned()
    }

    /// A release of a new artifact for 64-bit Windows; `more` adds or replaces members.
    pub async fn try_publish(&self, product: &str, version: &str, more: Value) -> Answer {
        let mut body = json!({"product_id": product, "version": version, "channel": "stable"});
        merge(&mut body, more);
        if body.get("artifacts").is_none() {
            body["artifacts"] = json!([msi(&self.artifact().await)]);
        }
        self.post("/v1/releases", &body).await
    }

    /// As [`Api::try_publish`], when nothing should go wrong; answers with the release.
    pub async fn publish(&self, product: &str, version: &str, more: Value) -> Value {
        self.try_publish(product, version, more).await.ok(201)
    }

    /// What the service tells 64-bit Windows on this version; `more` adds members to the request's one row.
    pub async fn decide(&self, product: &str, version: &str, more: Value) -> Value {
        let mut row = json!({"product_id": product, "current_version": version,
            "platform": "windows", "arch": "x86_64"});
        merge(&mut row, more);
        let client = row.as_object_mut().expect("a row").remove("client_id");
        let mut body = json!({"products": [row]});
        if let Some(client) = client {
            body["client_id"] = client;
        }
        let answer = self.post("/v1/decision", &body).await.ok(200);
        answer["decisions"][0].clone()
    }

    /// The audit entries about one thing, oldest first or newest first as the service has them.
    pub async fn audit(&self, about: &str) -> Vec<Value> {
        let mut found = Vec::new();
        let mut path = "/v1/audit/events?limit=100".to_owned();
        loop {
            let page = self.get(&path).await.ok(200);
            let events = page["events"].as_array().expect("events");
            found.extend(events.iter().filter(|event| event.to_string().contains(about)).cloned());
            match page["next_cursor"].as_str() {
                Some(cursor) => path = format!("/v1/audit/events?limit=100&cursor={cursor}"),
                None => return found,
            }
        }
    }

    /// A new token; `more` adds members such as `tenant_id`.
    pub async fn token(&self, scopes: &[&str], more: Value) -> Self {
        let mut body = json!({"name": unique("token"), "scopes": scopes});
        merge(&mut body, more);
        let made = self.post("/v1/tokens", &body).await.ok(201);
        self.with_token(text(&made, "token"))
    }

    /// Follows the download of an artifact to its bytes.
    pub async fn download(&self, artifact_id: &str) -> Answer {
        let mut answer = self.get(&format!("/v1/artifacts/{artifact_id}/download")).await;
        if answer.status == 302 {
            answer = self.get(answer.header("location")).await;
        }
        answer
    }
}

/// One entry of a release: an MSI for 64-bit Windows.
pub fn msi(artifact_id: &str) -> Value {
    json!({"artifact_id": artifact_id, "platform": "windows", "arch": "x86_64", "installer_type": "msi"})
}

/// What was signed: the payload of a decision's token.
pub fn payload(decision: &Value) -> Value {
    segment(decision, 1)
}

/// The header of a decision's token.
pub fn header(decision: &Value) -> Value {
    segment(decision, 0)
}

/// The most bytes that a delegation adds to a token, with an issuer of up to 64 characters.
pub const DELEGATION: usize = 816;

/// Holds a decision's token to so many bytes, and to those of its delegation where it has one.
pub fn fits(decision: &Value, most: usize) {
    let delegated = header(decision).get("dlg").is_some();
    let most = if delegated { most + DELEGATION } else { most };
    let length = text(decision, "signature").len();
    assert!(length <= most, "{length} bytes of {most}: {decision}");
}

fn segment(decision: &Value, index: usize) -> Value {
    let segment = text(decision, "signature").split('.').nth(index).expect("three segments");
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).expect("base64url")).expect("JSON")
}

/// Action and reason of a decision in one word, such as `NONE/UP_TO_DATE`, or `INSTALL/NEW_RELEASE 2.0.0`.
pub fn verdict(decision: &Value) -> String {
    let signed = payload(decision);
    let mut said = format!("{}/{}", text(&signed, "action"), text(&signed, "reason"));
    if let Some(version) = signed["release"]["version"].as_str() {
        said = format!("{said} {version}");
    }
    said
}

/// A text member that must be there.
pub fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_else(|| panic!("no `{member}` in {value}"))
}

/// Waits for a condition, for at most so many seconds.
pub async fn until(what: &str, seconds: u64, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(seconds);
    while !holds().await {
        assert!(Instant::now() < deadline, "not within {seconds} s: {what}");
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

fn merge(into: &mut Value, more: Value) {
    let Value::Object(more) = more else { panic!("not an object: {more}") };
    into.as_object_mut().expect("an object").extend(more);
}
