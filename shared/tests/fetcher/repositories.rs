//! What the entry of a repository opens, and for whom it stays shut.

use std::sync::Arc;

use shared::{
    adapters::fetcher::https::{HttpsFetcher, HttpsRepository},
    domain::external_url::UrlRules,
    ports::fetcher::{FetchError, Fetcher},
};

use crate::{
    server::{Identity, Network, Server, Step},
    world::{
        BODY, SHORT, answer, chain, fetch, fetcher, ok, private_repository, read, redirect, repository,
        request, strict,
    },
};

fn authorized(server: &Server) -> Vec<bool> {
    server
        .requests()
        .iter()
        .map(|head| head.to_lowercase().contains("authorization: bearer s3cret\r\n"))
        .collect()
}

#[tokio::test]
async fn credentials_are_sent_under_their_prefix_alone() {
    let server = Server::start(Identity::Trusted, |_| ok(BODY)).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![private_repository("https://pub.test/team")]);
    for (url, concealed) in [
        ("https://pub.test/team/a", true),
        ("https://pub.test/teams/a", false),
        ("https://pub.test:8443/team/a", false),
        ("https://cdn.test/team/a", false),
    ] {
        assert_eq!(read(&fetcher, &request(url)).await.unwrap().concealed, concealed, "{url}");
    }
    assert_eq!(authorized(&server), [true, false, false, false]);
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_out_of_their_prefix() {
    for (location, followed) in [
        ("https://cdn.test/team/a", false),
        ("https://pub.test:8443/team/a", false),
        ("https://pub.test/else/a", false),
        ("/team/a", true),
    ] {
        let server = Server::start(Identity::Trusted, move |head| {
            if head.contains("/go ") { redirect(location) } else { ok(BODY) }
        })
        .await;
        let network = Arc::new(Network::to(&server));
        // The second entry has credentials for where one of the redirects leads: they are not taken up on the way.
        let entries =
            vec![private_repository("https://pub.test/team"), private_repository("https://cdn.test/")];
        let fetched =
            read(&fetcher(&server, &network, entries), &request("https://pub.test/team/go")).await.unwrap();
        assert!(fetched.concealed, "{location}");
        assert_eq!(authorized(&server), [true, followed], "{location}");
    }
}

#[tokio::test]
async fn a_redirect_may_not_play_with_the_path_under_a_prefix() {
    for location in [
        "/team/%2e%2e/else",
        "/team/../else",
        "/x/../team/a",
        "/team/a%2fb",
        "/team//a",
        "//pub.test/team/./a",
    ] {
        let server = Server::start(Identity::Trusted, move |head| {
            if head.contains("/go ") { redirect(location) } else { ok(BODY) }
        })
        .await;
        let network = Arc::new(Network::to(&server));
        let fetcher = fetcher(&server, &network, vec![private_repository("https://pub.test/team")]);
        let error = fetcher.fetch(&request("https://pub.test/team/go")).await.unwrap_err();
        assert_eq!(error.code(), "URL_INVALID", "{location}: {error:?}");
    }
}

#[tokio::test]
async fn nothing_that_was_found_with_credentials_is_told() {
    let scripts: Vec<(Vec<Step>, &str)> = vec![
        (ok(b"another bodies!"), "CHECKSUM_MISMATCH"),
        (ok(b"4711"), "CHECKSUM_MISMATCH"),
        (
            answer("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", b"3\r\nfif\r\n0\r\n\r\n"),
            "CHECKSUM_MISMATCH",
        ),
        (redirect("https://secret-host.corp/a"), "URL_HOST_NOT_ALLOWED"),
        (redirect("https://secret-host.test/a"), "URL_HOST_NOT_ALLOWED"),
        (answer("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 15", BODY), "UPSTREAM_INVALID"),
    ];
    for (steps, code) in scripts {
        let server = Server::start(Identity::Trusted, move |_| steps.clone()).await;
        let network = Arc::new(Network::to(&server).answering("secret-host.test", &[&["10.0.0.1"]]));
        let fetcher = fetcher(&server, &network, vec![private_repository("https://pub.test/")]);
        let error = fetcher.fetch(&request("https://pub.test/a")).await.unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        let text = chain(&error);
        for found in ["secret-host", "4711", "s3cret", "gzip", "another"] {
            assert!(!text.contains(found), "{text}");
        }
        if code == "CHECKSUM_MISMATCH" {
            assert!(matches!(error, FetchError::Differs) && error.definite(), "{error:?}");
        }
    }
    assert!(!format!("{:?}", private_repository("https://pub.test/")).contains("s3cret"));
}

#[tokio::test]
async fn private_addresses_are_open_for_their_entry_alone() {
    let server = Server::start(Identity::Trusted, |_| ok(BODY)).await;
    let network = Network::to(&server)
        .answering("private.test", &[&["10.0.0.1", "127.0.0.1"]])
        .answering("pub.test", &[&["10.0.0.1"]])
        .answering("cdn.test", &[&["10.0.0.1", "169.254.169.254"]]);
    let network = Arc::new(network);
    let open = |prefix| HttpsRepository { allow_private: true, ..repository(prefix) };
    let entries =
        vec![open("https://private.test/"), open("https://cdn.test/"), open("https://10.9.8.7/repo")];
    let fetcher = fetcher(&server, &network, entries);
    assert!(fetcher.fetch(&request("https://private.test/a")).await.is_ok());
    assert!(fetcher.fetch(&request("https://10.9.8.7/repo/a")).await.is_ok());
    for url in
        ["https://pub.test/a", "https://cdn.test/a", "https://10.9.8.7/a", "https://10.9.8.7:8443/repo/a"]
    {
        let error = fetcher.fetch(&request(url)).await.unwrap_err();
        assert_eq!(error.code(), "URL_HOST_NOT_ALLOWED", "{url}: {error:?}");
    }
    assert_eq!(network.dialled(), ["10.0.0.1:443", "10.9.8.7:443"]);
}

#[tokio::test]
async fn a_public_host_cannot_redirect_into_a_private_repository() {
    let server = Server::start(Identity::Trusted, |head| {
        if head.contains("host: pub.test") { redirect("https://10.9.8.7/repo/a") } else { ok(BODY) }
    })
    .await;
    let network = Arc::new(Network::to(&server));
    let entry = HttpsRepository { allow_private: true, ..repository("https://10.9.8.7/repo") };
    let error =
        fetcher(&server, &network, vec![entry]).fetch(&request("https://pub.test/go")).await.unwrap_err();
    assert_eq!(error.code(), "URL_HOST_NOT_ALLOWED", "{error:?}");
    assert_eq!(network.dialled(), ["8.8.8.8:443"]);
}

#[tokio::test]
async fn a_ca_file_is_trusted_for_its_entry_alone() {
    let server = Server::start(Identity::Trusted, |_| ok(BODY)).await;
    let network = Arc::new(Network::to(&server));
    let ca_file = Some(server.ca_pem.clone().into_bytes());
    let entry = HttpsRepository { ca_file, ..repository("https://pub.test/") };
    let fetcher = strict(&network, vec![entry, repository("https://private.test/")]);
    assert!(fetcher.fetch(&request("https://pub.test/a")).await.is_ok());
    for url in ["https://cdn.test/a", "https://private.test/a"] {
        assert_eq!(fetcher.fetch(&request(url)).await.unwrap_err().code(), "UPSTREAM_TLS", "{url}");
    }
    for pem in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let entry = HttpsRepository { ca_file: Some(pem.into()), ..repository("https://pub.test/") };
        assert!(HttpsFetcher::new(vec![entry], UrlRules::default(), SHORT).is_err(), "{pem}");
    }
}

#[tokio::test]
async fn the_mismatch_of_a_public_artifact_is_told_in_full() {
    let server = Server::start(Identity::Trusted, |_| ok(b"another bodies!")).await;
    let error = fetch(&server).await.unwrap_err();
    let found = crate::world::digest(b"another bodies!").to_string();
    assert!(error.to_string().contains(&found), "{error}");
    assert_eq!((error.code(), error.definite()), ("CHECKSUM_MISMATCH", true));
}
