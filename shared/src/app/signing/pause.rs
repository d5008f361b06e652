//! A pause after a failure, so that nobody runs against what does not answer.

use std::sync::atomic::{AtomicI64, Ordering};

/// When something last failed.
#[derive(Debug)]
pub(super) struct Pause {
    failed_at_ms: AtomicI64,
}

impl Pause {
    /// Nothing has failed yet.
    pub(super) const fn none() -> Self {
        Self { failed_at_ms: AtomicI64::new(i64::MIN) }
    }

    /// It failed at this time, Unix milliseconds.
    pub(super) fn begin(&self, now_ms: i64) {
        self.failed_at_ms.store(now_ms, Ordering::Relaxed);
    }

    /// Whether the failure is less than so many milliseconds ago; a clock that was set back ends the pause.
    pub(super) fn holds(&self, now_ms: i64, length_ms: i64) -> bool {
        (0..length_ms).contains(&now_ms.saturating_sub(self.failed_at_ms.load(Ordering::Relaxed)))
    }
}
