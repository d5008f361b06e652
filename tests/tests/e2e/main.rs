//! End-to-end tests: the real `bp serve` over HTTP, held to what the documents promise.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "helpers of tests panic as tests do"
)]

mod artifacts;
mod audit;
mod buckets;
mod decisions;
mod doctor;
mod documented;
mod escrow;
mod external;
mod foreign;
mod gc;
mod idempotency;
mod installers;
mod keys;
mod lists;
mod live;
mod multipart;
mod outages;
mod policies;
mod publishing;
mod refusals;
mod releases;
mod repositories;
mod restricted;
mod rollouts;
mod same_bytes;
mod service;
mod signatures;
mod slow;
mod tokens;
mod updater;
mod uploads;
mod vectors;
