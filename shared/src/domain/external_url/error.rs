//! Why a URL is refused.

/// The rule that an external URL breaks. No message repeats userinfo, path or query: those may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// The scheme is not one that may be fetched.
    #[error("the URL's scheme is not allowed: use `https` (`http` only with `escrow`)")]
    SchemeNotAllowed,
    /// The text is not a URL that every reader understands alike.
    #[error("the URL is not valid: {0}")]
    Invalid(&'static str),
    /// The text is longer than a URL may be.
    #[error("the URL is not valid: it is longer than {} bytes", super::MAX_URL_BYTES)]
    TooLong,
    /// There is a user name or a password before the host.
    #[error(
        "the URL has a user name or password before the host: leave it out, and put credentials into `repositories`"
    )]
    Credentials,
    /// The host belongs to the inside, or is no name of the public internet.
    #[error("the URL's host `{host}` is not a public one")]
    HostNotAllowed {
        /// The host as normalised.
        host: String,
    },
    /// The port is not one where artifacts are served.
    #[error(
        "the URL's port {port} is not allowed: use the scheme's own, or one from 1024 up that no database, cache or container daemon has"
    )]
    PortNotAllowed {
        /// The port.
        port: u16,
    },
    /// A path under a repository's prefix could be read in two ways.
    #[error(
        "the URL's path is not plain: under the prefix of a repository it may not have `%2e`, `%2f`, `%5c`, `//`, `.` or `..`"
    )]
    PathNotPlain,
}

impl UrlError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::SchemeNotAllowed => "URL_SCHEME_NOT_ALLOWED",
            Self::Invalid(_) | Self::TooLong | Self::PathNotPlain => "URL_INVALID",
            Self::Credentials => "URL_CREDENTIALS",
            Self::HostNotAllowed { .. } => "URL_HOST_NOT_ALLOWED",
            Self::PortNotAllowed { .. } => "URL_PORT_NOT_ALLOWED",
        }
    }
}
