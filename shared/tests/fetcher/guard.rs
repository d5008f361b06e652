//! Where the fetcher connects to, and where it does not.

use std::sync::Arc;

use shared::ports::fetcher::{FetchError, Fetcher};

use crate::{
    server::{Identity, Network, Server},
    world::{BODY, fetcher, ok, read, redirect, request, strict},
};

/// A server with `/go` redirecting to there, and the bytes at every other path.
async fn redirecting(location: &'static str) -> Server {
    Server::start(
        Identity::Trusted,
        move |head| if head.contains("/go ") { redirect(location) } else { ok(BODY) },
    )
    .await
}

async fn bytes() -> Server {
    Server::start(Identity::Trusted, |_| ok(BODY)).await
}

#[tokio::test]
async fn a_name_with_any_address_of_the_inside_is_refused_before_a_packet_is_sent() {
    let server = bytes().await;
    for answer in [
        &["10.0.0.1"][..],
        &["8.8.8.8", "127.0.0.1"],
        &["169.254.169.254", "8.8.8.8"],
        &["8.8.8.8", "2606:4700::1111", "fe80::1"],
        &["::ffff:8.8.8.8"],
        &["64:ff9b::7f00:1"],
        &["0.0.0.0"],
        &["::"],
    ] {
        let network = Arc::new(Network::to(&server).answering("pub.test", &[answer]));
        let error =
            fetcher(&server, &network, Vec::new()).fetch(&request("https://pub.test/a")).await.unwrap_err();
        assert_eq!(
            (error.code(), error.definite()),
            ("URL_HOST_NOT_ALLOWED", false),
            "{answer:?}: {error:?}"
        );
        assert_eq!(network.dialled(), [""; 0], "{answer:?}");
    }
}

#[tokio::test]
async fn a_name_is_resolved_once_and_the_checked_address_is_the_one_connected_to() {
    let server = bytes().await;
    let network = Arc::new(Network::to(&server).answering("pub.test", &[&["8.8.4.4"], &["127.0.0.1"]]));
    let fetcher = fetcher(&server, &network, Vec::new());
    fetcher.fetch(&request("https://pub.test:8443/a")).await.unwrap();
    assert_eq!(network.dialled(), ["8.8.4.4:8443"]);
    assert_eq!(network.resolved(), ["pub.test"]);
    let error = fetcher.fetch(&request("https://pub.test:8443/a")).await.unwrap_err();
    assert_eq!(error.code(), "URL_HOST_NOT_ALLOWED");
    assert_eq!(network.dialled().len(), 1);
}

#[tokio::test]
async fn a_name_that_turns_private_between_two_hops_is_refused() {
    let server = redirecting("/a").await;
    let network = Arc::new(Network::to(&server).answering("pub.test", &[&["8.8.8.8"], &["192.168.0.1"]]));
    let error =
        fetcher(&server, &network, Vec::new()).fetch(&request("https://pub.test/go")).await.unwrap_err();
    assert!(matches!(error, FetchError::AddressNotAllowed { .. }), "{error:?}");
    assert_eq!(network.dialled(), ["8.8.8.8:443"]);
}

#[tokio::test]
async fn redirects_to_the_inside_are_refused_before_a_packet_is_sent() {
    for (location, code) in [
        ("https://127.0.0.1/a", "URL_HOST_NOT_ALLOWED"),
        ("https://169.254.169.254/latest/meta-data/", "URL_HOST_NOT_ALLOWED"),
        ("https://2130706433/a", "URL_HOST_NOT_ALLOWED"),
        ("https://[::ffff:127.0.0.1]/a", "URL_HOST_NOT_ALLOWED"),
        ("//127.0.0.1/a", "URL_HOST_NOT_ALLOWED"),
        ("https://localhost/a", "URL_HOST_NOT_ALLOWED"),
        ("https://private.test/a", "URL_HOST_NOT_ALLOWED"),
        ("http://pub.test/a", "URL_SCHEME_NOT_ALLOWED"),
        ("gopher://127.0.0.1:6379/_x", "URL_SCHEME_NOT_ALLOWED"),
        ("https://user:pass@pub.test/a", "URL_CREDENTIALS"),
        ("https://pub.test:6379/a", "URL_PORT_NOT_ALLOWED"),
        ("https://pub.test:22/a", "URL_PORT_NOT_ALLOWED"),
        ("https://pub.test\\@127.0.0.1/a", "URL_INVALID"),
        ("\\\\127.0.0.1\\a", "URL_INVALID"),
        ("https://pub.test/a#b", "URL_INVALID"),
    ] {
        let server = redirecting(location).await;
        let network = Arc::new(Network::to(&server).answering("private.test", &[&["10.0.0.1"]]));
        let error =
            fetcher(&server, &network, Vec::new()).fetch(&request("https://pub.test/go")).await.unwrap_err();
        assert_eq!((error.code(), error.definite()), (code, false), "{location}: {error:?}");
        assert_eq!(network.dialled(), ["8.8.8.8:443"], "{location}");
    }
}

#[tokio::test]
async fn relative_and_absolute_redirects_are_followed() {
    for (location, host) in [
        ("/a", "pub.test"),
        ("a?b=c", "pub.test"),
        ("//cdn.test/a", "cdn.test"),
        ("https://cdn.test:8443/a", "cdn.test"),
        ("HTTPS://CDN.test/a", "cdn.test"),
    ] {
        let server = redirecting(location).await;
        let network = Arc::new(Network::to(&server));
        let fetched =
            read(&fetcher(&server, &network, Vec::new()), &request("https://pub.test/go")).await.unwrap();
        assert_eq!(fetched.final_url_host, host, "{location}");
    }
}

#[tokio::test]
async fn five_redirects_are_followed_and_a_sixth_is_not() {
    let server = Server::start(Identity::Trusted, |head| {
        let left: u32 = head.split(['/', ' ']).nth(2).unwrap().parse().unwrap();
        if left == 0 { ok(BODY) } else { redirect(&format!("/{}", left - 1)) }
    })
    .await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, Vec::new());
    assert!(fetcher.fetch(&request("https://pub.test/5")).await.is_ok());
    let error = fetcher.fetch(&request("https://pub.test/6")).await.unwrap_err();
    assert!(matches!(error, FetchError::TooManyRedirects { limit: 5 }), "{error:?}");
    assert_eq!(server.requests().len(), 12);
}

#[tokio::test]
async fn a_redirect_loop_ends() {
    let server = redirecting("/go").await;
    let network = Arc::new(Network::to(&server));
    let error =
        fetcher(&server, &network, Vec::new()).fetch(&request("https://pub.test/go")).await.unwrap_err();
    assert_eq!((error.code(), error.definite()), ("TOO_MANY_REDIRECTS", false));
    assert_eq!(server.requests().len(), 6);
}

#[tokio::test]
async fn a_redirect_without_a_target_is_invalid() {
    let server = Server::start(Identity::Trusted, |_| crate::world::answer("HTTP/1.1 302 Found", b"")).await;
    assert_eq!(crate::world::fetch(&server).await.unwrap_err().code(), "UPSTREAM_INVALID");
}

#[tokio::test]
async fn the_next_address_is_tried_where_one_is_dead() {
    let server = bytes().await;
    let network = Network::to(&server)
        .answering("pub.test", &[&["2606:4700::1111", "8.8.8.8"]])
        .dead("2606:4700::1111");
    let network = Arc::new(network);
    fetcher(&server, &network, Vec::new()).fetch(&request("https://pub.test/a")).await.unwrap();
    assert_eq!(network.dialled(), ["[2606:4700::1111]:443", "8.8.8.8:443"]);

    let network = Arc::new(Network::to(&server).dead("8.8.8.8"));
    let error =
        fetcher(&server, &network, Vec::new()).fetch(&request("https://pub.test/a")).await.unwrap_err();
    assert_eq!(error.code(), "UPSTREAM_UNREACHABLE", "{error:?}");
}

#[tokio::test]
async fn a_name_without_addresses_is_unreachable() {
    let server = bytes().await;
    let network = Arc::new(Network::to(&server).answering("pub.test", &[&[]]));
    let fetcher = fetcher(&server, &network, Vec::new());
    for url in ["https://pub.test/a", "https://nowhere.example/a"] {
        assert_eq!(fetcher.fetch(&request(url)).await.unwrap_err().code(), "UPSTREAM_UNREACHABLE", "{url}");
    }
}

#[tokio::test]
async fn certificates_are_checked_against_the_public_roots_and_the_name() {
    let server = bytes().await;
    let network = Arc::new(Network::to(&server).answering("other.example", &[&["8.8.8.8"]]));
    let error = strict(&network, Vec::new()).fetch(&request("https://pub.test/a")).await.unwrap_err();
    assert_eq!((error.code(), error.definite()), ("UPSTREAM_TLS", false), "an authority that nobody knows");
    let error =
        fetcher(&server, &network, Vec::new()).fetch(&request("https://other.example/a")).await.unwrap_err();
    assert_eq!(error.code(), "UPSTREAM_TLS", "a certificate for other names");
}

#[tokio::test]
async fn no_byte_is_asked_of_a_host_whose_certificate_is_expired_self_signed_or_for_another_name() {
    for (identity, url) in [
        (Identity::Expired, "https://pub.test/a"),
        (Identity::SelfSigned, "https://pub.test/a"),
        (Identity::Trusted, "https://other.example/a"),
    ] {
        let server = Server::start(identity, |_| ok(BODY)).await;
        let network = Arc::new(Network::to(&server).answering("other.example", &[&["8.8.8.8"]]));
        let error = fetcher(&server, &network, Vec::new()).fetch(&request(url)).await.unwrap_err();
        assert_eq!((error.code(), error.definite()), ("UPSTREAM_TLS", false), "{identity:?}");
        assert!(server.requests().is_empty(), "{identity:?}");
    }
}

#[tokio::test]
async fn an_escrowed_plain_url_is_read_from_public_addresses_alone() {
    let server = Server::start(Identity::Plain, |_| ok(BODY)).await;
    let network = Arc::new(Network::to(&server).answering("private.test", &[&["10.0.0.1"]]));
    let fetcher = fetcher(&server, &network, Vec::new());
    assert!(fetcher.fetch(&request("http://pub.test/a")).await.is_ok());
    assert_eq!(network.dialled(), ["8.8.8.8:80"]);
    for url in ["http://private.test/a", "http://127.0.0.1/a", "https://10.9.8.7/a", "https://localhost/a"] {
        assert_eq!(fetcher.fetch(&request(url)).await.unwrap_err().code(), "URL_HOST_NOT_ALLOWED", "{url}");
    }
    assert_eq!(network.dialled().len(), 1);
}
