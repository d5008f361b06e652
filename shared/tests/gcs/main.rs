//! Objects in Google Cloud Storage: what its URLs cover, who signs them, and its contract over a server.
//!
//! `signing` needs no server. The others are ignored unless asked for: set `BP_TEST_GCS` to the URL of
//! `tests/python/run_gcs.py`, which is fake-gcs-server behind a front that refuses what Google refuses, and run with
//! `--ignored`. `honesty` shows whether it does: where it fails, the rest proves nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]
#![allow(clippy::indexing_slicing, clippy::string_slice, reason = "these are tests")]

mod contract;
mod honesty;
mod over_http;
mod promises;
mod signing;
#[path = "../aws_s3/wire.rs"]
mod wire;
mod world;
