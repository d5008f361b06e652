//! What is the same for every request: its id, its log line, the envelope of every error, the framework's included.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{ConnectInfo, MatchedPath, Request, State},
    http::{HeaderName, HeaderValue, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use serde_json::json;

use super::error::ApiError;
use crate::{app::context::Context, domain::ids::TokenId};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const MAX_REQUEST_ID: usize = 64;

/// The request's id, for handlers; a host that has named the request already leaves it here.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// How long the answer to a request may take, where its host gives it an end.
#[derive(Debug, Clone, Copy)]
pub struct TimeLeft(pub Duration);

/// Which token a request was made with, left by the extractors for the log line.
#[derive(Debug, Clone, Copy)]
pub struct UsedToken(pub TokenId);

/// A slot in which the extractors leave what the log line shows.
pub type TokenSlot = std::sync::Arc<std::sync::OnceLock<TokenId>>;

/// Adds to a router what is the same everywhere. Called once by each host, after the routers are merged.
pub fn finish(router: Router, context: Context) -> Router {
    router.layer(middleware::from_fn_with_state(context, around))
}

async fn around(State(context): State<Context>, mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&context, &request);
    let token = TokenSlot::default();
    request.extensions_mut().insert(RequestId(id.clone()));
    request.extensions_mut().insert(token.clone());
    let method = request.method().clone();
    // The template, never the path or query as sent: they may hold what nobody should read in a log.
    let route = request.extensions().get::<MatchedPath>().map_or("-", MatchedPath::as_str).to_owned();
    let left = request.extensions().get::<TimeLeft>().copied();
    let mut response = envelope(in_time(left, next.run(request)).await, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    let code = response.extensions().get::<ApiError>().map(|error| error.code);
    let duration_ms = started.elapsed().as_secs_f64() * 1_000.0;
    let token = token.get().map(ToString::to_string);
    tracing::info!(
        request.id = id, http.method = %method, http.route = route, http.status = status, code, token.id = token,
        duration_ms, "{method} {route} {status}"
    );
    response
}

/// Gives a request up while there is time to say so. Whatever it was doing then may have happened or not, as after a crash.
async fn in_time(left: Option<TimeLeft>, answer: impl Future<Output = Response>) -> Response {
    let Some(TimeLeft(left)) = left else { return answer.await };
    tokio::time::timeout(left, answer).await.unwrap_or_else(|_| ApiError::late().into_response())
}

/// The id that came with the request, else that of the host, if they are fit to be printed, else a new one.
fn request_id(context: &Context, request: &Request) -> String {
    let given = request.headers().get(&REQUEST_ID).and_then(|value| value.to_str().ok());
    let hosts = || request.extensions().get::<RequestId>().map(|id| id.0.as_str());
    let fit = |text: &&str| {
        (1..=MAX_REQUEST_ID).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
    };
    let known = given.filter(fit).or_else(|| hosts().filter(fit));
    known.map_or_else(|| context.ids.request().unwrap_or_default(), str::to_owned)
}

/// Writes an error into the envelope; one that the framework made by itself is given its code here.
fn envelope(response: Response, request_id: &str) -> Response {
    let status = response.status();
    let error = match response.extensions().get::<ApiError>() {
        Some(error) => error.clone(),
        None if status.is_client_error() || status.is_server_error() => framework(status),
        None => return response,
    };
    let mut body = json!({ "code": error.code, "message": error.message, "request_id": request_id });
    if let (Some(details), Some(body)) = (&error.details, body.as_object_mut()) {
        body.insert("details".into(), details.clone());
    }
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_TYPE);
    parts.headers.remove(header::CONTENT_LENGTH);
    let mut written = (parts.status, parts.headers, Json(body)).into_response();
    written.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    written.extensions_mut().insert(error);
    written
}

fn framework(status: StatusCode) -> ApiError {
    let (code, message) = match status {
        StatusCode::NOT_FOUND => return ApiError::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => (
            "METHOD_NOT_ALLOWED",
            "this route does not take this method: the Allow header lists those it takes",
        ),
        StatusCode::PAYLOAD_TOO_LARGE => ("PAYLOAD_TOO_LARGE", "a JSON body has at most 1 MiB"),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            ("UNSUPPORTED_MEDIA_TYPE", "send `Content-Type: application/json`")
        }
        status if status.is_server_error() => {
            ("INTERNAL_ERROR", "something went wrong here: tell the operator the request id")
        }
        _ => ("BAD_REQUEST", "the request cannot be read"),
    };
    ApiError::new(status, code, message)
}

/// The address that a request came from, where the host knows it.
pub fn source_ip(extensions: &axum::http::Extensions) -> Option<String> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|info| info.0.ip().to_string())
}
