//! What tests of use cases are made of: time moved by hand, identifiers that can be told, records ready to be sent, and
//! stores that fail, or wait, exactly where a test says.
//!
//! A race is staged by a [`Gate`](gate::Gate): one side walks up to it and waits, the other does its work, and the gate
//! is opened. A crash is a write that was [`NotDone`](gate::Trouble::NotDone) and whose author never tries again.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "these are parts of tests")]

pub mod build;
pub mod fetcher;
pub mod gate;
pub mod items;
pub mod log;
pub mod objects;
pub mod signer;
pub mod tasks;
pub mod time;
