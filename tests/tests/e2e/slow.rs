//! What takes long: left out by `cargo xtask test --fast`.

mod crash;
mod fuzz;
mod large;
mod six_gigabytes;
