//! What the use cases need from the world, one trait a file, six methods at most.

pub mod cdn;
pub mod clock;
pub mod fetcher;
pub mod items;
pub mod large_objects;
pub mod links;
pub mod objects;
pub mod secrets;
pub mod signer;
pub mod tasks;
