//! Pure rules and values: no async, no I/O, no clock, no randomness, no environment.
#![warn(clippy::wildcard_enum_match_arm, clippy::arithmetic_side_effects)]

pub mod artifact;
pub mod catalogue;
pub mod decide;
pub mod digest;
pub mod external_url;
pub mod hashing;
pub mod ids;
pub mod multipart;
pub mod names;
pub mod platform;
pub mod policy;
pub mod range;
pub mod release;
pub mod rollout;
pub mod secret;
pub mod token;
pub mod upload;

pub use decision::version;
