//! How external artifacts are proved, over HTTPS and by what their repositories say, and how clients get at private ones.

mod credentials;
pub mod https;
mod links;

pub use self::{
    credentials::{Credentials, CredentialsError, Kind},
    links::SignedLinks,
};
pub use super::v4::KeyError;
