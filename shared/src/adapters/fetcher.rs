//! How external artifacts are proved: by reading them over HTTPS.

mod credentials;
#[cfg(feature = "fetcher-https")]
pub mod https;

pub use self::credentials::{Credentials, CredentialsError};
