//! Hosting a router as a Lambda function behind an HTTP API of API Gateway.

use std::net::SocketAddr;

use axum::{
    Router,
    extract::{ConnectInfo, Request},
};
use lambda_http::{Error, RequestExt as _, request::RequestContext, tower::util::MapRequestLayer};

use crate::{
    app::{context::Context, keys},
    http::layer::{self, RequestId},
};

/// Answers invocations with a router until the process ends.
///
/// One record is read first: so the first handshake is made while the process starts, when Lambda gives it a whole
/// processor, and not while somebody waits. That it cannot be read is no reason not to start.
///
/// # Errors
/// Where the Lambda service cannot be spoken to.
#[expect(clippy::future_not_send, reason = "it is all that a program does, on its one thread")]
pub async fn serve(router: Router, context: Context) -> Result<(), Error> {
    if let Err(error) = context.store.get_raw(&[keys::deployment()]).await {
        tracing::warn!(error = %error, cause = ?error, "the records cannot be read");
    }
    lambda_http::run(host(router, context)).await
}

/// A router as it answers invocations: with the envelope of errors, the log line, and what the gateway knows.
pub fn host(router: Router, context: Context) -> Router {
    layer::finish(router, context).layer(MapRequestLayer::new(note))
}

/// Who asks, as the gateway saw it, since a header could be anybody's word; and what it calls the request in its own log.
fn note(mut request: Request) -> Request {
    let (source, id) = match request.request_context_ref() {
        Some(RequestContext::ApiGatewayV2(context)) => {
            (context.http.source_ip.as_deref().map(str::parse), context.request_id.clone())
        }
        _ => (None, None),
    };
    if let Some(Ok(address)) = source {
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address, 0)));
    }
    if let Some(id) = id {
        request.extensions_mut().insert(RequestId(id));
    }
    request
}
