//! The promises that every adapter of a port keeps, one function per promise, run over each adapter in `tests/`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "these are tests"
)]
#![allow(clippy::indexing_slicing, reason = "these are tests")]

pub mod items;
pub mod large_objects;
pub mod objects;
