//! How slow a transfer may be: a mirror that drips is as good as none.

use std::time::Duration;

use reqwest::Response;
use tokio::time::{Instant, timeout_at};

use super::Limits;
use crate::ClientError;
use crate::ask::unreachable;

/// Watches one transfer.
#[derive(Debug)]
pub(super) struct Pace<'a> {
    url: &'a str,
    window: Duration,
    least: u64,
    started: Instant,
    got: u64,
    deadline: Instant,
}

impl<'a> Pace<'a> {
    /// A transfer that begins now and has to be over at `deadline`.
    pub(super) fn new(url: &'a str, limits: &Limits, deadline: Instant) -> Self {
        let window = limits.window.max(Duration::from_millis(1));
        let least = u128::from(limits.min_bytes_per_second) * window.as_millis() / 1_000;
        let least = u64::try_from(least).unwrap_or(u64::MAX).max(1);
        Self { url, window, least, started: Instant::now(), got: 0, deadline }
    }

    /// Waits for the head of the answer, one window at most.
    pub(super) async fn head(
        &mut self,
        sending: impl Future<Output = Result<Response, reqwest::Error>>,
    ) -> Result<Response, ClientError> {
        match timeout_at(self.turn(), sending).await {
            Ok(answer) => answer.map_err(|source| unreachable(self.url, source)),
            Err(_) => Err(self.too_slow()),
        }
    }

    /// The next bytes; nothing at the end.
    pub(super) async fn chunk(
        &mut self,
        response: &mut Response,
    ) -> Result<Option<impl AsRef<[u8]> + use<>>, ClientError> {
        loop {
            match timeout_at(self.turn(), response.chunk()).await {
                Ok(chunk) => {
                    let chunk = chunk.map_err(|source| unreachable(self.url, source))?;
                    let length = chunk.as_ref().map_or(0, |chunk| AsRef::<[u8]>::as_ref(chunk).len());
                    self.got = self.got.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
                    if Instant::now() >= self.turn() && chunk.is_some() {
                        self.judge()?;
                    }
                    return Ok(chunk);
                }
                Err(_) => self.judge()?,
            }
        }
    }

    /// When the present window ends.
    fn turn(&self) -> Instant {
        self.started.checked_add(self.window).map_or(self.deadline, |turn| turn.min(self.deadline))
    }

    /// At the end of a window: enough, and another one begins, or too slow.
    fn judge(&mut self) -> Result<(), ClientError> {
        let now = Instant::now();
        if now >= self.deadline || self.got < self.least {
            return Err(self.too_slow());
        }
        (self.started, self.got) = (now, 0);
        Ok(())
    }

    fn too_slow(&self) -> ClientError {
        ClientError::TooSlow { url: self.url.to_owned() }
    }
}
