//! Hosts for external artifacts: HTTPS with a certificate authority of their own, on the loopback address.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tempfile::NamedTempFile;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::signed::is_signed;

/// What a path answers.
#[derive(Debug, Clone)]
pub enum Page {
    /// 200 with these bytes.
    Bytes(Vec<u8>),
    /// 302 to this address.
    Redirect(String),
    /// This status, without a body.
    Status(u16),
    /// 200 with these headers and bytes, for whoever sends this beginning of `Authorization` (an empty one: for all).
    Guarded(String, Vec<(String, String)>, Vec<u8>),
    /// 200 with these headers and bytes, for whoever signs the request with this secret, as a bucket asks.
    Signed(String, Vec<(String, String)>, Vec<u8>),
}

/// An HTTPS host that serves what it is told to, until it is dropped with the runtime that it runs on.
pub struct Host {
    port: u16,
    authority: NamedTempFile,
    state: Arc<Mutex<State>>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("port", &self.port).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct State {
    pages: HashMap<String, Page>,
    heads: Vec<String>,
}

impl Host {
    /// Starts a host that knows no page yet.
    pub async fn start() -> Self {
        let (authority, acceptor) = certificates();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let state = Arc::new(Mutex::new(State::default()));
        let host = Self { port, authority, state: Arc::clone(&state) };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, state) = (acceptor.clone(), Arc::clone(&state));
                tokio::spawn(async move { _ = answer(&acceptor, stream, &state).await });
            }
        });
        host
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("https://127.0.0.1:{}{path}", self.port)
    }

    /// Sets what a path answers from now on, and gives its address.
    pub fn serve(&self, path: &str, page: Page) -> String {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).pages.insert(path.to_owned(), page);
        self.url(path)
    }

    /// The request heads seen so far.
    pub fn seen(&self) -> Vec<String> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).heads.clone()
    }

    /// What a client without any credentials gets at an address of this host; nothing where it is refused.
    pub async fn downloaded(&self, url: &str) -> Option<Vec<u8>> {
        let mut curl = tokio::process::Command::new("curl");
        curl.args(["-sS", "--fail", "--noproxy", "*", "--cacert"]).arg(self.authority()).arg(url);
        let output = curl.output().await.expect("curl");
        output.status.success().then_some(output.stdout)
    }

    /// The file with the certificate of its authority.
    pub fn authority(&self) -> &std::path::Path {
        self.authority.path()
    }

    /// A configuration with one repository of a type at a prefix of this host.
    pub fn repository(&self, kind: &str, prefix: &str, more: &str) -> String {
        format!(
            "repositories:\n  - {{ name: {kind}, type: {kind}, url_prefix: \"{}\", allow_private: true, \
             ca_file: \"{}\"{more} }}\n",
            self.url(prefix),
            self.authority.path().display()
        )
    }

    /// A configuration that lets the service fetch from here; `more` adds members to the entry.
    pub fn configuration(&self, more: &str) -> String {
        self.repository("https", "/files", more)
    }
}

fn certificates() -> (NamedTempFile, TlsAcceptor) {
    _ = rustls::crypto::ring::default_provider().install_default();
    let mut params = CertificateParams::new(Vec::new()).expect("parameters");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // With one name for both, the leaf would pass for its own issuer.
    params.distinguished_name.push(DnType::CommonName, "authority of a test");
    let key = KeyPair::generate().expect("a key");
    let root = params.self_signed(&key).expect("a certificate");
    let issuer = Issuer::new(params, key);

    let leaf_key = KeyPair::generate().expect("a key");
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let mut leaf = CertificateParams::new(names).expect("parameters");
    leaf.use_authority_key_identifier_extension = true;
    let leaf = leaf.signed_by(&leaf_key, &issuer).expect("a certificate");

    let file = NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), root.pem()).expect("a written file");
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(leaf_key.serialize_der()));
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(leaf.der().to_vec())], key)
        .expect("a usable certificate");
    (file, TlsAcceptor::from(Arc::new(config)))
}

async fn answer(acceptor: &TlsAcceptor, stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let mut stream = acceptor.accept(stream).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await?;
        head.push(byte);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = |line: &str| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok();
    let mut body: Vec<u8> = vec![0; head.lines().find_map(length).unwrap_or(0)];
    stream.read_exact(&mut body).await?;
    let mut words = head.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let page = {
        let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
        state.heads.push(head.clone());
        state.pages.get(path.split('?').next().unwrap_or_default()).cloned()
    };
    let (line, body) = match page {
        Some(Page::Bytes(bytes)) => ("200 OK\r\n".to_owned(), bytes),
        Some(Page::Redirect(to)) => (format!("302 Found\r\nLocation: {to}\r\n"), Vec::new()),
        Some(Page::Guarded(key, headers, bytes)) if opens(&head, &key) => good(&headers, bytes),
        Some(Page::Signed(secret, headers, bytes)) if is_signed(&head, &secret) => good(&headers, bytes),
        Some(Page::Guarded(..) | Page::Signed(..)) => ("403 Forbidden\r\n".to_owned(), Vec::new()),
        Some(Page::Status(status)) => (format!("{status} Told So\r\n"), Vec::new()),
        None => ("404 Not Found\r\n".to_owned(), Vec::new()),
    };
    let start = format!("HTTP/1.1 {line}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    stream.write_all(start.as_bytes()).await?;
    if method != "HEAD" {
        stream.write_all(&body).await?;
    }
    stream.shutdown().await
}

fn good(headers: &[(String, String)], bytes: Vec<u8>) -> (String, Vec<u8>) {
    let lines: Vec<_> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    (format!("200 OK\r\n{}", lines.concat()), bytes)
}

/// Whether a request brings what opens a page.
fn opens(head: &str, key: &str) -> bool {
    let sent = head.lines().filter_map(|line| line.split_once(": "));
    let mut sent = sent.filter(|(name, _)| name.eq_ignore_ascii_case("authorization"));
    key.is_empty() || sent.any(|(_, value)| value.starts_with(key))
}

#[cfg(test)]
mod tests {
    use super::{Host, Page};

    #[tokio::test]
    async fn a_host_is_believed_by_those_alone_who_trust_its_authority() {
        let host = Host::start().await;
        let url = host.serve("/files/a", Page::Bytes(b"hello".to_vec()));
        let curl = async |more: &[&str]| {
            let mut curl = tokio::process::Command::new("curl");
            curl.args(["-sS", "--fail", "--noproxy", "*"]).args(more).arg(&url);
            curl.output().await.expect("curl")
        };
        let authority = host.authority.path().display().to_string();
        let trusting = curl(&["--cacert", &authority]).await;
        assert_eq!(trusting.stdout, b"hello", "{}", String::from_utf8_lossy(&trusting.stderr));
        assert!(!curl(&[]).await.status.success());
        assert_eq!(host.seen().len(), 1);
    }
}
