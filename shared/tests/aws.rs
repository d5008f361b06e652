//! The AWS adapters over servers that speak AWS's protocols. They are run where one is named:
//!
//! - `BP_TEST_DYNAMODB=http://127.0.0.1:8000` for `dynamodb`
//! - `BP_TEST_KMS=http://127.0.0.1:4566` for `kms`
//! - `BP_TEST_SECRETS=http://127.0.0.1:4566` for `secrets`
//!
//! `honesty` asks the first two whether they refuse what AWS refuses; `silent` needs none.
//!
//! `cargo xtask aws test` starts them and runs all of this; by hand, `cargo xtask aws up` prints the variables, and
//! `cargo test -p shared --features aws --test aws -- --ignored dynamodb` fails where one is missing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests panic as tests do"
)]

#[path = "aws/dynamodb.rs"]
mod dynamodb;
#[path = "aws/honesty.rs"]
mod honesty;
#[path = "aws/kms.rs"]
mod kms;
#[path = "aws/lossy.rs"]
mod lossy;
#[path = "aws/secrets.rs"]
mod secrets;
#[path = "aws/servers.rs"]
mod servers;
#[path = "aws/silent.rs"]
mod silent;
