//! Objects in S3: what its URLs cover, what is made of its answers, and its contract over an S3 server.
//!
//! `presigning`, `answers` and `lacking` need no server. The others are ignored unless asked for: set `BP_TEST_S3` to the URL of a
//! server (such as `http://127.0.0.1:4566`) that takes the credentials `test`/`test`, or for others also
//! `BP_TEST_S3_KEYS=id:secret`, and run with `--ignored --skip only_real_s3`. `honesty` shows whether the server refuses
//! what S3 refuses: where it fails, the rest proves nothing. `only_real_s3` is what no known stand-in does as a whole.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "these are tests")]
#![allow(clippy::indexing_slicing, reason = "these are tests")]

mod answers;
mod contract;
mod honesty;
mod lacking;
mod only_real_s3;
mod over_http;
mod presigning;
mod promises;
mod repositories;
mod wire;
mod world;
