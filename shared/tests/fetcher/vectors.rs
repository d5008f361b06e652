//! The vectors that are judged while fetching, and that no packet goes where none may, with those that are judged before.

use std::{fs, path::Path, sync::Arc, time::Duration};

use serde_json::Value;
use shared::{
    adapters::fetcher::https::FetchLimits,
    domain::external_url::{ExternalUrl, UrlRules},
    ports::fetcher::{FetchError, Fetcher as _},
};

use crate::{
    deployment::Deployment,
    server::{Identity, Network, Server, Step},
    world::{BODY, SHORT, answer, fetch_over, fetcher, ok, redirect, request},
};

fn vectors(stage: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/urls.json");
    let all: Vec<Value> = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
    all.into_iter().filter(|vector| vector["stage"] == stage).collect()
}

/// What the server of a vector sends.
fn script(vector: &Value, head: &str) -> Vec<Step> {
    if let Some(redirects) = vector["redirects"].as_array() {
        let here = head.split(' ').nth(1).unwrap();
        let hops = redirects.iter().map(|hop| hop.as_str().unwrap());
        // The n-th redirect is the answer to the target of the one before.
        let next = hops.clone().find(|hop| !hop.ends_with(here)).unwrap();
        return redirect(next);
    }
    let response = &vector["response"];
    if let Some(length) = response["content_length"].as_u64() {
        let head = format!("HTTP/1.1 200 OK\nContent-Length: {length}");
        return [answer(&head, b""), vec![Step::Pause(Duration::from_secs(30))]].concat();
    }
    if response["drip_seconds"].is_u64() {
        // A twentieth of the vector's time; the limits are as much shorter.
        return [
            answer("HTTP/1.1 200 OK\nContent-Length: 15", b""),
            vec![Step::Drip(15, Duration::from_millis(500))],
        ]
        .concat();
    }
    if let Some(bytes) = response["header_bytes"].as_u64() {
        let line = format!("X-Filler: {}\r\n", "x".repeat(1000));
        let count = usize::try_from(bytes).unwrap() / line.len();
        return vec![Step::Send(b"HTTP/1.1 200 OK\r\n".to_vec()), Step::Repeat(line.into_bytes(), count)];
    }
    if response["content_type"] == "text/html" {
        let page = b"<p>Sign in!</p>";
        assert_eq!(page.len(), BODY.len());
        return answer("HTTP/1.1 200 OK\nContent-Type: text/html\nContent-Length: 15", page);
    }
    assert!(vector["tls"].is_string(), "a vector of a new kind: {vector}");
    ok(BODY)
}

/// How a fetch ends, and the network that it went over.
async fn outcome(vector: &Value) -> (FetchError, Arc<Network>) {
    let identity = match vector["tls"].as_str() {
        Some("expired") => Identity::Expired,
        Some("self_signed") => Identity::SelfSigned,
        Some(other) => panic!("certificate of a new kind: {other}"),
        None => Identity::Trusted,
    };
    let scripted = vector.clone();
    let server = Server::start(identity, move |head| script(&scripted, head)).await;
    let limits = if vector["response"]["drip_seconds"].is_u64() { SHORT } else { FetchLimits::default() };
    let network = Arc::new(Network::to(&server));
    let outcome = fetch_over(limits, &server, &network, BODY.len() as u64).await;
    (outcome.unwrap_err(), network)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_fetch_vector_gets_its_code() {
    let vectors = vectors("fetch");
    assert!(vectors.len() >= 9, "only {} vectors", vectors.len());
    for vector in vectors {
        assert_eq!((&vector["expect"], &vector["url"]), (&"REJECT".into(), &"https://pub.test/a".into()));
        let (error, network) = outcome(&vector).await;
        // One packet at least is sent to the public address of the URL itself, and each to it alone.
        network.assert_public(&vector["id"].to_string());
        let dialled = network.dialled();
        assert!(!dialled.is_empty() && dialled.iter().all(|address| address == "8.8.8.8:443"), "{dialled:?}");
        assert_eq!(vector["code"], error.code(), "{}: {error:?}", vector["id"]);
        assert_eq!(
            error.definite(),
            matches!(error.code(), "CHECKSUM_MISMATCH" | "SIZE_MISMATCH"),
            "{error:?}"
        );
    }
}

/// The URLs that nobody may register.
fn refused() -> Vec<(String, String)> {
    let all = vectors("register").into_iter().filter(|vector| vector["expect"] == "REJECT");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let refused: Vec<_> = all.map(|vector| (text(&vector["id"]), text(&vector["url"]))).collect();
    assert!(refused.len() >= 49, "only {} vectors", refused.len());
    refused
}

#[tokio::test]
async fn no_packet_is_sent_for_a_url_that_is_refused_at_its_registration() {
    let server = Server::start(Identity::Trusted, |_| ok(BODY)).await;
    let network = Arc::new(Network::to(&server));
    let deployment =
        Deployment::under(UrlRules::default(), fetcher(&server, &network, Vec::new()), &[]).await;
    for (id, url) in refused() {
        deployment.try_register(BODY, &url).await.expect_err(&id);
        deployment.check().await;
        assert_eq!((network.resolved(), network.dialled()), (vec![], vec![]), "{id}");
    }
    assert_eq!(server.requests(), [""; 0]);
}

#[tokio::test]
async fn no_packet_goes_to_the_inside_for_a_url_that_was_refused_whoever_leads_there() {
    for (id, url) in refused() {
        let location = url.clone();
        let server = Server::start(Identity::Trusted, move |_| redirect(&location)).await;
        // Where a host redirects to it, it is judged again: nothing is sent but the one request.
        let network = Arc::new(Network::to(&server));
        let printable = url.bytes().all(|byte| byte.is_ascii_graphic());
        if printable {
            fetch_over(FetchLimits::default(), &server, &network, BODY.len() as u64).await.expect_err(&id);
            network.assert_public(&id);
            assert!(network.dialled().iter().all(|address| address == "8.8.8.8:443"), "{id}");
        }
        // And where it came into the records some other way, its addresses are judged.
        let network = Arc::new(Network::to(&server));
        if let Ok(parsed) = ExternalUrl::parse(&url, &UrlRules::widest()) {
            let wanted =
                shared::ports::fetcher::FetchRequest { url: parsed, ..request("https://pub.test/a") };
            fetcher(&server, &network, Vec::new()).fetch(&wanted).await.expect_err(&id);
            network.assert_public(&id);
        }
    }
}
