//! A host for artifacts, byte by byte: as honest or as hostile as a test wants it, plain or with TLS.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) head: String,
    /// The first byte that is wanted, where a range is.
    pub(crate) from: Option<usize>,
    pub(crate) if_range: Option<String>,
}

/// What happens when the body was sent.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Then {
    Close,
    /// Nothing, for ever.
    Stall,
    /// One byte after each pause, for ever.
    Drip(Duration),
    /// The body again and again, as fast as it goes.
    Endless,
}

/// An answer.
pub(crate) struct Reply {
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
    pub(crate) then: Then,
}

impl Reply {
    pub(crate) fn new(head: &str, body: &[u8], then: Then) -> Self {
        Self { head: format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n"), body: body.to_owned(), then }
    }

    /// Everything, with its length.
    pub(crate) fn whole(bytes: &[u8]) -> Self {
        Self::new(&format!("200 OK\r\nContent-Length: {}", bytes.len()), bytes, Then::Close)
    }

    pub(crate) fn redirect(to: &str) -> Self {
        Self::new(&format!("302 Found\r\nContent-Length: 0\r\nLocation: {to}"), b"", Then::Close)
    }

    /// What a good host does, ranges and entity tags included.
    pub(crate) fn good(asked: &Asked, bytes: &[u8], etag: &str) -> Self {
        let same = asked.if_range.as_ref().is_none_or(|sent| sent == etag);
        match asked.from.filter(|_| same) {
            Some(from) if from < bytes.len() => {
                let (rest, last, size) = (&bytes[from..], bytes.len() - 1, bytes.len());
                let head = format!(
                    "206 Partial Content\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{last}/{size}\r\nETag: {etag}",
                    rest.len()
                );
                Self::new(&head, rest, Then::Close)
            }
            Some(_) => Self::new("416 Range Not Satisfiable\r\nContent-Length: 0", b"", Then::Close),
            None => {
                let head = format!("200 OK\r\nContent-Length: {}\r\nETag: {etag}", bytes.len());
                Self::new(&head, bytes, Then::Close)
            }
        }
    }

    /// The same, but only so many bytes of the body.
    pub(crate) fn cut(mut self, after: usize, then: Then) -> Self {
        self.body.truncate(after);
        self.then = then;
        self
    }
}

/// The host. It ends with the runtime of its test.
pub(crate) struct Mirror {
    pub(crate) base_url: String,
    /// The authority (PEM) that a client has to trust, where there is TLS.
    pub(crate) authority: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Mirror {
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Self {
        Self::serve(answer, None).await
    }

    /// With TLS; the certificate ends at this year's beginning.
    pub(crate) async fn start_tls(
        until_year: i32,
        answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::serve(answer, Some(until_year)).await
    }

    async fn serve(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static, tls_until: Option<i32>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (authority, acceptor) = match tls_until {
            Some(year) => {
                let (authority, acceptor) = certificates(year);
                (authority, Some(acceptor))
            }
            None => (String::new(), None),
        };
        let asked: Arc<Mutex<Vec<Asked>>> = Arc::default();
        let (seen, answer) = (asked.clone(), Arc::new(answer));
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, answer, acceptor) = (seen.clone(), answer.clone(), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                _ = exchange(stream, &seen, &*answer).await;
                            }
                        }
                        None => _ = exchange(stream, &seen, &*answer).await,
                    }
                });
            }
        });
        Self { base_url: format!("{scheme}://{address}"), authority, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/file?signature=secret", self.base_url)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    seen: &Mutex<Vec<Asked>>,
    answer: &(impl Fn(&Asked) -> Reply + Sync),
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(": ")?;
            found.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let from = header("range")
        .map(|range| range.strip_prefix("bytes=").unwrap().strip_suffix('-').unwrap().parse().unwrap());
    let asked = Asked { from, if_range: header("if-range"), head: head.clone() };
    seen.lock().unwrap().push(asked.clone());
    let reply = answer(&asked);
    stream.write_all(reply.head.as_bytes()).await?;
    stream.write_all(&reply.body).await?;
    stream.flush().await?;
    match reply.then {
        Then::Close => stream.shutdown().await,
        Then::Stall => std::future::pending().await,
        Then::Drip(pause) => loop {
            tokio::time::sleep(pause).await;
            stream.write_all(b"x").await?;
            stream.flush().await?;
        },
        Then::Endless => loop {
            stream.write_all(&reply.body).await?;
        },
    }
}

fn certificates(until_year: i32) -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&authority_key).unwrap();
    let issuer = Issuer::new(params, authority_key);
    let mut leaf = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    leaf.not_before = rcgen::date_time_ymd(2001, 1, 1);
    leaf.not_after = rcgen::date_time_ymd(until_year, 1, 1);
    let key = KeyPair::generate().unwrap();
    let certificate = leaf.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (authority.pem(), TlsAcceptor::from(Arc::new(config)))
}
