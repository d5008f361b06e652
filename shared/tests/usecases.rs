//! The races of the use cases, each staged where it happens: leases that lapse, answers that are lost, crashes between
//! two writes, and others who were first.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests panic as tests do"
)]
#![allow(clippy::indexing_slicing, reason = "helpers of tests panic as tests do")]

#[path = "usecases/calls.rs"]
mod calls;
#[path = "usecases/checks.rs"]
mod checks;
#[path = "usecases/completion.rs"]
mod completion;
#[path = "usecases/decisions.rs"]
mod decisions;
#[path = "usecases/escrow.rs"]
mod escrow;
#[path = "usecases/gc.rs"]
mod gc;
#[path = "usecases/gc_bound.rs"]
mod gc_bound;
#[path = "usecases/gc_races.rs"]
mod gc_races;
#[path = "usecases/gc_turns.rs"]
mod gc_turns;
#[path = "usecases/hosts.rs"]
mod hosts;
#[path = "usecases/idempotency.rs"]
mod idempotency;
#[path = "usecases/large.rs"]
mod large;
#[path = "usecases/leases.rs"]
mod leases;
#[path = "usecases/multipart.rs"]
mod multipart;
#[path = "usecases/pages.rs"]
mod pages;
#[path = "usecases/parts.rs"]
mod parts;
#[path = "usecases/pending.rs"]
mod pending;
#[path = "usecases/private.rs"]
mod private;
#[path = "usecases/publishing.rs"]
mod publishing;
#[path = "usecases/sentinel.rs"]
mod sentinel;
#[path = "usecases/slices.rs"]
mod slices;
#[path = "usecases/sweeping.rs"]
mod sweeping;
#[path = "usecases/tokens.rs"]
mod tokens;
#[path = "usecases/undigested.rs"]
mod undigested;
#[path = "usecases/world.rs"]
mod world;
