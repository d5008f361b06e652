//! An HTTP API as API Gateway has them: requests become events of the functions that the routes name.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::emulator::Runner;
use super::events::{event, own, response, unescaped};
use super::routes::Routes;

/// The most that API Gateway takes in a body.
const LARGEST: usize = 10 << 20;
/// The most that Lambda takes as an event.
const LARGEST_EVENT: usize = 6 << 20;

/// The functions, by their programs.
pub(super) type Functions = BTreeMap<String, Runner>;

/// Answers what comes until the task is dropped.
pub(super) async fn serve(listener: TcpListener, routes: Routes, functions: Arc<Functions>) {
    let routes = Arc::new(routes);
    while let Ok((stream, peer)) = listener.accept().await {
        let (routes, functions) = (Arc::clone(&routes), Arc::clone(&functions));
        let answer = service_fn(move |request| {
            let (routes, functions) = (Arc::clone(&routes), Arc::clone(&functions));
            async move { Ok::<_, Infallible>(answer(request, peer, &routes, &functions).await) }
        });
        // What goes wrong on a connection is seen by the client.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

async fn answer(
    request: Request<Incoming>,
    peer: SocketAddr,
    routes: &Routes,
    functions: &Functions,
) -> Response<Full<Bytes>> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let id = format!("gateway-{:08}=", NEXT.fetch_add(1, Ordering::Relaxed));
    let (parts, body) = request.into_parts();
    let path = unescaped(parts.uri.path());
    let Some(found) = routes.find(parts.method.as_str(), &path) else {
        return own(StatusCode::NOT_FOUND, "Not Found");
    };
    let Ok(body) = Limited::new(body, LARGEST).collect().await else {
        return own(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let event = event(&parts, &path, &body.to_bytes(), &found, peer.ip(), &id);
    if event.to_string().len() > LARGEST_EVENT {
        return own(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    }
    let answered = functions[&found.route.program].invoke(&event).await;
    let failed = match answered {
        Ok(bytes) => match response(&bytes, &id) {
            Some(response) => return response,
            None => String::from_utf8_lossy(&bytes).into_owned(),
        },
        Err(error) => error.0,
    };
    eprintln!("{} {path}: the function has no answer: {failed}", parts.method);
    own(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error")
}
