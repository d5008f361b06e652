//! HTTP, as every function speaks it: the envelope of errors, reading requests strictly, and what is the same everywhere.

pub mod auth;
pub mod body;
pub mod cursor;
pub mod error;
pub mod idempotent;
pub mod layer;
pub mod objects;
pub mod query;
pub mod text;
pub mod views;
