//! What a verifying client accepts and refuses, claim by claim.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::many_single_char_names,
    reason = "clippy knows the tests themselves but not what they call; a, b, c are keys"
)]

mod answers;
mod both_clients;
mod budget;
mod clock;
mod delegated;
mod edges;
mod fixture;
mod hostile;
mod offers;
mod points;
mod root;
mod signatures;
mod tokens;
mod vectors;
