//! What is deployed on AWS, as far as a machine without an account can tell: the documents of `events/` are served by
//! the function that `template.yaml` sends them to, and each role of `template.yaml` is what its function needs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "tests may"
)]
#![allow(clippy::future_not_send, reason = "lambda_http's adapter is for one thread, as a function is")]

mod build;
mod cdn;
mod deploying;
mod events;
mod monitoring;
mod partitions;
mod privileges;
mod recorder;
mod repositories;
mod roles;
mod routes;
mod served;
mod silence;
mod template;
mod verifying;
mod world;

use std::{fs, path::PathBuf};

/// A path in the repository.
fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join(relative)
}

/// The text of a file of the repository.
fn text(relative: &str) -> String {
    fs::read_to_string(path(relative)).unwrap_or_else(|error| panic!("{relative}: {error}"))
}
