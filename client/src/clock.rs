//! Time, which an updater is told: what it is, and waiting for it to pass.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The time, and the passing of it.
pub trait Clock: fmt::Debug + Send + Sync {
    /// This moment, Unix seconds.
    fn now(&self) -> i64;

    /// Returns once `duration` has passed.
    fn wait(&self, duration: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// The machine's own clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "an updater's one clock; everything else is passed the time"
    )]
    fn now(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            // Before 1970: every token is issued in the future.
            Err(_) => 0,
        }
    }
}
