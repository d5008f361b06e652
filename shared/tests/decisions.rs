//! The decision tables of `tests/decisions/*.json`, and what holds of every decision.

#[path = "decisions/properties.rs"]
mod properties;
#[path = "decisions/reference.rs"]
mod reference;
#[path = "decisions/tables.rs"]
mod tables;
#[path = "decisions/worlds.rs"]
mod worlds;
