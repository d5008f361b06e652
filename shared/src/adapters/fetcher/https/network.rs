//! The two doors to the network: names to addresses, and addresses to connections.

use std::{
    fmt::Debug,
    io,
    net::{IpAddr, SocketAddr},
};

use async_trait::async_trait;
use tokio::net::{TcpStream, lookup_host};

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolver: Debug + Send + Sync {
    /// All addresses of the name, in the order in which to try them.
    ///
    /// # Errors
    /// The system's error where the name cannot be resolved.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// Opens connections. It is given addresses that were checked, never names.
#[async_trait]
pub trait Dialer: Debug + Send + Sync {
    /// A connection to this address.
    ///
    /// # Errors
    /// The system's error where there is none to be had.
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream>;
}

/// The network as the system has it.
#[derive(Debug, Clone, Copy)]
pub struct SystemNetwork;

#[async_trait]
impl Resolver for SystemNetwork {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        Ok(lookup_host((host, 0)).await?.map(|address| address.ip()).collect())
    }
}

#[async_trait]
impl Dialer for SystemNetwork {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        TcpStream::connect(address).await
    }
}
