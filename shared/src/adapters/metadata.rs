//! Metadata stores.

#[cfg(feature = "aws")]
pub mod dynamodb;
pub mod memory;
#[cfg(feature = "embedded")]
pub mod sqlite;
