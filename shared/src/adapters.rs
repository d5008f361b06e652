//! The world behind the ports: one folder per port, one file per vendor. Adapters never know each other.

#[cfg(feature = "aws-client")]
pub mod aws;
pub mod cdn;
pub mod clock;
#[cfg(feature = "fetcher-https")]
pub mod fetcher;
pub mod metadata;
pub mod objects;
pub mod secret_file;
pub mod signer;
pub mod tasks;
mod v4;
