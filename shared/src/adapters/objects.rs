//! Where artifact bytes live: one file per store, and the URLs that our own stores sign and check.

#[cfg(feature = "embedded")]
pub mod filesystem;
pub mod memory;
#[cfg(feature = "aws")]
pub mod s3;
pub mod signed_url;
