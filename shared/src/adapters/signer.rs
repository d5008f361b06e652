//! Signing keys.

pub mod local;
