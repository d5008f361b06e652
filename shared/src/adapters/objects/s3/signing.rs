//! With what, from when and for how long a URL is signed.

use std::time::{Duration, UNIX_EPOCH};

use aws_credential_types::{Credentials, provider::ProvideCredentials as _};
use aws_sdk_s3::{
    config::{Builder, IdentityCache, RequestChecksumCalculation},
    presigning::PresigningConfig,
};

use super::S3Objects;

/// The longest life that S3 gives a URL: a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);
/// The longest life with credentials of a session whose end is not known, such as those of a Lambda function: the URL
/// dies with the session, so less is promised.
const LONGEST_OF_A_SESSION: Duration = Duration::from_secs(900);

/// Whatever keeps a URL from being signed.
pub(super) type SigningError = Box<dyn std::error::Error + Send + Sync>;

/// Nothing can be signed that would still work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no URL can be signed: the credentials of the object store have ended, or no time was asked for")]
pub(super) struct NoTimeLeft;

/// From when to when a URL holds, in whole seconds: S3 knows no others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    begins: u64,
    lifetime: Duration,
}

impl Validity {
    /// The earlier of what is asked, what S3 gives and the end of the credentials, all in Unix milliseconds.
    fn new(now: i64, asked: Duration, end: Option<i64>, session: bool) -> Result<Self, NoTimeLeft> {
        let begins = u64::try_from(now.div_euclid(1000)).map_err(|_| NoTimeLeft)?;
        let lives = match end {
            Some(end) => {
                let end = u64::try_from(end.div_euclid(1000)).map_err(|_| NoTimeLeft)?;
                Duration::from_secs(end.saturating_sub(begins))
            }
            None if session => LONGEST_OF_A_SESSION,
            None => LONGEST,
        };
        let lifetime = Duration::from_secs(asked.min(lives).min(LONGEST).as_secs());
        if lifetime.is_zero() { Err(NoTimeLeft) } else { Ok(Self { begins, lifetime }) }
    }

    /// The seconds of life, as the URL says them.
    pub(super) fn seconds(self) -> u64 {
        self.lifetime.as_secs()
    }

    /// The end, Unix milliseconds.
    pub(super) fn ends_at(self) -> i64 {
        let seconds = self.begins.saturating_add(self.seconds());
        i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1000)
    }
}

/// One set of credentials, and how long what they sign holds.
pub(super) struct Signing {
    credentials: Credentials,
    /// From when to when.
    pub(super) validity: Validity,
}

impl Signing {
    /// Makes each request be signed by exactly these credentials, and adds no checksum that a client would have to send.
    pub(super) fn config(&self) -> Builder {
        Builder::new()
            .credentials_provider(self.credentials.clone())
            .identity_cache(IdentityCache::no_cache())
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
    }

    /// From when, and for how long.
    pub(super) fn time(&self) -> Result<PresigningConfig, SigningError> {
        let begins = UNIX_EPOCH.checked_add(Duration::from_secs(self.validity.begins)).ok_or(NoTimeLeft)?;
        Ok(PresigningConfig::builder().start_time(begins).expires_in(self.validity.lifetime).build()?)
    }
}

impl S3Objects {
    /// Gets credentials for URLs that begin now (Unix milliseconds) and are asked to live so long.
    pub(super) async fn signing(&self, now: i64, asked: Duration) -> Result<Signing, SigningError> {
        let credentials = self.credentials.provide_credentials().await?;
        let end = credentials.expiry().map(|end| {
            let since = end.duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
        let validity = Validity::new(now, asked, end, credentials.session_token().is_some())?;
        Ok(Signing { credentials, validity })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000_999;
    const ASKED: Duration = Duration::from_secs(3600);

    #[track_caller]
    fn validity(end: Option<i64>, session: bool) -> (u64, i64) {
        let validity = Validity::new(NOW, ASKED, end, session).unwrap();
        (validity.seconds(), validity.ends_at())
    }

    #[test]
    fn the_earlier_end_is_the_end_and_never_later_than_told() {
        assert_eq!(validity(None, false), (3600, 1_700_003_600_000));
        assert_eq!(validity(Some(NOW + 60_000), true), (60, 1_700_000_060_000));
        assert_eq!(validity(Some(NOW + 7_200_000), true), (3600, 1_700_003_600_000));
        assert_eq!(validity(None, true), (900, 1_700_000_900_000));
        let long = Validity::new(NOW, Duration::from_secs(u64::MAX), None, false).unwrap();
        assert_eq!(long.seconds(), 604_800);
    }

    #[test]
    fn where_no_second_is_left_nothing_is_signed() {
        for (asked, end) in [(ASKED, Some(NOW)), (ASKED, Some(0)), (ASKED, Some(-1)), (Duration::ZERO, None)]
        {
            assert_eq!(Validity::new(NOW, asked, end, true), Err(NoTimeLeft));
        }
        assert_eq!(Validity::new(NOW, Duration::from_millis(999), None, false), Err(NoTimeLeft));
        assert_eq!(Validity::new(-1, ASKED, None, false), Err(NoTimeLeft));
    }
}
