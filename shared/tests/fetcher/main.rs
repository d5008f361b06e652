//! The fetcher of external artifacts, against TLS servers on loopback.
#![cfg(feature = "fetcher-https")]
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "these are tests")]

mod answers;
mod guard;
mod repositories;
mod server;
mod vectors;
mod world;
