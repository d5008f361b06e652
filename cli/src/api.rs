//! Calls of the service: where it is, with which token, and how often to try.

use std::{fmt, time::Duration};

use reqwest::header::{self, HeaderMap};
use reqwest::{Method, Url};
use serde_json::Value;

use crate::failure::Failure;
use crate::output::Output;

/// How often a call is made before its failure is reported.
const ATTEMPTS: u32 = 4;
/// How long to wait before the second attempt; twice as long before each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest `Retry-After` that is honoured by waiting.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What a missing `Retry-After` means, beside up to ten seconds of chance.
const UNSAID_PAUSE: Duration = Duration::from_secs(30);
/// How long the service may say nothing.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// An API token; never printed.
#[derive(Clone)]
pub(crate) struct ApiToken(String);

impl ApiToken {
    pub(crate) fn new(text: &str) -> Self {
        Self(text.trim().to_owned())
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiToken(…)")
    }
}

/// The service, as one user sees it.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    base_url: Url,
    token: Option<ApiToken>,
    http: reqwest::Client,
    out: Output,
}

/// One call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    path: Vec<String>,
    query: Vec<(&'static str, String)>,
    body: Option<Value>,
    text: Option<String>,
    idempotency_key: Option<String>,
    if_match: Option<String>,
    repeatable: bool,
}

/// An answer with a good status.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Call {
    fn new(method: Method, path: &[&str]) -> Self {
        let path = path.iter().map(|segment| (*segment).to_owned()).collect();
        let repeatable = method != Method::POST;
        Self {
            method,
            path,
            query: Vec::new(),
            body: None,
            text: None,
            idempotency_key: None,
            if_match: None,
            repeatable,
        }
    }

    /// `GET`; the path is given by segments, which may hold anything.
    pub(crate) fn get(path: &[&str]) -> Self {
        Self::new(Method::GET, path)
    }

    /// `POST` of a JSON body.
    pub(crate) fn post(path: &[&str], body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::POST, path) }
    }

    /// `POST` without a body.
    pub(crate) fn post_nothing(path: &[&str]) -> Self {
        Self::new(Method::POST, path)
    }

    /// `PUT` of a JSON body.
    pub(crate) fn put(path: &[&str], body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::PUT, path) }
    }

    /// `PUT` of JSON text, byte for byte.
    pub(crate) fn put_text(path: &[&str], text: String) -> Self {
        Self { text: Some(text), ..Self::new(Method::PUT, path) }
    }

    /// `PATCH` with a JSON body.
    pub(crate) fn patch(path: &[&str], body: Value) -> Self {
        Self { body: Some(body), ..Self::new(Method::PATCH, path) }
    }

    /// `DELETE`.
    pub(crate) fn delete(path: &[&str]) -> Self {
        Self::new(Method::DELETE, path)
    }

    /// Adds a query parameter, where there is a value.
    pub(crate) fn query(mut self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        self.query.extend(value.map(|value| (name, value.into())));
        self
    }

    /// Makes the call safe to repeat.
    pub(crate) fn idempotency_key(mut self, key: String) -> Self {
        self.idempotency_key = Some(key);
        self.repeatable()
    }

    /// Lets the call succeed only on the edition that was read.
    pub(crate) fn if_match(mut self, etag: Option<String>) -> Self {
        self.if_match = etag;
        self
    }

    /// Says that making the call twice does no more than making it once.
    pub(crate) fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }
}

impl Reply {
    /// The body as JSON; nothing counts as null.
    pub(crate) fn json(&self) -> Result<Value, Failure> {
        if self.body.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&self.body).map_err(|error| Failure::NotUnderstood(error.to_string()))
    }

    /// A header, where it is there and text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Whether nothing was done, and the same call may do it later.
    fn is_busy(&self) -> bool {
        let in_progress = || {
            let envelope: Value = serde_json::from_slice(&self.body).unwrap_or_default();
            envelope.get("code").and_then(Value::as_str) == Some("IDEMPOTENCY_IN_PROGRESS")
        };
        matches!(self.status, 429 | 503) || (self.status == 409 && in_progress())
    }

    /// How long the service asks to wait.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs)
    }
}

impl Api {
    /// The service at `base_url`.
    pub(crate) fn new(base_url: &str, token: Option<ApiToken>, out: Output) -> Result<Self, Failure> {
        let url = Url::parse(base_url).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        let base_url = url.ok_or_else(|| Failure::usage(format!("`{base_url}` is no http or https url")))?;
        let http = client::http_builder()
            .user_agent(concat!("bp/", env!("CARGO_PKG_VERSION")))
            .read_timeout(SILENCE_TIMEOUT)
            .build()
            .map_err(client::ClientError::Tls)?;
        Ok(Self { base_url, token, http, out })
    }

    /// The base URL without a slash at its end.
    pub(crate) fn base_url(&self) -> &str {
        self.base_url.as_str().trim_end_matches('/')
    }

    /// The client that updaters embed, for the same service and token.
    pub(crate) fn client(&self) -> Result<client::Client, Failure> {
        let client = client::Client::new(self.base_url())?;
        Ok(match &self.token {
            Some(ApiToken(token)) => client.with_token(token),
            None => client,
        })
    }

    /// An updater of the same service, with the same token.
    pub(crate) fn updater(&self, product: &str, version: &str) -> client::UpdaterBuilder {
        let updater = client::Updater::builder(self.base_url(), product, version);
        // A user who names a plain loopback service has chosen development.
        let updater = updater.allow_loopback_http(self.is_plain_loopback());
        match &self.token {
            Some(ApiToken(token)) => updater.token(token),
            None => updater,
        }
    }

    /// Whether the service is on this machine and spoken to without TLS, as in development.
    pub(crate) fn is_plain_loopback(&self) -> bool {
        let host = self.base_url.host_str().unwrap_or_default();
        let loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
        self.base_url.scheme() == "http" && loopback
    }

    /// Whether the token would cross a network that anyone on the way can read.
    pub(crate) fn token_in_the_clear(&self) -> bool {
        self.token.is_some() && self.base_url.scheme() == "http" && !self.is_plain_loopback()
    }

    /// Makes the call and reads its JSON.
    pub(crate) async fn json(&self, call: Call) -> Result<Value, Failure> {
        self.send(call).await?.json()
    }

    /// Makes the call, again after a pause where that may help and can do no harm.
    ///
    /// 429 and 503 mean that nothing was done, and so does a connection that never came about; any other break is
    /// followed by another attempt only where the call is repeatable.
    pub(crate) async fn send(&self, call: Call) -> Result<Reply, Failure> {
        let mut pause = FIRST_PAUSE;
        for _ in 1..ATTEMPTS {
            match self.attempt(&call).await {
                Ok(reply) if reply.is_busy() => {
                    let asked = reply.retry_after().unwrap_or_else(unsaid_pause).max(pause);
                    if asked > LONGEST_PAUSE {
                        return Err(refused(&reply));
                    }
                    if asked > UNSAID_PAUSE / 10 {
                        let seconds = asked.as_secs();
                        self.out.note(&format!("the service is busy: trying again in {seconds} s"));
                    }
                    tokio::time::sleep(asked).await;
                }
                Ok(reply) => return judged(reply),
                Err(error) if error.is_connect() || call.repeatable => tokio::time::sleep(pause).await,
                Err(source) => return Err(self.unreachable(source)),
            }
            pause *= 2;
        }
        judged(self.attempt(&call).await.map_err(|source| self.unreachable(source))?)
    }

    /// A request for the bytes of an artifact, to be sent by this client; the token goes to the service alone.
    pub(crate) fn download(&self, http: &reqwest::Client, id: &str) -> reqwest::RequestBuilder {
        let request = http.get(self.url(&Call::get(&["v1", "artifacts", id, "download"])));
        match &self.token {
            Some(ApiToken(token)) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn attempt(&self, call: &Call) -> reqwest::Result<Reply> {
        let mut request = self.http.request(call.method.clone(), self.url(call));
        if let Some(ApiToken(token)) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(key) = &call.idempotency_key {
            request = request.header("idempotency-key", key);
        }
        if let Some(etag) = &call.if_match {
            request = request.header(header::IF_MATCH, etag);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        if let Some(text) = &call.text {
            request = request.header(header::CONTENT_TYPE, "application/json").body(text.clone());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, body: response.bytes().await?.to_vec() })
    }

    /// The URL of a call: segments and values are escaped here, once.
    fn url(&self, call: &Call) -> Url {
        let mut url = self.base_url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty().extend(&call.path);
        }
        if !call.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&call.query);
        }
        url
    }

    fn unreachable(&self, source: reqwest::Error) -> Failure {
        Failure::Unreachable { url: self.base_url().to_owned(), source: source.without_url() }
    }
}

/// Half a minute and a little chance, so that many who were refused at once do not come back at once.
fn unsaid_pause() -> Duration {
    let chance = client::fresh_nonce().map_or(0, |nonce| nonce.bytes().map(u64::from).sum::<u64>() % 10_000);
    UNSAID_PAUSE + Duration::from_millis(chance)
}

fn judged(reply: Reply) -> Result<Reply, Failure> {
    if (200..300).contains(&reply.status) { Ok(reply) } else { Err(refused(&reply)) }
}

/// The failure that an answer other than a good one stands for.
fn refused(reply: &Reply) -> Failure {
    let envelope: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let text = |name: &str| envelope.get(name).and_then(Value::as_str).map(str::to_owned);
    Failure::Refused {
        status: reply.status,
        code: text("code").unwrap_or_default(),
        message: text("message").unwrap_or_else(|| format!("the service answered {}", reply.status)),
        details: envelope.get("details").filter(|details| !details.is_null()).cloned().map(Box::new),
        request_id: text("request_id").or_else(|| reply.header("x-request-id").map(str::to_owned)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(base_url: &str) -> Api {
        Api::new(base_url, Some(ApiToken::new("bp_secret\n")), Output::new(true)).unwrap()
    }

    #[test]
    fn what_a_user_types_stays_one_segment_or_one_value() {
        let call = Call::get(&["v1", "artifacts", "../x?y"]).query("label", Some("a:b&c=d"));
        assert_eq!(
            api("https://host/base/").url(&call).as_str(),
            "https://host/base/v1/artifacts/..%2Fx%3Fy?label=a%3Ab%26c%3Dd"
        );
    }

    #[test]
    fn the_token_is_not_in_the_debug_text() {
        assert!(!format!("{:?}", api("https://host")).contains("secret"));
    }

    #[test]
    fn a_token_over_plain_http_is_noticed_except_on_this_machine() {
        assert!(api("http://updates.example.com").token_in_the_clear());
        assert!(!api("https://updates.example.com").token_in_the_clear());
        assert!(!api("http://127.0.0.1:8080").token_in_the_clear());
        assert!(!api("http://[::1]:8080").token_in_the_clear());
    }

    #[test]
    fn a_missing_retry_after_means_half_a_minute_and_a_little_chance() {
        let pauses: Vec<Duration> = (0..20).map(|_| unsaid_pause()).collect();
        assert!(pauses.iter().all(|pause| (30..40).contains(&pause.as_secs())), "{pauses:?}");
        assert!(pauses.iter().any(|pause| pause != &pauses[0]), "{pauses:?}");
    }

    #[test]
    fn only_calls_that_do_no_more_the_second_time_are_repeatable() {
        assert!(Call::get(&["v1"]).repeatable);
        assert!(Call::post_nothing(&["v1"]).idempotency_key("k".to_owned()).repeatable);
        assert!(!Call::post_nothing(&["v1"]).repeatable);
    }
}
