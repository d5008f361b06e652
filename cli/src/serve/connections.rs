//! The HTTP server: how many connections there may be, and how long each may keep it waiting.
//!
//! A caller that sends half a head, or reads no answer, is let go. What a body may take is decided where it is read.

use std::{convert::Infallible, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    rt::TokioIo,
    server::graceful::{GracefulShutdown, Watcher},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    time::{Instant, sleep},
};
use tower::Service as _;

use super::background::told_to_stop;
use pulse::{Answer, Pulse, UnderWay};
use wire::Wire;

mod pulse;
mod wire;

/// How long to wait when the system has no room for another connection.
const NO_ROOM: Duration = Duration::from_secs(1);

/// What a connection may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// How long the head of a request may take at least; after twice that, it is given up for certain.
    pub(super) head: Duration,
    /// How long a connection may wait for its next request: longer than the minute that proxies keep theirs.
    pub(super) idle: Duration,
    /// The longest wait for a caller that reads nothing of its answer.
    pub(super) reading: Duration,
    /// How many connections there are at most; others wait to be accepted.
    pub(super) connections: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(15),
            idle: Duration::from_secs(75),
            reading: Duration::from_secs(60),
            connections: 4_096,
        }
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
    tokio::select! {
        () = accepting => {}
        () = told_to_stop(&mut stopping) => {}
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

async fn connection(stream: TcpStream, from: SocketAddr, router: Router, limits: Limits, watcher: Watcher) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(error = %error, "a connection is left with Nagle's delay");
    }
    let pulse = Arc::new(Pulse::new());
    let wire = Wire::new(stream, limits.reading, Arc::clone(&pulse));
    let noted = Arc::clone(&pulse);
    let service = service_fn(move |mut request: Request<Incoming>| {
        let under_way = UnderWay::new(&noted);
        request.extensions_mut().insert(ConnectInfo(from));
        let answer = router.clone().call(request);
        async move {
            let answer = answer.await.unwrap_or_else(|error| match error {});
            Ok::<_, Infallible>(answer.map(|body| Answer { body, _request: under_way }))
        }
    });
    let served = http1::Builder::new().serve_connection(TokioIo::new(wire), service);
    let mut served = pin!(watcher.watch(served));
    let mut look = pin!(sleep(limits.head));
    loop {
        tokio::select! {
            biased;
            outcome = &mut served => {
                if let Err(error) = outcome {
                    tracing::debug!(error = %error, "a connection broke off");
                }
                return;
            }
            () = &mut look => {
                if pulse.is_lost(limits.head, limits.idle) {
                    return;
                }
                look.as_mut().reset(Instant::now() + limits.head);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::{
        body::{Body, Bytes},
        routing::get,
    };
    use futures_util::StreamExt as _;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        sync::Notify,
        task::JoinHandle,
        time::timeout,
    };

    use super::*;

    const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const SOON: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(150);

    /// Tells when it is dropped.
    struct Told(Arc<Notify>);

    impl Drop for Told {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }

    struct Started {
        address: SocketAddr,
        stop: watch::Sender<bool>,
        server: JoinHandle<()>,
    }

    async fn start(router: Router, limits: Limits) -> Started {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopping) = watch::channel(false);
        Started { address, stop, server: tokio::spawn(serve(listener, router, limits, stopping)) }
    }

    fn hello() -> Router {
        Router::new().route("/", get(|from: ConnectInfo<SocketAddr>| async move { from.0.to_string() }))
    }

    impl Started {
        async fn sent(&self, bytes: &[u8]) -> TcpStream {
            let mut stream = TcpStream::connect(self.address).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            stream
        }
    }

    /// What comes until the other end closes.
    async fn rest(stream: &mut TcpStream) -> String {
        let mut bytes = Vec::new();
        timeout(SOON, stream.read_to_end(&mut bytes)).await.expect("it is closed").unwrap();
        String::from_utf8(bytes).unwrap()
    }

    /// The first answer, whose body ends with `end`.
    async fn answer(stream: &mut TcpStream, end: &str) -> String {
        let mut text = String::new();
        while !text.ends_with(end) {
            let mut piece = [0; 1024];
            let count = timeout(SOON, stream.read(&mut piece)).await.expect("an answer").unwrap();
            assert_ne!(count, 0, "{text}");
            text.push_str(std::str::from_utf8(&piece[..count]).unwrap());
        }
        text
    }

    #[tokio::test]
    async fn a_half_sent_head_and_an_idle_connection_are_let_go() {
        let started = start(hello(), Limits { head: SHORT, idle: 3 * SHORT, ..Limits::default() }).await;
        for half in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: a\r\n"] {
            assert_eq!(rest(&mut started.sent(half.as_bytes()).await).await, "", "{half}");
        }
        let mut kept = started.sent(ASK).await;
        let from = kept.local_addr().unwrap().to_string();
        answer(&mut kept, &from).await;
        tokio::time::sleep(2 * SHORT).await;
        kept.write_all(ASK).await.unwrap();
        answer(&mut kept, &from).await;
        kept.write_all(b"GET / HT").await.unwrap();
        assert_eq!(rest(&mut kept).await, "");
        assert!(rest(&mut started.sent(ASK).await).await.starts_with("HTTP/1.1 200"));
    }

    #[tokio::test]
    async fn a_connection_is_kept_for_the_next_request_and_handlers_know_where_it_comes_from() {
        let started = start(hello(), Limits::default()).await;
        let mut stream = started.sent(ASK).await;
        let from = stream.local_addr().unwrap().to_string();
        for _ in 0..3 {
            assert!(answer(&mut stream, &from).await.starts_with("HTTP/1.1 200"));
            stream.write_all(ASK).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_slow_handler_and_a_slow_body_are_waited_for() {
        let slow = || async {
            tokio::time::sleep(3 * SHORT).await;
            let pieces = futures_util::stream::iter(["slow", "ly"]).then(|piece| async move {
                tokio::time::sleep(3 * SHORT).await;
                Ok::<_, Infallible>(piece)
            });
            Body::from_stream(pieces)
        };
        let limits = Limits { head: SHORT, idle: SHORT, ..Limits::default() };
        let started = start(Router::new().route("/", get(slow)), limits).await;
        let mut stream = started.sent(ASK).await;
        let text = answer(&mut stream, "0\r\n\r\n").await;
        assert!(text.contains("slow") && text.contains("ly"), "{text}");
    }

    #[tokio::test]
    async fn a_caller_that_does_not_read_its_answer_is_let_go() {
        let ended = Arc::new(Notify::new());
        let tell = Arc::clone(&ended);
        let endless = move || {
            let told = Told(Arc::clone(&tell));
            let pieces = futures_util::stream::repeat_with(move || {
                let _held = &told;
                Ok::<_, Infallible>(Bytes::from_static(&[0; 16_384]))
            });
            async move { Body::from_stream(pieces.boxed()) }
        };
        let router = Router::new().route("/", get(endless));
        let started = start(router, Limits { reading: SHORT, ..Limits::default() }).await;
        let stream = started.sent(ASK).await;
        timeout(SOON, ended.notified()).await.expect("the answer is given up");
        drop(stream);
    }

    #[tokio::test]
    async fn beyond_the_most_connections_the_next_waits_until_one_is_closed() {
        let started = start(hello(), Limits { connections: 1, ..Limits::default() }).await;
        let mut first = started.sent(ASK).await;
        let from = first.local_addr().unwrap().to_string();
        answer(&mut first, &from).await;
        let mut second = started.sent(ASK).await;
        let from = second.local_addr().unwrap().to_string();
        assert!(timeout(SHORT, second.read_u8()).await.is_err(), "it is not served yet");
        drop(first);
        answer(&mut second, &from).await;
    }

    #[tokio::test]
    async fn requests_under_way_are_finished_at_the_end_and_nobody_else_is_let_in() {
        let (reached, opened) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (reach, open) = (Arc::clone(&reached), Arc::clone(&opened));
        let slow = move || {
            reach.notify_one();
            let open = Arc::clone(&open);
            async move {
                open.notified().await;
                "finished"
            }
        };
        let started = start(Router::new().route("/", get(slow)), Limits::default()).await;
        let mut under_way = started.sent(ASK).await;
        timeout(SOON, reached.notified()).await.unwrap();
        started.stop.send(true).unwrap();
        let refused = async {
            while TcpStream::connect(started.address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        timeout(SOON, refused).await.expect("the door is closed");
        opened.notify_one();
        assert!(rest(&mut under_way).await.ends_with("finished"));
        timeout(SOON, started.server).await.unwrap().unwrap();
    }
}
