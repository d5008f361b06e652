//! The system's clock and randomness.

use ring::rand::{SecureRandom, SystemRandom};

use crate::ports::clock::{Clock, Entropy};

/// The system's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    fn now_ms(&self) -> i64 {
        std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .ok()
            .and_then(|age| i64::try_from(age.as_millis()).ok())
            .unwrap_or(0)
    }
}

/// The system's random generator.
#[derive(Debug, Clone)]
pub struct SystemEntropy(SystemRandom);

impl Default for SystemEntropy {
    fn default() -> Self {
        Self(SystemRandom::new())
    }
}

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) -> bool {
        self.0.fill(buffer).is_ok()
    }
}
