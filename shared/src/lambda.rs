//! Hosting a router as a Lambda function behind an HTTP API of API Gateway.

use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use lambda_http::{Error, RequestExt as _, request::RequestContext};

use crate::{
    app::{context::Context, warm_up},
    http::{error::ApiError, layer},
};

/// What is kept of an invocation's time, so that its answer can still be written and sent.
pub const RESERVE: Duration = Duration::from_secs(1);

/// Answers invocations with a router until the process ends.
///
/// One record is read first: so the first handshake is made while the process starts, when Lambda gives it a whole
/// processor, and not while somebody waits. That it cannot be read is no reason not to start.
///
/// # Errors
/// Where the Lambda service cannot be spoken to.
#[expect(clippy::future_not_send, reason = "it is all that a program does, on its one thread")]
pub async fn serve(router: Router, context: Context) -> Result<(), Error> {
    warm_up::records(&context).await;
    lambda_http::run(host(router, context)).await
}

/// A router as it answers invocations: before their time is over, with the envelope of errors, the log line, and the
/// address that asks.
pub fn host(router: Router, context: Context) -> Router {
    let router = router.layer(middleware::from_fn_with_state(context.clone(), in_time));
    layer::finish(router, context).layer(middleware::from_fn(note_source))
}

/// Gives a request up while there is time to say so. Whatever it was doing then may have happened or not, as after a crash.
async fn in_time(State(context): State<Context>, request: Request, next: Next) -> Response {
    let Some(left) = left(&request, context.clock.now_ms()) else { return next.run(request).await };
    let answer = tokio::time::timeout(left, next.run(request)).await;
    answer.unwrap_or_else(|_| ApiError::late().into_response())
}

/// How long a request may take, where its invocation has an end.
fn left(request: &Request, now_ms: i64) -> Option<Duration> {
    let deadline = request.lambda_context_ref().map(|context| context.deadline).filter(|end| *end > 0)?;
    let left = deadline.saturating_sub(u64::try_from(now_ms).unwrap_or_default());
    Some(Duration::from_millis(left).saturating_sub(RESERVE))
}

/// Who asks, as the gateway saw it: a header could be anybody's word.
async fn note_source(mut request: Request, next: Next) -> Response {
    let source = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => context.http.source_ip.clone(),
        _ => None,
    };
    if let Some(address) = source.and_then(|text| text.parse::<IpAddr>().ok()) {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address, 0)));
    }
    next.run(request).await
}
