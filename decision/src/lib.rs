//! The signed decision: its format, the keyset that clients pin, and every check of a verifying client.
//!
//! Pure: no clock, no input or output, no network. Time and every expectation are values passed in. The one thing
//! taken from outside is randomness, and only by [`sign`].
//!
//! - [`payload`], [`jws`], [`delegation`]: what leaves the server.
//! - [`jwk`], [`keyset`]: what a client trusts.
//! - [`verify`](mod@verify), [`json`]: what a client checks.
//! - [`root`]: how a client comes from the keyset it ships with to a newer one.
//! - [`sign`], [`pem`]: a key in memory, and as text.
#![warn(clippy::wildcard_enum_match_arm, clippy::arithmetic_side_effects)]

mod base64url;
pub mod delegation;
pub mod der;
pub mod json;
pub mod jwk;
pub mod jws;
pub mod keyset;
mod p256;
pub mod payload;
pub mod pem;
pub mod root;
pub mod sign;
mod small_order;
pub mod verify;
pub mod version;

pub use jwk::{Alg, PublicKey};
pub use keyset::Keyset;
pub use payload::{Action, ArtifactRef, Payload, Reason, ReleaseRef};
pub use verify::{Expected, Refusal, Verified, verify};
pub use version::Version;

/// The largest integer that the format carries: 2^53-1, so that every JSON reader sees the same number.
pub const MAX_INTEGER: u64 = 9_007_199_254_740_991;
