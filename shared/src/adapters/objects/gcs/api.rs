//! Metadata, rewrites, compositions and removals, over the JSON API. Every one of them may be asked again: conditions see to
//! it that nothing is done twice.

use std::time::Duration;

use http::{Method, StatusCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use url::form_urlencoded;

use super::access::{Access, GcsError};

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long one answer may take. A rewrite answers after half a minute at the latest, with a token to go on with.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How often a request is made that fails for a passing reason.
const ATTEMPTS: u32 = 4;
/// The wait before the second attempt; it doubles.
const FIRST_WAIT: Duration = Duration::from_millis(200);
/// What every copy, composition and object of our own is, whatever its uploader said of it.
pub(super) const OCTETS: &str = "application/octet-stream";

/// An object as the store lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Stored {
    pub(super) name: String,
    pub(super) size_bytes: u64,
    pub(super) generation: String,
    /// When it was written last, Unix milliseconds; `None` where that was not asked or cannot be read.
    pub(super) at: Option<i64>,
}

/// A page of a list.
#[derive(Debug)]
pub(super) struct Listed {
    pub(super) found: Vec<Stored>,
    /// What names begin with up to a delimiter, where one was given.
    pub(super) prefixes: Vec<String>,
    pub(super) next: Option<String>,
}

/// Why a request was not granted.
#[derive(Debug)]
pub(super) enum Refusal {
    /// There is no such object.
    NotFound,
    /// A condition did not hold.
    Condition,
    /// Something else.
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl<E: Into<Box<dyn std::error::Error + Send + Sync>>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Other(error.into())
    }
}

/// An object as the API writes it.
#[derive(Deserialize)]
struct Resource {
    name: String,
    size: String,
    generation: String,
    updated: Option<String>,
}

impl TryFrom<Resource> for Stored {
    type Error = std::num::ParseIntError;

    fn try_from(found: Resource) -> Result<Self, Self::Error> {
        let at = |text: String| OffsetDateTime::parse(&text, &Rfc3339).ok();
        let milliseconds = |time: OffsetDateTime| i64::try_from(time.unix_timestamp_nanos() / 1_000_000).ok();
        Ok(Self {
            name: found.name,
            size_bytes: found.size.parse()?,
            generation: found.generation,
            at: found.updated.and_then(at).and_then(milliseconds),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Rewritten {
    done: bool,
    rewrite_token: Option<String>,
    resource: Option<Resource>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Page {
    #[serde(default)]
    items: Vec<Resource>,
    #[serde(default)]
    prefixes: Vec<String>,
    next_page_token: Option<String>,
}

/// A client with time limits.
pub(super) fn http() -> Result<reqwest::Client, GcsError> {
    let builder = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
    let builder = builder.redirect(reqwest::redirect::Policy::none());
    builder.build().map_err(|error| GcsError::Client(error.into()))
}

/// One bucket.
#[derive(Debug, Clone)]
pub(super) struct Api {
    http: reqwest::Client,
    base: String,
    access: Access,
}

impl Api {
    pub(super) fn new(http: reqwest::Client, endpoint: &str, bucket: &str, access: Access) -> Self {
        Self { http, base: format!("{endpoint}/storage/v1/b/{}", encoded(bucket)), access }
    }

    /// What is stored under a name.
    pub(super) async fn stat(&self, name: &str) -> Result<Stored, Refusal> {
        let found: Resource = self.read(Method::GET, &object(name), None).await?;
        Ok(found.try_into()?)
    }

    /// Copies this very generation to a name under which nothing is, without what its uploader said of it.
    pub(super) async fn rewrite(&self, from: &Stored, to: &str) -> Result<Stored, Refusal> {
        let generation = &from.generation;
        let bucket = self.base.rsplit('/').next().unwrap_or_default();
        let path = format!(
            "{}/rewriteTo/b/{bucket}/o/{}?sourceGeneration={generation}&ifSourceGenerationMatch={generation}\
             &ifGenerationMatch=0",
            object(&from.name),
            encoded(to)
        );
        let body = json!({ "contentType": OCTETS });
        let mut token: Option<String> = None;
        loop {
            let more = token.as_ref().map(|token| format!("&rewriteToken={}", encoded(token)));
            let path = format!("{path}{}", more.unwrap_or_default());
            let answer: Rewritten = self.read(Method::POST, &path, Some(&body)).await?;
            match (answer.done, answer.resource, answer.rewrite_token) {
                (true, Some(made), _) => return Ok(made.try_into()?),
                (false, _, Some(next)) => token = Some(next),
                _ => return Err("the object store neither ended a rewrite nor goes on with it".into()),
            }
        }
    }

    /// Puts these very generations together, in this order, under a name under which nothing is.
    pub(super) async fn compose(&self, from: &[Stored], to: &str) -> Result<Stored, Refusal> {
        let source = |part: &Stored| {
            json!({ "name": part.name, "generation": part.generation,
                "objectPreconditions": { "ifGenerationMatch": part.generation } })
        };
        let sources: Vec<Value> = from.iter().map(source).collect();
        let body = json!({ "sourceObjects": sources, "destination": { "contentType": OCTETS } });
        let path = format!("{}/compose?ifGenerationMatch=0", object(to));
        let made: Resource = self.read(Method::POST, &path, Some(&body)).await?;
        Ok(made.try_into()?)
    }

    /// Removes what is stored under a name.
    pub(super) async fn delete(&self, name: &str) -> Result<(), Refusal> {
        self.ask(Method::DELETE, &object(name), None).await.map(drop)
    }

    /// Removes one generation of what is stored under a name.
    pub(super) async fn delete_generation(&self, stored: &Stored) -> Result<(), Refusal> {
        let path = format!("{}?generation={}", object(&stored.name), encoded(&stored.generation));
        self.ask(Method::DELETE, &path, None).await.map(drop)
    }

    /// Everything whose name begins so.
    pub(super) async fn list(&self, prefix: &str) -> Result<Vec<Stored>, Refusal> {
        self.list_all(prefix, "").await
    }

    /// Every generation of everything whose name begins so.
    pub(super) async fn generations(&self, prefix: &str) -> Result<Vec<Stored>, Refusal> {
        self.list_all(prefix, "&versions=true").await
    }

    async fn list_all(&self, prefix: &str, more: &str) -> Result<Vec<Stored>, Refusal> {
        let (mut found, mut next) = (Vec::new(), None);
        loop {
            let page = self.page(prefix, more, next.as_deref()).await?;
            found.extend(page.found);
            next = page.next;
            if next.is_none() {
                return Ok(found);
            }
        }
    }

    /// A page of what begins so, with these parameters besides, from where another one has ended.
    pub(super) async fn page(
        &self,
        prefix: &str,
        more: &str,
        after: Option<&str>,
    ) -> Result<Listed, Refusal> {
        let fields = "items(name,size,generation,updated),prefixes,nextPageToken";
        let after = after.map(|token| format!("&pageToken={}", encoded(token))).unwrap_or_default();
        let path = format!("/o?prefix={}&fields={fields}{more}{after}", encoded(prefix));
        let page: Page = self.read(Method::GET, &path, None).await?;
        let found = page.items.into_iter().map(Stored::try_from).collect::<Result<_, _>>()?;
        let next = page.next_page_token.filter(|token| !token.is_empty());
        Ok(Listed { found, prefixes: page.prefixes, next })
    }

    async fn read<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<T, Refusal> {
        Ok(serde_json::from_slice(&self.ask(method, path, body).await?)?)
    }

    async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<bytes::Bytes, Refusal> {
        let mut wait = FIRST_WAIT;
        for _ in 1..ATTEMPTS {
            match self.attempt(method.clone(), path, body).await {
                Ok(answer) => return answer,
                Err(error) => tracing::debug!(error = %error, "the object store is asked again"),
            }
            tokio::time::sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        self.attempt(method, path, body).await?
    }

    /// The outer error is of a failure that may pass.
    async fn attempt(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Result<bytes::Bytes, Refusal>, Box<dyn std::error::Error + Send + Sync>> {
        let headers = match self.access.headers().await {
            Ok(headers) => headers,
            Err(error) => return Ok(Err(error.into())),
        };
        let mut request = self.http.request(method, format!("{}{path}", self.base)).headers(headers);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(Ok(answer.bytes().await?));
        }
        let refusal = format!("the object store answered {status}");
        match status {
            StatusCode::NOT_FOUND => Ok(Err(Refusal::NotFound)),
            StatusCode::PRECONDITION_FAILED => Ok(Err(Refusal::Condition)),
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Err(refusal.into()),
            status if status.is_server_error() => Err(refusal.into()),
            _ => Ok(Err(refusal.into())),
        }
    }
}

/// The path of an object in its bucket.
fn object(name: &str) -> String {
    format!("/o/{}", encoded(name))
}

/// A name as one segment of a path, or as a value of a query.
fn encoded(name: &str) -> String {
    form_urlencoded::byte_serialize(name.as_bytes()).collect::<String>().replace('+', "%20")
}
