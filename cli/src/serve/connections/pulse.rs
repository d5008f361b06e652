//! What a connection is doing: answering, waiting for the next request, or reading the head of one.
//!
//! A timer for each request would cost more than answering it. So each request only notes what it does, and one timer a
//! connection looks at the notes now and then.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

/// The notes of one connection. All are made in its own task, so they need no order among threads.
#[derive(Debug)]
pub(super) struct Pulse {
    opened: Instant,
    answering: AtomicBool,
    /// Whether something of the next head has come.
    begun: AtomicBool,
    /// When the next head began, or else the last request ended; milliseconds since it was opened.
    since: AtomicU64,
}

impl Pulse {
    /// A connection that is to send its first head now.
    pub(super) fn new() -> Self {
        Self {
            opened: Instant::now(),
            answering: AtomicBool::new(false),
            begun: AtomicBool::new(true),
            since: AtomicU64::new(0),
        }
    }

    /// Bytes have come.
    pub(super) fn received(&self) {
        if !self.answering.load(Relaxed) && !self.begun.load(Relaxed) {
            self.begun.store(true, Relaxed);
            self.note_time();
        }
    }

    /// Whether it has taken longer than this over a head, or waited longer than this for the next request.
    pub(super) fn is_lost(&self, head: Duration, idle: Duration) -> bool {
        let limit = if self.begun.load(Relaxed) { head } else { idle };
        let since = Duration::from_millis(self.since.load(Relaxed));
        !self.answering.load(Relaxed) && self.opened.elapsed().saturating_sub(since) >= limit
    }

    fn note_time(&self) {
        let since = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.since.store(since, Relaxed);
    }
}

/// A request under way, until it is dropped.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<Pulse>);

impl UnderWay {
    pub(super) fn new(pulse: &Arc<Pulse>) -> Self {
        pulse.answering.store(true, Relaxed);
        Self(Arc::clone(pulse))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.begun.store(false, Relaxed);
        self.0.note_time();
        self.0.answering.store(false, Relaxed);
    }
}

/// The body of an answer: its request is under way until it was handed over whole.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) body: Body,
    pub(super) _request: UnderWay,
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
