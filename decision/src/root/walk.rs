//! From the keyset that a client trusts to the next one, version by version.

use super::envelope::{Envelope, shown};
use super::{MAX_STEPS, Root, RootError};
use crate::keyset::Keyset;

/// A signed keyset that is trusted: it was pinned, or reached by a [`Walk`] from one that was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrustedKeyset {
    file: String,
    envelope: Envelope,
}

impl TrustedKeyset {
    /// Trusts this file: what an application ships with, or has stored when it was trusted before.
    ///
    /// The file must be signed by a threshold of its own root keys. That finds accidents: the trust comes from where
    /// the file came from.
    ///
    /// # Errors
    /// [`RootError`] where the file is not well formed or lacks signatures.
    pub fn pin(file: &[u8]) -> Result<Self, RootError> {
        let envelope = Envelope::parse(file)?;
        envelope.signed_by(&envelope.content.root, envelope.content.keyset.version)?;
        Self::of(file, envelope)
    }

    fn of(file: &[u8], envelope: Envelope) -> Result<Self, RootError> {
        let text =
            String::from_utf8(file.to_vec()).map_err(|_| RootError::Json(crate::json::JsonError::NotUtf8));
        Ok(Self { file: text?, envelope })
    }

    /// The deployment whose decisions it is for.
    pub fn issuer(&self) -> &str {
        &self.envelope.content.issuer
    }

    /// The keyset.
    pub const fn keyset(&self) -> &Keyset {
        &self.envelope.content.keyset
    }

    /// The keys that sign this keyset and, with its own, the next one.
    pub const fn root(&self) -> &Root {
        &self.envelope.content.root
    }

    /// The file, byte for byte.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The next version, in `file`.
    fn next(&self, file: &[u8]) -> Result<Self, RootError> {
        let envelope = Envelope::parse(file)?;
        let (from, to) = (&self.envelope.content, &envelope.content);
        // Signatures first: what nobody signed is not worth a word about what it says.
        envelope.signed_by(&from.root, from.keyset.version)?;
        envelope.signed_by(&to.root, to.keyset.version)?;
        if to.issuer != from.issuer {
            return Err(RootError::Issuer { found: shown(&to.issuer), expected: from.issuer.clone() });
        }
        let expected = from.keyset.version.saturating_add(1);
        if to.keyset.version != expected {
            return Err(RootError::Version { found: to.keyset.version, expected });
        }
        if to.keyset.epoch < from.keyset.epoch {
            return Err(RootError::EpochFalls { found: to.keyset.epoch, expected: from.keyset.epoch });
        }
        Self::of(file, envelope)
    }
}

/// A walk from a trusted keyset through the versions after it, without a gap and at most [`MAX_STEPS`] long.
///
/// A failed step ends the walk: what was trusted before stays. Versions on the way may be over; the last may not.
#[derive(Debug, Clone)]
pub struct Walk {
    at: TrustedKeyset,
    steps: u32,
}

impl Walk {
    /// A walk that has not begun.
    pub const fn from(trusted: TrustedKeyset) -> Self {
        Self { at: trusted, steps: 0 }
    }

    /// The version whose file the next step needs.
    pub const fn next_version(&self) -> u64 {
        self.at.keyset().version.saturating_add(1)
    }

    /// How many steps were made.
    pub const fn steps(&self) -> u32 {
        self.steps
    }

    /// Whether another step may be made.
    pub const fn may_go_on(&self) -> bool {
        self.steps < MAX_STEPS
    }

    /// Makes a step to the version in `file`.
    ///
    /// # Errors
    /// [`RootError`] where the file is not the next version, signed by a threshold of both roots.
    pub fn step(&mut self, file: &[u8]) -> Result<(), RootError> {
        if !self.may_go_on() {
            return Err(RootError::TooManySteps);
        }
        self.at = self.at.next(file)?;
        self.steps = self.steps.saturating_add(1);
        Ok(())
    }

    /// Where the walk has come to, whether or not it is over.
    pub const fn at(&self) -> &TrustedKeyset {
        &self.at
    }

    /// Ends the walk with what is to be trusted from `now` (Unix seconds) on.
    ///
    /// # Errors
    /// [`RootError::Expired`] where the last version is over.
    pub fn finish(self, now: i64) -> Result<TrustedKeyset, RootError> {
        let (version, expires) = (self.at.keyset().version, self.at.keyset().expires);
        if now >= expires {
            return Err(RootError::Expired { version, expires, now });
        }
        Ok(self.at)
    }
}
