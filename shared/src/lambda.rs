//! Hosting a router as a Lambda function behind an HTTP API of API Gateway.

use std::{net::SocketAddr, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
};
use lambda_http::{Error, RequestExt as _, request::RequestContext, tower::util::MapRequestLayer};

use crate::{
    app::{context::Context, warm_up},
    http::layer::{self, RequestId, TimeLeft},
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

/// A router as it answers invocations: before their time is over, with the envelope of errors, the log line, and what the
/// gateway knows.
pub fn host(router: Router, context: Context) -> Router {
    let router = layer::finish(router, context.clone());
    router.layer(MapRequestLayer::new(move |request| note(request, &context)))
}

/// Who asks, as the gateway saw it, since a header could be anybody's word; what it calls the request in its own log; and
/// how long the answer may take.
fn note(mut request: Request, context: &Context) -> Request {
    let (source, id) = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(gateway)) => {
            (gateway.http.source_ip.as_deref().map(str::parse), gateway.request_id.clone())
        }
        _ => (None, None),
    };
    let left = left(&request, context.clock.now_ms());
    let extensions = request.extensions_mut();
    if let Some(Ok(address)) = source {
        extensions.insert(ConnectInfo(SocketAddr::new(address, 0)));
    }
    if let Some(id) = id {
        extensions.insert(RequestId(id));
    }
    if let Some(left) = left {
        extensions.insert(TimeLeft(left));
    }
    request
}

/// How long a request may take, where its invocation has an end.
fn left(request: &Request, now_ms: i64) -> Option<Duration> {
    let deadline = request.lambda_context_ref().map(|context| context.deadline).filter(|end| *end > 0)?;
    let left = deadline.saturating_sub(u64::try_from(now_ms).unwrap_or_default());
    Some(Duration::from_millis(left).saturating_sub(RESERVE))
}
