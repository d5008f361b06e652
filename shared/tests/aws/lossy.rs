//! A way to a server on which answers get lost.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
};

/// Passes everything on, but loses as many answers as it is told to, and the connection with each.
#[derive(Debug)]
pub(crate) struct Lossy {
    /// The URL to use instead of the server's.
    pub(crate) url: String,
    to_lose: Arc<AtomicUsize>,
}

impl Lossy {
    /// A way to the server at this URL, for which nothing is lost yet.
    pub(crate) async fn to(server: &str) -> Self {
        let server = server.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let to_lose = Arc::new(AtomicUsize::new(0));
        let lose = Arc::clone(&to_lose);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let upstream = TcpStream::connect(&server).await.unwrap();
                tokio::spawn(pass(client, upstream, Arc::clone(&lose)));
            }
        });
        Self { url, to_lose }
    }

    /// From now on, loses so many answers.
    pub(crate) fn lose(&self, answers: usize) {
        self.to_lose.store(answers, Ordering::SeqCst);
    }

    /// How many answers are still to be lost.
    pub(crate) fn left(&self) -> usize {
        self.to_lose.load(Ordering::SeqCst)
    }
}

async fn pass(client: TcpStream, upstream: TcpStream, to_lose: Arc<AtomicUsize>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (from_server, mut to_server) = upstream.into_split();
    let requests = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
    answers(from_server, &mut to_client, &to_lose).await;
    requests.abort();
}

async fn answers(
    mut server: OwnedReadHalf,
    client: &mut tokio::net::tcp::OwnedWriteHalf,
    to_lose: &AtomicUsize,
) {
    let mut bytes = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = server.read(&mut bytes).await {
        let lost = to_lose.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if lost.is_ok() || client.write_all(&bytes[..read]).await.is_err() {
            return;
        }
    }
}
