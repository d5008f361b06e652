//! One request, and the reading of its answer.

use std::{error::Error, io};

use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::{
        ACCEPT, ACCEPT_ENCODING, CONNECTION, CONTENT_ENCODING, ETAG, HOST, LAST_MODIFIED, LOCATION,
        USER_AGENT,
    },
};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use sha2::Digest;
use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{FetchLimits, connect::Road, retry_after};
use crate::{
    adapters::fetcher::Credentials,
    domain::{digest::Sha256, external_url::ExternalUrl},
    ports::fetcher::{FetchError, FetchRequest, Fetched, SizeFound},
};

/// The largest head of an answer.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// What took too long when its rate was too low.
pub(super) const WHOLE: &str = "the artifact as a whole";

/// The longest `ETag` or `Last-Modified` that is kept.
const MAX_VALIDATOR_BYTES: usize = 1024;

/// What a host answered.
pub(super) enum Answer {
    /// The bytes follow.
    Bytes(Opened),
    /// They are elsewhere.
    Redirect(String),
}

/// An answer whose body is still to be read.
pub(super) struct Opened {
    response: Response<Incoming>,
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
    credentials: Option<&Credentials>,
) -> Result<Answer, FetchError> {
    let request = request(url, credentials)?;
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
    judge(response, connection)
}

fn request(
    url: &ExternalUrl,
    credentials: Option<&Credentials>,
) -> Result<Request<Empty<Bytes>>, FetchError> {
    let unsendable = |error: http::Error| FetchError::Invalid {
        reason: "the URL cannot be sent in a request",
        source: Some(Box::new(error)),
    };
    let mut request = Request::get(url.path_and_query())
        .header(HOST, url.authority())
        .header(USER_AGENT, concat!("big-picture/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .header(ACCEPT_ENCODING, "identity")
        .header(CONNECTION, "close")
        .body(Empty::new())
        .map_err(unsendable)?;
    if let Some((name, value)) = credentials.and_then(Credentials::to_header) {
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

fn judge(response: Response<Incoming>, connection: Connection) -> Result<Answer, FetchError> {
    let headers = response.headers();
    match response.status() {
        StatusCode::OK => {}
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
                retry_after: retry_after::read(headers),
            });
        }
    }
    let identity = |value: &http::HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    if !headers.get_all(CONTENT_ENCODING).iter().all(identity) {
        return Err(invalid("it is encoded, though the plain bytes were asked for"));
    }
    Ok(Answer::Bytes(Opened { response, _connection: connection }))
}

/// How long each piece of a body is waited for.
pub(super) struct Pace<'a> {
    pub(super) limits: &'a FetchLimits,
    /// When the whole fetch began.
    pub(super) began: Instant,
}

impl Pace<'_> {
    /// Waits for the next piece: until there was silence for too long, or what came so far has used up its time at the
    /// slowest rate.
    async fn wait<T>(&self, bytes_read: u64, piece: impl Future<Output = T>) -> Result<T, FetchError> {
        let slow = self.limits.total(bytes_read).saturating_sub(self.began.elapsed());
        let what = if self.limits.silence < slow { "a piece of the body" } else { WHOLE };
        timeout(self.limits.silence.min(slow), piece).await.map_err(|_| FetchError::Timeout(what))
    }
}

/// Reads the body to its end, or to one byte more than was declared, and compares size and digest.
pub(super) async fn read(
    mut answer: Opened,
    request: &FetchRequest,
    url: &ExternalUrl,
    pace: &Pace<'_>,
) -> Result<Fetched, FetchError> {
    let declared = request.declared_size;
    let mismatch = |found| Err(FetchError::SizeMismatch { declared, found });
    match answer.response.body().size_hint().exact() {
        Some(announced) if announced != declared => return mismatch(SizeFound::Exactly(announced)),
        Some(_) | None => {}
    }
    let mut hash = sha2::Sha256::new();
    let mut bytes_read = 0_u64;
    while let Some(frame) = pace.wait(bytes_read, answer.response.body_mut().frame()).await? {
        let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
        bytes_read = bytes_read.saturating_add(u64::try_from(data.len()).unwrap_or(u64::MAX));
        if bytes_read > declared {
            return mismatch(SizeFound::MoreThan(declared));
        }
        hash.update(&data);
    }
    if bytes_read != declared {
        return mismatch(SizeFound::Exactly(bytes_read));
    }
    let found = Sha256::from_bytes(hash.finalize().into());
    if found != request.declared_sha256 {
        return Err(FetchError::ChecksumMismatch { declared: request.declared_sha256, found });
    }
    let headers = answer.response.headers();
    Ok(Fetched {
        etag: validator(headers, &ETAG),
        last_modified: validator(headers, &LAST_MODIFIED),
        final_url_host: url.host().to_owned(),
        bytes_read,
        concealed: false,
    })
}

fn validator(headers: &HeaderMap, name: &http::HeaderName) -> Option<String> {
    let text = headers.get(name)?.to_str().ok()?;
    (text.len() <= MAX_VALIDATOR_BYTES).then(|| text.to_owned())
}

fn invalid(reason: &'static str) -> FetchError {
    FetchError::Invalid { reason, source: None }
}

/// What an error of the connection means: TLS trouble, a malformed head, or an end before its time.
fn broken(error: hyper::Error) -> FetchError {
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
