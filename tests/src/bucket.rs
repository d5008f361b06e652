//! Buckets of servers that speak S3, and a proxy in front of one that takes something away.

use std::fmt::Write as _;
use std::io::Write as _;

use reqwest::Method;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::api::Api;
use crate::bytes::{hex, unique};
use crate::settings;

const REGION: &str = "us-east-1";
const VERSIONS: &str = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";

/// Which server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// `MinIO`, whose address is in `BP_TEST_MINIO`.
    Minio,
    /// What stands in for S3, whose address is in `BP_TEST_S3`.
    S3,
    /// Garage, which speaks less of S3, whose address is in `BP_TEST_GARAGE` and its keys in `BP_TEST_GARAGE_KEYS`.
    Garage,
}

impl Store {
    /// Whether a bucket of it can keep versions.
    pub fn keeps_versions(self) -> bool {
        self != Self::Garage
    }
}

/// A bucket of its own.
#[derive(Debug)]
pub struct Bucket {
    store: Store,
    endpoint: String,
    name: String,
    keys: NamedTempFile,
}

impl Bucket {
    /// Makes one, with versions as a bucket should have them, or without.
    pub async fn new(store: Store, versions: bool) -> Self {
        let (variable, text) = match store {
            Store::Minio => ("BP_TEST_MINIO", "test:testtest".to_owned()),
            Store::S3 => ("BP_TEST_S3", "test:test".to_owned()),
            Store::Garage => ("BP_TEST_GARAGE", settings::server("BP_TEST_GARAGE_KEYS")),
        };
        let endpoint = settings::server(variable);
        let mut keys = NamedTempFile::new().expect("a temporary file");
        writeln!(keys, "{text}").expect("a written file");
        let name = format!("big-picture-{}-{}", std::process::id(), unique("bucket"));
        let bucket = Self { store, endpoint, name, keys };
        bucket.put("", "").await;
        if versions && store.keeps_versions() {
            bucket.put("versioning=", VERSIONS).await;
        }
        bucket
    }

    /// The server's address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The section of a configuration that keeps managed bytes here.
    pub fn configuration(&self) -> String {
        self.configuration_at(&self.endpoint)
    }

    /// The same, reached at another address.
    pub fn configuration_at(&self, endpoint: &str) -> String {
        let kind = match self.store {
            Store::Minio => "minio",
            Store::S3 | Store::Garage => "s3",
        };
        format!(
            "storage: {{ type: {kind}, {kind}: {{ bucket: {}, endpoint: \"{endpoint}\", region: {REGION}, \
             credentials: \"file:{}\" }} }}\n",
            self.name,
            self.keys.path().display()
        )
    }

    async fn put(&self, query: &str, body: &'static str) {
        let api = Api::new(&self.endpoint, None);
        let url = format!("{}/{}?{query}", self.endpoint, self.name);
        let mut request = api.request(Method::PUT, &url).body(body);
        for (name, value) in self.signed("PUT", &format!("/{}", self.name), query) {
            request = request.header(name, value);
        }
        let answer = api.send(request).await;
        assert_eq!(answer.status, 200, "PUT {url}: {}", answer.text());
    }

    /// The headers that sign a request by version 4 of Amazon's signatures.
    fn signed(&self, method: &str, path: &str, query: &str) -> [(&'static str, String); 3] {
        const BODY: &str = "UNSIGNED-PAYLOAD";
        const HEADERS: &str = "host;x-amz-content-sha256;x-amz-date";
        let keys = std::fs::read_to_string(self.keys.path()).expect("a file");
        let (id, secret) = keys.trim().split_once(':').expect("id:secret");
        let time =
            now().format(format_description!("[year][month][day]T[hour][minute][second]Z")).expect("a time");
        let host = self.endpoint.trim_start_matches("http://");
        let request = format!(
            "{method}\n{path}\n{query}\nhost:{host}\nx-amz-content-sha256:{BODY}\nx-amz-date:{time}\n\n{HEADERS}\n{BODY}"
        );
        let (day, _) = time.split_once('T').expect("a day and a time");
        let scope = format!("{day}/{REGION}/s3/aws4_request");
        let text = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(request)));
        let first = hmac(format!("AWS4{secret}").as_bytes(), day);
        let key = [REGION, "s3", "aws4_request"].iter().fold(first, |key, part| hmac(&key, part));
        let signature = hex(&hmac(&key, &text));
        let mut header = format!("AWS4-HMAC-SHA256 Credential={id}/{scope}, ");
        write!(header, "SignedHeaders={HEADERS}, Signature={signature}").expect("text");
        [("authorization", header), ("x-amz-date", time), ("x-amz-content-sha256", BODY.to_owned())]
    }
}

#[expect(clippy::disallowed_methods, reason = "a server has the time of the world")]
pub(crate) fn now() -> OffsetDateTime {
    OffsetDateTime::now_utc()
}

pub(crate) fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    let mut block = [0; 64];
    if key.len() > block.len() {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let (inner, outer) = (block.map(|byte| byte ^ 0x36), block.map(|byte| byte ^ 0x5c));
    let inner = Sha256::digest([&inner[..], text.as_bytes()].concat());
    Sha256::digest([&outer[..], &inner[..]].concat()).into()
}

/// What a proxy takes away: headers whose names begin like this, of requests or of answers.
#[derive(Debug, Clone, Copy)]
pub struct Taken {
    /// Of requests.
    pub asked: &'static str,
    /// Of answers.
    pub told: &'static str,
}

/// A proxy in front of a server, until the runtime that it runs on ends; answers with its address. Each request has a
/// connection of its own.
pub async fn proxy(endpoint: &str, taken: Taken) -> String {
    let host = endpoint.trim_start_matches("http://").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let host = host.clone();
            tokio::spawn(async move { _ = relay(client, &host, taken).await });
        }
    });
    format!("http://{address}")
}

async fn relay(mut client: TcpStream, host: &str, taken: Taken) -> std::io::Result<()> {
    let mut server = TcpStream::connect(host).await?;
    let asked = without(&head(&mut client).await?, &[taken.asked, "connection", "expect"]);
    server.write_all(asked.as_bytes()).await?;
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    let answered = async {
        let told = without(&head(&mut from_server).await?, &[taken.told, "connection"]);
        to_client.write_all(told.as_bytes()).await?;
        tokio::io::copy(&mut from_server, &mut to_client).await?;
        to_client.shutdown().await
    };
    let sent = async {
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        // Who asked waits for the answer.
        std::future::pending::<std::io::Result<()>>().await
    };
    tokio::select! {
        done = answered => done,
        failed = sent => failed,
    }
}

/// Everything up to the empty line.
async fn head(stream: &mut (impl AsyncReadExt + Unpin)) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// A head without the headers that begin like these, for a connection that ends with its answer.
fn without(head: &str, names: &[&str]) -> String {
    let taken = |line: &str| {
        let line = line.to_ascii_lowercase();
        names.iter().any(|name| !name.is_empty() && line.starts_with(name))
    };
    let (first, rest) = head.trim_end().split_once("\r\n").unwrap_or((head.trim_end(), ""));
    let kept = rest.split("\r\n").filter(|line| !line.is_empty() && !taken(line));
    kept.fold(format!("{first}\r\n"), |head, line| head + line + "\r\n") + "connection: close\r\n\r\n"
}
