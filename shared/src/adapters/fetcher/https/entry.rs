//! A repository, ready to be connected to.

use std::sync::Arc;

use rustls::ClientConfig;

use super::{TlsError, tls};
use crate::{
    adapters::fetcher::{Credentials, Kind},
    domain::external_url::{ExternalUrl, RepositoryPrefix, RepositoryRule, UrlError},
};

/// A repository, with its credentials already resolved.
#[derive(Debug, Clone)]
pub struct HttpsRepository {
    /// The name, for the log.
    pub name: String,
    /// What it is, and so how it proves bytes.
    pub kind: Kind,
    /// Where it begins.
    pub url_prefix: RepositoryPrefix,
    /// What opens it.
    pub credentials: Option<Credentials>,
    /// Whether it may be at a private or loopback address.
    pub allow_private: bool,
    /// Certificates (PEM) that are trusted for this repository, beside the public ones.
    pub ca_file: Option<Vec<u8>>,
    /// The products whose releases may use it; none named: all.
    pub products: Vec<String>,
}

/// A repository, ready to be connected to.
#[derive(Debug)]
pub(super) struct Entry {
    repository: HttpsRepository,
    tls: Arc<ClientConfig>,
    /// Where its API is, as far as that lies elsewhere.
    api: Option<RepositoryPrefix>,
}

impl RepositoryRule for Entry {
    fn prefix(&self) -> &RepositoryPrefix {
        &self.repository.url_prefix
    }

    fn allow_private(&self) -> bool {
        self.repository.allow_private
    }
}

impl Entry {
    pub(super) fn new(repository: HttpsRepository, public_tls: &Arc<ClientConfig>) -> Result<Self, TlsError> {
        let tls = match repository.ca_file.as_deref() {
            Some(pem) => tls::client(Some(pem))?,
            None => Arc::clone(public_tls),
        };
        let prefix = repository.url_prefix.as_str();
        let api = match repository.kind {
            Kind::GitHub => github_api(prefix),
            Kind::Jfrog => jfrog_api(prefix),
            Kind::Https | Kind::S3 | Kind::Gcs => None,
        };
        let api = api.and_then(|api| RepositoryPrefix::parse(&api).ok());
        Ok(Self { repository, tls, api })
    }

    pub(super) fn kind(&self) -> Kind {
        self.repository.kind
    }

    /// Whether it says more of its files than any host does.
    pub(super) fn speaks(&self) -> bool {
        self.kind() != Kind::Https
    }

    pub(super) fn credentials(&self) -> Option<&Credentials> {
        self.repository.credentials.as_ref()
    }

    pub(super) fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    /// Where its API begins, without a slash at the end.
    pub(super) fn api(&self) -> Option<&str> {
        self.api.as_ref().map(|api| api.as_str().trim_end_matches('/'))
    }

    /// Whether a URL is one of this repository's, or of its API.
    pub(super) fn holds(&self, url: &ExternalUrl) -> Result<bool, UrlError> {
        Ok(self.prefix().contains(url)?
            || match &self.api {
                Some(api) => api.contains(url)?,
                None => false,
            })
    }
}

/// The origin of a URL, and its path.
fn origin(url: &str) -> Option<(&str, &str)> {
    let after = url.find("://")?.checked_add(3)?;
    let end = url.get(after..)?.find('/').map_or(Some(url.len()), |at| at.checked_add(after))?;
    url.split_at_checked(end)
}

/// `https://api.github.com`, or `/api/v3` of a server of one's own.
fn github_api(prefix: &str) -> Option<String> {
    let (origin, _) = origin(prefix)?;
    Some(if origin == "https://github.com" {
        "https://api.github.com".to_owned()
    } else {
        format!("{origin}/api/v3")
    })
}

/// `/artifactory/api/storage`, or the same at the root of a host that has Artifactory there.
fn jfrog_api(prefix: &str) -> Option<String> {
    let (origin, path) = origin(prefix)?;
    let context =
        if path == "/artifactory" || path.starts_with("/artifactory/") { "/artifactory" } else { "" };
    Some(format!("{origin}{context}/api/storage"))
}
