//! HTTP by hand, so that a test may send what no client library would.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use http_body_util::{BodyDataStream, BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use shared::contract::objects::Body;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// How long to wait for a server to say whether it wants the body at all.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The code of an S3 error.
    pub(crate) code: Option<String>,
}

/// A PUT as it is to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) url: String,
    pub(crate) headers: Vec<(String, String)>,
    /// `None` sends the body in chunks.
    pub(crate) content_length: Option<u64>,
}

/// How sending ended.
pub(crate) struct Sent {
    /// `None` where the sender broke off, or the server gave no answer to a body that was too short.
    pub(crate) answer: Option<Answer>,
    pub(crate) torn: bool,
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn new(url: &str, content_length: usize) -> Self {
        Self { url: url.to_owned(), headers: Vec::new(), content_length: Some(content_length as u64) }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    #[allow(dead_code, reason = "not every store hands out headers")]
    pub(crate) fn headers<'a>(self, headers: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        headers.into_iter().fold(self, |request, (name, value)| request.header(name, value))
    }

    fn head(&self) -> (String, String) {
        let (_, rest) = self.url.split_once("://").unwrap();
        let (host, target) = rest.split_once('/').unwrap();
        let mut head = format!("PUT /{target} HTTP/1.1\r\nHost: {host}\r\n");
        if self.content_length != Some(0) {
            head.push_str("Expect: 100-continue\r\n");
        }
        for (name, value) in &self.headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        let framing = self
            .content_length
            .map_or("Transfer-Encoding: chunked".to_owned(), |length| format!("Content-Length: {length}"));
        (host.to_owned(), format!("{head}{framing}\r\n\r\n"))
    }

    /// Sends it with a body that is there already.
    pub(crate) async fn send(&self, content: &[u8]) -> Answer {
        let body = futures_util::stream::iter([Ok(Bytes::copy_from_slice(content))]).boxed();
        self.send_stream(body).await.answer.expect("the server answers")
    }

    /// Sends it, asking for no byte of the body before the server wants it.
    pub(crate) async fn send_stream(&self, mut body: Body) -> Sent {
        let (host, head) = self.head();
        let mut stream = TcpStream::connect(&host).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut sent = Sent { answer: None, torn: false, body: Vec::new() };
        if self.content_length != Some(0) {
            sent.answer = early(&mut stream).await;
            if sent.answer.is_some() {
                return sent;
            }
        }
        while let Some(piece) = body.next().await {
            let Ok(piece) = piece else {
                sent.torn = true;
                return sent;
            };
            sent.body.extend_from_slice(&piece);
            let written = match self.content_length {
                Some(_) => stream.write_all(&piece).await,
                None => {
                    stream
                        .write_all(&[format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat())
                        .await
                }
            };
            if written.is_err() {
                break;
            }
        }
        if self.content_length.is_none() {
            drop(stream.write_all(b"0\r\n\r\n").await);
        }
        if self.content_length.is_some_and(|length| length > sent.body.len() as u64) {
            // A server may wait for the rest for ever.
            stream.shutdown().await.unwrap();
            let waited = tokio::time::timeout(PATIENCE, answer(&mut stream, Vec::new())).await;
            sent.answer = waited.unwrap_or_default();
        } else {
            sent.answer = answer(&mut stream, Vec::new()).await;
        }
        sent
    }
}

/// The refusal of a server that wants no body.
async fn early(stream: &mut TcpStream) -> Option<Answer> {
    let mut first = vec![0; 4096];
    let read = tokio::time::timeout(PATIENCE, stream.read(&mut first)).await.ok()?.unwrap();
    first.truncate(read);
    if first.starts_with(b"HTTP/1.1 100") { None } else { answer(stream, first).await }
}

/// The answer that begins like this.
async fn answer(stream: &mut TcpStream, mut read: Vec<u8>) -> Option<Answer> {
    let mut more = [0; 4096];
    loop {
        if let Some(answer) = whole(&read) {
            return Some(answer);
        }
        let waited = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut more)).await;
        match waited.expect("the server answers or closes") {
            Ok(0) | Err(_) => return None,
            Ok(length) => read.extend_from_slice(&more[..length]),
        }
    }
}

fn whole(read: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(read);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status: u16 = head.split(' ').nth(1)?.parse().ok()?;
    if status == 100 {
        return whole(body.as_bytes());
    }
    let code = body.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    let length = head.to_ascii_lowercase();
    let length =
        length.split_once("content-length: ").and_then(|(_, rest)| rest.lines().next()?.parse().ok());
    let ended = length.map_or_else(|| body.ends_with("0\r\n\r\n"), |length: usize| body.len() >= length);
    ended.then(|| Answer { status, code: code.map(|(code, _)| code.to_owned()) })
}

/// Reads what is at a URL.
pub(crate) async fn get(
    url: &str,
    range: Option<(u64, u64)>,
) -> http::Response<BoxStream<'static, std::io::Result<Bytes>>> {
    let (_, rest) = url.split_once("://").unwrap();
    let (host, target) = rest.split_once('/').unwrap();
    let stream = TcpStream::connect(host).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::get(format!("/{target}")).header("host", host);
    if let Some((first, last)) = range {
        request = request.header("range", format!("bytes={first}-{last}"));
    }
    let response = sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap();
    response.map(|body| {
        // The sender must live as long as the body, or the connection is closed.
        let kept = BodyDataStream::new(body.map_err(std::io::Error::other)).map_ok(move |piece| {
            let _ = &sender;
            piece
        });
        kept.boxed()
    })
}

/// All bytes at a URL.
pub(crate) async fn bytes_at(url: &str) -> Vec<u8> {
    let response = get(url, None).await;
    assert_eq!(response.status(), 200);
    response.into_body().try_collect::<Vec<_>>().await.unwrap().concat()
}
