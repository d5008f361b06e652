//! A client of the service that believes nothing: each answer is looked at before it is used.

use std::time::{Duration, Instant};

use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Client, Method, RequestBuilder, redirect};
use serde_json::Value;

/// A base address and a token.
#[derive(Debug, Clone)]
pub struct Api {
    client: Client,
    base: String,
    token: Option<String>,
}

/// An answer, read to its end.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Vec<u8>,
    /// Method and path of the question, for messages.
    pub asked: String,
}

impl Api {
    /// A client that follows no redirects.
    pub fn new(base: &str, token: Option<&str>) -> Self {
        // An error means that another test was first.
        _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .redirect(redirect::Policy::none())
            .timeout(Duration::from_secs(300))
            .no_proxy()
            .build()
            .expect("a client");
        Self { client, base: base.to_owned(), token: token.map(str::to_owned) }
    }

    /// The same base address with another token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// A request to a path of the service, or to a whole address; the token goes to the service's own routes alone.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        if !path.starts_with('/') {
            return self.client.request(method, path);
        }
        let request = self.client.request(method, format!("{}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        self.try_send(request).await.unwrap_or_else(|error| panic!("no answer: {error:?}"))
    }

    /// As [`Api::send`], for requests that may find nobody.
    ///
    /// # Errors
    /// When no whole answer came.
    pub async fn try_send(&self, request: RequestBuilder) -> Result<Answer, reqwest::Error> {
        let request = request.build()?;
        let asked = format!("{} {}", request.method(), request.url().path());
        let response = self.client.execute(request).await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await?.to_vec();
        Ok(Answer { status, headers, body, asked })
    }

    /// `GET`.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(self.request(Method::GET, path)).await
    }

    /// `DELETE`.
    pub async fn delete(&self, path: &str) -> Answer {
        self.send(self.request(Method::DELETE, path)).await
    }

    /// `POST` with a JSON body.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).json(body)).await
    }

    /// `POST` without a body.
    pub async fn post_empty(&self, path: &str) -> Answer {
        self.send(self.request(Method::POST, path)).await
    }

    /// `PUT` with a JSON body.
    pub async fn put(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PUT, path).json(body)).await
    }

    /// `PATCH` with a JSON body.
    pub async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.send(self.request(Method::PATCH, path).json(body)).await
    }

    /// Sends text that says of itself that it is JSON.
    pub async fn send_text(&self, method: Method, path: &str, text: &str) -> Answer {
        let request =
            self.request(method, path).header(CONTENT_TYPE, "application/json").body(text.to_owned());
        self.send(request).await
    }

    /// `POST` with an idempotency key.
    pub async fn post_keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        self.send(self.request(Method::POST, path).header("idempotency-key", key).json(body)).await
    }

    /// Asks again until the answer pleases, for at most 20 seconds.
    pub async fn get_until(&self, path: &str, pleases: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let seen = self.get(path).await.ok(200);
            if pleases(&seen) {
                return seen;
            }
            assert!(Instant::now() < deadline, "GET {path} is still: {seen}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }
}

impl Answer {
    /// The body as JSON, when the status is this one.
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        self.json()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.asked, self.text()))
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A refusal in the service's envelope, with this status and this code (an empty one stands for any).
    pub fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{}: {}", self.asked, self.text());
        assert_eq!(self.header("content-type").split(';').next(), Some("application/json"), "{}", self.asked);
        let body = self.json();
        let members: Vec<&str> = body.as_object().expect("an object").keys().map(String::as_str).collect();
        let known = ["code", "message", "details", "request_id"];
        assert!(members.iter().all(|member| known.contains(member)), "{}: {body}", self.asked);
        let found = body["code"].as_str().expect("a code");
        assert!(
            !found.is_empty()
                && found
                    .bytes()
                    .all(|letter| letter == b'_' || letter.is_ascii_uppercase() || letter.is_ascii_digit()),
            "{body}"
        );
        assert!(
            body["message"].as_str().is_some_and(|message| !message.is_empty()),
            "{}: {body}",
            self.asked
        );
        assert_eq!(body["request_id"].as_str(), Some(self.header("x-request-id")), "{}: {body}", self.asked);
        assert!(code.is_empty() || found == code, "{}: wanted {code}: {body}", self.asked);
        if status == 429 || status == 503 {
            assert!(self.header("retry-after").parse::<u32>().is_ok(), "{}: no Retry-After", self.asked);
        }
        body
    }
}
