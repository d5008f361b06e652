//! Reads external artifacts over HTTPS and proves their bytes, without becoming anybody's way into the inside.
//!
//! The guard, in one place: each hop is judged by the URL rules again; its name is resolved here, an answer with any
//! address that is not public is refused whole, and the connection goes to an address that was checked, so that nothing
//! is resolved twice. Redirects are followed by hand. There is no proxy, no cookie, no cache and no decompression.

mod body;
mod connect;
mod entry;
mod exchange;
mod limits;
mod links;
mod network;
mod retry_after;
mod says;
mod secrets;
mod tls;

use std::sync::Arc;

use async_trait::async_trait;
use http::header::{IF_RANGE, RANGE};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout};

use self::{
    body::{Pace, Place, WHOLE, place, read},
    connect::Road,
    entry::Entry,
    exchange::{Answer, Ask, Opened, ask},
};
pub use self::{
    entry::HttpsRepository,
    limits::FetchLimits,
    links::AskedLinks,
    network::{Dialer, Resolver, SystemNetwork},
    secrets::{AwsAccess, AwsSecrets},
    tls::TlsError,
};
use crate::{
    adapters::fetcher::Kind,
    domain::{
        artifact::Validators,
        external_url::{ExternalUrl, RepositoryRule, UrlError, UrlRules, pick},
        hashing::Hashing,
    },
    ports::fetcher::{FetchError, FetchRequest, Fetched, Fetcher, Progress, Reading},
};

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
            .map(|repository| Entry::new(repository, &public_tls))
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

    /// Asks, and follows the redirects; tells who answered in the end, and whether that is still the repository.
    async fn walk(
        &self,
        given: &ExternalUrl,
        asked: &Ask,
        first: Option<&Entry>,
    ) -> Result<(Opened, ExternalUrl, bool), FetchError> {
        let rules = self.rules.clone().plain_http(given.scheme() == "http");
        let rules = rules.private(first.is_some_and(RepositoryRule::allow_private));
        let mut url = ExternalUrl::parse(given.as_str(), &rules).map_err(|error| refused(0, error))?;
        let mut entry = first;
        for hop in 1..=self.limits.max_redirects.saturating_add(1) {
            let location = match self.ask_once(&url, asked, entry).await? {
                Answer::Bytes(answer) => return Ok((answer, url, entry.is_some())),
                Answer::Redirect(location) => location,
            };
            if hop <= self.limits.max_redirects {
                (url, entry) = self.target(&url, &location, first).map_err(|error| refused(hop, error))?;
            }
        }
        Err(FetchError::TooManyRedirects { limit: self.limits.max_redirects })
    }

    /// Asks without following; again where what opened it is another by now.
    async fn ask_once(
        &self,
        url: &ExternalUrl,
        asked: &Ask,
        entry: Option<&Entry>,
    ) -> Result<Answer, FetchError> {
        let (road, credentials) = (self.road(entry), entry.and_then(Entry::credentials));
        match (ask(&road, url, asked, credentials).await, credentials) {
            (Err(FetchError::Status { status: 401 | 403, retry_after: None }), Some(credentials))
                if credentials.others(asked.now).await =>
            {
                ask(&road, url, asked, Some(credentials)).await
            }
            (answer, _) => answer,
        }
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
            if entry.holds(&url)? {
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
            tls: Arc::clone(entry.map_or(&self.public_tls, Entry::tls)),
            allow_private: entry.is_some_and(RepositoryRule::allow_private),
        }
    }

    /// Proves by what the repository says where it says enough, else by reading.
    async fn prove(&self, request: &FetchRequest, first: Option<&Entry>) -> Result<Reading, FetchError> {
        let pace = Pace { limits: &self.limits, began: Instant::now(), budget: request.budget };
        let anew = request.resume.is_none();
        let said = match first {
            Some(entry) if entry.speaks() && (anew || entry.kind() == Kind::GitHub) => {
                let said = self.says(&request.url, entry, request.now, &pace).await?;
                if let (Some(fetched), None) = (said.proves(request)?, &request.keep) {
                    return Ok(Reading::Whole(fetched));
                }
                said
            }
            _ => says::Said::nothing(&request.url),
        };
        let (from, asked) = said.stream(request, first);
        let mut reading = self.stream(&from, asked, request, first, &pace).await?;
        // A version that was asked for by its name is the one that was read.
        let version = said.version(request);
        match &mut reading {
            Reading::Whole(Fetched { validators, .. }) | Reading::Part(Progress { validators, .. }) => {
                validators.version = version.or(validators.version.take());
            }
        }
        Ok(reading)
    }

    async fn stream(
        &self,
        url: &ExternalUrl,
        asked: Ask,
        request: &FetchRequest,
        first: Option<&Entry>,
        pace: &Pace<'_>,
    ) -> Result<Reading, FetchError> {
        let resume = request.resume.as_ref().filter(|progress| progress.validators.etag.is_some());
        if let Some(progress) = resume {
            let etag = progress.validators.etag.clone().unwrap_or_default();
            let asked = asked.clone().with(RANGE, format!("bytes={}-", progress.hash.bytes));
            let (answer, last, _) = self.walk(url, &asked.with(IF_RANGE, etag), first).await?;
            match place(&answer, request, resume) {
                Place::GoesOn(hash) => return read(answer, hash, request, &last, pace).await,
                Place::Anew => return read(answer, Hashing::default(), request, &last, pace).await,
                Place::Wrong => {}
            }
        }
        let (answer, last, _) = self.walk(url, &asked, first).await?;
        read(answer, Hashing::default(), request, &last, pace).await
    }

    /// What a host without an API of its own says of a file.
    async fn head(
        &self,
        url: &ExternalUrl,
        now: i64,
        first: Option<&Entry>,
    ) -> Result<Validators, FetchError> {
        let refuses = |status| matches!(status, 400 | 403 | 405 | 501);
        let (answer, ..) = match self.walk(url, &Ask::head(now), first).await {
            // A URL that is signed for reading is good for nothing else, and some hosts know no HEAD.
            Err(FetchError::Status { status, retry_after: None }) if refuses(status) => {
                self.walk(url, &Ask::get(now).with(RANGE, "bytes=0-0"), first).await?
            }
            answer => answer?,
        };
        Ok(exchange::validators(&answer.response))
    }

    async fn look(
        &self,
        url: &ExternalUrl,
        now: i64,
        first: Option<&Entry>,
    ) -> Result<Validators, FetchError> {
        let pace = Pace { limits: &self.limits, began: Instant::now(), budget: None };
        match first {
            Some(entry) if entry.speaks() => Ok(self.says(url, entry, now, &pace).await?.validators),
            _ => self.head(url, now, first).await,
        }
    }

    /// The outcome without what may not be told of it.
    fn conceal<T>(first: Option<&Entry>, outcome: Result<T, FetchError>) -> Result<T, FetchError> {
        if first.and_then(Entry::credentials).is_none() {
            return outcome;
        }
        outcome.map_err(FetchError::concealed)
    }
}

#[async_trait]
impl Fetcher for HttpsFetcher {
    async fn fetch(&self, request: &FetchRequest) -> Result<Reading, FetchError> {
        let first = pick(&self.entries, &request.url).map_err(|error| refused(0, error))?;
        let limit = self.limits.total(request.declared_size);
        let outcome = timeout(limit, self.prove(request, first)).await;
        let reading = Self::conceal(first, outcome.unwrap_or(Err(FetchError::Timeout(WHOLE))))?;
        let concealed = first.and_then(Entry::credentials).is_some();
        Ok(match reading {
            Reading::Whole(fetched) => Reading::Whole(Fetched { concealed, ..fetched }),
            part @ Reading::Part(_) => part,
        })
    }

    async fn probe(&self, url: &ExternalUrl, now: i64) -> Result<Validators, FetchError> {
        let first = pick(&self.entries, url).map_err(|error| refused(0, error))?;
        let outcome = timeout(self.limits.total(0), self.look(url, now, first)).await;
        Self::conceal(first, outcome.unwrap_or(Err(FetchError::Timeout("the look at the artifact"))))
    }
}

fn refused(hop: u8, error: UrlError) -> FetchError {
    FetchError::Url { hop, code: error.code(), source: Some(error) }
}
