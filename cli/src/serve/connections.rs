//! The HTTP server: how many connections there may be, and how long each may keep it waiting.
//!
//! A caller that sends half a head, or reads no answer, is let go. What a body may take is decided where it is read.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use futures_util::future::{Either, select};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};
use tower::Service as _;

use super::background::told_to_stop;
use wire::Wire;

mod wire;

/// How long to wait when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_secs(1);

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// The longest wait for the whole head of a request, from the end of the one before.
    pub(super) head: Duration,
    /// The longest wait for a caller that reads nothing of its answer.
    pub(super) reading: Duration,
    /// How many connections there are at most; others wait to be accepted.
    pub(super) connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { head: Duration::from_secs(15), reading: Duration::from_secs(60), connections: 4_096 }
    }
}

/// Serves until it is told to stop, and then until the requests under way are finished.
pub(super) async fn serve(
    listener: TcpListener,
    router: Router,
    limits: Limits,
    mut stopping: watch::Receiver<bool>,
) {
    let router = router.with_state::<()>(());
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let accepting = async {
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let (stream, from) = accept(&listener).await;
            let (router, watcher) = (router.clone(), graceful.watcher());
            tokio::spawn(async move {
                connection(stream, from, router, limits, watcher).await;
                drop(place);
            });
        }
    };
    let stop = told_to_stop(&mut stopping);
    match select(Box::pin(accepting), Box::pin(stop)).await {
        Either::Left(_) | Either::Right(_) => {}
    }
    // Nobody who comes now is to wait for an answer.
    drop(listener);
    graceful.shutdown().await;
}

/// The next connection; what goes wrong with one is no reason to take no others.
async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => return accepted,
            Err(error) if gone(&error) => {}
            Err(error) => {
                tracing::error!(error = %error, "no connection could be accepted");
                tokio::time::sleep(NO_ROOM).await;
            }
        }
    }
}

/// Whether a connection was given up before it was accepted.
fn gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    router: Router,
    limits: Limits,
    watcher: Watcher,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "a connection is left with Nagle's delay");
    }
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(from));
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(router.call(request).await.unwrap_or_else(|error| match error {})) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.head)
        .serve_connection(TokioIo::new(Wire::new(stream, limits.reading)), service);
    if let Err(error) = watcher.watch(connection).await {
        tracing::debug!(error = %error, "a connection broke off");
    }
}
