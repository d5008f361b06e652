//! Signing keys.

#[cfg(feature = "kms")]
pub mod kms;
pub mod local;
