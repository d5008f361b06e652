//! What opens a private repository: a header, or a key that signs each request. It is given here, or kept elsewhere and
//! read when it is needed.

mod kept;

use std::sync::Arc;

use http::{
    HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_TYPE},
};

use self::kept::Kept;
use crate::{
    adapters::v4::{Key, KeyError, Request},
    domain::{
        external_url::ExternalUrl,
        secret::{Secret, SecretReference},
    },
    ports::{fetcher::Cause, secrets::Secrets},
};

/// How long a request of our own that is signed in its URL is good for, in seconds.
const OWN_SECONDS: u32 = 900;

/// What a repository is, and so by which means it proves bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// Any host: its bytes are read.
    #[default]
    Https,
    /// S3, `MinIO`, or another that speaks S3.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// `JFrog` Artifactory.
    Jfrog,
    /// Releases of GitHub.
    GitHub,
}

/// What opens a private repository; `Debug` hides it.
#[derive(Debug, Clone)]
pub struct Credentials(Source);

#[derive(Debug, Clone)]
enum Source {
    Given(Opener),
    Kept(Arc<Kept>),
}

/// What opens one repository at a moment.
#[derive(Debug, Clone)]
pub(super) enum Opener {
    /// One header with a secret value.
    Header(HeaderName, Secret),
    /// A key that signs each request.
    Key(Arc<Key>),
}

/// The credentials cannot be used. What they are is not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// The name or the value cannot stand in a header.
    #[error("the credentials cannot be sent as a header")]
    Header,
    /// They are no key.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// What is sent with one request to open it.
#[derive(Debug, Default)]
pub(super) struct Opened {
    /// The path and query to ask for, where they are other than those of the URL.
    pub(super) target: Option<String>,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
}

impl Credentials {
    /// The value of an `Authorization` header, such as `Bearer …`.
    ///
    /// # Errors
    /// [`CredentialsError`] where the value has line breaks or other characters that no header has.
    pub fn authorization(value: Secret) -> Result<Self, CredentialsError> {
        Self::header(AUTHORIZATION.as_str(), value)
    }

    /// The value of a header of the repository's own.
    ///
    /// # Errors
    /// [`CredentialsError`] where name or value has characters that no header has.
    pub fn header(name: &str, value: Secret) -> Result<Self, CredentialsError> {
        let name = name.parse().map_err(|_| CredentialsError::Header)?;
        HeaderValue::from_str(value.reveal()).map_err(|_| CredentialsError::Header)?;
        Ok(Self(Source::Given(Opener::Header(name, value))))
    }

    /// What an operator gave for a repository of this kind: a token or the whole value of `Authorization` for `JFrog` and
    /// GitHub, an access key for S3, the key file of a service account for Google Cloud Storage.
    ///
    /// # Errors
    /// [`CredentialsError`]
    pub fn of(kind: Kind, text: &Secret, region: &str) -> Result<Self, CredentialsError> {
        match kind {
            Kind::Https => Self::authorization(text.clone()),
            Kind::Jfrog | Kind::GitHub if text.reveal().contains(' ') => Self::authorization(text.clone()),
            Kind::Jfrog | Kind::GitHub => {
                Self::authorization(Secret::new(format!("Bearer {}", text.reveal())))
            }
            Kind::S3 => Ok(Self::signs(Key::aws(text, region)?)),
            Kind::Gcs => Ok(Self::signs(Key::google(text)?)),
        }
    }

    /// What is kept elsewhere: read when it is first needed, again after five minutes, and where the repository no longer
    /// takes it.
    pub fn kept(kind: Kind, region: &str, secrets: Arc<dyn Secrets>, reference: SecretReference) -> Self {
        Self(Source::Kept(Arc::new(Kept::new(kind, region.to_owned(), secrets, reference))))
    }

    pub(super) fn signs(key: Key) -> Self {
        Self(Source::Given(Opener::Key(Arc::new(key))))
    }

    /// Whether they are a key that signs requests.
    pub(super) fn sign(&self) -> bool {
        match &self.0 {
            Source::Given(Opener::Header(..)) => false,
            Source::Given(Opener::Key(_)) => true,
            Source::Kept(kept) => kept.signs(),
        }
    }

    /// Reads them, where they are kept elsewhere: what is wrong with them is said now.
    ///
    /// # Errors
    /// The cause: [`SecretUnreadable`](crate::ports::secrets::SecretUnreadable) or [`CredentialsError`].
    pub async fn check(&self, now: i64) -> Result<(), Cause> {
        self.opener(now).await.map(|_| ())
    }

    /// What they are now.
    pub(super) async fn opener(&self, now: i64) -> Result<Opener, Cause> {
        match &self.0 {
            Source::Given(opener) => Ok(opener.clone()),
            Source::Kept(kept) => kept.opener(now).await,
        }
    }

    /// Reads them again after the repository did not take them; whether they are others now.
    pub(super) async fn others(&self, now: i64) -> bool {
        match &self.0 {
            Source::Given(_) => false,
            Source::Kept(kept) => kept.others(now).await,
        }
    }
}

impl Opener {
    /// What opens one request. `headers` are sent besides; those of them that must be covered by a signature are.
    pub(super) fn open(
        &self,
        method: &str,
        url: &ExternalUrl,
        headers: &[(HeaderName, String)],
        body: &[u8],
        now: i64,
    ) -> Option<Opened> {
        let key = match self {
            Self::Header(name, value) => {
                let headers = vec![(name.clone(), secret(value.reveal())?)];
                return Some(Opened { target: None, headers });
            }
            Self::Key(key) => key,
        };
        let covered = |name: &HeaderName| *name == CONTENT_TYPE || name.as_str().starts_with("x-amz-");
        let own = headers.iter().filter(|(name, _)| covered(name));
        let own: Vec<_> = own.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = Request { method, url, query: &[], headers: &own, now };
        let Key::Aws { .. } = key.as_ref() else {
            let target = key.in_query(&Request { headers: &[], ..request }, OWN_SECONDS)?;
            return Some(Opened { target: Some(target), headers: Vec::new() });
        };
        let (target, signed) = key.in_headers(&request, body)?;
        let signed = signed.into_iter().map(|(name, value)| Some((name.parse().ok()?, secret(&value)?)));
        Some(Opened { target: Some(target), headers: signed.collect::<Option<_>>()? })
    }
}

fn secret(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
