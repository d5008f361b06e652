//! A stand-in for the service: answers what a test tells it to, and remembers what it was asked.

use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use serde_json::Value;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Method and path, the way tests match on it.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// What the double answers.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self { status, headers: Vec::new(), body: body.to_string().into_bytes() }
    }

    pub(crate) fn refusal(status: u16, code: &str) -> Self {
        let body = serde_json::json!({"code": code, "message": "what happened", "request_id": "req-7"});
        Self::json(status, &body)
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }
}

type Script = Arc<dyn Fn(&Double, &Seen) -> Answer + Send + Sync>;

/// The stand-in.
#[derive(Clone)]
pub(crate) struct Double {
    pub(crate) base_url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    script: Script,
}

impl Double {
    /// Starts one that answers by `script`, which also gets the double itself: its URL and what it has seen.
    pub(crate) async fn start(script: impl Fn(&Self, &Seen) -> Answer + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let double = Self { base_url, seen: Arc::default(), script: Arc::new(script) };
        let app = axum::Router::new().fallback(answer).with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        double
    }

    /// Everything that was asked, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// How many requests there were of this method and path.
    pub(crate) fn count(&self, line: &str) -> usize {
        self.seen().iter().filter(|seen| seen.line() == line).count()
    }

    /// The one request of this method and path.
    pub(crate) fn only(&self, line: &str) -> Seen {
        let mut found: Vec<Seen> = self.seen().into_iter().filter(|seen| seen.line() == line).collect();
        assert_eq!(found.len(), 1, "{line}: {:?}", self.seen().iter().map(Seen::line).collect::<Vec<_>>());
        found.remove(0)
    }

    /// Runs `bp` against it, with a token in the environment.
    pub(crate) async fn bp(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_bp"));
        command.args(args).env("BP_BASE_URL", &self.base_url).env("BP_API_TOKEN", "bp_test_token");
        tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
    }
}

async fn answer(State(double): State<Double>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let seen = Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: to_bytes(body, usize::MAX).await.unwrap().to_vec(),
    };
    let answer = (double.script)(&double, &seen);
    double.seen.lock().unwrap().push(seen);
    let mut response = Response::builder().status(answer.status);
    for (name, value) in answer.headers {
        response = response.header(name, value);
    }
    response.body(Body::from(answer.body)).unwrap()
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// The exit code; anything unexpected shows what was said.
pub(crate) fn code(output: &Output) -> i32 {
    let code = output.status.code().unwrap();
    eprintln!("exit {code}\n{}\n{}", stdout(output), stderr(output));
    code
}
