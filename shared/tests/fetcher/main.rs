//! The fetcher of external artifacts, against TLS servers on loopback.
#![cfg(feature = "fetcher-https")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "these are tests")]

mod answers;
mod deployment;
mod drift;
mod gcs;
mod github;
mod guard;
mod jfrog;
mod kept;
mod links;
mod probes;
mod repositories;
mod s3;
mod secrets;
mod server;
mod slices;
mod vectors;
mod world;
