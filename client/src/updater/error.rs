//! Why an updater does not know what to do, or has not done it.

use std::error::Error;
use std::io;

use decision::keyset::KeysetError;
use decision::root::RootError;
use decision::verify::Refusal;
use rustls::CertificateError;

use crate::ClientError;
use crate::state::StateError;

/// Why there is no answer, or no file. None of these ever means "no update".
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// The updater was not made right.
    #[error("the updater cannot work like this: {0}")]
    Setup(String),
    /// The pinned keyset is none.
    #[error("the keyset that the application ships with cannot be used")]
    Keyset(#[source] KeysetError),
    /// A signed keyset cannot be trusted.
    #[error("the signed keyset cannot be trusted")]
    Root(#[from] RootError),
    /// The state cannot be read or written.
    #[error(transparent)]
    State(#[from] StateError),
    /// The service, a mirror or the disk failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The decision was refused.
    #[error("the decision was refused")]
    Refused(#[from] Refusal),
    /// This machine's clock is wrong: the service's answer was made just now, at another time.
    #[error("this machine's clock says {local} (Unix seconds), the service's signed answer {service}")]
    Clock {
        /// What the machine's clock says.
        local: i64,
        /// When the answer says it was made.
        service: i64,
    },
    /// A certificate is not valid at this time: this machine's clock is wrong, or the certificate.
    #[error("the certificate of the other side is not valid at this machine's time {local} (Unix seconds)")]
    Certificate {
        /// What the machine's clock says.
        local: i64,
        /// What the network said.
        #[source]
        source: Box<ClientError>,
    },
    /// The offer is over: ask again.
    #[error("the offer ended at {expired}, now is {now}")]
    OfferExpired {
        /// When it ended, Unix seconds.
        expired: i64,
        /// What the machine's clock says.
        now: i64,
    },
}

impl UpdateError {
    /// The stable code of this kind of failure.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Setup(_) => "SETUP",
            Self::Keyset(_) => "KEYSET",
            Self::Root(error) => error.code(),
            Self::State(_) => "STATE",
            Self::Client(_) => "CLIENT",
            Self::Refused(refusal) => refusal.code(),
            Self::Clock { .. } | Self::Certificate { .. } => "CLOCK",
            Self::OfferExpired { .. } => "OFFER_EXPIRED",
        }
    }

    /// Whether the same call may succeed later, with nothing changed here.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Client(error) => error.retryable(),
            Self::Refused(refusal) => refusal.may_be_older_server(),
            Self::Setup(_)
            | Self::Keyset(_)
            | Self::Root(_)
            | Self::State(_)
            | Self::Clock { .. }
            | Self::Certificate { .. }
            | Self::OfferExpired { .. } => false,
        }
    }

    /// Tells a certificate that is not valid now from other troubles of the network.
    pub(super) fn of_client(error: ClientError, local: i64) -> Self {
        if is_about_time(&error) {
            return Self::Certificate { local, source: Box::new(error) };
        }
        Self::Client(error)
    }
}

/// Whether a failure is that of a certificate before or after its time.
fn is_about_time(error: &ClientError) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(found)) = error.downcast_ref() {
            return matches!(
                found,
                CertificateError::Expired
                    | CertificateError::ExpiredContext { .. }
                    | CertificateError::NotValidYet
                    | CertificateError::NotValidYetContext { .. }
            );
        }
        // What an i/o error wraps is not its source.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        next = match wrapped {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}
