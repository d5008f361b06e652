//! Cheap looks: what a host says of a file without sending it.

use std::sync::Arc;

use shared::{domain::artifact::Validators, ports::fetcher::Fetcher};

use crate::{
    server::{Identity, Network, Server},
    world::{
        BODY, NOW, answer, asked, chain, fetcher, header, ok, private_repository, redirect, request, status,
    },
};

async fn probe(server: &Server) -> Result<Validators, shared::ports::fetcher::FetchError> {
    let network = Arc::new(Network::to(server));
    fetcher(server, &network, Vec::new()).probe(&request("https://pub.test/a").url, NOW).await
}

#[tokio::test]
async fn a_look_asks_for_the_head_alone() {
    let said = "ETag: \"v1\"\nLast-Modified: Sat, 01 Aug 2026 12:00:00 GMT\nContent-Length: 15";
    let server =
        Server::start(Identity::Trusted, move |_| answer(&format!("HTTP/1.1 200 OK\n{said}"), b"")).await;
    let found = probe(&server).await.unwrap();
    assert_eq!((found.etag.as_deref(), found.size_bytes), (Some("\"v1\""), Some(15)));
    assert_eq!(found.last_modified.as_deref(), Some("Sat, 01 Aug 2026 12:00:00 GMT"));
    assert_eq!(asked(&server), ["HEAD pub.test/a"]);
}

#[tokio::test]
async fn where_there_is_no_head_one_byte_is_asked_for() {
    for refusal in ["403 Forbidden", "405 Method Not Allowed", "501 Not Implemented", "400 Bad Request"] {
        let server = Server::start(Identity::Trusted, move |head| match header(head, "range") {
            Some("bytes=0-0") => answer(
                "HTTP/1.1 206 Partial\nContent-Range: bytes 0-0/15\nContent-Length: 1\nETag: \"v1\"",
                b"f",
            ),
            _ => status(refusal),
        })
        .await;
        let found = probe(&server).await.unwrap();
        assert_eq!((found.etag.as_deref(), found.size_bytes), (Some("\"v1\""), Some(15)), "{refusal}");
    }
    // Nor of ranges has everybody heard; what follows is not read.
    let server = Server::start(Identity::Trusted, |head| {
        if head.starts_with("HEAD") { status("405 Method Not Allowed") } else { ok(BODY) }
    })
    .await;
    assert_eq!(probe(&server).await.unwrap().size_bytes, Some(15));
}

#[tokio::test]
async fn a_look_keeps_to_the_same_ways_as_a_reading() {
    let server = Server::start(Identity::Trusted, |head| {
        if head.contains(" /a ") { redirect("https://10.0.0.1/inside") } else { ok(BODY) }
    })
    .await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![private_repository("https://cdn.test/team")]);
    let error = fetcher.probe(&request("https://pub.test/a").url, NOW).await.unwrap_err();
    assert_eq!(error.code(), "URL_HOST_NOT_ALLOWED");
    assert_eq!(network.dialled(), ["8.8.8.8:443"]);
    fetcher.probe(&request("https://cdn.test/team/b").url, NOW).await.unwrap();
    fetcher.probe(&request("https://cdn.test/teams/b").url, NOW).await.unwrap();
    let opened: Vec<bool> =
        server.requests().iter().map(|head| header(head, "authorization").is_some()).collect();
    assert_eq!(opened, [false, true, false]);
}

#[tokio::test]
async fn what_a_look_finds_with_credentials_is_not_told() {
    let server = Server::start(Identity::Trusted, |_| redirect("https://secret-host.corp/a")).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![private_repository("https://pub.test/")]);
    let error = fetcher.probe(&request("https://pub.test/a").url, NOW).await.unwrap_err();
    assert!(!chain(&error).contains("secret-host"), "{}", chain(&error));
}

#[tokio::test]
async fn the_trouble_of_a_certificate_is_seen() {
    for identity in [Identity::Expired, Identity::SelfSigned] {
        let server = Server::start(identity, |_| ok(BODY)).await;
        assert_eq!(probe(&server).await.unwrap_err().code(), "UPSTREAM_TLS", "{identity:?}");
    }
}
