//! Hosting a router as a Lambda function behind an HTTP API of API Gateway.

use std::net::{IpAddr, SocketAddr};

use axum::{
    Router,
    extract::{ConnectInfo, Request},
    middleware::{self, Next},
    response::Response,
};
use lambda_http::{Error, RequestExt as _, request::RequestContext};

use crate::{
    app::{context::Context, keys},
    http::layer,
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

/// A router as it answers invocations: with the envelope of errors, the log line, and the address that asks.
pub fn host(router: Router, context: Context) -> Router {
    layer::finish(router, context).layer(middleware::from_fn(note_source))
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
