//! Readings that stop when their time is over, and go on where they stopped.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use shared::{
    domain::hashing::Hashing,
    ports::fetcher::{FetchError, FetchRequest, Fetcher, Progress, Reading},
};

use crate::{
    server::{Identity, Network, Server, Step},
    world::{BODY, answer, fetcher, header, request},
};

const BUDGET: Option<Duration> = Some(Duration::from_millis(60));

/// What a host is at a moment.
#[derive(Debug, Clone, Default)]
struct Host {
    etag: Option<&'static str>,
    /// Whether it has not heard of ranges.
    whole: bool,
    /// What it answers to a range instead of the part.
    instead: Option<&'static str>,
}

/// A host of [`BODY`] that drips, and whose nature can be changed.
async fn host(nature: &Arc<Mutex<Host>>) -> Server {
    let nature = Arc::clone(nature);
    Server::start(Identity::Trusted, move |head| {
        let Host { etag, whole, instead } = nature.lock().unwrap().clone();
        let tag = etag.map_or(String::new(), |etag| format!("\nETag: {etag}"));
        let unchanged = header(head, "if-range") == etag;
        let from = header(head, "range").and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-'));
        let from = from.filter(|_| !whole && unchanged).map_or(0, |from| from.parse::<usize>().unwrap());
        if let (Some(instead), true) = (instead, header(head, "range").is_some()) {
            return answer(&format!("HTTP/1.1 {instead}{tag}"), b"");
        }
        let line = if from > 0 {
            format!("206 Partial\nContent-Range: bytes {from}-14/15")
        } else {
            "200 OK".into()
        };
        let mut steps = answer(&format!("HTTP/1.1 {line}\nContent-Length: {}{tag}", 15 - from), b"");
        for byte in &BODY[from..] {
            steps.extend([Step::Send(vec![*byte]), Step::Pause(Duration::from_millis(15))]);
        }
        steps
    })
    .await
}

fn natured(etag: Option<&'static str>) -> Arc<Mutex<Host>> {
    Arc::new(Mutex::new(Host { etag, ..Host::default() }))
}

async fn slice(
    server: &Server,
    resume: Option<Progress>,
    budget: Option<Duration>,
) -> Result<Reading, FetchError> {
    let network = Arc::new(Network::to(server));
    let wanted = FetchRequest { resume, budget, ..request("https://pub.test/a") };
    fetcher(server, &network, Vec::new()).fetch(&wanted).await
}

async fn part(server: &Server) -> Progress {
    match slice(server, None, BUDGET).await.unwrap() {
        Reading::Part(progress) => progress,
        Reading::Whole(fetched) => panic!("all of it came at once: {fetched:?}"),
    }
}

#[tokio::test]
async fn slice_by_slice_the_whole_is_proved_and_no_byte_is_read_twice() {
    let server = host(&natured(Some("\"v1\""))).await;
    let (mut resume, mut slices, mut read) = (None, 0, 0);
    loop {
        slices += 1;
        match slice(&server, resume.take(), BUDGET).await.unwrap() {
            Reading::Part(progress) => {
                assert!(progress.hash.bytes > read, "{progress:?}");
                read = progress.hash.bytes;
                resume = Some(progress);
            }
            Reading::Whole(fetched) => {
                assert_eq!(read + fetched.bytes_read, 15);
                break;
            }
        }
    }
    assert!(slices > 2, "{slices}");
    let asked = server.requests();
    assert!(asked[1..].iter().all(|head| header(head, "if-range") == Some("\"v1\"")), "{asked:?}");
}

#[tokio::test]
async fn bytes_that_were_replaced_meanwhile_are_read_anew() {
    let nature = natured(Some("\"v1\""));
    let server = host(&nature).await;
    let progress = part(&server).await;
    nature.lock().unwrap().etag = Some("\"v2\"");
    let Reading::Whole(fetched) = slice(&server, Some(progress), None).await.unwrap() else {
        panic!("a part")
    };
    assert_eq!((fetched.bytes_read, fetched.validators.etag.as_deref()), (15, Some("\"v2\"")));
}

#[tokio::test]
async fn a_part_that_is_not_the_one_asked_for_is_not_joined() {
    for instead in [
        "206 Partial\nContent-Range: bytes 0-14/15\nContent-Length: 15",
        "206 Partial\nContent-Range: bytes 4-15/16\nContent-Length: 12",
        "206 Partial\nContent-Length: 11",
        "416 Range Not Satisfiable\nContent-Range: bytes */3\nContent-Length: 0",
    ] {
        let nature = natured(Some("\"v1\""));
        let server = host(&nature).await;
        let progress = part(&server).await;
        nature.lock().unwrap().instead = Some(instead);
        let Reading::Whole(fetched) = slice(&server, Some(progress), None).await.unwrap() else {
            panic!("a part")
        };
        assert_eq!(fetched.bytes_read, 15, "{instead}");
    }
    // A part of other bytes that says so itself.
    let nature = natured(Some("\"v1\""));
    let server = host(&nature).await;
    let mut progress = part(&server).await;
    progress.validators.etag = Some("\"v0\"".into());
    nature.lock().unwrap().whole = true;
    let Reading::Whole(fetched) = slice(&server, Some(progress), None).await.unwrap() else {
        panic!("a part")
    };
    assert_eq!(fetched.bytes_read, 15);
}

#[tokio::test]
async fn other_bytes_in_the_first_slice_are_found_at_the_end_of_the_last() {
    let server = host(&natured(Some("\"v1\""))).await;
    let mut progress = part(&server).await;
    let mut other = Hashing::default();
    other.update(&vec![b'x'; usize::try_from(progress.hash.bytes).unwrap()]);
    progress.hash = other.save();
    let error = slice(&server, Some(progress), None).await.unwrap_err();
    assert_eq!((error.code(), error.definite()), ("CHECKSUM_MISMATCH", true));
}

#[tokio::test]
async fn without_a_strong_tag_there_are_no_slices() {
    for etag in [None, Some("W/\"v1\"")] {
        let server = host(&natured(etag)).await;
        let error = slice(&server, None, BUDGET).await.unwrap_err();
        assert_eq!((error.code(), error.definite()), ("UPSTREAM_TIMEOUT", false), "{error:?}");
        assert!(matches!(slice(&server, None, None).await.unwrap(), Reading::Whole(_)));
    }
}
