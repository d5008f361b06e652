//! From a URL to a connection whose other end was checked.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use rustls::{ClientConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;

use super::{Dialer, FetchLimits, Resolver};
use crate::{
    domain::external_url::{ExternalUrl, address_allowed},
    ports::fetcher::FetchError,
};

/// How many addresses of a name are tried.
const MAX_ATTEMPTS: usize = 4;

/// A connection, encrypted or not.
pub(super) trait Wire: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Wire for T {}

/// The way to one hop.
pub(super) struct Road<'a> {
    pub(super) resolver: &'a dyn Resolver,
    pub(super) dialer: &'a dyn Dialer,
    pub(super) limits: &'a FetchLimits,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) allow_private: bool,
}

impl Road<'_> {
    /// Resolves, checks every address, and connects to one of them.
    pub(super) async fn connect(&self, url: &ExternalUrl) -> Result<Box<dyn Wire>, FetchError> {
        let addresses = self.resolve(url).await?;
        if !addresses.iter().all(|address| address_allowed(*address, self.allow_private)) {
            return Err(FetchError::AddressNotAllowed { host: Some(url.host().to_owned()) });
        }
        let stream = self.dial(&addresses, url.port()).await?;
        if url.scheme() != "https" {
            return Ok(Box::new(stream));
        }
        let name = match url.host_address() {
            Some(address) => ServerName::IpAddress(address.into()),
            None => ServerName::try_from(url.host().to_owned())
                .map_err(|error| FetchError::Tls(Box::new(error)))?,
        };
        let handshake = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream);
        let stream = timeout(self.limits.connect, handshake)
            .await
            .map_err(|_| FetchError::Timeout("the TLS handshake"))?
            .map_err(|error| FetchError::Tls(Box::new(error)))?;
        Ok(Box::new(stream))
    }

    async fn resolve(&self, url: &ExternalUrl) -> Result<Vec<IpAddr>, FetchError> {
        if let Some(address) = url.host_address() {
            return Ok(vec![address]);
        }
        timeout(self.limits.connect, self.resolver.resolve(url.host()))
            .await
            .map_err(|_| FetchError::Timeout("the name look-up"))?
            .map_err(|error| FetchError::Unreachable(Box::new(error)))
    }

    /// Tries the addresses one after the other, each with its share of the time.
    async fn dial(&self, addresses: &[IpAddr], port: u16) -> Result<TcpStream, FetchError> {
        let attempts = addresses.len().min(MAX_ATTEMPTS);
        let share = self.limits.connect / u32::try_from(attempts).unwrap_or(1).max(1);
        let mut last = FetchError::Unreachable(Box::new(io::Error::other("the name has no address")));
        for address in addresses.iter().take(attempts) {
            match self.dial_one(SocketAddr::new(*address, port), share).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn dial_one(&self, address: SocketAddr, limit: Duration) -> Result<TcpStream, FetchError> {
        timeout(limit, self.dialer.dial(address))
            .await
            .map_err(|_| FetchError::Timeout("the connection"))?
            .map_err(|error| FetchError::Unreachable(Box::new(error)))
    }
}
