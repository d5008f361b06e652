//! What the end-to-end tests share: the real `bp serve` as a child process, or the functions as on AWS, a client that
//! checks every refusal's envelope, the steps that most stories begin with, and hosts for external artifacts.
//!
//! Nothing here knows the code of the service: it speaks HTTP, starts the program, and reads its log.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "this crate exists for tests, where a panic is the report"
)]

pub mod api;
pub mod bucket;
pub mod bytes;
pub mod foreign;
pub mod host;
pub mod server;
pub mod settings;
mod signed;
mod stack;
pub mod story;

pub use api::{Answer, Api};
pub use server::Server;
pub use stack::kms::{Fault, Kms};
