//! One request, and the head of its answer.

use std::{error::Error, io};

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HOST,
        LAST_MODIFIED, LOCATION, USER_AGENT,
    },
};
use http_body_util::Full;
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::{task::JoinHandle, time::timeout};

use super::{connect::Road, retry_after};
use crate::{
    adapters::fetcher::credentials::{Credentials, Opened as Opening, Opener},
    domain::{artifact::Validators, external_url::ExternalUrl},
    ports::fetcher::FetchError,
};

/// The largest head of an answer.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// The longest `ETag`, `Last-Modified` or version that is kept.
const MAX_VALIDATOR_BYTES: usize = 1024;

/// What is asked of every host on the way.
#[derive(Debug, Clone)]
pub(super) struct Ask {
    pub(super) method: Method,
    /// Sent to every host on the way: nothing secret.
    pub(super) headers: Vec<(HeaderName, String)>,
    /// Empty but with `POST`.
    pub(super) body: Bytes,
    /// Unix milliseconds.
    pub(super) now: i64,
}

impl Ask {
    pub(super) fn get(now: i64) -> Self {
        Self { method: Method::GET, headers: Vec::new(), body: Bytes::new(), now }
    }

    pub(super) fn head(now: i64) -> Self {
        Self { method: Method::HEAD, ..Self::get(now) }
    }

    /// A question with a JSON document, of this media type.
    pub(super) fn post(now: i64, media: &str, document: &serde_json::Value) -> Self {
        let asked = Self { method: Method::POST, body: document.to_string().into(), ..Self::get(now) };
        asked.with(CONTENT_TYPE, media)
    }

    pub(super) fn with(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

/// What a host answered.
pub(super) enum Answer {
    /// The bytes follow.
    Bytes(Opened),
    /// They are elsewhere.
    Redirect(String),
}

/// An answer whose body is still to be read.
pub(super) struct Opened {
    pub(super) response: Response<Incoming>,
    _connection: Connection,
}

/// The task that moves the bytes; it ends with its owner.
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends the request, and judges the head of the answer.
pub(super) async fn ask(
    road: &Road<'_>,
    url: &ExternalUrl,
    ask: &Ask,
    credentials: Option<&Credentials>,
) -> Result<Answer, FetchError> {
    judge(send(road, url, ask, credentials).await?, ask)
}

/// Sends the request; the answer has whatever status it has.
pub(super) async fn send(
    road: &Road<'_>,
    url: &ExternalUrl,
    ask: &Ask,
    credentials: Option<&Credentials>,
) -> Result<Opened, FetchError> {
    let opener = match credentials {
        Some(credentials) => Some(credentials.opener(ask.now).await.map_err(FetchError::Credentials)?),
        None => None,
    };
    let request = request(url, ask, opener.as_ref())?;
    let wire = TokioIo::new(road.connect(url).await?);
    let (mut sender, connection) = http1::Builder::new()
        .max_header_size(MAX_HEAD_BYTES)
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(wire)
        .await
        .map_err(broken)?;
    // The connection's own errors arrive at the sender and at the body too.
    let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
    let response = timeout(road.limits.silence, sender.send_request(request))
        .await
        .map_err(|_| FetchError::Timeout("the head of the answer"))?
        .map_err(broken)?;
    Ok(Opened { response, _connection: connection })
}

fn request(
    url: &ExternalUrl,
    ask: &Ask,
    opener: Option<&Opener>,
) -> Result<Request<Full<Bytes>>, FetchError> {
    let unsendable = |source| FetchError::Invalid { reason: "the URL cannot be sent in a request", source };
    let opening = match opener {
        Some(opener) => opener.open(ask.method.as_str(), url, &ask.headers, &ask.body, ask.now),
        None => Some(Opening::default()),
    };
    let opening = opening.ok_or_else(|| unsendable(None))?;
    let target = opening.target.as_deref().unwrap_or_else(|| url.path_and_query());
    let mut request = Request::builder()
        .method(&ask.method)
        .uri(target)
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("big-picture/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(ACCEPT_ENCODING, "identity")
        .header(CONNECTION, "close")
        .body(Full::new(ask.body.clone()))
        .map_err(|error| unsendable(Some(Box::new(error))))?;
    for (name, value) in &ask.headers {
        let value = HeaderValue::from_str(value).map_err(|_| unsendable(None))?;
        request.headers_mut().insert(name, value);
    }
    for (name, value) in opening.headers {
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

fn judge(answer: Opened, ask: &Ask) -> Result<Answer, FetchError> {
    let response = &answer.response;
    let headers = response.headers();
    let ranged = ask.headers.iter().any(|(name, _)| *name == http::header::RANGE);
    match response.status() {
        StatusCode::OK => {}
        StatusCode::CREATED if ask.method == Method::POST => {}
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if ranged => {}
        StatusCode::MOVED_PERMANENTLY
        | StatusCode::FOUND
        | StatusCode::SEE_OTHER
        | StatusCode::TEMPORARY_REDIRECT
        | StatusCode::PERMANENT_REDIRECT => {
            let location = headers.get(LOCATION).and_then(|value| std::str::from_utf8(value.as_bytes()).ok());
            let location = location.ok_or_else(|| invalid("it redirects without saying where to"))?;
            return Ok(Answer::Redirect(location.to_owned()));
        }
        status => {
            return Err(FetchError::Status {
                status: status.as_u16(),
                retry_after: retry_after::read(status, headers),
            });
        }
    }
    let identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(identity) {
        return Err(invalid("it is encoded, though the plain bytes were asked for"));
    }
    Ok(Answer::Bytes(answer))
}

/// What an answer's head says of the whole artifact.
pub(super) fn validators(response: &Response<Incoming>) -> Validators {
    let headers = response.headers();
    let size_bytes = match response.status() {
        StatusCode::PARTIAL_CONTENT => range(headers).and_then(|(_, whole)| whole),
        _ => text(headers, &CONTENT_LENGTH).and_then(|length| length.parse().ok()),
    };
    Validators {
        etag: text(headers, &ETAG),
        last_modified: text(headers, &LAST_MODIFIED),
        size_bytes,
        sha256: None,
        version: text(headers, &HeaderName::from_static("x-goog-generation")),
    }
}

/// Where the bytes of a part begin, and how many there are in all.
pub(super) fn range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let said = text(headers, &http::header::CONTENT_RANGE)?;
    let (range, whole) = said.strip_prefix("bytes ")?.split_once('/')?;
    let first = range.split_once('-')?.0.parse().ok()?;
    Some((first, whole.parse().ok()))
}

/// A header as text, where it is short enough to be kept.
pub(super) fn text(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= MAX_VALIDATOR_BYTES).then(|| text.to_owned())
}

pub(super) fn invalid(reason: &'static str) -> FetchError {
    FetchError::Invalid { reason, source: None }
}

/// What an error of the connection means: TLS trouble, a malformed head, or an end before its time.
pub(super) fn broken(error: hyper::Error) -> FetchError {
    if is_tls(&error) {
        return FetchError::Tls(Box::new(error));
    }
    let reason =
        if error.is_parse() { "its head is malformed or too large" } else { "it breaks off before its end" };
    FetchError::Invalid { reason, source: Some(Box::new(error)) }
}

fn is_tls(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    source.and_then(io::Error::get_ref).is_some_and(<dyn Error + Send + Sync>::is::<rustls::Error>)
}
