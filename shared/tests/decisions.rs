//! The decision tables of `tests/decisions/*.json`, and what holds of every decision.
#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::option_option,
    clippy::panic,
    clippy::unwrap_used,
    reason = "the helpers of a test fail by panicking"
)]

#[path = "decisions/properties.rs"]
mod properties;
#[path = "decisions/reference.rs"]
mod reference;
#[path = "decisions/tables.rs"]
mod tables;
#[path = "decisions/worlds.rs"]
mod worlds;
