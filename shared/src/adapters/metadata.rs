//! Metadata stores.

pub mod memory;
#[cfg(feature = "embedded")]
pub mod sqlite;
