//! Links that repositories give out themselves: GitHub's redirects and Artifactory's signed URLs, over doubles.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use serde_json::{Value, json};
use shared::{
    adapters::fetcher::{Kind, https::AskedLinks},
    domain::artifact::Validators,
    ports::links::{LinkError, LinkRequest, Links},
};

use crate::{
    server::{Identity, Network, Server, Step},
    world::{
        BODY, NOW, answer, asked, document, fetcher, header, ok, redirect, repository_of, request, status,
    },
};

const ON_GITHUB: &str = "https://github.com/acme/editor/releases/download/v1.0/editor.msi";
const ASSET: &str = "GET api.github.com/repos/acme/editor/releases/assets/7";
const BLOB: &str = "https://objects.test/blob?sp=r&sig=abc%2Fdef";
const IN_JFROG: &str = "https://acme.jfrog.test/artifactory/releases/the%20editor/editor.msi";
const SIGNED: &str = "https://acme.jfrog.test/artifactory/releases/the%20editor/editor.msi?sig=eyJ.abc";

/// A repository that answers so wherever the token comes along.
async fn answering(steps: Vec<Step>) -> Server {
    Server::start(Identity::Trusted, move |head| {
        let known = header(head, "authorization") == Some("Bearer s3cret");
        if known { steps.clone() } else { status("401 Unauthorized") }
    })
    .await
}

/// The link to this file of which this is known, with the network over which it was asked for.
async fn link(
    server: &Server,
    url: &str,
    version: Option<&str>,
) -> (Result<String, LinkError>, Arc<Network>) {
    let network = Network::to(server).answering("private.test", &[&["10.0.0.1"]]);
    let network = Arc::new(network);
    let entries = vec![
        repository_of(Kind::GitHub, "https://github.com/acme", Some("s3cret")),
        repository_of(Kind::Jfrog, "https://acme.jfrog.test/artifactory/releases", Some("s3cret")),
    ];
    let links = AskedLinks::new(Arc::new(fetcher(server, &network, entries)));
    let validators = Validators { version: version.map(str::to_owned), ..Validators::default() };
    let url = request(url).url;
    let wanted =
        LinkRequest { url: &url, validators: Some(&validators), file_name: Some("editor.msi"), now: NOW };
    (links.link(&wanted).await, network)
}

#[tokio::test]
async fn githubs_redirect_for_a_private_asset_is_passed_on_and_not_followed() {
    let server = answering(redirect(BLOB)).await;
    let (link, network) = link(&server, ON_GITHUB, Some("7")).await;
    assert_eq!(link.unwrap(), BLOB);
    assert_eq!(asked(&server), [ASSET]);
    assert_eq!(header(&server.requests()[0], "accept"), Some("application/octet-stream"));
    assert_eq!(network.resolved(), ["api.github.com"], "the host that has the bytes was not asked");
}

#[tokio::test]
async fn an_asset_whose_id_was_not_kept_is_looked_up_first() {
    let server = Server::start(Identity::Trusted, |head| {
        if header(head, "authorization") != Some("Bearer s3cret") {
            return status("404 Not Found");
        }
        if head.contains("/tags/") {
            document(&json!({ "assets": [{ "id": 7, "name": "editor.msi", "size": 15 }] }))
        } else {
            redirect(BLOB)
        }
    })
    .await;
    assert_eq!(link(&server, ON_GITHUB, None).await.0.unwrap(), BLOB);
    assert_eq!(asked(&server), ["GET api.github.com/repos/acme/editor/releases/tags/v1.0", ASSET]);
}

#[tokio::test]
async fn a_redirect_that_is_no_link_for_clients_is_not_passed_on() {
    for location in [
        "http://objects.test/blob?sig=abc",
        "https://api.github.com/elsewhere",
        "/repos/acme/editor/releases/assets/8",
        "https://ghp:s3cret@objects.test/blob",
        "https://127.0.0.1/blob",
        "https://169.254.169.254/latest",
        "https://objects.test:6379/blob",
        "file:///etc/passwd",
    ] {
        let server = answering(redirect(location)).await;
        let (link, network) = link(&server, ON_GITHUB, Some("7")).await;
        assert!(matches!(link, Err(LinkError::Refused { .. })), "{location}: {link:?}");
        assert!(!format!("{link:?}").contains("s3cret"), "{link:?}");
        assert_eq!(network.dialled(), ["8.8.8.8:443"], "{location}");
    }
}

#[tokio::test]
async fn an_api_that_sends_the_bytes_itself_gives_no_link() {
    let (link, _) = link(&answering(ok(BODY)).await, ON_GITHUB, Some("7")).await;
    assert!(matches!(link, Err(LinkError::Refused { .. })), "{link:?}");
}

#[tokio::test]
async fn a_used_up_limit_and_a_bad_day_are_worth_another_try_and_a_refusal_is_not() {
    let limited = "HTTP/1.1 403 Forbidden\nDate: Sat, 01 Aug 2026 12:00:00 GMT\nX-RateLimit-Remaining: 0\n\
                   X-RateLimit-Reset: 1785585720\nContent-Length: 0";
    for (steps, wait) in [
        (answer(limited, b""), Some(120)),
        (answer("HTTP/1.1 429 Slow\nRetry-After: 30\nContent-Length: 0", b""), Some(30)),
        (status("502 Bad Gateway"), None),
        (vec![Step::Abort], None),
    ] {
        let server = answering(steps).await;
        for url in [ON_GITHUB, IN_JFROG] {
            let (link, _) = link(&server, url, Some("7")).await;
            let Err(LinkError::Unavailable { retry_after, .. }) = link else { panic!("{link:?}") };
            assert_eq!(retry_after, wait.map(Duration::from_secs));
        }
    }
    for line in ["401 Unauthorized", "403 Forbidden", "404 Not Found", "405 Method Not Allowed", "410 Gone"] {
        let server = answering(status(line)).await;
        for url in [ON_GITHUB, IN_JFROG] {
            let (link, _) = link(&server, url, Some("7")).await;
            let Err(LinkError::Refused { reason }) = link else { panic!("{line}: {link:?}") };
            assert_eq!(reason, format!("status {}", line.split(' ').next().unwrap()));
        }
    }
}

/// Artifactory, which keeps what it was asked for.
async fn artifactory(body: &'static str) -> (Server, Arc<Mutex<Value>>) {
    let question = Arc::new(Mutex::new(Value::Null));
    let seen = Arc::clone(&question);
    let server = Server::start(Identity::Trusted, move |request| {
        let (head, sent) = request.split_once("\r\n\r\n").unwrap();
        if header(head, "authorization") != Some("Bearer s3cret") {
            return status("403 Forbidden");
        }
        *seen.lock().unwrap() = serde_json::from_str(sent).unwrap();
        let head = format!("HTTP/1.1 201 Created\nContent-Type: text/plain\nContent-Length: {}", body.len());
        answer(&head, body.as_bytes())
    });
    (server.await, question)
}

#[tokio::test]
async fn artifactory_signs_a_url_of_its_own_for_a_quarter_of_an_hour() {
    for body in [
        "https://acme.jfrog.test/artifactory/releases/the%20editor/editor.msi?sig=eyJ.abc\n",
        "\"https://acme.jfrog.test/artifactory/releases/the%20editor/editor.msi?sig=eyJ.abc\"",
    ] {
        let (server, question) = artifactory(body).await;
        assert_eq!(link(&server, IN_JFROG, None).await.0.unwrap(), SIGNED);
        assert_eq!(asked(&server), ["POST acme.jfrog.test/artifactory/api/signed/url"]);
        assert_eq!(header(&server.requests()[0], "content-type"), Some("application/json"));
        let wanted = json!({ "repo_path": "/releases/the editor/editor.msi", "valid_for_secs": 900 });
        assert_eq!(*question.lock().unwrap(), wanted);
    }
}

#[tokio::test]
async fn what_is_no_signed_url_is_not_passed_on() {
    for body in [
        "",
        "<html>Sign in</html>",
        "https://acme.jfrog.test/artifactory/releases/editor.msi",
        "http://acme.jfrog.test/artifactory/releases/editor.msi?sig=abc",
        "https://admin:s3cret@acme.jfrog.test/editor.msi?sig=abc",
        "https://127.0.0.1/editor.msi?sig=abc",
        "{\"errors\":[{\"status\":400}]}",
    ] {
        let (server, _) = artifactory(body).await;
        let (link, _) = link(&server, IN_JFROG, None).await;
        assert!(matches!(link, Err(LinkError::Refused { .. })), "{body}: {link:?}");
        assert!(!format!("{link:?}").contains("s3cret"), "{link:?}");
    }
}

#[tokio::test]
async fn links_are_asked_for_by_the_rules_for_addresses() {
    let server = answering(redirect(BLOB)).await;
    let network = Arc::new(Network::to(&server).answering("api.github.com", &[&["10.0.0.1"]]));
    let entry = repository_of(Kind::GitHub, "https://github.com/acme", Some("s3cret"));
    let links = AskedLinks::new(Arc::new(fetcher(&server, &network, vec![entry])));
    let validators = Validators { version: Some("7".into()), ..Validators::default() };
    let url = request(ON_GITHUB).url;
    let wanted = LinkRequest { url: &url, validators: Some(&validators), file_name: None, now: NOW };
    assert!(matches!(links.link(&wanted).await, Err(LinkError::Unavailable { .. })));
    assert_eq!(network.dialled(), [""; 0]);
}
