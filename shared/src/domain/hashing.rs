//! A SHA-256 under way, which can be put down and taken up again elsewhere.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, digest::common::hazmat::SerializableState};

use super::digest::Sha256;

/// A SHA-256 under way.
#[derive(Clone, Default)]
pub struct Hashing {
    hash: sha2::Sha256,
    bytes: u64,
}

/// A SHA-256 that was put down: what was hashed so far, and the state after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedHash {
    /// How many bytes were hashed.
    pub bytes: u64,
    /// The state of the hash function in base64; it tells nothing that the digest would not.
    state: String,
}

impl fmt::Debug for Hashing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hashing").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Hashing {
    /// Takes one up; `None` where the state is none.
    pub fn resume(saved: &SavedHash) -> Option<Self> {
        let state = STANDARD_NO_PAD.decode(&saved.state).ok()?;
        let state = state.as_slice().try_into().ok()?;
        let hash = sha2::Sha256::deserialize(state).ok()?;
        Some(Self { hash, bytes: saved.bytes })
    }

    /// Hashes further bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// How many bytes were hashed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts it down.
    pub fn save(&self) -> SavedHash {
        SavedHash { bytes: self.bytes, state: STANDARD_NO_PAD.encode(self.hash.serialize()) }
    }

    /// The digest of everything.
    pub fn finish(self) -> Sha256 {
        Sha256::from_bytes(self.hash.finalize().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_that_was_put_down_anywhere_comes_to_the_same_digest() {
        let bytes: Vec<u8> = (0..300_u32).map(|byte| u8::try_from(byte % 251).unwrap()).collect();
        let whole = Sha256::from_bytes(sha2::Sha256::digest(&bytes).into());
        for cut in 0..bytes.len() {
            let mut first = Hashing::default();
            first.update(&bytes[..cut]);
            let saved: SavedHash =
                serde_json::from_str(&serde_json::to_string(&first.save()).unwrap()).unwrap();
            let mut second = Hashing::resume(&saved).unwrap();
            assert_eq!(second.bytes(), cut as u64);
            second.update(&bytes[cut..]);
            assert_eq!(second.finish(), whole, "{cut}");
        }
    }

    #[test]
    fn what_is_no_state_is_not_taken_up() {
        let mut saved = Hashing::default().save();
        for state in ["", "AAAA", "?", &"A".repeat(136)] {
            saved.state = state.into();
            assert!(Hashing::resume(&saved).is_none(), "{state}");
        }
    }
}
