//! Waiting for the service with an end in sight.

use std::time::{Duration, Instant};

use crate::failure::Failure;

/// A limit to how long a command waits.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    started: Instant,
    limit: Duration,
}

impl Deadline {
    /// Counts from now.
    pub(crate) fn after(limit: Duration) -> Self {
        Self { started: Instant::now(), limit }
    }

    /// Pauses, or fails where the limit would pass meanwhile; `what` says what is still going on.
    pub(crate) async fn pause(&self, pause: Duration, what: &str) -> Result<(), Failure> {
        if self.started.elapsed().saturating_add(pause) > self.limit {
            return Err(Failure::TookTooLong { what: what.to_owned(), seconds: self.limit.as_secs() });
        }
        tokio::time::sleep(pause).await;
        Ok(())
    }
}

/// The pause before attempt number `attempt` (from 1): it doubles, up to eight seconds.
pub(crate) fn back_off(attempt: u32) -> Duration {
    Duration::from_millis(500) * 2_u32.saturating_pow(attempt.saturating_sub(1).min(4))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_eight_seconds() {
        let pauses: Vec<u128> = (1..=7).map(|attempt| back_off(attempt).as_millis()).collect();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
    }

    #[tokio::test]
    async fn waiting_past_the_limit_is_a_failure_at_once() {
        let deadline = Deadline::after(Duration::from_secs(1));
        let failure = deadline.pause(Duration::from_secs(60), "still verifying").await.unwrap_err();
        assert_eq!(failure.to_string(), "still verifying after 1 seconds");
        assert_eq!(failure.exit_code(), 3);
    }
}
