//! A fetcher, a server and a network, put together.

use std::{sync::Arc, time::Duration};

use sha2::Digest;
use shared::{
    adapters::fetcher::{
        Credentials, Kind,
        https::{FetchLimits, HttpsFetcher, HttpsRepository},
    },
    domain::{
        digest::Sha256,
        external_url::{ExternalUrl, RepositoryPrefix, UrlRules},
        secret::Secret,
    },
    ports::fetcher::{FetchError, FetchRequest, Fetched, Fetcher, Reading},
};

use crate::server::{Network, Server, Step};

/// When every test is, Unix milliseconds.
pub(crate) const NOW: i64 = 1_700_000_000_000;

pub(crate) const BODY: &[u8] = b"fifteen bytes !";

/// Limits that let a test wait for them.
pub(crate) const SHORT: FetchLimits = FetchLimits {
    connect: Duration::from_millis(1200),
    silence: Duration::from_millis(600),
    total_base: Duration::from_secs(2),
    min_rate: 256 * 1024,
    max_redirects: 5,
};

pub(crate) fn digest(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// A request for [`BODY`].
pub(crate) fn request(url: &str) -> FetchRequest {
    FetchRequest {
        url: ExternalUrl::parse(url, &UrlRules::widest()).unwrap(),
        declared_sha256: digest(BODY),
        declared_size: BODY.len() as u64,
        now: NOW,
        resume: None,
        budget: None,
        keep: None,
    }
}

/// Reads to the end.
pub(crate) async fn read(fetcher: &HttpsFetcher, wanted: &FetchRequest) -> Result<Fetched, FetchError> {
    match fetcher.fetch(wanted).await? {
        Reading::Whole(whole) => Ok(whole),
        Reading::Part(part) => panic!("only a part was read: {part:?}"),
    }
}

/// An answer with a head and a body.
pub(crate) fn answer(head: &str, body: &[u8]) -> Vec<Step> {
    vec![
        Step::Send(format!("{}\r\n\r\n", head.replace('\n', "\r\n")).into_bytes()),
        Step::Send(body.to_vec()),
    ]
}

/// 200 with the length and the body.
pub(crate) fn ok(body: &[u8]) -> Vec<Step> {
    answer(&format!("HTTP/1.1 200 OK\nContent-Length: {}", body.len()), body)
}

/// 302 to there.
pub(crate) fn redirect(location: &str) -> Vec<Step> {
    answer(&format!("HTTP/1.1 302 Found\nLocation: {location}\nContent-Length: 0"), b"")
}

/// A repository without credentials and certificates.
pub(crate) fn repository(prefix: &str) -> HttpsRepository {
    HttpsRepository {
        name: "internal".to_owned(),
        kind: Kind::Https,
        url_prefix: RepositoryPrefix::parse(prefix).unwrap(),
        credentials: None,
        allow_private: false,
        ca_file: None,
        products: Vec::new(),
    }
}

/// The same, with a bearer token.
pub(crate) fn private_repository(prefix: &str) -> HttpsRepository {
    let credentials = Credentials::authorization(Secret::new("Bearer s3cret".to_owned())).unwrap();
    HttpsRepository { credentials: Some(credentials), ..repository(prefix) }
}

/// A repository of a kind, opened by what an operator would write down for it.
pub(crate) fn repository_of(kind: Kind, prefix: &str, credentials: Option<&str>) -> HttpsRepository {
    let credentials =
        credentials.map(|text| Credentials::of(kind, &Secret::new(text.to_owned()), "eu-central-1").unwrap());
    HttpsRepository { kind, credentials, ..repository(prefix) }
}

/// 200 with a document.
pub(crate) fn document(value: &serde_json::Value) -> Vec<Step> {
    let body = value.to_string();
    let head = format!("HTTP/1.1 200 OK\nContent-Type: application/json\nContent-Length: {}", body.len());
    answer(&head, body.as_bytes())
}

/// A status without a body.
pub(crate) fn status(line: &str) -> Vec<Step> {
    answer(&format!("HTTP/1.1 {line}\nContent-Length: 0"), b"")
}

/// A header of a request, by its name in lower case.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let lines = head.lines().filter_map(|line| line.split_once(": "));
    lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
}

/// The first line of each request, with its host before it.
pub(crate) fn asked(server: &Server) -> Vec<String> {
    let line = |head: &String| {
        let line = head.lines().next().unwrap().strip_suffix(" HTTP/1.1").unwrap();
        let (method, path) = line.split_once(' ').unwrap();
        format!("{method} {}{path}", header(head, "host").unwrap())
    };
    server.requests().iter().map(line).collect()
}

/// A fetcher that trusts the server's authority for every host.
pub(crate) fn fetcher(
    server: &Server,
    network: &Arc<Network>,
    repositories: Vec<HttpsRepository>,
) -> HttpsFetcher {
    let repositories = repositories
        .into_iter()
        .map(|entry| HttpsRepository { ca_file: Some(server.ca_pem.clone().into_bytes()), ..entry })
        .collect();
    strict(network, repositories).trusting(server.ca_pem.as_bytes()).unwrap()
}

/// A fetcher that trusts the public roots alone, and what the entries bring.
pub(crate) fn strict(network: &Arc<Network>, repositories: Vec<HttpsRepository>) -> HttpsFetcher {
    limited(FetchLimits::default(), network, repositories)
}

fn limited(limits: FetchLimits, network: &Arc<Network>, repositories: Vec<HttpsRepository>) -> HttpsFetcher {
    HttpsFetcher::new(repositories, UrlRules::default(), limits)
        .unwrap()
        .over(Arc::clone(network) as _, Arc::clone(network) as _)
}

/// One fetch of `https://pub.test/a` without any repository.
pub(crate) async fn fetch(server: &Server) -> Result<Fetched, FetchError> {
    let network = Arc::new(Network::to(server));
    read(&fetcher(server, &network, Vec::new()), &request("https://pub.test/a")).await
}

/// The same in a hurry.
pub(crate) async fn fetch_in_a_hurry(server: &Server) -> Result<Fetched, FetchError> {
    fetch_within(SHORT, server, BODY.len() as u64).await
}

/// One fetch within these limits, of an artifact said to have so many bytes.
pub(crate) async fn fetch_within(
    limits: FetchLimits,
    server: &Server,
    declared_size: u64,
) -> Result<Fetched, FetchError> {
    fetch_over(limits, server, &Arc::new(Network::to(server)), declared_size).await
}

/// The same over this network.
pub(crate) async fn fetch_over(
    limits: FetchLimits,
    server: &Server,
    network: &Arc<Network>,
    declared_size: u64,
) -> Result<Fetched, FetchError> {
    let fetcher = limited(limits, network, Vec::new()).trusting(server.ca_pem.as_bytes()).unwrap();
    read(&fetcher, &FetchRequest { declared_size, ..request("https://pub.test/a") }).await
}

/// The error with all its causes, as a log has it.
pub(crate) fn chain(error: &FetchError) -> String {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause} {cause:?}");
        source = cause.source();
    }
    text
}
