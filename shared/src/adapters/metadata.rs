//! Metadata stores.

#[cfg(feature = "dynamodb")]
pub mod dynamodb;
pub mod memory;
#[cfg(feature = "embedded")]
pub mod sqlite;
