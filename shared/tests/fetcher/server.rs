//! A TLS server on loopback that says exactly what a test wants said, and the network that leads to it.

use std::{
    collections::HashMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use shared::{
    adapters::fetcher::https::{Dialer, Resolver},
    domain::external_url::address_allowed,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
    },
};

/// One step of an answer.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Send these bytes again and again.
    Repeat(Vec<u8>, usize),
    /// Send one byte, wait, and so on.
    Drip(usize, Duration),
    /// Wait.
    Pause(Duration),
    /// Stop without closing the TLS session.
    Abort,
}

/// How the server's certificate came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    Trusted,
    Expired,
    SelfSigned,
    /// No TLS at all.
    Plain,
}

type Script = dyn Fn(&str) -> Vec<Step> + Send + Sync;

/// A server that runs until the test ends.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    /// The certificate of the authority that signed the server's.
    pub(crate) ca_pem: String,
    requests: Arc<Mutex<Vec<String>>>,
}

/// The hosts that the certificate is for.
const NAMES: [&str; 10] = [
    "pub.test",
    "cdn.test",
    "private.test",
    "10.9.8.7",
    "github.com",
    "api.github.com",
    "github.com.cdn.test",
    "acme.jfrog.test",
    "objects.test",
    "storage.googleapis.com",
];

impl Server {
    /// Starts a server that answers each request with what the script says to its head.
    pub(crate) async fn start(
        identity: Identity,
        script: impl Fn(&str) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (config, ca_pem) = certificate(identity);
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (script, seen): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&requests));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, script, seen) = (acceptor.clone(), Arc::clone(&script), Arc::clone(&seen));
                tokio::spawn(async move {
                    if identity == Identity::Plain {
                        serve(stream, &*script, &seen).await
                    } else {
                        serve(acceptor.accept(stream).await?, &*script, &seen).await
                    }
                });
            }
        });
        Self { address, ca_pem, requests }
    }

    /// The heads of all requests so far, and the bodies of those that have one.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve<S>(mut stream: S, script: &Script, seen: &Mutex<Vec<String>>) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let mut head = String::from_utf8(head).unwrap();
    let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok();
    if let Some(length) = head.lines().find_map(length) {
        let mut body: Vec<u8> = vec![0; length];
        stream.read_exact(&mut body).await?;
        head.push_str(&String::from_utf8(body).unwrap());
    }
    seen.lock().unwrap().push(head.clone());
    for step in script(&head) {
        match step {
            Step::Send(bytes) => stream.write_all(&bytes).await?,
            Step::Repeat(bytes, count) => {
                for _ in 0..count {
                    stream.write_all(&bytes).await?;
                }
            }
            Step::Drip(count, pause) => {
                for _ in 0..count {
                    stream.write_all(b"x").await?;
                    stream.flush().await?;
                    tokio::time::sleep(pause).await;
                }
            }
            Step::Pause(pause) => {
                stream.flush().await?;
                tokio::time::sleep(pause).await;
            }
            Step::Abort => return stream.flush().await,
        }
    }
    stream.shutdown().await
}

fn certificate(identity: Identity) -> (ServerConfig, String) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let ca_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);

    let mut params = CertificateParams::new(NAMES.map(String::from)).unwrap();
    if identity == Identity::Expired {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2021, 1, 1);
    }
    let key = KeyPair::generate().unwrap();
    let leaf = match identity {
        Identity::SelfSigned => params.self_signed(&key).unwrap(),
        Identity::Trusted | Identity::Expired | Identity::Plain => params.signed_by(&key, &issuer).unwrap(),
    };
    let chain = vec![CertificateDer::from(leaf.der().to_vec())];
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    (config, ca_pem)
}

/// A resolver with prepared answers, and a dialer that notes what it is asked for and leads to the server.
#[derive(Debug)]
pub(crate) struct Network {
    server: SocketAddr,
    answers: Mutex<HashMap<String, Vec<Vec<IpAddr>>>>,
    dead: Vec<IpAddr>,
    dialled: Mutex<Vec<SocketAddr>>,
    resolved: Mutex<Vec<String>>,
}

impl Network {
    /// Every name has one public address, unless it is given others with [`Network::answering`].
    pub(crate) fn to(server: &Server) -> Self {
        Self {
            server: server.address,
            answers: Mutex::default(),
            dead: Vec::new(),
            dialled: Mutex::default(),
            resolved: Mutex::default(),
        }
    }

    /// The answers to the first look-ups of a name; the last one stays.
    pub(crate) fn answering(self, host: &str, answers: &[&[&str]]) -> Self {
        let parsed =
            answers.iter().map(|answer| answer.iter().map(|ip| ip.parse().unwrap()).collect()).collect();
        self.answers.lock().unwrap().insert(host.to_owned(), parsed);
        self
    }

    /// Connections to this address are refused.
    pub(crate) fn dead(mut self, address: &str) -> Self {
        self.dead.push(address.parse().unwrap());
        self
    }

    /// The addresses that were connected to.
    pub(crate) fn dialled(&self) -> Vec<String> {
        self.dialled.lock().unwrap().iter().map(SocketAddr::to_string).collect()
    }

    /// Fails where a packet went to an address that is not of the public internet.
    pub(crate) fn assert_public(&self, what: &str) {
        for address in self.dialled.lock().unwrap().iter() {
            assert!(address_allowed(address.ip(), false), "{what}: {address} was connected to");
        }
    }

    /// The names that were looked up.
    pub(crate) fn resolved(&self) -> Vec<String> {
        self.resolved.lock().unwrap().clone()
    }
}

#[async_trait]
impl Resolver for Network {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.resolved.lock().unwrap().push(host.to_owned());
        let mut answers = self.answers.lock().unwrap();
        match answers.get_mut(host) {
            Some(list) if list.len() > 1 => Ok(list.remove(0)),
            Some(list) => Ok(list.first().cloned().unwrap_or_default()),
            None if NAMES.contains(&host) => Ok(vec![IpAddr::from([8, 8, 8, 8])]),
            None => Err(io::Error::other("no such name")),
        }
    }
}

#[async_trait]
impl Dialer for Network {
    async fn dial(&self, address: SocketAddr) -> io::Result<TcpStream> {
        self.dialled.lock().unwrap().push(address);
        if self.dead.contains(&address.ip()) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        TcpStream::connect(self.server).await
    }
}
