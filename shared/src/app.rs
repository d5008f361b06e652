//! The use cases: ports in, the domain in the middle. Nothing here knows HTTP or a vendor.

pub mod access;
pub mod artifacts;
pub mod audit;
pub mod catalogue;
pub mod complete;
pub mod context;
pub mod decisions;
pub mod error;
pub mod external;
pub mod idempotency;
pub mod keys;
pub mod keyset;
pub mod pending;
pub mod policies;
pub mod products;
pub mod publish;
pub mod register;
pub mod release_list;
pub mod releases;
pub mod revoke;
pub mod signing;
pub mod store;
pub mod sweep;
pub mod tokens;
pub mod unavailable;
pub mod uploads;
