//! KMS with faults: a server between the functions and the one that stands in for KMS.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::AbortHandle;

use super::RUNTIME;
use super::aws::{Aws, KMS};

/// What KMS can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The key is disabled, in KMS itself.
    Disabled,
    /// More is asked than the account may: each call is answered `ThrottlingException`.
    Throttled,
    /// Nobody answers: each connection is closed.
    Down,
}

/// A way to KMS that can be cut.
#[derive(Debug)]
pub struct Kms {
    url: String,
    way: Arc<Way>,
    task: AbortHandle,
}

#[derive(Debug)]
struct Way {
    aws: Aws,
    client: Client,
    fault: Mutex<Option<Fault>>,
    /// The key that was last asked for.
    key: Mutex<Value>,
}

impl Kms {
    /// A way without fault to the KMS that the environment of the tests names.
    pub fn start() -> Self {
        _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        listener.set_nonblocking(true).expect("a listener");
        let client = || Client::builder().no_proxy().build().expect("a client");
        let (fault, key) = (Mutex::default(), Mutex::default());
        let way = Arc::new(Way { aws: Aws::named(client()), client: client(), fault, key });
        let task = RUNTIME.spawn(serve(listener, Arc::clone(&way))).abort_handle();
        Self { url, way, task }
    }

    /// Where the functions are to find it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// From now on it has this fault.
    pub async fn fails(&self, fault: Fault) {
        *self.way.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        if fault == Fault::Disabled {
            self.key("DisableKey").await;
        }
    }

    /// It has no fault any more.
    pub async fn works(&self) {
        let fault = self.way.fault.lock().unwrap_or_else(PoisonError::into_inner).take();
        if fault == Some(Fault::Disabled) {
            self.key("EnableKey").await;
        }
    }

    async fn key(&self, operation: &str) {
        let key = self.way.key.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.way.aws.call(KMS, operation, &json!({ "KeyId": key })).await;
    }
}

impl Drop for Kms {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Way {
    fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, &'static str> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|_| "half a request")?.to_bytes();
        let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
        *self.key.lock().unwrap_or_else(PoisonError::into_inner) = asked["KeyId"].clone();
        match self.fault() {
            Some(Fault::Down) => return Err("it does not answer"),
            Some(Fault::Throttled) => {
                let said = json!({ "__type": "ThrottlingException", "message": "Rate exceeded" });
                return Ok(response(400, said.to_string().into()));
            }
            Some(Fault::Disabled) | None => {}
        }
        let mut onwards = self.client.post(&self.aws.kms).body(body);
        for name in ["authorization", "content-type", "x-amz-date", "x-amz-target"] {
            if let Some(value) = parts.headers.get(name) {
                onwards = onwards.header(name, value);
            }
        }
        let answer = onwards.send().await.map_err(|_| "there is no KMS")?;
        let status = answer.status().as_u16();
        Ok(response(status, answer.bytes().await.map_err(|_| "half an answer")?))
    }
}

fn response(status: u16, body: Bytes) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status).header("content-type", "application/x-amz-json-1.1");
    response.body(Full::new(body)).expect("a response")
}

async fn serve(listener: TcpListener, way: Arc<Way>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
    while let Ok((stream, _)) = listener.accept().await {
        if way.fault() == Some(Fault::Down) {
            continue;
        }
        let way = Arc::clone(&way);
        let answer = service_fn(move |request| {
            let way = Arc::clone(&way);
            async move { way.answer(request).await }
        });
        // What goes wrong on a connection is seen by the function.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}
