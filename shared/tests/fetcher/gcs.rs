//! Objects of Google Cloud Storage: a double of its XML API, with generations.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use shared::{
    adapters::fetcher::{Credentials, Kind, SignedLinks, https::HttpsRepository},
    domain::{artifact::Verification, secret::Secret},
    ports::{
        fetcher::{FetchRequest, Fetcher, Reading},
        links::{LinkRequest, Links},
    },
};

use crate::{
    server::{Identity, Network, Server, Step},
    world::{BODY, NOW, answer, asked, fetcher, header, read, repository_of, request, status},
};

pub(crate) const URL: &str = "https://storage.googleapis.com/releases/editor.msi";

/// The key of a test account that does not exist, from Google's conformance vectors.
fn account() -> String {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../src/adapters/v4/google.json")).unwrap();
    file["account"].to_string()
}

pub(crate) fn entry() -> HttpsRepository {
    repository_of(Kind::Gcs, "https://storage.googleapis.com/releases", Some(&account()))
}

/// A bucket whose object has this generation, and drips where it is told to.
async fn bucket(generation: Arc<Mutex<u32>>, drips: bool) -> Server {
    Server::start(Identity::Trusted, move |head| {
        let current = *generation.lock().unwrap();
        let path = head.split(' ').nth(1).unwrap();
        if !path.contains("X-Goog-Signature=") {
            return status("403 Forbidden");
        }
        let query = path.split_once('?').unwrap().1;
        let wanted = query.split('&').find_map(|pair| pair.strip_prefix("generation="));
        if wanted.is_some_and(|wanted| wanted != current.to_string()) {
            return status("404 Not Found");
        }
        let from = header(head, "range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        let from = from.map_or(0, |from| from.parse::<usize>().unwrap());
        let line = if from > 0 {
            format!("206 Partial\nContent-Range: bytes {from}-14/15")
        } else {
            "200 OK".into()
        };
        let head_of = format!(
            "HTTP/1.1 {line}\nContent-Length: {}\nETag: \"g{current}\"\nx-goog-generation: {current}\n\
             x-goog-hash: crc32c=AAAAAA==",
            15 - from
        );
        let rest = if head.starts_with("HEAD") { b"" } else { &BODY[from..] };
        if !drips {
            return answer(&head_of, rest);
        }
        let mut steps = answer(&head_of, b"");
        for byte in rest {
            steps.extend([Step::Send(vec![*byte]), Step::Pause(Duration::from_millis(20))]);
        }
        steps
    })
    .await
}

#[tokio::test]
async fn the_bytes_are_read_of_the_generation_that_was_found() {
    let server = bucket(Arc::new(Mutex::new(7)), false).await;
    let network = Arc::new(Network::to(&server));
    let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(URL)).await.unwrap();
    assert_eq!((fetched.verification, fetched.bytes_read), (Verification::Fetched, 15));
    assert_eq!(fetched.validators.version.as_deref(), Some("7"));
    let asked = asked(&server);
    assert!(
        asked[0].starts_with("HEAD storage.googleapis.com/releases/editor.msi?X-Goog-Algorithm="),
        "{asked:?}"
    );
    assert!(asked[1].contains("&generation=7&"), "{asked:?}");
}

#[tokio::test]
async fn a_generation_is_pinned_whatever_else_in_the_url_looks_like_one() {
    let begin = "https://storage.googleapis.com/releases";
    for name in [
        "generation=1/editor.msi",
        "editor.msi?xgeneration=1",
        "editor.msi?note=generation%3D1",
        "editor.msi?generation=7",
        "editor.msi?a=b&gener%61tion=7",
    ] {
        let server = bucket(Arc::new(Mutex::new(7)), false).await;
        let network = Arc::new(Network::to(&server));
        let url = format!("{begin}/{name}");
        let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(&url)).await.unwrap();
        let read_from = asked(&server).pop().unwrap();
        assert_eq!(read_from.matches("generation=7").count(), 1, "{read_from}");
        let links =
            SignedLinks::new(&Credentials::of(Kind::Gcs, &Secret::new(account()), "").unwrap()).unwrap();
        let (url, validators) = (request(&url).url, Some(&fetched.validators));
        let asked = LinkRequest { url: &url, validators, file_name: None, now: NOW };
        let link = links.link(&asked).await.unwrap();
        assert_eq!(link.matches("generation=7").count(), 1, "{link}");
    }
}

#[tokio::test]
async fn a_reading_in_slices_stays_with_its_generation() {
    let generation = Arc::new(Mutex::new(7));
    let server = bucket(Arc::clone(&generation), true).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![entry()]);
    let slice = FetchRequest { budget: Some(Duration::from_millis(60)), ..request(URL) };
    let Reading::Part(progress) = fetcher.fetch(&slice).await.unwrap() else {
        panic!("all of it came at once")
    };
    assert_eq!(progress.validators.version.as_deref(), Some("7"));
    *generation.lock().unwrap() = 8;
    let rest = FetchRequest { resume: Some(progress), budget: None, ..request(URL) };
    let error = fetcher.fetch(&rest).await.unwrap_err();
    assert_eq!((error.code(), error.definite()), ("UPSTREAM_STATUS", false));
    *generation.lock().unwrap() = 7;
    let last = read(&fetcher, &rest).await.unwrap();
    assert!(last.bytes_read < 15, "{last:?}");
}

#[tokio::test]
async fn a_look_sees_another_generation() {
    let generation = Arc::new(Mutex::new(7));
    let server = bucket(Arc::clone(&generation), false).await;
    let network = Arc::new(Network::to(&server));
    let fetcher = fetcher(&server, &network, vec![entry()]);
    let before = fetcher.probe(&request(URL).url, NOW).await.unwrap();
    assert!(!before.differ(&fetcher.probe(&request(URL).url, NOW).await.unwrap()));
    *generation.lock().unwrap() = 8;
    assert!(before.differ(&fetcher.probe(&request(URL).url, NOW).await.unwrap()));
}

#[tokio::test]
async fn a_link_for_a_client_leads_to_the_generation_that_was_proved_and_opens_it() {
    let server = bucket(Arc::new(Mutex::new(7)), false).await;
    let network = Arc::new(Network::to(&server));
    let credentials = Credentials::of(Kind::Gcs, &Secret::new(account()), "").unwrap();
    let links = SignedLinks::new(&credentials).unwrap();
    let fetched = read(&fetcher(&server, &network, vec![entry()]), &request(URL)).await.unwrap();
    let url = request(URL).url;
    let validators = Some(&fetched.validators);
    let request_of = LinkRequest { url: &url, validators, file_name: Some("e.msi"), now: NOW };
    let link = links.link(&request_of).await.unwrap();
    assert!(
        link.contains("&generation=7&response-content-disposition=attachment%3B%20filename%3D%22e.msi%22&")
    );
    // A client has no credentials: the link is all.
    assert_eq!(read(&fetcher(&server, &network, Vec::new()), &request(&link)).await.unwrap().bytes_read, 15);
}
