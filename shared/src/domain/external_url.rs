//! External URLs: which may be registered, how they are written, and what they say about themselves.
//!
//! Judging a URL sends no packet. Names that resolve to addresses of the inside are refused by the fetcher, which asks
//! [`address_allowed`] about each address it is about to connect to.

mod address;
mod error;
mod expiry;
mod host;
mod ports;
mod prefix;
mod text;

use std::{collections::BTreeSet, fmt, net::IpAddr};

use url::{Host, Position, Url};

pub use self::{
    address::address_allowed,
    error::UrlError,
    expiry::{Expiry, expiry},
    ports::default_denied_ports,
    prefix::{RepositoryPrefix, RepositoryRule, admit, pick},
};

/// The longest URL in bytes, as given and as normalised.
pub const MAX_URL_BYTES: usize = 2048;

/// What a deployment allows in an external URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlRules {
    /// Whether `http:` is allowed: only where a managed copy is kept.
    pub allow_plain_http: bool,
    /// Ports from 1024 up that are refused all the same.
    pub denied_ports: BTreeSet<u16>,
    /// Whether private and loopback hosts are allowed: only under the prefix of a repository that says so.
    pub allow_private: bool,
}

impl Default for UrlRules {
    /// HTTPS and public hosts alone, without the ports of databases, caches and container daemons.
    fn default() -> Self {
        Self { allow_plain_http: false, denied_ports: default_denied_ports(), allow_private: false }
    }
}

impl UrlRules {
    /// The widest rules: for reading back what was accepted once, never for judging what a caller sent.
    pub const fn widest() -> Self {
        Self { allow_plain_http: true, denied_ports: BTreeSet::new(), allow_private: true }
    }

    /// These rules with plain HTTP allowed or not.
    #[must_use]
    pub fn plain_http(mut self, allow: bool) -> Self {
        self.allow_plain_http = allow;
        self
    }

    /// These rules with private and loopback hosts allowed or not.
    #[must_use]
    pub fn private(mut self, allow: bool) -> Self {
        self.allow_private = allow;
        self
    }
}

/// A URL that follows the rules, in its one normalised spelling.
///
/// `Debug` leaves the query out, since the query of a presigned URL is a secret; so there is no `Display` either.
#[derive(Clone)]
pub struct ExternalUrl {
    url: Url,
    host: String,
    port: u16,
    /// The path as it was given, before `.` and `..` were resolved.
    raw_path: String,
}

impl ExternalUrl {
    /// Judges a URL and writes it in its normalised spelling.
    ///
    /// # Errors
    /// [`UrlError`] says which rule the text breaks.
    pub fn parse(given: &str, rules: &UrlRules) -> Result<Self, UrlError> {
        let parts = text::split(given, rules)?;
        let mut url =
            Url::parse(given).map_err(|_| UrlError::Invalid("the host or the path is malformed"))?;
        let host = check_host(&mut url, rules)?;
        if text::has_octal(parts.authority) {
            return Err(UrlError::Invalid("the host is an address with a leading zero"));
        }
        let port = url.port_or_known_default().ok_or(UrlError::Invalid("there is no port"))?;
        let default = if url.scheme() == "https" { 443 } else { 80 };
        if port != default && (port < 1024 || rules.denied_ports.contains(&port)) {
            return Err(UrlError::PortNotAllowed { port });
        }
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        Ok(Self { url, host, port, raw_path: parts.path.to_owned() })
    }

    /// The URL a redirect leads to: its `Location`, read against this URL and judged by the rules.
    ///
    /// # Errors
    /// [`UrlError`] says which rule the target breaks.
    pub fn join(&self, location: &str, rules: &UrlRules) -> Result<Self, UrlError> {
        text::check_characters(location)?;
        if text::has_scheme(location) {
            return Self::parse(location, rules);
        }
        // Put together as text, so that `.` and `..` are still seen by whoever judges the path.
        let origin = &self.url[..Position::BeforePath];
        let folder = self.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        let target = match location.chars().next() {
            Some('/') if location.starts_with("//") => format!("{}:{location}", self.scheme()),
            Some('/') => format!("{origin}{location}"),
            Some('?') => format!("{origin}{}{location}", self.path()),
            Some(_) => format!("{origin}{folder}/{location}"),
            None => self.as_str().to_owned(),
        };
        Self::parse(&target, rules)
    }

    /// The normalised spelling, with the query: a secret where the URL is presigned.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The normalised spelling without the query: fit for logs and messages.
    pub fn without_query(&self) -> &str {
        self.as_str().split_once('?').map_or(self.as_str(), |(before, _)| before)
    }

    /// `https` or `http`.
    pub fn scheme(&self) -> &str {
        self.url.scheme()
    }

    /// The host: a lower-case name in A-labels, or an address (version 6 without brackets).
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The address, where the host is one.
    pub fn host_address(&self) -> Option<IpAddr> {
        match self.url.host() {
            Some(Host::Ipv4(address)) => Some(address.into()),
            Some(Host::Ipv6(address)) => Some(address.into()),
            Some(Host::Domain(_)) | None => None,
        }
    }

    /// The host and, where it is not the scheme's own, the port: as a `Host` header has them.
    pub fn authority(&self) -> &str {
        self.url.authority()
    }

    /// The port, the scheme's own where the URL names none.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path, starting with `/`.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The path and the query: as a request line has them.
    pub fn path_and_query(&self) -> &str {
        &self.url[Position::BeforePath..]
    }

    /// Whether scheme, host and port are the same.
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.scheme(), self.host(), self.port) == (other.scheme(), other.host(), other.port)
    }

    /// Whether the query has a pair of this name, in whatever spelling.
    pub fn has_query(&self, name: &str) -> bool {
        self.query_pairs().any(|(found, _)| found == name)
    }

    fn raw_path(&self) -> &str {
        &self.raw_path
    }

    fn query_pairs(&self) -> impl Iterator<Item = (std::borrow::Cow<'_, str>, std::borrow::Cow<'_, str>)> {
        self.url.query_pairs()
    }
}

impl PartialEq for ExternalUrl {
    fn eq(&self, other: &Self) -> bool {
        self.url == other.url
    }
}

impl Eq for ExternalUrl {}

impl fmt::Debug for ExternalUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hidden = if self.url.query().is_some() { "?…" } else { "" };
        write!(f, "ExternalUrl({}{hidden})", self.without_query())
    }
}

/// Judges the host, drops its trailing dot, and returns it as text.
fn check_host(url: &mut Url, rules: &UrlRules) -> Result<String, UrlError> {
    let name = match url.host() {
        Some(Host::Domain(name)) => name.to_owned(),
        Some(Host::Ipv4(address)) => return check_address(address.into(), rules),
        Some(Host::Ipv6(address)) => return check_address(address.into(), rules),
        None => return Err(UrlError::Invalid("there is no host")),
    };
    let bare = name.strip_suffix('.').unwrap_or(&name);
    host::check_labels(bare)?;
    if !host::name_allowed(bare, rules.allow_private) {
        return Err(UrlError::HostNotAllowed { host: bare.to_owned() });
    }
    if bare.len() != name.len() {
        url.set_host(Some(bare)).map_err(|_| UrlError::Invalid("the host is malformed"))?;
    }
    Ok(bare.to_owned())
}

fn check_address(address: IpAddr, rules: &UrlRules) -> Result<String, UrlError> {
    let host = address.to_string();
    if address_allowed(address, rules.allow_private) {
        Ok(host)
    } else {
        Err(UrlError::HostNotAllowed { host })
    }
}
