//! Who does work in the background.

pub mod bell;
#[cfg(feature = "sqs")]
pub mod sqs;
