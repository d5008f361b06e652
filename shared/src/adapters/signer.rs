//! Signing keys.

#[cfg(feature = "aws")]
pub mod kms;
pub mod local;
