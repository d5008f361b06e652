//! Where artifact bytes live: one file per store, and the URLs that our own stores sign and check.

#[cfg(feature = "embedded")]
pub mod filesystem;
#[cfg(feature = "gcs")]
pub mod gcs;
pub mod memory;
#[cfg(feature = "s3")]
pub mod s3;
pub mod signed_url;
