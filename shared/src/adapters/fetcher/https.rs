//! Reads external artifacts over HTTPS and proves their bytes, without becoming anybody's way into the inside.
//!
//! The guard, in one place: each hop is judged by the URL rules again; its name is resolved here, an answer with any
//! address that is not public is refused whole, and the connection goes to an address that was checked, so that nothing
//! is resolved twice. Redirects are followed by hand. There is no proxy, no cookie, no cache and no decompression.

mod connect;
mod exchange;
mod limits;
mod network;
mod retry_after;
mod tls;

use std::sync::Arc;

use async_trait::async_trait;
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};

use self::{
    connect::Road,
    exchange::{Answer, Pace, WHOLE, ask, read},
};
pub use self::{
    limits::FetchLimits,
    network::{Dialer, Resolver, SystemNetwork},
    tls::TlsError,
};
use super::Credentials;
use crate::{
    domain::external_url::{ExternalUrl, RepositoryPrefix, RepositoryRule, UrlError, UrlRules, pick},
    ports::fetcher::{FetchError, FetchRequest, Fetched, Fetcher},
};

/// A repository of type `https`, with its credentials already resolved.
#[derive(Debug, Clone)]
pub struct HttpsRepository {
    /// The name, for the log.
    pub name: String,
    /// Where it begins.
    pub url_prefix: RepositoryPrefix,
    /// The header that opens it.
    pub credentials: Option<Credentials>,
    /// Whether it may be at a private or loopback address.
    pub allow_private: bool,
    /// Certificates (PEM) that are trusted for this repository, beside the public ones.
    pub ca_file: Option<Vec<u8>>,
    /// The products whose releases may use it; none named: all.
    pub products: Vec<String>,
}

impl RepositoryRule for HttpsRepository {
    fn prefix(&self) -> &RepositoryPrefix {
        &self.url_prefix
    }

    fn allow_private(&self) -> bool {
        self.allow_private
    }
}

/// Reads external artifacts over HTTPS.
#[derive(Debug)]
pub struct HttpsFetcher {
    entries: Vec<Entry>,
    rules: UrlRules,
    limits: FetchLimits,
    resolver: Arc<dyn Resolver>,
    dialer: Arc<dyn Dialer>,
    public_tls: Arc<ClientConfig>,
}

/// A repository, ready to be connected to.
#[derive(Debug)]
struct Entry {
    repository: HttpsRepository,
    tls: Arc<ClientConfig>,
}

impl RepositoryRule for Entry {
    fn prefix(&self) -> &RepositoryPrefix {
        &self.repository.url_prefix
    }

    fn allow_private(&self) -> bool {
        self.repository.allow_private
    }
}

impl HttpsFetcher {
    /// A fetcher over the system's resolver. Of the rules only the denied ports count: the rest follows from each URL
    /// and its repository.
    ///
    /// # Errors
    /// [`TlsError`] where a `ca_file` has no certificates.
    pub fn new(
        repositories: Vec<HttpsRepository>,
        rules: UrlRules,
        limits: FetchLimits,
    ) -> Result<Self, TlsError> {
        let public_tls = tls::client(None)?;
        let entries = repositories
            .into_iter()
            .map(|repository| {
                let tls = match repository.ca_file.as_deref() {
                    Some(pem) => tls::client(Some(pem))?,
                    None => Arc::clone(&public_tls),
                };
                Ok(Entry { repository, tls })
            })
            .collect::<Result<_, TlsError>>()?;
        let network = Arc::new(SystemNetwork);
        Ok(Self { entries, rules, limits, resolver: Arc::clone(&network) as _, dialer: network, public_tls })
    }

    /// The same fetcher over another network.
    #[must_use]
    pub fn over(mut self, resolver: Arc<dyn Resolver>, dialer: Arc<dyn Dialer>) -> Self {
        self.resolver = resolver;
        self.dialer = dialer;
        self
    }

    /// The same fetcher trusting these certificates (PEM) for public hosts too: for servers of a test.
    ///
    /// # Errors
    /// [`TlsError`] where there are no certificates in it.
    #[cfg(feature = "testing")]
    pub fn trusting(mut self, pem: &[u8]) -> Result<Self, TlsError> {
        self.public_tls = tls::client(Some(pem))?;
        Ok(self)
    }

    async fn follow(&self, request: &FetchRequest, first: Option<&Entry>) -> Result<Fetched, FetchError> {
        let rules = self.rules.clone().plain_http(request.url.scheme() == "http");
        let rules = rules.private(first.is_some_and(RepositoryRule::allow_private));
        let mut url = ExternalUrl::parse(request.url.as_str(), &rules).map_err(|error| refused(0, error))?;
        let mut entry = first;
        let pace = Pace { limits: &self.limits, began: Instant::now() };
        for hop in 1..=self.limits.max_redirects.saturating_add(1) {
            let location = match ask(&self.road(entry), &url, entry.and_then(Entry::credentials)).await? {
                Answer::Bytes(answer) => return read(answer, request, &url, &pace).await,
                Answer::Redirect(location) => location,
            };
            if hop <= self.limits.max_redirects {
                (url, entry) = self.target(&url, &location, first).map_err(|error| refused(hop, error))?;
            }
        }
        Err(FetchError::TooManyRedirects { limit: self.limits.max_redirects })
    }

    /// Where a redirect leads. What the first URL's repository opens (credentials, private addresses, certificates) holds
    /// under the prefix of that repository alone; no other repository's is ever taken up on the way.
    fn target<'a>(
        &self,
        from: &ExternalUrl,
        location: &str,
        first: Option<&'a Entry>,
    ) -> Result<(ExternalUrl, Option<&'a Entry>), UrlError> {
        let rules = self.rules.clone().plain_http(false);
        if let Some(entry) = first {
            let url = from.join(location, &rules.clone().private(entry.allow_private()))?;
            if entry.prefix().contains(&url)? {
                return Ok((url, first));
            }
        }
        Ok((from.join(location, &rules.private(false))?, None))
    }

    fn road(&self, entry: Option<&Entry>) -> Road<'_> {
        Road {
            resolver: self.resolver.as_ref(),
            dialer: self.dialer.as_ref(),
            limits: &self.limits,
            tls: Arc::clone(entry.map_or(&self.public_tls, |entry| &entry.tls)),
            allow_private: entry.is_some_and(RepositoryRule::allow_private),
        }
    }
}

impl Entry {
    fn credentials(&self) -> Option<&Credentials> {
        self.repository.credentials.as_ref()
    }
}

#[async_trait]
impl Fetcher for HttpsFetcher {
    async fn fetch(&self, request: &FetchRequest) -> Result<Fetched, FetchError> {
        let first = pick(&self.entries, &request.url).map_err(|error| refused(0, error))?;
        let limit = self.limits.total(request.declared_size);
        let outcome =
            timeout(limit, self.follow(request, first)).await.unwrap_or(Err(FetchError::Timeout(WHOLE)));
        if first.and_then(Entry::credentials).is_none() {
            return outcome;
        }
        match outcome {
            Ok(fetched) => Ok(Fetched { concealed: true, ..fetched }),
            Err(error) => Err(error.concealed()),
        }
    }
}

fn refused(hop: u8, error: UrlError) -> FetchError {
    FetchError::Url { hop, code: error.code(), source: Some(error) }
}
