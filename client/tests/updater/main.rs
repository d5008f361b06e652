//! An updater against services, mirrors and disks of every kind, over HTTP.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests panic as tests do"
)]

mod checking;
mod clocks;
mod downloads;
mod kills;
mod mirror;
mod mirrors;
mod rotation;
mod states;
mod world;
