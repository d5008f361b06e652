//! Time and identifiers: the only two sources of surprise, passed in.

use std::fmt;

use ulid::Ulid;

use crate::domain::ids::{ArtifactId, DecisionId, DeploymentId, EventId, ReleaseId, TokenId, UploadId};

/// The wall clock.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Now, in Unix milliseconds.
    fn now_ms(&self) -> i64;

    /// Now, in Unix seconds.
    fn now(&self) -> i64 {
        self.now_ms().div_euclid(1000)
    }
}

/// A source of random bytes fit for secrets.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Fills the buffer; `false` where the platform gives no randomness, and the buffer must not be used.
    fn fill(&self, buffer: &mut [u8]) -> bool;
}

/// Makes identifiers: time first, then 80 random bits.
#[derive(Debug, Clone)]
pub struct Ids {
    clock: std::sync::Arc<dyn Clock>,
    entropy: std::sync::Arc<dyn Entropy>,
}

/// The platform gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no random bytes could be had from the system")]
pub struct NoEntropy;

macro_rules! make {
    ($(#[$doc:meta])* $name:ident -> $kind:ident) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// [`NoEntropy`]
        pub fn $name(&self) -> Result<$kind, NoEntropy> {
            let (ms, random) = self.parts()?;
            Ok($kind::from_parts(ms, random))
        }
    };
}

impl Ids {
    /// Makes identifiers from this clock and this randomness.
    pub fn new(clock: std::sync::Arc<dyn Clock>, entropy: std::sync::Arc<dyn Entropy>) -> Self {
        Self { clock, entropy }
    }

    make!(/** A new artifact id. */ artifact -> ArtifactId);
    make!(/** A new upload id. */ upload -> UploadId);
    make!(/** A new release id. */ release -> ReleaseId);
    make!(/** A new decision id. */ decision -> DecisionId);
    make!(/** A new token id. */ token -> TokenId);
    make!(/** A new audit entry's id. */ event -> EventId);
    make!(/** The number of a deployment that has none yet. */ deployment -> DeploymentId);

    /// A new request id.
    ///
    /// # Errors
    /// [`NoEntropy`]
    pub fn request(&self) -> Result<String, NoEntropy> {
        let (ms, random) = self.parts()?;
        Ok(crate::domain::ids::lower(Ulid::from_parts(ms, random)))
    }

    /// Fills the buffer with random bytes fit for a secret.
    ///
    /// # Errors
    /// [`NoEntropy`]
    pub fn secret(&self, buffer: &mut [u8]) -> Result<(), NoEntropy> {
        if self.entropy.fill(buffer) { Ok(()) } else { Err(NoEntropy) }
    }

    fn parts(&self) -> Result<(u64, u128), NoEntropy> {
        let mut random = [0_u8; 16];
        self.secret(&mut random)?;
        let ms = u64::try_from(self.clock.now_ms()).unwrap_or(0);
        Ok((ms, u128::from_be_bytes(random) >> 48))
    }
}
