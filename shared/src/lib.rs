//! What every function of Big Picture shares: the domain, the use cases, the ports and their adapters.
//!
//! **The dependency rule.** `wiring` → `adapters` → `ports` → `domain`, and `http`, `app` → `ports` → `domain`.
//! Nothing points back: `domain` is pure (no I/O, no clock, no randomness, no environment), adapters never know each
//! other, `app` or `http`, and only `wiring` names both sides. `tests/architecture.rs` fails on a wrong arrow.

pub mod adapters;
pub mod app;
pub mod config;
#[cfg(feature = "testing")]
pub mod contract;
pub mod domain;
pub mod http;
#[cfg(feature = "lambda")]
pub mod lambda;
pub mod ports;
pub mod telemetry;
#[cfg(feature = "testing")]
pub mod testing;
pub mod wiring;
